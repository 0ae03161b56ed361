"""Timeline of the engines: what each does, stacked by cause, and its row blocks by stage."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hdl.engine.cause import Cause

from .activity import Activity, Block, Lane, cause_shares
from .svg import Svg, number

__all__ = ["STACK", "draw_timeline", "hover_data", "timeline_rows"]

STACK = (
    Cause.BUSY,
    Cause.DEPENDENCY,
    Cause.WEIGHTS,
    Cause.STREAM,
    Cause.VECTORS,
    Cause.HASH,
    Cause.INPUT,
    Cause.IDLE,
)
"""Bottom to top. Idle is the background."""

WIDTH, LEFT, RIGHT = 1040, 88, 8
_PLOT = WIDTH - LEFT - RIGHT
_BAND = 24
_AXIS = 44
_TRACKS = 4
"""Row blocks of one engine that overlap: two slots, and the tail of the job before in each."""
_MANY_BLOCKS = 2000
"""Beyond it row blocks are drawn without a tip each, to keep the page small."""


def _bins(lanes: int) -> int:
    """Parts of the run that are drawn: a whole number of picture units each."""
    for bins in (_PLOT // 2, _PLOT // 4):
        if bins * lanes <= 8000:
            return bins
    return _PLOT // 8


def _heights(lanes: int) -> tuple[int, int]:
    """Height of an engine's causes and of one of its tracks of row blocks."""
    if lanes <= 2:
        return 110, 12
    if lanes <= 6:
        return 54, 8
    return (30, 5) if lanes <= 16 else (14, 3)


def _stack_paths(shares: NDArray[np.float64], height: float) -> list[tuple[Cause, str]]:
    """One path a cause; equal neighbours become one rectangle."""
    bins = shares.shape[1]
    width = _PLOT / bins
    part = shares / np.maximum(shares.sum(axis=0), 1e-9)
    levels = np.cumsum([part[cause.value] for cause in STACK], axis=0)
    tops = np.round((1 - levels) * height, 1)
    bottoms = np.vstack([np.full(bins, float(height)), tops[:-1]])
    paths: list[tuple[Cause, str]] = []
    for n, cause in enumerate(STACK):
        if cause is Cause.IDLE:
            continue
        changed = (np.diff(tops[n]) != 0) | (np.diff(bottoms[n]) != 0)
        edges = np.concatenate([[0], np.flatnonzero(changed) + 1, [bins]])
        data = []
        for a, b in zip(edges, edges[1:], strict=False):
            top, bottom = tops[n, a], bottoms[n, a]
            if bottom > top:
                across = number((b - a) * width)
                data.append(
                    f"M{number(LEFT + a * width)} {number(top)}h{across}"
                    f"v{number(bottom - top)}h-{across}z"
                )
        if data:
            paths.append((cause, "".join(data)))
    return paths


def _in_order(activity: Activity, lane: Lane) -> list[Block]:
    """Row blocks of an engine as they were sent."""
    mine = [block for block in activity.blocks if block.unit == lane.engine.unit]
    return sorted(mine, key=lambda block: block.start)


def _tracks(blocks: Sequence[Block]) -> list[int]:
    """First free track of each block, in order of their starts."""
    free = [0] * _TRACKS
    out = []
    for block in blocks:
        track = next((t for t in range(_TRACKS) if free[t] <= block.start), _TRACKS - 1)
        free[track] = block.end
        out.append(track)
    return out


def _draw_blocks(
    svg: Svg, blocks: Sequence[Block], y: float, height: float, scale: float, tips: bool
) -> None:
    drawn: dict[int, list[str]] = {}
    for block, track in zip(blocks, _tracks(blocks), strict=True):
        x, top = LEFT + block.start * scale, y + track * (height + 1)
        width = max(0.6, (block.end - block.start) * scale - 0.6)
        if not tips:
            drawn.setdefault(block.stage, []).append(
                f"M{number(x)} {number(top)}h{number(width)}v{number(height)}h-{number(width)}z"
            )
            continue
        svg.rect(
            x, top, width, height, class_=f"stage{block.stage}",
            tip=f"query {block.query}, stage {block.stage}, items {block.position} to "
            f"{block.position + block.rows - 1} of its list: cycles {block.start} to {block.end}",
        )  # fmt: skip
        label = f"items {block.position}–{block.position + block.rows - 1}"
        if width > 5.5 * len(label) and height >= 10:
            svg.text(x + width / 2, top + height - 2.5, label, class_="tiny middle on-stage")
    for stage, data in drawn.items():
        svg.path("".join(data), class_=f"stage{stage}")


def _step(span: float, most: int) -> int:
    """A round distance of ticks: 1, 2 or 5 times a power of ten."""
    step = 1
    while True:
        for factor in (1, 2, 5):
            if span / (step * factor) <= most:
                return step * factor
        step *= 10


