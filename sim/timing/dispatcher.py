"""One query, one stage at a time: devices without on-chip filter; follows ``Dispatcher``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hdl.config import Config
from hdl.control.dispatcher import Dispatcher
from hdl.control.engine_picker import EnginePicker

from .core import FrontSide, JobRecord, StageTimes
from .engine import EngineModel
from .events import Clock, Poll
from .gather import Gather
from .loader import LoadersModel, round_robin
from .plan import Plan, QueryPlan
from .ranking import RankingModel
from .units import LoaderJob

__all__ = ["DispatcherModel"]

_DISPATCH_GAP = 2
"""A stage's last result to the query's end."""


class DispatcherModel:
    """See ``core.CoreModel``; queries have one stage, all its scores are results."""

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: Plan,
        queries: tuple[QueryPlan, ...],
        *,
        engines: Mapping[int, EngineModel],
        loaders: LoadersModel,
        gather: Gather,
        front: FrontSide,
    ) -> None:
        self._clock, self._plan, self._queries = clock, plan, queries
        self._engines, self._loaders, self._front = engines, loaders, front
        gather.live = 1
        self.jobs: list[JobRecord] = []
        self.times = [[StageTimes() for _ in query.stages] for query in queries]
        self._ranking = RankingModel(clock, config, on_results=self._results)
        self._pick = Poll(clock, self._try_pick)
        self._load = Poll(clock, self._hand_over)
        self._pick_at = 0
        self._last = -1
        self._slots = {unit: 0 for unit in engines}
        self._query: int | None = None
        self._position = 0
        self._job: LoaderJob | None = None
        self._waits = False  # the job is at the loader
        self._lists: tuple[list[int], list[list[bool]], list[list[int]]] = ([], [], [])

    # -- front end -----------------------------------------------------------------------------
    def offer(self, cycle: int, query: int) -> None:
        """A query is on offer; the front end has one at a time."""
        self._clock.at(cycle, self._take, query)

    def _take(self, cycle: int, query: int) -> None:
        self._front.taken(cycle, query)
        # The check takes a cycle more for the one stage; then ranking takes the number of items.
        self._clock.at(cycle + Dispatcher.CHECK_CYCLES + 1, self._start, query)

    def _start(self, cycle: int, query: int) -> None:
        self._query, self._position = query, 0
        data = self._queries[query].stages[0]
        self._lists = (data.items.tolist(), data.hits.tolist(), data.addresses.tolist())
        self.times[query][0].start = cycle
        self._ranking.start(len(data.items))
        self._pick_at = cycle + 1
        self._pick.at(cycle + 1)

    def _results(self, offers: list[int], last: bool) -> int:
        assert self._query is not None
        return self._front.results(self._query, offers, last)

    def result_taken(self, cycle: int, query: int) -> None:
        """The last result is taken."""
        self.times[query][0].end = cycle + _DISPATCH_GAP - 1
        self._query = None
        self._clock.at(cycle + _DISPATCH_GAP, self._done, query)

    def _done(self, cycle: int, query: int) -> None:
        self._front.done(cycle, query)

    def done_taken(self, cycle: int, query: int) -> None:
        """The query's end is taken."""

    # -- row blocks ----------------------------------------------------------------------------
    def freed(self, cycle: int) -> None:
        """An engine has a free slot from ``cycle`` on."""
        self._pick.at(cycle)

    def place(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""
        self._load.at(cycle)

    def walked(self, cycle: int, context: int) -> None:
        """Nothing is fetched ahead."""

    def scores(self, job: LoaderJob, first: int, taken: Callable[[int], None]) -> None:
        """Scores of a row block come from ``first`` on."""
        taken(self._ranking.scores(job.rows, first))

    def _try_pick(self, cycle: int) -> None:
        """Picker in SAMPLE."""
        if self._query is None or self._job is not None or cycle < self._pick_at:
            return
        items, hits, addresses = self._lists
        left = len(items) - self._position
        free = [unit for unit, engine in sorted(self._engines.items()) if engine.free(cycle)]
        if not left or not free:
            return
        unit = self._last = round_robin(free, self._last)
        stage = self._plan.stages[0]
        rows = min(left, stage.rows)
        block = slice(self._position, self._position + rows)
        self._job = LoaderJob(
            unit=unit,
            slot=self._slots[unit],
            stage=0,
            rows=rows,
            query=0,
            context=0,
            sub_batch=0,
            position=self._position,
            stride=1,
            records=self._queries[self._query].records,
            items=items[block],
            hits=hits[block],
            addresses=addresses[block],
            row_bytes=stage.row_bytes,
        )
        self._slots[unit] ^= 1
        self._position += rows
        self._clock.at(cycle + EnginePicker.LATENCY + 1, self._send)

    def _send(self, cycle: int) -> None:
        """The engine takes the job; it has a free slot."""
        job, query = self._job, self._query
        assert job is not None and query is not None
        self._engines[job.unit].start(cycle, job)
        self.jobs.append(JobRecord.of(cycle, query, job))
        self._waits = True
        self._load.at(cycle + 1)
        self._pick_at = cycle + 1

    def _hand_over(self, cycle: int) -> None:
        """The loader takes the job."""
        job = self._job
        if job is None or not self._waits or cycle < self._pick_at:
            return
        if not self._loaders.room(cycle, job):
            return
        self._loaders.job(cycle, job)
        self._job, self._waits = None, False
        self._pick_at = cycle + 1
        self._pick.at(cycle + 1)
