"""Asynchronous serial line: 8 data bits, no parity, one stop bit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

__all__ = ["LEAST_CLOCKS", "UartReceiver", "UartTransmitter"]

LEAST_CLOCKS = 4
"""Clock cycles of a bit at least: the receiver finds the middle of a bit to one cycle."""
_PHASE_BITS = 16
_BITS = 10
"""Start bit, eight data bits, stop bit."""


def _step(clock_hz: int, baud: int) -> int:
    """Phase of a cycle: ``2**_PHASE_BITS`` is a bit, so any ratio is met to 0.1 %."""
    if baud < 1:
        raise ValueError(f"baud must be at least 1, not {baud!r}")
    if clock_hz < LEAST_CLOCKS * baud:
        raise ValueError(
            f"baud must be at most clock_hz / {LEAST_CLOCKS} = {clock_hz // LEAST_CLOCKS}, "
            f"not {baud!r}"
        )
    step = round((baud << _PHASE_BITS) / clock_hz)
    if step < 1 << 6:
        raise ValueError(f"baud must be at least clock_hz / 1024, not {baud!r}")
    return step


class UartReceiver(wiring.Component):
    """Bytes from the line.

    A byte is out one cycle after the middle of its stop bit. The line does not wait: a byte that
    comes while the one before has not been taken is lost, as is one whose stop bit is missing;
    ``error`` pulses for both. What the bytes carry must be checked (``Deframer``).

    Parameters
    ----------
    clock_hz
        Frequency of the clock, Hz.
    baud
        Bits a second, at most ``clock_hz / LEAST_CLOCKS``.

    Members
    -------
    rx
        The line, idle high; synchronised here.
    o
        Bytes.
    error
        A byte was lost.
    """

    rx: Signal
    o: stream.Interface
    error: Signal

    def __init__(self, *, clock_hz: int, baud: int) -> None:
        self._increment = _step(clock_hz, baud)
        idle: Any = {"init": 1}  # not in the stubs
        super().__init__({"rx": In(1, **idle), "o": Out(stream.Signature(8)), "error": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        line = Signal(init=1)
        m.submodules.synchronizer = FFSynchronizer(self.rx, line, init=1)
        phase = Signal(_PHASE_BITS)
        sample = Signal()
        bits = Signal(_BITS)  # the start bit reaches the lowest place with the stop bit's sample
        shifted = Cat(bits[1:], line)
        m.d.sync += self.error.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM(name="state"):
            with m.State("IDLE"):
                # The first sample half a bit later: the middle of the start bit.
                m.d.sync += [phase.eq(1 << (_PHASE_BITS - 1)), bits.eq((1 << _BITS) - 1)]
                with m.If(~line):
                    m.next = "BITS"
            with m.State("BITS"):
                m.d.comb += Cat(Signal(_PHASE_BITS, name="next_phase"), sample).eq(
                    phase + self._increment
                )
                m.d.sync += phase.eq(phase + self._increment)
                with m.If(sample):
                    m.d.sync += bits.eq(shifted)
                    with m.If(bits.all() & line):
                        m.next = "IDLE"  # a glitch, no start bit
                    with m.Elif(~bits[1]):
                        self._byte(m, shifted, line)
                        # At LEAST_CLOCKS the next start bit may be a cycle away: no time to lose.
                        with m.If(line):
                            m.next = "IDLE"
                        with m.Else():
                            m.next = "BREAK"
            with m.State("BREAK"):
                with m.If(line):  # a line held low is no further byte
                    m.next = "IDLE"
        return m

    def _byte(self, m: Module, bits: Value, stop: Value) -> None:
        free = ~self.o.valid | self.o.ready
        m.d.sync += self.error.eq(~(stop & free))
        with m.If(stop & free):
            m.d.sync += [self.o.payload.eq(bits[1:9]), self.o.valid.eq(1)]


class UartTransmitter(wiring.Component):
    """Bytes onto the line; takes one whenever the last one's stop bit is over.

    Parameters
    ----------
    clock_hz, baud
        As ``UartReceiver``.

    Members
    -------
    i
        Bytes.
    tx
        The line, a register, idle high.
    """

    i: stream.Interface
    tx: Signal

    def __init__(self, *, clock_hz: int, baud: int) -> None:
        self._increment = _step(clock_hz, baud)
        idle: Any = {"init": 1}  # not in the stubs
        super().__init__({"i": In(stream.Signature(8)), "tx": Out(1, **idle)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        phase = Signal(_PHASE_BITS)
        tick = Signal()
        bits = Signal(_BITS - 1)  # what follows the bit on the line, the stop bit last
        left = Signal(range(_BITS + 1))
        m.d.comb += self.i.ready.eq(left == 0)
        with m.If(left == 0):
            m.d.sync += phase.eq(0)
            with m.If(self.i.valid):
                m.d.sync += [self.tx.eq(0), bits.eq(Cat(self.i.payload, 1)), left.eq(_BITS)]
        with m.Else():
            m.d.comb += Cat(Signal(_PHASE_BITS, name="next_phase"), tick).eq(
                phase + self._increment
            )
            m.d.sync += phase.eq(phase + self._increment)
            with m.If(tick):
                m.d.sync += [self.tx.eq(bits[0]), bits.eq(Cat(bits[1:], 1)), left.eq(left - 1)]
        return m
