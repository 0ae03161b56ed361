"""Partitions: which engines the grid is cut into and which stages each serves."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hdl.config import Config

from .errors import UserError

__all__ = ["Engine", "Partition", "parse_partition"]

_ITEM = re.compile(r"^(\d+)x(\d+)(?::(\d+))?(?:@(\d+))?$")


@dataclass(frozen=True, kw_only=True)
class Engine:
    """One engine of a partition."""

    unit: int
    """Anchor sub-array, row-major."""
    row: int
    column: int
    level: int
    """log2 of the sub-arrays along an edge."""
    stages: frozenset[int] | None
    """Stages it serves; None: any."""

    def serves(self, stage: int) -> bool:
        return self.stages is None or stage in self.stages


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A legal cut of the grid.

    ``levels[u]`` is the level of the engine that covers sub-array u; sub-arrays that no engine
    was asked for are single engines without a stage.
    """

    text: str
    levels: tuple[int, ...]
    engines: tuple[Engine, ...]

    def stage_mask(self, unit: int, stages: int) -> int:
        """Bits of the stages that the engine anchored at ``unit`` serves, 0 for none."""
        for engine in self.engines:
            if engine.unit == unit:
                return sum(1 << s for s in range(stages) if engine.serves(s))
        return 0


def _edges(config: Config) -> list[int]:
    if not config.features.fission:
        return [config.edge]
    return [config.sub_array << level for level in range(config.levels)]


def _z_order(index: int, bits: int) -> tuple[int, int]:
    """Row and column of place ``index`` in Z-order."""
    row = column = 0
    for b in range(bits):
        column |= (index >> (2 * b) & 1) << b
        row |= (index >> (2 * b + 1) & 1) << b
    return row, column


def parse_partition(config: Config, text: str | None, *, stages: int) -> Partition:
    """Read a partition such as ``"64x64:2@1,32x32:8@0"``.

    Parameters
    ----------
    config
        Device.
    text
        ``ROWSxCOLS[:COUNT][@STAGE]`` items in PEs, or ``fused`` (also None: one engine, the whole
        grid, any stage) or ``split`` (all single sub-arrays, any stage).
    stages
        Number of stages of the pipeline; each must have an engine.

    Raises
    ------
    UserError
        Not square, not a legal edge, too many PEs, a stage without an engine.
    """
    if text is None or text == "fused":
        text = f"{config.edge}x{config.edge}:1"
    elif text == "split":
        text = f"{config.sub_array}x{config.sub_array}:{config.sub_arrays}"
    edges = _edges(config)
    legal = ", ".join(f"{e}x{e}" for e in edges)
    wanted: list[tuple[int, frozenset[int] | None]] = []
    for part in text.split(","):
        match = _ITEM.match(part.strip())
        if match is None:
            raise UserError(f"partition item {part!r} is not ROWSxCOLS[:COUNT][@STAGE]")
        rows, columns = int(match[1]), int(match[2])
        count = int(match[3] or 1)
        if rows != columns or rows not in edges:
            near = min(edges, key=lambda e: abs(e - max(rows, columns)))
            raise UserError(
                f"partition engine {rows}x{columns} is not one of {legal}; "
                f"the nearest legal choice is {near}x{near}"
            )
        if count < 1:
            raise UserError(f"partition item {part!r}: count must be at least 1")
        stage = None
        if match[4] is not None:
            number = int(match[4])
            if number >= stages:
                raise UserError(f"partition item {part!r}: stage must be below {stages}")
            stage = frozenset({number})
        level = (rows // config.sub_array).bit_length() - 1
        wanted += [(level, stage)] * count
    area = sum(4**level for level, _ in wanted)
    if area > config.sub_arrays:
        raise UserError(
            f"partition {text!r} needs {area * config.sub_array**2} PEs, "
            f"the device has {config.pes}"
        )
    bits = config.grid.bit_length() - 1
    levels = [0] * config.sub_arrays
    engines = []
    place = 0
    for level, stage in sorted(wanted, key=lambda w: -w[0]):
        row, column = _z_order(place, bits)
        place += 4**level
        for r in range(row, row + (1 << level)):
            for c in range(column, column + (1 << level)):
                levels[r * config.grid + c] = level
        engines.append(
            Engine(
                unit=row * config.grid + column, row=row, column=column, level=level, stages=stage
            )
        )
    for number in range(stages):
        if not any(e.serves(number) for e in engines):
            raise UserError(
                f"partition {text!r}: stage {number} has no engine; add one '@{number}'"
            )
    return Partition(text=text, levels=tuple(levels), engines=tuple(engines))
