"""Soft reset: drain the bus, then reset the core."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SoftReset"]

_SETTLE = 6
"""Cycles of quiesce before ``bus_idle`` counts: a request taken in the last open cycle, one after
``quiesce`` rose, has been counted as outstanding by then, and ``bus_idle`` is a register."""
_PULSE = 4
"""Cycles of core reset."""


class SoftReset(wiring.Component):
    """Sequence of a soft reset: quiesce the bus, wait until it is idle, reset the core.

    ``request`` during a sequence is ignored. The bus stays quiet during the core's reset and two
    cycles longer (the core's reset is two registers behind ``core_reset``), so that no request of
    the old state is ever taken. If the memory never answers,
    the sequence waits (``busy`` stays up): a broken AXI transfer would be worse.

    Members
    -------
    request
        Start, a pulse.
    bus_idle
        Crossbar and write master have nothing outstanding.
    quiesce
        Bus: take nothing new, discard what comes.
    core_reset
        Synchronous reset of everything behind the bus, and of ring indices and counters.
    busy
        Sequence running.
    """

    request: Signal
    bus_idle: Signal
    quiesce: Signal
    core_reset: Signal
    busy: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "request": In(1),
                "bus_idle": In(1),
                "quiesce": Out(1),
                "core_reset": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wait = Signal(range(max(_SETTLE, _PULSE)))
        # Registered outputs: they reach the whole device.
        with m.FSM(name="state"):
            with m.State("RUN"):
                with m.If(self.request):
                    m.d.sync += [self.quiesce.eq(1), self.busy.eq(1), wait.eq(_SETTLE - 1)]
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.bus_idle):
                    m.d.sync += [self.core_reset.eq(1), wait.eq(_PULSE - 1)]
                    m.next = "RESET"
            with m.State("RESET"):
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):
                    m.d.sync += self.core_reset.eq(0)
                    m.next = "LATE"
            with m.State("LATE"):
                m.next = "LATER"
            with m.State("LATER"):
                m.next = "OPEN"
            with m.State("OPEN"):
                m.d.sync += [self.quiesce.eq(0), self.busy.eq(0)]
                m.next = "RUN"
        return m
