"""Scales dot products down to int8."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .dot_unit import DOT_WIDTH

__all__ = ["RoundClamp"]


class RoundClamp(wiring.Component):
    """``clamp8((x + (shift ? 1 << (shift - 1) : 0)) >> shift)`` for several values at once.

    Only the first ``dots`` of them can be sums or products; the others are copied bytes, which pass
    through: a shifter a value would be most of a small engine's logic.

    The shift is an arithmetic floor, so ties go towards plus infinity; clamp to -128..127.
    All values every cycle; ``LATENCY`` cycles: rounding, shift, clamp. Registers move only with
    a valid input.

    Parameters
    ----------
    outputs
        Number of values.
    dots
        Values that are rounded and clamped, 1..outputs; all by default.

    Members
    -------
    valid
        ``i`` and ``shift`` mean something.
    i
        Dot products; from ``dots`` on int8 values.
    shift
        Shift of each; from ``dots`` on nobody reads it.
    o
        int8 values.
    """

    LATENCY = 3

    valid: Signal
    i: Any
    shift: Any
    o: Any

    def __init__(self, *, outputs: int = 16, dots: int | None = None) -> None:
        dots = outputs if dots is None else dots
        if not 1 <= dots <= outputs:
            raise ValueError(f"dots must be in 1..{outputs}, not {dots!r}")
        self._outputs, self._dots = outputs, dots
        super().__init__(
            {
                "valid": In(1),
                "i": In(data.ArrayLayout(signed(DOT_WIDTH), outputs)),
                "shift": In(data.ArrayLayout(unsigned(4), outputs)),
                "o": Out(data.ArrayLayout(signed(8), outputs)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rounds = Signal()
        shifts = Signal()
        m.d.sync += [rounds.eq(self.valid), shifts.eq(rounds)]
        for n in range(self._dots, self._outputs):
            byte: Value = self.i[n][:8]
            for stage, moves in enumerate((self.valid, rounds, shifts)):
                held = Signal(8, name=f"copied_{n}_{stage}")
                with m.If(moves):
                    m.d.sync += held.eq(byte)
                byte = held
            m.d.comb += self.o[n].eq(byte.as_signed())
        for n in range(self._dots):
            # |dot| <= 2**21 and the rounding term is at most 2**14: DOT_WIDTH bits hold the sum.
            rounded = Signal(signed(DOT_WIDTH), name=f"rounded_{n}")
            shifted = Signal(signed(DOT_WIDTH), name=f"shifted_{n}")
            shift = Signal(4, name=f"shift_{n}")
            half = (1 << self.shift[n]) >> 1
            with m.If(self.valid):
                m.d.sync += [rounded.eq(self.i[n] + half), shift.eq(self.shift[n])]
            with m.If(rounds):
                m.d.sync += shifted.eq(rounded >> shift)
            with m.If(shifts):
                clamped = Mux(shifted > 127, 127, Mux(shifted < -128, -128, shifted))
                m.d.sync += self.o[n].eq(clamped)
        return m
