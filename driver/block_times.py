"""When row blocks end, how long selections take after them, and how stages overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .deployment import Deployment
from .traces import Jobs, Records

__all__ = ["FunnelTimes", "funnel_times", "last_scores"]


def last_scores(deployment: Deployment, jobs: Jobs, columns: Records) -> NDArray[np.int64]:
    """Cycle of each row block's last score; -1 for none.

    The score leaves column 0 of the engine's first strip with the last layer's parameters, once a
    row and in the order of the row blocks of a slot.
    """
    config = deployment.config
    sent = jobs.records
    ends = np.full(len(sent), -1, np.int64)
    for engine in deployment.partition.engines:
        mapped = deployment.maps.get(engine.unit)
        if mapped is None:
            continue
        bottom = (engine.row + (1 << engine.level) - 1) * config.grid + engine.column
        scores = columns.source == bottom * config.sub_array
        for number, stage in mapped.stages.items():
            last = scores & (columns["parameter"] == stage.top.layers[-1].parameter_base)
            for slot in (0, 1):
                cycles = columns.cycle[last & (columns["slot"] == slot)]
                mine = np.flatnonzero(
                    (sent["unit"] == engine.unit) & (sent["slot"] == slot) & (jobs.stage == number)
                )
                nth = np.cumsum(sent["rows"][mine]) - 1
                known = nth < len(cycles)
                ends[mine[known]] = cycles[nth[known]]
    return ends


@dataclass(frozen=True, kw_only=True)
class FunnelTimes:
    """Of the first query."""

    filter_cycles: list[int]
    """By stage: cycles from its last score to the last item that it passes on."""
    back_end_cycles: int
    """Cycles in which a row block of a later stage is at work."""
    hidden_cycles: int
    """Of these, cycles before the first stage's last score."""


def funnel_times(
    deployment: Deployment, jobs: Jobs, columns: Records, survivors: Records
) -> FunnelTimes:
    """How the stages of the first query overlap, and how long its selections take."""
    sent, ends = jobs.records, last_scores(deployment, jobs, columns)
    first = jobs.query == 0
    filter_cycles = []
    for stage in range(int(jobs.stage[first].max(initial=-1)) + 1):
        mine = first & (jobs.stage == stage)
        contexts = survivors["context"] == sent["context"][mine][0]
        later = np.flatnonzero((sent["context"] == sent["context"][mine][0]) & (jobs.query > 0))
        if len(later):  # the context is another query's now
            contexts &= survivors.cycle < sent.cycle[later[0]]
        kept = survivors.cycle[contexts]
        filter_cycles.append(int(kept.max(initial=0) - ends[mine].max()) if len(kept) else 0)
    front = int(ends[first & (jobs.stage == 0)].max(initial=0))
    spans = [(int(sent.cycle[n]), int(ends[n])) for n in np.flatnonzero(first & (jobs.stage > 0))]
    return FunnelTimes(
        filter_cycles=filter_cycles,
        back_end_cycles=_covered(spans),
        hidden_cycles=_covered([(a, min(b, front)) for a, b in spans if a < front]),
    )


def _covered(spans: list[tuple[int, int]]) -> int:
    """Cycles in at least one of the spans."""
    total, reached = 0, 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total
