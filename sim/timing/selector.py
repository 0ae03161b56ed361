"""The funnel: scores in, one selection after the other, lists and ordered results out.

Follows ``hdl/ranking``'s funnel, selector and sorter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from golden.filter import strided
from hdl.config import Config
from hdl.ranking.sorter import Sorter

from .contexts import ContextsModel, StageContext
from .events import Clock, Poll
from .funnel import SelectionTiming, StageTiming
from .plan import QueryPlan
from .score_lanes import Arrival, ScoreLanesModel
from .units import LoaderJob

__all__ = ["FunnelModel", "Report", "sorted_offers", "stage_timings"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A selection is done: the next list holds ``count`` items."""

    context: StageContext
    sub_batch: int
    count: int
    last: bool


def sorted_offers(config: Config, last: int, count: int) -> list[int]:
    """Cycles in which the sorter offers ``count`` results, the last one given to it in ``last``.

    A list that fits the cells leaves them one a cycle.
    A pass of the merge sort takes two cycles an element and four a pair of runs; the last pass
    merges one pair straight into the output.
    """
    if count <= config.sorter_cells:
        return [last + Sorter.SHORT_LATENCY + place for place in range(count)]
    passes = max(1, (count - 1).bit_length())
    start = last + sum(2 * count + 4 * -(-count // (2 << p)) for p in range(passes - 1))
    # Begin of the pair, two reads, their heads, the choice, the output's register.
    return [start + 6 + 2 * place for place in range(count)]


def stage_timings(config: Config, query: QueryPlan) -> list[StageTiming]:
    """The selections of all stages of a query."""
    rules, timings = query.rules, []
    groups = strided(len(query.stages[0].items), rules.sub_batches)
    excluded = np.array([], np.intp)
    for number, stage in enumerate(query.stages):
        timings.append(
            StageTiming(
                config,
                stage.scores,
                stage.items,
                groups,
                k=stage.keep,
                policy=rules.policy,
                bins=rules.bins,
                fractions=rules.fractions_of(number),
                first=number == 0,
                final=number + 1 == len(query.stages),
                excluded=excluded,
            )
        )
        ends = np.cumsum([len(part) for part in stage.forwarded])
        groups = [
            np.arange(end - len(part), end) for end, part in zip(ends, stage.forwarded, strict=True)
        ]
        excluded = np.flatnonzero(np.isin(np.concatenate(stage.forwarded), stage.dropped))
    return timings


@dataclass(eq=False)
class _Open:
    """A context that is open."""

    context: StageContext
    timing: StageTiming
    current: int = 0
    """Sub-batch that is selected next."""
    listed: int = 0


class FunnelModel:
    """Score lanes, contexts, selector, sorter.

    Parameters
    ----------
    on_open
        Cycle in which a context that was offered is open.
    on_report
        (cycle, report): a selection is done.
    on_results
        (context, cycles): ordered results of a final stage are on offer in these cycles, as long as
        none is refused.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        *,
        on_open: Callable[[int], None],
        on_report: Callable[[int, Report], None],
        on_results: Callable[[StageContext, list[int]], None],
    ) -> None:
        self._clock, self._config = clock, config
        self._on_report, self._on_results = on_report, on_results
        self._steps = Poll(clock, self._step)
        self._lanes = ScoreLanesModel(config, self._steps.at)
        self._idle = Poll(clock, self._choose)
        self._contexts = ContextsModel(
            config, on_open=on_open, on_ready=self._idle.at, wake=self._steps.at
        )
        self._open: dict[int, _Open] = {}
        self._index = 0
        self._idle_from = 0
        self._sorter_from = 0  # results of a context go through it until then
        self._announce: Arrival | None = None
        self._announce_at = 0
        self._chosen: _Open | None = None

    # -- scores --------------------------------------------------------------------------------
    def open(self, cycle: int, context: StageContext, timing: StageTiming) -> None:
        """A context is on offer from ``cycle`` on."""
        self._open[context.number] = _Open(context, timing)
        self._contexts.open(cycle, context)

    def scores(self, job: LoaderJob, first: int, taken: Callable[[int], None]) -> None:
        """Scores of a row block stand in the engine's queue, one more a cycle from ``first`` on."""
        base = self._open[job.context].context.base
        self._lanes.scores(job, base, first, taken)

    def _step(self, cycle: int) -> None:
        """A cycle of lanes and counter."""
        announce = self._announce if cycle >= self._announce_at else None
        served = self._contexts.step(cycle, announce, self._lanes.arrival())
        if served == "announce":
            self._announce = None
            self._clock.at(cycle + 1, self._report)
        elif announce is not None:
            self._steps.at(cycle + 1)
        self._lanes.step(cycle, served == "arrival")

    # -- selections ----------------------------------------------------------------------------
    def _choose(self, cycle: int) -> None:
        """Selector in IDLE: the next ready context behind the one served last."""
        if self._chosen is not None or cycle < self._idle_from:
            return
        ready = [
            number
            for number, opened in sorted(self._open.items())
            if self._contexts.complete(cycle, number, opened.current)
            and (not opened.context.final or cycle >= self._sorter_from)
        ]
        if not ready:
            self._index = 0  # an idle selector forgets whose turn it was
            return
        self._index = next((n for n in ready if n > self._index), ready[0])
        chosen = self._chosen = self._open[self._index]
        selection = chosen.timing.selection(chosen.current)
        chosen.listed += len(selection.listed)
        close = cycle + selection.report - 1
        context = chosen.context
        if context.following is None:
            self._clock.at(close + 1, self._report)
            self._sort(cycle, context, selection)
            return
        count = len(selection.listed)
        self._announce = Arrival(context.following.number, chosen.current, count)
        self._announce_at = close
        self._steps.at(close)

    def _sort(self, cycle: int, context: StageContext, selection: SelectionTiming) -> None:
        """Survivors of a final stage go through the sorter."""
        if selection.listed:
            self._sorter_from = 1 << 60  # until the last result is taken
            last = cycle + selection.listed[-1]
            offers = sorted_offers(self._config, last, len(selection.listed))
            self._clock.at(offers[0], lambda _: self._on_results(context, offers))

    def results_taken(self, cycle: int) -> None:
        """The last result of a context is taken in ``cycle``."""
        self._sorter_from = cycle + 1
        self._idle.at(cycle + 1)

    def _report(self, cycle: int) -> None:
        chosen = self._chosen
        assert chosen is not None
        context, sub_batch = chosen.context, chosen.current
        last = sub_batch + 1 == context.sub_batches
        chosen.current += 1
        if last:
            del self._open[context.number]
        self._chosen = None
        self._idle_from = cycle + SelectionTiming.AFTER_REPORT
        self._idle.at(self._idle_from)
        report = Report(context=context, sub_batch=sub_batch, count=chosen.listed, last=last)
        # Through a register.
        self._clock.at(cycle + 1, lambda now: self._on_report(now, report))
