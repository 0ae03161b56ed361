"""Ends of queries, in the order of admission; follows ``hdl/control/retirement.py``."""

from __future__ import annotations

from collections.abc import Callable

from hdl.config import Config

from .events import Clock, Poll
from .plan import QueryPlan

__all__ = ["RetirementModel"]


class RetirementModel:
    """Reports queries that are through.

    Parameters
    ----------
    on_done
        (cycle, query): its end is on offer from that cycle on.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        queries: tuple[QueryPlan, ...],
        on_done: Callable[[int, int], None],
    ) -> None:
        self._config, self._queries, self._on_done = config, queries, on_done
        self._clock = clock
        self._wait = Poll(clock, self._look)
        self._free = 0
        self._offering = False
        self._through: dict[int, int] = {}  # cycle from which a query is
        self._query = 0  # the oldest one
        self._oldest = [(0, 0)]  # first context of the oldest query, from which cycle on

    def finished(self, cycle: int, query: int) -> None:
        """The last result of a query is taken in ``cycle``."""
        self._through[query] = cycle + 1
        self._wait.at(max(cycle + 1, self._free))

    def oldest(self, cycle: int) -> int:
        """First context of the oldest query in ``cycle``."""
        return next(context for since, context in reversed(self._oldest) if since <= cycle)

    def _look(self, cycle: int) -> None:
        """WAIT."""
        if self._offering or cycle < self._free:
            return
        if self._through.get(self._query, cycle + 1) > cycle:
            return
        self._offering = True
        stages = len(self._queries[self._query].stages)
        # Status, a time a stage and the end of them.
        self._clock.at(cycle + 1 + 1 + stages + 1, self._offer)

    def _offer(self, cycle: int) -> None:
        self._on_done(cycle, self._query)

    def taken(self, cycle: int) -> None:
        """The end on offer is taken."""
        context = self._oldest[-1][1] + len(self._queries[self._query].stages)
        self._oldest = [self._oldest[-1], (cycle + 1, context % self._config.filter_contexts)]
        self._offering = False
        self._query += 1
        self._free = cycle + 1
        self._wait.at(cycle + 1)
