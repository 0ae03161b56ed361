"""Gives queries up that cannot end, and resets what worked on them."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config

__all__ = ["Watchdog"]

_SETTLE = 6
"""Cycles of ``abandon`` before ``bus_idle`` counts: a request taken in the last open cycle, one
after ``abandon`` rose, has been counted as outstanding by then; ``bus_idle`` is a register."""
_PULSE = 4
"""Cycles of reset."""


class Watchdog(wiring.Component):
    """Ends queries when an engine meets a fault, or when nothing has moved for too long.

    Tables that contradict each other can bring a query to a standstill: vectors that are waited
    for and never asked for, weight tiles that no layer takes. Then: ``abandon`` until the bus has
    nothing of it any more, ``reset``, ``closing`` until the front end has completed all queries
    that were at work. Between the two are two cycles for the registers in the reset's way. What
    LOADs wrote stays.

    Too long is 32 * 2**item_bits cycles: the longest that a healthy query moves nothing is the
    sorter's merge of all candidates, item_bits (at most 16) passes of 2**item_bits cycles. A query
    whose memory takes longer to answer is given up as well, but only once it has answered.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    running
        Queries are at work.
    progress
        Something of them moved in this cycle.
    fault
        One cannot go on.
    bus_idle
        Nothing is outstanding.
    abandon
        Requests of queries are dropped, what comes for them is thrown away.
    reset
        Of everything that works on queries.
    closing
        It is reset; until no query is at work.
    """

    running: Signal
    progress: Signal
    fault: Signal
    bus_idle: Signal
    abandon: Signal
    reset: Signal
    closing: Signal

    def __init__(self, *, config: Config) -> None:
        self._quiet_bits = config.item_bits + 5
        super().__init__(
            {
                "running": In(1),
                "progress": In(1),
                "fault": In(1),
                "bus_idle": In(1),
                "abandon": Out(1),
                "reset": Out(1),
                "closing": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        quiet = Signal(self._quiet_bits)
        wait = Signal(range(max(_SETTLE, _PULSE)))
        # Registered outputs: they reach the whole device.
        with m.FSM(name="state"):
            with m.State("WATCH"):
                m.d.sync += quiet.eq(quiet + 1)
                with m.If(~self.running | self.progress):
                    m.d.sync += quiet.eq(0)
                with m.If(self.running & (self.fault | quiet.all())):
                    m.d.sync += [self.abandon.eq(1), wait.eq(_SETTLE - 1)]
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.bus_idle):
                    m.d.sync += [self.reset.eq(1), wait.eq(_PULSE - 1)]
                    m.next = "RESET"
            with m.State("RESET"):
                m.d.sync += [wait.eq(wait - 1), quiet.eq(0)]
                with m.If(wait == 0):
                    m.d.sync += self.reset.eq(0)
                    m.next = "LATE"
            with m.State("LATE"):
                m.next = "LATER"
            with m.State("LATER"):
                m.d.sync += self.closing.eq(1)
                m.next = "CLOSE"
            with m.State("CLOSE"):
                with m.If(~self.running):
                    m.d.sync += [self.abandon.eq(0), self.closing.eq(0)]
                    m.next = "WATCH"
        return m
