"""Pool of outstanding read slots: their numbers are the tags of reads."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..queue import counted

__all__ = ["ReadSlots"]


class ReadSlots(wiring.Component):
    """Offers a free slot number, holds it until taken; slots come back in any order.

    A slot may be taken every cycle while slots are free; one that was released is offered two
    cycles later at the earliest.

    Parameters
    ----------
    count
        Number of slots, at least 1.

    Members
    -------
    valid, slot
        A slot is on offer; its number, stable until taken.
    take
        Take it; only with ``valid``.
    release, released
        Give slot ``released`` back.
    idle
        No slot is taken.
    """

    valid: Value
    slot: Value
    take: Value
    release: Value
    released: Value
    idle: Value

    RELEASE_LATENCY = 2
    """Cycles from ``release`` to the slot on offer again, at the earliest."""

    def __init__(self, *, count: int) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count!r}")
        self._count = count
        bits = max(1, (count - 1).bit_length())
        super().__init__(
            {
                "valid": Out(1),
                "slot": Out(bits),
                "take": In(1),
                "release": In(1),
                "released": In(bits),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        free = Signal(self._count, init=-1)  # neither taken nor on offer
        used = Signal(range(self._count + 1))
        m.d.comb += self.idle.eq(used == 0)
        m.d.sync += used.eq(counted(used, self.take, self.release))

        lowest = Signal.like(self.slot)
        for number in reversed(range(self._count)):
            with m.If(free[number]):
                m.d.comb += lowest.eq(number)
        with m.If(self.take | ~self.valid):
            m.d.sync += [self.valid.eq(free.any()), self.slot.eq(lowest)]
            with m.If(free.any()):
                m.d.sync += free.bit_select(lowest, 1).eq(0)
        with m.If(self.release):
            m.d.sync += free.bit_select(self.released, 1).eq(1)
        return m
