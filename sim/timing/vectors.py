"""Slots of an engine's vector buffer: allocated, filled, ready in order, released."""

from __future__ import annotations

__all__ = ["VectorSlots"]


class VectorSlots:
    """Ring of slots, each the vectors of one item.

    Parameters
    ----------
    count
        Most slots of any program.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self.sizes: tuple[int, int, int] | None = None
        """Bytes of a slot, slots, features; None before the first job."""
        self._row_cycles: set[int] = set()
        self._clear()

    def _clear(self) -> None:
        self._used = self.tail = self._head = 0
        self._landed = [0] * self._count
        self._complete = [False] * self._count

    def configure(self, sizes: tuple[int, int, int]) -> None:
        """Cut the buffer anew; nothing is in it."""
        self.sizes = sizes
        self._clear()

    @property
    def room(self) -> bool:
        """A slot can be allocated; without features none is needed."""
        return self.sizes is not None and (self._used < self.sizes[1] or not self.sizes[2])

    def allocate(self) -> None:
        """Slot ``tail`` is taken."""
        assert self.sizes is not None
        if self.sizes[2]:
            self._used += 1
        self.tail = (self.tail + 1) % self.sizes[1]

    def row_word(self, cycle: int, index: int, last: bool) -> bool:
        """A word of the broadcast for slot ``index``; True when it was the slot's last one."""
        # Broadcast register, buffer's register.
        self._row_cycles.add(cycle + 2)
        if not last:
            return False
        self._landed[index] += 1
        assert self.sizes is not None
        return self._landed[index] == self.sizes[2]

    def complete(self, index: int) -> bool:
        """All rows of slot ``index`` are in; True when it is the oldest."""
        self._complete[index] = True
        return index == self._head

    def ready(self) -> bool:
        """The oldest slot can be read."""
        return self._complete[self._head] or not (self.sizes and self.sizes[2])

    def row_lands(self, cycle: int) -> bool:
        """A row word is written in this cycle."""
        return cycle in self._row_cycles

    def release(self) -> None:
        """The oldest slot is free again."""
        assert self.sizes is not None
        self._landed[self._head] = 0
        self._complete[self._head] = False
        self._head = (self._head + 1) % self.sizes[1]
        if self.sizes[2]:
            self._used -= 1
