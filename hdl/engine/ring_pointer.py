"""Place in a ring of equally large memory slots."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RingPointer"]


class RingPointer(wiring.Component):
    """Index and byte address of the current slot of a ring, without a multiplier.

    ``advance`` moves to the next slot with the next cycle; after slot ``slots - 1`` comes slot 0.

    Parameters
    ----------
    most
        Most slots, 1..31.

    Members
    -------
    slots
        Slots of the ring, 1..``most``; changed only together with ``clear``.
    slot_bytes
        Bytes between slots; changed only together with ``clear``.
    clear
        Back to slot 0; wins over ``advance``.
    advance
        One pulse, one slot.
    index, address
        The current slot and its first byte, registered.
    """

    slots: Signal
    slot_bytes: Signal
    clear: Signal
    advance: Signal
    index: Signal
    address: Signal

    def __init__(self, *, most: int) -> None:
        if not 1 <= most <= 31:
            raise ValueError(f"most must be in 1..31, not {most!r}")
        super().__init__(
            {
                "slots": In(5),
                "slot_bytes": In(14),
                "clear": In(1),
                "advance": In(1),
                "index": Out(range(most)),
                "address": Out(13),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with m.If(self.advance):
            m.d.sync += [
                self.index.eq(self.index + 1),
                # A ring fits the memory, so the sum of a slot inside the ring never needs bit 13.
                self.address.eq(self.address + self.slot_bytes),
            ]
            with m.If(self.index + 1 >= self.slots):
                m.d.sync += [self.index.eq(0), self.address.eq(0)]
        with m.If(self.clear):
            m.d.sync += [self.index.eq(0), self.address.eq(0)]
        return m
