"""Interrupt moderation: one interrupt for several completions."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["InterruptModeration"]


class InterruptModeration(wiring.Component):
    """Asks for an interrupt with the n-th completion, or some cycles after the first of fewer.

    ``interrupt`` comes in the cycle of the completion that fills the number, or ``timeout`` cycles
    after the first one that has had none. A number of 0 is 1: each completion interrupts. Changes
    of both settings take effect in the next cycle.

    Members
    -------
    completed
        Pulse: a completion was written.
    number
        Completions for an interrupt; 0 and 1 are the same.
    timeout
        Cycles; 0: no limit.
    interrupt
        Pulse.
    """

    completed: Signal
    number: Signal
    timeout: Signal
    interrupt: Signal

    def __init__(self) -> None:
        super().__init__(
            {"completed": In(1), "number": In(8), "timeout": In(32), "interrupt": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waiting = Signal(8)  # completions without an interrupt
        enough = Signal(init=1)  # one more fills the number
        passed = Signal(32)  # cycles since the first of them
        late = Signal()
        m.d.comb += [
            late.eq((waiting != 0) & (self.timeout != 0) & (passed >= self.timeout)),
            self.interrupt.eq((self.completed & enough) | late),
        ]
        m.d.sync += passed.eq(passed + 1)
        with m.If(waiting == 0):
            m.d.sync += passed.eq(1)
        # A completion comes from the memory's answer: compared ahead with what it may find.
        with m.If(self.interrupt):
            m.d.sync += [waiting.eq(0), enough.eq(self.number <= 1)]
        with m.Elif(self.completed):
            m.d.sync += [waiting.eq(waiting + 1), enough.eq(waiting + 2 >= self.number)]
        with m.Else():
            m.d.sync += enough.eq(waiting + 1 >= self.number)
        return m
