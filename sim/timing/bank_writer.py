"""Bank writer of an engine: chunks of interaction and dense inputs on their way to the banks.

Follows ``hdl/engine/bank_writer.py``, an addition a stage and chunk. The interaction's chunks are
worked out ahead of the clock; a dense chunk that comes between them puts the later ones off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.engine.bank_writer import writer_stages

__all__ = ["BankWriterModel", "Passing", "RowEnd"]

State = tuple[int, int, int, int, int, int, int]
"""When the chunk before came to the first register, left each of the others, and was written, and
when the write before that one was."""


@dataclass(eq=False, slots=True)
class RowEnd:
    """The end of an item in the banks."""

    written: int = -1
    """Cycle of its last write."""


@dataclass(eq=False, slots=True)
class Passing:
    """A chunk of the interaction."""

    offer: int
    slot: int
    lane: int
    count: int
    before: State
    """Of the chunk before it."""
    accepted: int
    end: RowEnd | None


class BankWriterModel:
    """The stages that both kinds of chunks share.

    Parameters
    ----------
    edge
        Of the engine.
    outputs
        Values of the longest chunk.
    free
        By slot: first cycle from some cycle on in which so many lanes from a lane on are not
        written by the array.
    remembered
        The latest chunks of the interaction that a dense chunk may still put off, or that count.
    """

    def __init__(
        self,
        *,
        edge: int,
        outputs: int,
        free: tuple[Callable[[int, int, int], int], ...],
        remembered: int,
    ) -> None:
        self._edge, self._free = edge, free
        self._turns = writer_stages(outputs) > writer_stages(1)
        self._state: State = (-1, -1, -1, -1, -1, -1, -1)
        self.latest: deque[Passing] = deque(maxlen=remembered)
        """Chunks of the interaction, in their order, also ahead of now."""
        self._dense = -1  # cycle in which the last dense chunk was taken

    def chunk(self, offer: int, slot: int, k: int, count: int, end: RowEnd | None) -> Passing:
        """A chunk of the interaction is on offer from ``offer`` on; ``end``: the item's last."""
        before, lane = self._state, k % self._edge
        passing = Passing(offer, slot, lane, count, before, 0, end)
        passing.accepted = self._pass(offer, slot, lane, count)
        if end is not None:
            end.written = self._state[5]
        self.latest.append(passing)
        return passing

    def _pass(self, offer: int, slot: int, lane: int, count: int) -> int:
        """A chunk behind those before; returns the cycle in which it is taken."""
        entered, located, piece, turned, write, written, older = self._state
        # Accepted when the spare place is free: the chunk before is in the first register.
        accepted = offer if offer > entered else entered + 1
        entered = accepted if accepted > located else located
        located = max(entered + 1, piece)
        piece = max(located + 1, turned if self._turns else write)
        at, edge, free = piece + 1, self._edge, self._free[slot]
        while True:
            # A write that the bank refuses waits behind the last stage: the one after it does
            # not have to wait in front of it.
            if self._turns:
                turned = at = max(at, write)
                write = max(at + 1, older + 1)
            else:
                write = at = max(at, older + 1)
            size = count if count < edge else edge
            older, written = written, free(max(write, written) + 1, lane, size)
            count -= size
            if not count:
                break
            at += 1
        self._state = entered, located, piece, turned, write, written, older
        return accepted

    def _next(self, cycle: int) -> tuple[int, State, int]:
        """Chunks that are taken in ``cycle`` or later; what is before the first one of them, and
        when the one before it was taken."""
        later, state, taken = 0, self._state, -1
        for passing in reversed(self.latest):
            if passing.accepted < cycle:
                taken = passing.accepted
                break
            later, state = later + 1, passing.before
        return later, state, taken

    def dense_ready(self, cycle: int) -> int:
        """Cycle from ``cycle`` on in which a dense chunk may be taken.

        Where one of the interaction is there, too, they take turns.
        """
        later, (entered, *_), taken = self._next(cycle)
        if entered >= cycle:
            return entered + 1
        waits = later and self.latest[-later].offer <= cycle
        return cycle + (1 if waits and self._dense > taken else 0)

    def dense(self, cycle: int, slot: int, k: int, count: int) -> int:
        """A dense chunk is taken in ``cycle``; returns the cycle of its last write."""
        later, self._state, _ = self._next(cycle)
        self._dense = cycle
        self._pass(cycle, slot, k % self._edge, count)
        written = self._state[5]
        for passing in [self.latest[n] for n in range(-later, 0)]:
            passing.before = self._state
            passing.accepted = self._pass(passing.offer, passing.slot, passing.lane, passing.count)
            if passing.end is not None:
                passing.end.written = self._state[5]
        return written
