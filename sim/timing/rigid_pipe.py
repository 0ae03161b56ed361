"""A pipeline that stands still, empty places and all, while what is at its end is refused."""

from __future__ import annotations

from collections import deque

from .units import Lookup

__all__ = ["RigidPipe"]


class RigidPipe:
    """Follows lookups through ``latency`` stages that move together or not at all.

    Times of entries and of ends are told in their order. What has happened in between is the
    cycles that the pipeline stood still.

    Parameters
    ----------
    latency
        Cycles from an entry to the pipeline's end.
    """

    __slots__ = ("_entered", "_latency", "_still", "_still_from", "_still_to", "ids")

    def __init__(self, latency: int) -> None:
        self._latency = latency
        self._entered = -1  # cycle of the last entry
        self._still = 0  # cycles that it stood still
        self._still_from = self._still_to = -1  # the last ones of them
        self.ids: deque[tuple[int, Lookup]] = deque()
        """With the cycles at the end, had it never stood still."""

    @property
    def out(self) -> int:
        """Cycle from which the oldest lookup is at the end."""
        return self.ids[0][0] + self._still

    def enters(self, cycle: int) -> int | None:
        """First cycle from ``cycle`` on in which a lookup can enter; None: not known yet."""
        at = max(cycle, self._entered + 1)
        if self._still_from <= at < self._still_to:
            at = self._still_to
        if self.ids and at >= self.out:
            return None
        return at

    def put(self, cycle: int, lookup: Lookup) -> None:
        """A lookup enters."""
        self._entered = cycle
        self.ids.append((cycle + self._latency - self._still, lookup))

    def leave(self, cycle: int) -> tuple[int, Lookup]:
        """The oldest lookup is taken from ``cycle`` on; says when."""
        out = self.out
        _, lookup = self.ids.popleft()
        if cycle > out:
            self._still += cycle - out
            self._still_from, self._still_to = out, cycle
        return max(cycle, out), lookup
