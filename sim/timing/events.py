"""The model's clock: calls in the order of their cycles."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["Clock", "Poll"]


class Clock:
    """Runs calls at cycles. A call at cycle c sees and does what the hardware does in cycle c.

    Calls at one cycle run in the order in which they were asked for. What a call changes in a
    register is for calls at c + 1 and later.
    """

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._count = 0

    def at(self, cycle: int, call: Callable[..., None], *values: Any) -> None:
        """Run ``call(cycle, *values)`` at ``cycle``, which must not lie in the past."""
        if cycle < self.now:
            raise ValueError(f"cycle {cycle} lies before {self.now}")
        self._count += 1
        heapq.heappush(self._heap, (cycle, self._count, call, values))

    def run(self) -> None:
        """Run until nothing is left to do."""
        heap = self._heap
        while heap:
            cycle, _, call, values = heapq.heappop(heap)
            self.now = cycle
            call(cycle, *values)


class Poll:
    """A call that many may ask for; it runs once in a cycle."""

    def __init__(self, clock: Clock, call: Callable[[int], None]) -> None:
        self._clock = clock
        self._call = call
        self._asked: set[int] = set()

    def at(self, cycle: int) -> None:
        """Run at ``cycle``, or now if that has passed."""
        cycle = max(cycle, self._clock.now)
        if cycle not in self._asked:
            self._asked.add(cycle)
            self._clock.at(cycle, self._run)

    def _run(self, cycle: int) -> None:
        self._asked.discard(cycle)
        self._call(cycle)
