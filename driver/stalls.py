"""Where the engines' cycles went: busy and stall cycles of each stage, from the traces."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.engine.cause import Cause

from .deployment import Deployment
from .traces import Jobs, Records

__all__ = ["cause_cycles", "stage_rows"]


def cause_cycles(
    deployment: Deployment, jobs: Jobs, causes: Records, end: int
) -> NDArray[np.int64]:
    """Engine cycles by [stage, cause], from the first row block until cycle ``end``.

    Stages overlap, so each engine's cycles are told apart for themselves: a cycle belongs to the
    stage of the row block that was sent to the engine last, the cycles before its first one to that
    one's stage; those of an engine that gets none to the first stage that it serves.
    """
    sent = jobs.records
    counts = np.zeros((len(deployment.models), len(Cause)), np.int64)
    if not len(sent):
        return counts
    begin = int(sent.cycle[0])
    for engine in deployment.partition.engines:
        if engine.unit not in deployment.maps:
            continue
        mine = causes.where(causes.source == engine.unit)
        times = np.concatenate([[0], mine.cycle])
        kinds = np.concatenate([[Cause.IDLE.value], mine["cause"]])
        blocks = np.flatnonzero(sent["unit"] == engine.unit)
        edges, stages = sent.cycle[blocks], jobs.stage[blocks]
        if not len(blocks):
            edges, stages = np.array([begin]), np.array([min(deployment.maps[engine.unit].stages)])
        grid = np.unique(np.concatenate([times, edges, [begin, end]]))
        grid = grid[(grid >= begin) & (grid <= end)]
        kind = kinds[np.searchsorted(times, grid[:-1], side="right") - 1]
        last = np.searchsorted(edges, grid[:-1], side="right") - 1
        np.add.at(counts, (stages[np.maximum(last, 0)], kind), np.diff(grid))
    return counts


def stage_rows(
    deployment: Deployment, jobs: Jobs, causes: Records, stage_cycles: list[int], end: int
) -> list[dict[str, Any]]:
    """Per stage: cycles of the first query, and engine cycles of all queries by cause.

    Parameters
    ----------
    stage_cycles
        Cycles of each stage, as the first query's completion tells them.
    """
    counts = cause_cycles(deployment, jobs, causes, end)
    out = []
    for number, cycles in enumerate(stage_cycles):
        by_cause = {c.name.lower(): int(counts[number, c.value]) for c in Cause}
        busy = by_cause.pop("busy")
        out.append({"cycles": cycles, "busy_cycles": busy, "stall_cycles": by_cause})
    return out
