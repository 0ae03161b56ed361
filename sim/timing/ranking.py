"""Ranking where the host filters: scores become results as they come.

Follows ``hdl/ranking``'s collector with ``InOrder`` or ``Bypass``: closed formulas.
"""

from __future__ import annotations

from collections.abc import Callable

from hdl.config import Config
from hdl.ranking.in_order import InOrder

from .events import Clock

__all__ = ["RankingModel"]


class RankingModel:
    """Collector, and order or bypass.

    Parameters
    ----------
    on_results
        (cycles, last): results are on offer in these cycles, ``last``: the query's last ones;
        returns when the last of these is taken.
    """

    def __init__(
        self, clock: Clock, config: Config, *, on_results: Callable[[list[int], bool], int]
    ) -> None:
        self._clock, self._config, self._on_results = clock, config, on_results
        levels = max(1, (config.sub_arrays.bit_length()) // 2)
        self._collector = levels  # a register a level of 4-to-1 merges
        self._next = 0  # the collector's output is free
        self._count = self._missing = 0
        self._last = 0

    def start(self, count: int) -> None:
        """A query of so many items begins."""
        self._count = self._missing = count
        self._last = 0

    def scores(self, rows: int, first: int) -> int:
        """``rows`` scores stand in an engine's queue from ``first`` on, one more a cycle.

        Returns the cycle in which the last one leaves the queue. Engines that hand over at the same
        time are served one after the other here, in turns by the device: the last one ends alike.
        """
        at = max(first, self._next)
        last = at + rows - 1
        self._missing -= rows
        out = self._collector + 1  # and the bypass's register
        if not self._config.features.fission:
            # The bypass hands scores on as they come; what is refused stays in the queues.
            offers = [at + out + row for row in range(rows)]
            last = self._on_results(offers, not self._missing) - out
        else:
            self._last = max(self._last, last + self._collector)
            if not self._missing:
                self._clock.at(max(self._last, self._clock.now), self._return)
        self._next = last + 1
        return last

    def _return(self, cycle: int) -> None:
        """The last score is taken in ``cycle``; all are handed over, in order."""
        first = cycle + InOrder.FIXED_CYCLES
        self._on_results([first + n for n in range(self._count)], True)
