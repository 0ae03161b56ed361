"""What front end and core of the model know of each other, and what a run's stages tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .units import LoaderJob

__all__ = ["CoreModel", "FrontSide", "JobRecord", "StageTimes"]


@dataclass(frozen=True, kw_only=True)
class JobRecord:
    """A row block that was sent to an engine."""

    cycle: int
    query: int
    """In the order of submission."""
    stage: int
    unit: int
    slot: int
    rows: int
    position: int
    stride: int
    sub_batch: int

    @staticmethod
    def of(cycle: int, query: int, job: LoaderJob) -> JobRecord:
        """The record of a job sent in ``cycle``."""
        return JobRecord(
            cycle=cycle,
            query=query,
            stage=job.stage,
            unit=job.unit,
            slot=job.slot,
            rows=job.rows,
            position=job.position,
            stride=job.stride,
            sub_batch=job.sub_batch,
        )


@dataclass(kw_only=True)
class StageTimes:
    """A stage of a query."""

    start: int = 0
    end: int = 0

    @property
    def cycles(self) -> int:
        """As the completion counts them."""
        return self.end - self.start


class FrontSide(Protocol):
    """The front end, seen from the core."""

    def taken(self, cycle: int, query: int) -> None:
        """The query on offer is taken."""

    def results(self, query: int, offers: list[int], last: bool = True) -> int:
        """Results are on offer in these cycles, later by what one before had to wait.

        ``last``: the query has no more. Returns when the last of these is taken.
        """

    def done(self, cycle: int, query: int) -> None:
        """Its end is on offer from ``cycle`` on."""


class CoreModel(Protocol):
    """Everything between the front end and the engines."""

    jobs: list[JobRecord]
    times: list[list[StageTimes]]

    def offer(self, cycle: int, query: int) -> None:
        """A query is on offer from ``cycle`` on."""

    def result_taken(self, cycle: int, query: int) -> None:
        """Its last result is taken in ``cycle``."""

    def done_taken(self, cycle: int, query: int) -> None:
        """Its end is taken."""

    def freed(self, cycle: int) -> None:
        """An engine has a free slot from ``cycle`` on."""

    def place(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""

    def walked(self, cycle: int, context: int) -> None:
        """A loader picks a row of a context, to be looked up."""

    def scores(self, job: LoaderJob, first: int, taken: Callable[[int], None]) -> None:
        """Scores of a row block stand in the engine's queue, one more a cycle from ``first`` on;
        ``taken`` is told in which cycle the last one leaves it."""