def _draw_axis(svg: Svg, cycles: int, y: float, top: float, clock_mhz: float) -> None:
    step = _step(cycles, 10)
    for cycle in range(0, cycles + 1, step):
        x = LEFT + cycle * _PLOT / cycles
        anchor = "end" if x > WIDTH - 50 else "middle"
        svg.line(x, top, x, y + 4, class_="grid")
        svg.text(x, y + 18, f"{cycle:,}", class_=anchor)
        svg.text(x, y + 33, f"{cycle / clock_mhz:,.0f}", class_=f"{anchor} soft")
    svg.text(4, y + 18, "cycles")
    svg.text(4, y + 33, "µs", class_="soft")


def _lane_name(lane: Lane) -> str:
    return f"engine {lane.engine.unit}"


def draw_timeline(
    activity: Activity, names: Sequence[str], edges: dict[int, int], clock_mhz: float
) -> Svg:
    """The timeline.

    Parameters
    ----------
    names
        Of the stages.
    edges
        PEs along the edge of each engine, by anchor.
    """
    lanes = activity.lanes
    height, track = _heights(len(lanes))
    mine = {lane.engine.unit: _in_order(activity, lane) for lane in lanes}
    tracks = max((t + 1 for blocks in mine.values() for t in _tracks(blocks)), default=0)
    pitch = height + tracks * (track + 1) + 11
    bottom = _BAND + 10 + pitch * len(lanes)
    scale = _PLOT / activity.cycles
    busy = sum(lane.cycles()[Cause.BUSY] for lane in lanes)
    svg = Svg(
        name="timeline",
        width=WIDTH,
        height=bottom + _AXIS,
        title="Timeline of the engines",
        description=f"{len(lanes)} engines over {activity.cycles} cycles; busy in "
        f"{100 * busy / (activity.cycles * len(lanes)):.1f} % of all engine cycles. "
        "The table below the picture has the cycles of every engine by cause.",
    )
    _draw_axis(svg, activity.cycles, bottom, _BAND, clock_mhz)
    for span in activity.spans:
        x, width = LEFT + span.start * scale, (span.end - span.start) * scale
        labels = [f"stage {span.stage} {names[span.stage]}", f"stage {span.stage}"]
        if activity.spans[-1].query > 0:
            labels = [*(f"query {span.query}, {label}" for label in labels), f"query {span.query}"]
        svg.rect(x, 0, max(1, width - 1), _BAND - 4, class_=f"stage{span.stage}", tip=labels[0])
        label = next((text for text in labels if width > 7.2 * len(text) + 9), None)
        if label is not None:
            svg.text(x + 7, _BAND - 9, label, class_="on-stage bold")
    tips = len(activity.blocks) <= _MANY_BLOCKS
    shares = [cause_shares(lane, _bins(len(lanes))) for lane in lanes]
    for n, (lane, share) in enumerate(zip(lanes, shares, strict=True)):
        y = _BAND + 6 + n * pitch
        edge = edges[lane.engine.unit]
        if height >= 30:
            svg.text(4, y + height / 2 - 2, _lane_name(lane), class_="bold")
            svg.text(4, y + height / 2 + 13, f"{edge} × {edge} PEs", class_="soft")
        else:
            svg.text(4, y + height / 2 + 4, f"{lane.engine.unit}: {edge} × {edge}")
        svg.rect(LEFT, y, _PLOT, height, class_="idle", data_lane=str(n))
        for cause, data in _stack_paths(share, height):
            svg.path(
                data, class_=cause.name.lower(), transform=f"translate(0 {number(y)})",
                shape_rendering="crispEdges", pointer_events="none",
            )  # fmt: skip
        _draw_blocks(svg, mine[lane.engine.unit], y + height + 2, track, scale, tips)
    return svg


def hover_data(activity: Activity) -> str:
    """JSON for the pointer's read-out: per cent of each cause of ``STACK`` in every part."""
    bins = _bins(len(activity.lanes))
    parts = []
    for lane in activity.lanes:
        share = cause_shares(lane, bins)
        percent = np.rint(100 * share / np.maximum(share.sum(axis=0), 1e-9)).astype(int)
        parts.append([percent[cause.value].tolist() for cause in STACK])
    return json.dumps(
        {
            "left": LEFT,
            "plot": _PLOT,
            "cycles": activity.cycles,
            "engines": [_lane_name(lane) for lane in activity.lanes],
            "causes": [cause.name.lower() for cause in STACK],
            "percent": parts,
        },
        separators=(",", ":"),
    )


def timeline_rows(activity: Activity) -> list[list[str]]:
    """The timeline as a table: cycles of every engine by cause."""
    rows = [["engine", *(cause.name.lower() for cause in STACK), "all"]]
    for lane in activity.lanes:
        cycles = lane.cycles()
        counts = [cycles[cause] for cause in STACK]
        rows.append([str(lane.engine.unit), *(f"{c:,}" for c in counts), f"{sum(counts):,}"])
    return rows
