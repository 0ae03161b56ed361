"""Queues and merges of the score lanes, each a cycle at a time.

Follows ``hdl/ranking/merge_tree.py`` and the engines' score queues.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hdl.ranking.merge_tree import WIDTH

__all__ = ["MergeTree", "UnitScores"]


class Source(Protocol):
    def peek(self, cycle: int) -> object | None:
        """What is on offer in this cycle."""

    def pop(self, cycle: int) -> None:
        """It is taken."""


class UnitScores:
    """An engine's score queue."""

    def __init__(self) -> None:
        self.scores: deque[tuple[int, Any]] = deque()  # with the first cycle on offer
        self.ends: deque[tuple[int, Callable[[int], None]]] = deque()
        self._count = self._taken = 0

    def put(self, scores: list[tuple[int, Any]], taken: Callable[[int], None]) -> None:
        self.scores.extend(scores)
        self._count += len(scores)
        self.ends.append((self._count, taken))

    def peek(self, cycle: int) -> Any:
        scores = self.scores
        return scores[0][1] if scores and scores[0][0] <= cycle else None

    def pop(self, cycle: int) -> None:
        self.scores.popleft()
        self._taken += 1
        if self._taken == self.ends[0][0]:
            self.ends.popleft()[1](cycle)


class _Merge:
    """Round robin merge with a register."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self._served = 0
        self.held: object | None = None

    def peek(self, cycle: int) -> object | None:
        return self.held

    def pop(self, cycle: int) -> None:
        self.held = None

    def step(self, cycle: int) -> None:
        if self.held is not None:
            return
        count = len(self._sources)
        for distance in range(1, count + 1):
            number = (self._served + distance) % count
            element = self._sources[number].peek(cycle)
            if element is not None:
                self._sources[number].pop(cycle)
                self.held, self._served = element, number
                return


class MergeTree:
    """A tree of merges; ``out`` is its last one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._merges: list[_Merge] = []  # in the order of their steps
        while True:
            level = [
                _Merge(sources[start : start + WIDTH]) for start in range(0, len(sources), WIDTH)
            ]
            self._merges = level + self._merges
            sources = level
            if len(level) == 1:
                break
        self.out = level[0]

    def step(self, cycle: int) -> None:
        for merge in self._merges:
            merge.step(cycle)

    @property
    def empty(self) -> bool:
        return all(merge.held is None for merge in self._merges)
