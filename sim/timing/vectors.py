"""Slots of an engine's vector buffer: allocated, filled by every lane, ready and freed in order."""

from __future__ import annotations

__all__ = ["VectorSlots"]


class VectorSlots:
    """Ring of slots over the banks of the gather lanes, each slot the vectors of one item.

    Parameters
    ----------
    lanes
        Gather lanes.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self.sizes: tuple[int, int, int] | None = None
        """Bytes of a slot in a bank, slots, features; None before the first job."""
        self._row_cycles: set[tuple[int, int]] = set()
        self._watched = 1  # banks that vectors of the array go to
        self._clear()

    def _clear(self) -> None:
        self._used = self.tail = 0
        self._released = -1  # cycle in which the last slot was given back
        self._finished = [0] * self._lanes
        self._needed: list[int] = []

    def configure(self, sizes: tuple[int, int, int], *, decoded: bool = False) -> None:
        """Cut the buffer anew; nothing is in it. ``decoded``: the program has decoders."""
        self._watched = self._lanes if decoded else 1
        self.sizes = sizes
        self._clear()
        # Vector v is in bank v mod lanes; vector 0 is no lane's.
        features = sizes[2]
        self._needed = [lane for lane in range(self._lanes) if features >= (lane or self._lanes)]

    def room(self, cycle: int) -> bool:
        """A slot can be allocated in ``cycle``, also one that was given back before it; without
        features none is needed."""
        if self.sizes is None:
            return False
        used = self._used + (self._released == cycle)
        return used < self.sizes[1] or not self.sizes[2]

    def allocate(self) -> None:
        """Slot ``tail`` is taken."""
        assert self.sizes is not None
        if self.sizes[2]:
            self._used += 1
        self.tail = (self.tail + 1) % self.sizes[1]

    def row_word(self, cycle: int, lane: int) -> None:
        """A row word is written in ``cycle``; vectors of the array wait for it in their bank."""
        if lane < self._watched:
            self._row_cycles.add((cycle, lane))

    def finished(self, lane: int) -> bool:
        """The lane has handed over an item's last word; True when that can complete the oldest."""
        self._finished[lane] += 1
        return self._finished[lane] == 1

    def ready(self) -> bool:
        """The oldest slot can be read."""
        return all(self._finished[lane] for lane in self._needed)

    def row_lands(self, cycle: int, lane: int) -> bool:
        """A row word is written to the lane's bank in this cycle."""
        return (cycle, lane) in self._row_cycles

    def release(self, cycle: int) -> None:
        """The oldest slot is given back in ``cycle``."""
        assert self.sizes is not None
        for lane in self._needed:
            self._finished[lane] -= 1
        if self.sizes[2]:
            self._used -= 1
            self._released = cycle
