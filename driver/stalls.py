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
    """Engine cycles by [stage, cause], until cycle ``end``.

    A cycle belongs to the stage whose row blocks were sent last.
    """
    starts = jobs.records.cycle
    change = np.flatnonzero(np.diff(jobs.query * 8 + jobs.stage, prepend=-1))
    edges = np.append(starts[change], end)
    stage_of = jobs.stage[change]
    counts = np.zeros((len(deployment.models), len(Cause)), np.int64)
    for engine in deployment.partition.engines:
        mine = causes.where(causes.source == engine.unit)
        times = np.concatenate([[0], mine.cycle])
        kinds = np.concatenate([[Cause.IDLE.value], mine["cause"]])
        grid = np.unique(np.concatenate([times, edges]))
        grid = grid[(grid >= edges[0]) & (grid <= edges[-1])]
        kind = kinds[np.searchsorted(times, grid[:-1], side="right") - 1]
        stage = stage_of[np.searchsorted(edges, grid[:-1], side="right") - 1]
        np.add.at(counts, (stage, kind), np.diff(grid))
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
