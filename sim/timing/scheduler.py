"""Queries side by side: admission, row blocks, the funnel, ends; follows ``hdl/control``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hdl.config import Config
from hdl.embedding.gather_lane import GatherLane

from .admission import AdmissionModel
from .block_issuer import BlockIssuerModel, job_of
from .contexts import StageContext
from .core import FrontSide, JobRecord, StageTimes
from .engine import EngineModel
from .events import Clock
from .gather import Gather
from .loader import LoadersModel
from .plan import Plan, QueryPlan
from .prefetcher import PrefetcherModel
from .retirement import RetirementModel
from .selector import FunnelModel, Report, stage_timings
from .units import LoaderJob
from .work_table import Group

__all__ = ["SchedulerModel"]


class SchedulerModel:
    """Scheduler and funnel of a device with on-chip filter.

    Parameters
    ----------
    queries
        In the order of submission.
    front
        The front end.
    """

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
        self._config, self._plan, self._queries = config, plan, queries
        self._front, self._gather, self._loaders = front, gather, loaders
        self._clock = clock
        self.jobs: list[JobRecord] = []
        self.times = [[StageTimes() for _ in query.stages] for query in queries]
        self._timings = [stage_timings(config, query) for query in queries]
        self._funnel = FunnelModel(
            clock,
            config,
            on_open=self._opened,
            on_report=self._report,
            on_results=self._results,
        )
        self._admission = AdmissionModel(
            clock,
            config,
            queries,
            on_taken=front.taken,
            on_admitted=self._admitted,
            open_context=self._open,
        )
        self._retirement = RetirementModel(clock, config, queries, front.done)
        self._issuer = BlockIssuerModel(
            clock,
            config,
            plan,
            engines,
            loaders,
            oldest=self._retirement.oldest,
            records=lambda query: queries[query].records,
            on_job=self._job,
        )
        self._prefetcher: PrefetcherModel | None = None
        if config.features.look_ahead:
            self._prefetcher = PrefetcherModel(
                clock,
                config,
                plan,
                available=self._issuer.available,
                oldest=self._retirement.oldest,
                room=self._room,
                send=self._prefetch,
            )
            self._issuer.prefetcher = self._prefetcher

    # -- front end -----------------------------------------------------------------------------
    def offer(self, cycle: int, query: int) -> None:
        """A query is on offer from ``cycle`` on."""
        self._admission.offer(cycle, query)

    def result_taken(self, cycle: int, query: int) -> None:
        """Its last result is taken."""
        self.times[query][-1].end = cycle
        self._funnel.results_taken(cycle)
        self._retirement.finished(cycle, query)

    def done_taken(self, cycle: int, query: int) -> None:
        """Its end is taken."""
        self._retirement.taken(cycle)
        self._admission.retire(cycle, query)
        self._clock.at(cycle + GatherLane.LIVE_LATENCY, self._set_live, query, 0)
        if self._prefetcher is not None:
            self._prefetcher.retired(cycle, query)

    # -- contexts ------------------------------------------------------------------------------
    def _admitted(self, cycle: int, query: int) -> None:
        self._clock.at(cycle + GatherLane.LIVE_LATENCY, self._set_live, query, 1)

    def _set_live(self, cycle: int, query: int, live: int) -> None:
        """The gather lanes' decisions go by it from here on."""
        bit = 1 << query % self._config.queries_in_flight
        self._gather.live = self._gather.live & ~bit | bit * live

    def _open(self, cycle: int, context: StageContext) -> None:
        self._funnel.open(cycle, context, self._timings[context.query][context.stage])

    def _opened(self, cycle: int) -> None:
        context = self._admission.opened(cycle)
        cycle += 1  # the context's record is a register
        self._issuer.work.opened(cycle, context)
        if self._prefetcher is not None:
            self._prefetcher.opened(context)
        if context.first:
            self.times[context.query][0].start = cycle

    def _report(self, cycle: int, report: Report) -> None:
        context = report.context
        if context.following is None:
            return
        if report.last:
            self.times[context.query][context.stage].end = cycle
        group = self._issuer.work.grow(cycle, report)
        if group is None:
            return
        if not group.position:
            self.times[context.query][context.stage + 1].start = cycle
        if self._prefetcher is not None:
            self._prefetcher.grown(cycle, group)

    def _results(self, context: StageContext, offers: list[int]) -> None:
        self._front.results(context.query, offers)

    # -- jobs ----------------------------------------------------------------------------------
    def freed(self, cycle: int) -> None:
        """An engine has a free slot from ``cycle`` on."""
        self._issuer.freed(cycle)

    def place(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""
        self._issuer.place(cycle)

    def walked(self, cycle: int, context: int) -> None:
        """A loader picks a row to be looked up."""
        if self._prefetcher is not None:
            self._prefetcher.walked(cycle, context)

    def scores(self, job: LoaderJob, first: int, taken: Callable[[int], None]) -> None:
        """Scores of a row block come from ``first`` on; ``taken`` is told of the last one."""
        self._funnel.scores(job, first, taken)

    def _job(self, cycle: int, context: StageContext, job: LoaderJob) -> None:
        self.jobs.append(JobRecord.of(cycle, context.query, job))

    def _room(self, cycle: int) -> bool:
        """A loader takes a prefetch; row blocks go before."""
        block = self._issuer.offered(cycle)
        return self._loaders.room_ahead(cycle, block)

    def _prefetch(self, cycle: int, group: Group, rows: int) -> None:
        records = self._queries[group.context.query].records
        unit = self._loaders.prefetch_unit
        job = job_of(self._plan, group, rows, unit=unit, slot=0, records=records)
        job.prefetch = True
        self._loaders.job(cycle, job)
