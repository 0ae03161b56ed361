"""What the engines of a run did and when: the data behind the timeline.

Cycles count from the doorbell. Every engine's spans cover the run without a hole, so that the
cycles of all causes add up to the run's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hdl.engine.cause import Cause

from ..block_times import last_scores

if TYPE_CHECKING:
    from sim.timing import Prediction

    from ..deployment import Deployment
    from ..partition import Engine
    from ..traces import Jobs, Records

__all__ = ["Activity", "Block", "Lane", "Span", "cause_shares", "from_prediction", "from_traces"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lane:
    """One engine."""

    engine: Engine
    edges: NDArray[np.int64]
    """[spans + 1]: where spans begin, and the end of the last."""
    causes: NDArray[np.int64]
    """[spans]: ``Cause`` values."""

    def cycles(self) -> dict[Cause, int]:
        """Cycles by cause."""
        length = np.diff(self.edges)
        return {cause: int(length[self.causes == cause.value].sum()) for cause in Cause}


@dataclass(frozen=True, kw_only=True)
class Block:
    """One row block on its engine, from when it is sent to its last score."""

    unit: int
    query: int
    stage: int
    position: int
    rows: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Span:
    """A stage of a query, from its first row block to the next stage's."""

    query: int
    stage: int
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Activity:
    """Everything that the timeline shows."""

    cycles: int
    lanes: tuple[Lane, ...]
    blocks: tuple[Block, ...]

    @property
    def spans(self) -> list[Span]:
        """Stages in the order they ran."""
        first: dict[tuple[int, int], int] = {}
        for block in sorted(self.blocks, key=lambda b: b.start):
            first.setdefault((block.query, block.stage), block.start)
        ends = [*list(first.values())[1:], self.cycles]
        return [
            Span(query=q, stage=s, start=start, end=end)
            for ((q, s), start), end in zip(first.items(), ends, strict=True)
        ]


def cause_shares(lane: Lane, bins: int) -> NDArray[np.float64]:
    """Cycles of each cause in equal parts of the run, [cause, bin].

    Short spans share a part, none is dropped: the sum over everything is the run's cycles.
    """
    parts = np.linspace(lane.edges[0], lane.edges[-1], bins + 1)
    out = np.zeros((len(Cause), bins))
    length = np.diff(lane.edges)
    for cause in Cause:
        mine = np.where(lane.causes == cause.value, length, 0)
        done = np.concatenate([[0], np.cumsum(mine)])
        out[cause.value] = np.diff(np.interp(parts, lane.edges, done))
    return out


def _lane(engine: Engine, cycle: NDArray[np.int64], cause: NDArray[np.int64], end: int) -> Lane:
    """Changes of cause as spans of the cycles 0 .. end; idle before the first change."""
    cycle = np.concatenate([[0], cycle])
    cause = np.concatenate([[Cause.IDLE.value], cause])
    first = max(0, int(np.searchsorted(cycle, 0, side="right")) - 1)
    last = int(np.searchsorted(cycle, end, side="left"))
    cycle, cause = np.maximum(cycle[first:last], 0), cause[first:last]
    # Of changes in one cycle the last one holds.
    keep = np.append(np.diff(cycle) > 0, True)
    return Lane(engine=engine, edges=np.append(cycle[keep], end), causes=cause[keep])


def from_traces(
    deployment: Deployment, jobs: Jobs, causes: Records, columns: Records, start: int, end: int
) -> Activity:
    """Activity of a simulated device between two cycles."""
    lanes = []
    for engine in deployment.partition.engines:
        if engine.unit in deployment.maps:
            mine = causes.where(causes.source == engine.unit)
            lanes.append(_lane(engine, mine.cycle - start, mine["cause"], end - start))
    ends = last_scores(deployment, jobs, columns)
    sent = jobs.records
    blocks = [
        Block(
            unit=int(sent["unit"][n]),
            query=int(jobs.query[n]),
            stage=int(jobs.stage[n]),
            position=int(sent["position"][n]),
            rows=int(sent["rows"][n]),
            start=int(sent.cycle[n]) - start,
            end=(int(ends[n]) if ends[n] >= 0 else end) - start,
        )
        for n in range(len(sent))
    ]
    return Activity(cycles=end - start, lanes=tuple(lanes), blocks=tuple(blocks))


def from_prediction(deployment: Deployment, prediction: Prediction) -> Activity:
    """Activity as the timing model has it."""
    end = prediction.cycles
    lanes = []
    for engine in deployment.partition.engines:
        spans = prediction.timelines.get(engine.unit)
        if spans is not None:
            cycle = np.array([first for first, _, _ in spans], np.int64)
            cause = np.array([cause.value for _, _, cause in spans], np.int64)
            lanes.append(_lane(engine, cycle, cause, end))
    done = {
        unit: iter([phase.done for phase in phases if phase.top])
        for unit, phases in prediction.phases.items()
    }
    blocks = [
        Block(
            unit=job.unit,
            query=job.query,
            stage=job.stage,
            position=job.position,
            rows=job.rows,
            start=job.cycle,
            end=next(done[job.unit], end),
        )
        for job in prediction.jobs
    ]
    return Activity(cycles=end, lanes=tuple(lanes), blocks=tuple(blocks))
