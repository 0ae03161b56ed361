"""Small divider: one bit of the quotient a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Divider"]


class Divider(wiring.Component):
    """Divides unsigned numbers, by shifting and subtracting.

    ``start`` in cycle t; ``quotient`` and ``remainder`` hold from cycle t + ``width`` + 1 on until
    the next start.

    Parameters
    ----------
    width
        Bits of dividend and quotient.
    divisor_width
        Bits of divisor; the divisor is not 0 and stable until the result is there.

    Members
    -------
    start, dividend, divisor
        Start a division.
    quotient, remainder
        Result.
    """

    start: Signal
    dividend: Signal
    divisor: Signal
    quotient: Signal
    remainder: Signal

    def __init__(self, *, width: int, divisor_width: int) -> None:
        if width < 1 or divisor_width < 1:
            raise ValueError(f"widths must be at least 1, not {width}, {divisor_width}")
        self._width = width
        super().__init__(
            {
                "start": In(1),
                "dividend": In(width),
                "divisor": In(divisor_width),
                "quotient": Out(width),
                "remainder": Out(divisor_width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(range(self._width + 1))  # bits to come
        shifted = Signal(len(self.remainder) + 1)
        fits = Signal()
        m.d.comb += [
            shifted.eq(Cat(self.quotient[-1], self.remainder)),
            fits.eq(shifted >= self.divisor),
        ]
        with m.If(self.start):
            m.d.sync += [
                left.eq(self._width),
                self.quotient.eq(self.dividend),  # shifts out at the top as the result shifts in
                self.remainder.eq(0),
            ]
        with m.Elif(left != 0):
            m.d.sync += [
                left.eq(left - 1),
                self.quotient.eq(Cat(fits, self.quotient)),
                self.remainder.eq(Mux(fits, shifted - self.divisor, shifted)),
            ]
        return m
