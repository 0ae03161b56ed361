"""Ranking: scores to survivors to the next stage's list or the sorted results.

Follows ``hdl/ranking``: closed formulas, but for the results' way into memory.
"""

from __future__ import annotations

from collections.abc import Callable

from hdl.config import Config
from hdl.ranking.filter import Filter
from hdl.ranking.item_list import ItemList

from .events import Clock
from .plan import StageQuery

__all__ = ["RankingModel", "sorter_cycles"]


def sorter_cycles(count: int) -> tuple[int, int]:
    """Cycles of the merge sort of ``count`` elements: passes before the last one, the last one."""
    passes = max(1, (count - 1).bit_length())
    costs = [2 * count + 4 * -(-count // (2 << p)) for p in range(passes)]
    return sum(costs[:-1]), costs[-1]


class RankingModel:
    """Collector, filter, item list and sorter.

    Parameters
    ----------
    on_listed
        (cycle): pulse, the stage's survivors are listed; stages but the last.
    on_sorted
        (cycle, gaps): the last stage's first result is on offer in this cycle, one more every
        second cycle.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        *,
        on_listed: Callable[[int], None],
        on_results: Callable[[list[int]], None],
    ) -> None:
        self._clock, self._config = clock, config
        self._on_listed, self._on_results = on_listed, on_results
        levels = max(1, (config.sub_arrays.bit_length()) // 2)
        self._collector = levels  # a register a level of 4-to-1 merges
        self._next = 0  # the collector's output is free
        self._missing = 0
        self._last = 0
        self._final = False
        self._query: StageQuery | None = None

    def start(self, query: StageQuery, final: bool) -> None:
        """A stage begins."""
        self._query, self._final = query, final
        self._missing = len(query.items)
        self._last = 0

    def scores(self, rows: int, first: int) -> int:
        """``rows`` scores stand in an engine's queue from ``first`` on, one more a cycle.

        Returns the cycle in which the last one leaves the queue. Engines that hand over at the same
        time are served one after the other here, in turns by the device: the last one ends alike.
        """
        at = max(first, self._next)
        last = at + rows - 1
        self._next = last + 1
        self._last = max(self._last, last + self._collector)
        self._missing -= rows
        if not self._missing:
            self._clock.at(max(self._last, self._clock.now), self._filter)
        return last

    def _filter(self, cycle: int) -> None:
        """The last score is taken in ``cycle``."""
        assert self._query is not None
        count = len(self._query.items)
        features = self._config.features
        kept = self._query.survivors
        if features.on_chip_filter:
            out = cycle + Filter.FIXED_CYCLES + count + int(kept[-1])
            listed = out + ItemList.LATENCY
            if not self._final:
                self._clock.at(listed, self._on_listed)
                return
            before, final = sorter_cycles(len(kept))
            start = listed + before
            # The last pass: an element every second cycle, the first one after its reads.
            step = final / len(kept)
            self._on_results([start + round(step * (n + 1)) for n in range(len(kept))])
            return
        if features.fission:
            first = cycle + Filter.FIXED_CYCLES + count
            self._on_results([first + n for n in range(count)])
            return
        first = cycle - count + 1  # the bypass hands scores on as they come
        self._on_results([first + 1 + n for n in range(count)])
