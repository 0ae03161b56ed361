"""Allocation gate: who may allocate vector slots, and the buffer's sizes for that job's program."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..program import STAGE

__all__ = ["AllocationGate"]


class AllocationGate(wiring.Component):
    """Opens the vector buffer for the oldest job whose items are not all allocated.

    Items are allocated in the order of the jobs, which use the slots alternately. Before a job
    whose program needs other sizes, the gate waits until the job before it has left the
    interaction, then empties the buffer with ``clear`` and changes the sizes. One cycle from
    ``staged`` to ``open``, two with new sizes.

    Parameters
    ----------
    config
        Sizes of the device.
    decoded
        Programs may have decoders, whose vectors take no lookup.

    Members
    -------
    start
        A job enters this slot (a bit per slot).
    staged
        The descriptor of the slot's job is in place.
    interacting
        The slot's job has not finished its interaction.
    stages, rows
        Descriptor and number of items of each slot's job.
    allocate
        An item was allocated; only while ``open``.
    open
        Items of a job are missing in the buffer.
    configured
        The buffer has the sizes that the slot's job needs (a bit per slot).
    slot_bytes, slots, features, clear
        To the vector buffer.
    """

    start: Signal
    staged: Signal
    interacting: Signal
    stages: data.View
    rows: data.View
    allocate: Signal
    open: Signal
    configured: Signal
    slot_bytes: Signal
    slots: Signal
    features: Signal
    clear: Signal

    def __init__(self, *, config: Config, decoded: bool = False) -> None:
        self._config = config
        self._decoded = decoded
        super().__init__(
            {
                "start": In(2),
                "staged": In(2),
                "interacting": In(2),
                "stages": In(data.ArrayLayout(STAGE, 2)),
                "rows": In(data.ArrayLayout(unsigned(config.row_bits + 1), 2)),
                "allocate": In(1),
                "open": Out(1),
                "configured": Out(2),
                "slot_bytes": Out(14),
                "slots": Out(5),
                "features": Out(7),
                "clear": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot = Signal()  # of the job that allocates next
        left = Signal(self._config.row_bits + 1)
        stage = self.stages[slot]
        # Of each slot's descriptor, compared a cycle ahead: it stands a cycle before ``staged``,
        # and while a gate is open nothing changes.
        same = Signal(2)
        features: Any = Signal(data.ArrayLayout(7, 2))
        for number in range(2):
            new = self.stages[number]
            decoders = new.decoders if self._decoded else 0
            # Vector 0 is the dense one: it takes no lookup.
            needed = Signal(7, name=f"needed_{number}")
            m.d.comb += needed.eq(new.vectors - 1 - decoders)
            m.d.sync += [
                features[number].eq(needed),
                same[number].eq(
                    (self.slot_bytes == new.slot_bytes)
                    & (self.slots == new.slots)
                    & (self.features == needed)
                ),
            ]
        with m.FSM(name="state"):
            with m.State("WAIT"):
                m.d.sync += left.eq(self.rows[slot])
                # A slot that is configured already still holds the job before.
                with m.If((self.staged & ~self.configured).bit_select(slot, 1)):
                    with m.If(same.bit_select(slot, 1)):
                        m.d.sync += [self.configured.bit_select(slot, 1).eq(1), self.open.eq(1)]
                        m.next = "OPEN"
                    # The other slot may hold a younger job: that one has no items yet.
                    with m.Elif(~(self.interacting & self.configured).bit_select(~slot, 1)):
                        m.next = "CLEAR"
            with m.State("CLEAR"):
                m.d.comb += self.clear.eq(1)
                m.d.sync += [
                    self.slot_bytes.eq(stage.slot_bytes),
                    self.slots.eq(stage.slots),
                    self.features.eq(features[slot]),
                    self.configured.bit_select(slot, 1).eq(1),
                    self.open.eq(1),
                ]
                m.next = "OPEN"
            with m.State("OPEN"):  # ``open``, a register: loaders' choices wait for it
                with m.If(self.allocate):
                    m.d.sync += left.eq(left - 1)
                    with m.If(left == 1):
                        m.d.sync += [slot.eq(~slot), self.open.eq(0)]
                        m.next = "WAIT"
        for number in range(2):
            with m.If(self.start[number]):
                m.d.sync += self.configured[number].eq(0)
        return m
