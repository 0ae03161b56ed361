"""Admission of queries: numbers, contexts, regions; follows ``hdl/control/admission.py``."""

from __future__ import annotations

from collections.abc import Callable

from hdl.config import Config
from hdl.program import PIPELINE_WORDS

from .contexts import StageContext
from .events import Clock, Poll
from .plan import QueryPlan

__all__ = ["AdmissionModel", "region_words"]

_READ = 1 + PIPELINE_WORDS + 2
"""A query is taken to its pipeline's entry."""


def region_words(config: Config, query: QueryPlan, stage: int) -> int:
    """Candidate memory of a stage, as ``hdl.control.query_check.region_words`` says."""
    items = len(query.stages[0].items)
    listed = query.stages[stage - 1].keep if stage else items
    rules = query.rules
    if stage and rules.sub_batches > 1:
        listed = {"exact": min(2 * listed, items), "quota": listed, "binned": items}[rules.policy]
    banks = config.candidate_banks
    return -(-listed // banks) * banks


class AdmissionModel:
    """Takes queries in order, one at a time.

    Parameters
    ----------
    on_taken
        (cycle, query): the query leaves the front end.
    on_admitted
        (cycle, query): it has its number.
    open_context
        (cycle, context): on offer to the ranking unit from that cycle on.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        queries: tuple[QueryPlan, ...],
        *,
        on_taken: Callable[[int, int], None],
        on_admitted: Callable[[int, int], None],
        open_context: Callable[[int, StageContext], None],
    ) -> None:
        self._clock, self._config, self._queries = clock, config, queries
        self._on_taken, self._on_admitted = on_taken, on_admitted
        self._open_context = open_context
        self._idle = Poll(clock, self._take)
        self._fit = Poll(clock, self._fits)
        self._offered: int | None = None
        self._busy = False
        self._idle_from = 0
        self._in_flight = 0
        self._free_contexts = config.filter_contexts
        self._free_words = config.candidate_words
        self._freed = -1  # cycle from which the room that came back last counts
        self._next_context = 0
        self._base = 0
        self._context: StageContext | None = None  # the one that waits for room, or to be open
        self._size = 0
        self._fit_from = 0

    def offer(self, cycle: int, query: int) -> None:
        """The front end has a query from ``cycle`` on."""
        self._offered = query
        self._idle.at(cycle)

    def retire(self, cycle: int, query: int) -> None:
        """The oldest query is through: what it had is free again."""
        plan = self._queries[query]
        self._in_flight -= 1
        self._free_contexts += len(plan.stages)
        self._free_words += sum(
            region_words(self._config, plan, s) for s in range(len(plan.stages))
        )
        self._freed = cycle + 1
        self._idle.at(cycle + 1)
        self._fit.at(cycle + 2)

    def _take(self, cycle: int) -> None:
        query = self._offered
        if query is None or self._busy or cycle < self._idle_from:
            return
        if self._in_flight == self._config.queries_in_flight:
            return
        self._busy, self._offered = True, None
        self._in_flight += 1
        self._on_taken(cycle, query)
        stages = len(self._queries[query].stages)
        # The entry is read; the check takes two cycles a stage and two more; then it is seen.
        divide = cycle + 1 + _READ + 2 * stages + 2
        # The division, the sum of all regions.
        report = divide + self._config.item_bits + 3 + 3 * stages
        self._clock.at(report + 1, self._admit, query)

    def _admit(self, cycle: int, query: int) -> None:
        self._on_admitted(cycle, query)
        self._size_up(cycle, query, len(self._queries[query].stages) - 1, None)

    def _size_up(self, cycle: int, query: int, stage: int, following: StageContext | None) -> None:
        """In ITEMS: the next context, a query's last stage first."""
        plan = self._queries[query]
        data = plan.stages[stage]
        self._context = StageContext(
            number=self._next_context,
            query=query,
            place=query % self._config.queries_in_flight,
            stage=stage,
            data=data,
            sub_batches=plan.rules.sub_batches,
            final=stage + 1 == len(plan.stages),
            base=self._base,
            following=following,
            hits=data.hits.tolist(),
            addresses=data.addresses.tolist(),
            held=data.held.tolist(),
            items=data.items.tolist(),
        )
        self._size = region_words(self._config, plan, stage)
        self._fit_from = cycle + 3  # items, size, then what is left of the room
        self._fit.at(self._fit_from)

    def _fits(self, cycle: int) -> None:
        context = self._context
        if context is None or not self._fit_from or cycle < self._fit_from:
            return
        if cycle <= self._freed:
            self._fit.at(self._freed + 1)
            return
        if self._free_words < self._size or not self._free_contexts:
            return
        self._fit_from = 0
        self._open_context(cycle + 1, context)

    def opened(self, cycle: int) -> StageContext:
        """The context on offer is open: returns it, and goes on to the next one."""
        context = self._context
        assert context is not None
        self._free_words -= self._size
        self._free_contexts -= 1
        self._next_context = (self._next_context + 1) % self._config.filter_contexts
        self._base = (self._base + self._size) % self._config.candidate_words
        self._context = None
        if context.stage:
            self._clock.at(cycle + 1, self._size_up, context.query, context.stage - 1, context)
        else:
            self._busy = False
            self._idle_from = cycle + 1
            self._idle.at(cycle + 1)
        return context
