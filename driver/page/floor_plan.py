"""Floor plan: the grid of sub-arrays, cut into engines, filled by how busy they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hdl.config import Config

from ..partition import Engine, Partition
from .svg import Svg

__all__ = ["draw_floor_plan", "floor_plan_rows"]

_SIDE = 440
_PAD = 3


def _stages(engine: Engine, count: int) -> list[int]:
    return [s for s in range(count) if engine.serves(s)]


def _edge(config: Config, engine: Engine) -> int:
    return config.sub_array << engine.level


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{100 * share:.1f} %"


def _label(
    config: Config, engine: Engine, names: Sequence[str], share: float | None
) -> list[tuple[str, list[int]]]:
    """Lines that fit the engine: text, and the stages whose squares stand before it."""
    edge, served = _edge(config, engine), _stages(engine, len(names))
    side = _cell(config) * (1 << engine.level)
    if side < 90:
        return [("" if share is None else f"{100 * share:.0f} %", [])] + [("", served)] * (
            side > 45
        )
    lines: list[tuple[str, list[int]]] = [(f"{edge} × {edge} PEs", [])]
    if side < 180:
        stages = ", ".join(str(s) for s in served)
        text = stages if len(served) > 1 else f"stage {stages}"
        lines.append((text, served) if served else ("no stage", []))
    else:
        lines = [(f"engine {engine.unit}: {edge} × {edge} PEs", [])]
        lines += [(f"stage {s} {names[s]}", [s]) for s in served] or [("no stage", [])]
    return lines if share is None else [*lines, (f"busy {100 * share:.1f} %", [])]


def _cell(config: Config) -> float:
    """Edge of a sub-array in the picture."""
    return (_SIDE - 2 * _PAD) / config.grid


def _draw_label(
    svg: Svg, x: float, y: float, lines: Sequence[tuple[str, list[int]]], small: bool
) -> None:
    left, pitch, square = (5, 14, 8) if small else (11, 19, 11)
    for n, (text, stages) in enumerate(lines):
        base = y + pitch * (n + 1) + (2 if small else 4)
        for m, stage in enumerate(stages):
            svg.rect(
                x + left + m * (square + 3), base - square + 0.5, square, square, rx=2,
                class_=f"stage{stage}", tip=f"stage {stage}",
            )  # fmt: skip
        start = x + left + len(stages) * (square + 3) + (3 if stages else 0)
        if text:
            svg.text(start, base, text, class_="bold" if n == 0 else "plain")


def _draw_corners(svg: Svg, x: float, y: float, cell: float, count: int, text: float) -> None:
    """Crosses where sub-arrays meet inside an engine, but not on its text of that height."""
    arm = min(7.0, cell / 6)
    for row in range(1, count):
        for column in range(1, count):
            u, v = x + column * cell, y + row * cell
            if v < y + text + arm and u < x + 170:
                continue
            svg.line(u - arm, v, u + arm, v, class_="sub-array")
            svg.line(u, v - arm, u, v + arm, class_="sub-array")
    for n in range(1, count):
        for u, v in ((x + n * cell, y), (x + n * cell, y + count * cell - arm)):
            svg.line(u, v, u, v + arm, class_="sub-array")
        for u, v in ((x, y + n * cell), (x + count * cell - arm, y + n * cell)):
            svg.line(u, v, u + arm, v, class_="sub-array")


def _draw_engine(
    svg: Svg, config: Config, engine: Engine, names: Sequence[str], share: float | None
) -> None:
    cell, count = _cell(config), 1 << engine.level
    side = cell * count
    x, y = _PAD + engine.column * cell, _PAD + engine.row * cell
    edge = _edge(config, engine)
    served = ", ".join(str(s) for s in _stages(engine, len(names))) or "none"
    tip = f"engine {engine.unit}, {edge} × {edge} PEs, stages {served}, busy {_percent(share)}"
    svg.rect(x, y, side, side, class_="engine-ground", tip=tip)
    if share:
        svg.rect(x, y + side * (1 - share), side, side * share, class_="engine-fill")
    lines = _label(config, engine, names, share)
    _draw_corners(svg, x, y, cell, count, 6 + 19 * len(lines))
    svg.rect(x + 1, y + 1, side - 2, side - 2, class_="engine", rx=4)
    _draw_label(svg, x, y, lines, side < 90)


def draw_floor_plan(
    config: Config, partition: Partition, names: Sequence[str], busy: Mapping[int, float]
) -> Svg:
    """The floor plan.

    Parameters
    ----------
    names
        Of the stages.
    busy
        Share of the run's cycles that an engine was busy, by anchor; engines may be missing.
    """
    shares = [busy[e.unit] for e in partition.engines if e.unit in busy]
    measured = (
        f" Busy from {100 * min(shares):.1f} to {100 * max(shares):.1f} % of the cycles."
        if shares
        else ""
    )
    svg = Svg(
        name="floor-plan",
        width=_SIDE,
        height=_SIDE,
        title=f"Floor plan of partition {partition.text}",
        description=f"{config.grid} by {config.grid} sub-arrays of {config.sub_array} by "
        f"{config.sub_array} PEs, cut into {len(partition.engines)} engines.{measured}",
    )
    cell = _cell(config)
    for row in range(config.grid):
        for column in range(config.grid):
            x, y = _PAD + column * cell, _PAD + row * cell
            svg.rect(x, y, cell, cell, class_="unused", tip="no engine asked for")
    for engine in partition.engines:
        _draw_engine(svg, config, engine, names, busy.get(engine.unit))
    return svg


def floor_plan_rows(
    config: Config, partition: Partition, names: Sequence[str], busy: Mapping[int, float]
) -> list[list[str]]:
    """The floor plan as a table."""
    rows = [["engine", "row", "column", "PEs", "stages", "busy"]]
    for engine in partition.engines:
        edge = _edge(config, engine)
        served = ", ".join(f"{s} {names[s]}" for s in _stages(engine, len(names)))
        rows.append(
            [
                str(engine.unit),
                str(engine.row),
                str(engine.column),
                f"{edge} × {edge}",
                served or "none",
                _percent(busy.get(engine.unit)),
            ]
        )
    return rows
