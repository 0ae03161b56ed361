"""Requantiser: bias, scale, rounding shift and clamp of one accumulator value a cycle."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..program import PARAMETER
from .timing import REQUANTISE_LATENCY

__all__ = ["Requantiser"]

_NARROW = 25
"""Width between the two shift steps. What saturates here is above 2**16 after a fine shift of at
most 7 and the rounding halving, so every clamp still sees it as too large."""


class Requantiser(wiring.Component):
    """``result = clamp(((value + bias) * multiplier + (1 << (shift - 1))) >> shift)``, exact.

    The shift floors, so ties round towards plus infinity. One value a cycle, REQUANTISE_LATENCY
    cycles, no flow control. It is computed as ``((product >> (shift - 1)) + 1) >> 1``, which is
    the same number.

    ``value + bias`` must fit int32, ``multiplier`` is 0 or 32768..65535, ``shift`` 1..47 (with
    ``multiplier`` 0 any shift gives 0).

    Parameters
    ----------
    width
        Signed width of ``value``, at most 32.

    Members
    -------
    value, parameter, wide
        Accumulator value, its channel's PARAMETER, and clamp to int16 (1) or int8 (0).
    result
        The clamped value.
    """

    value: Signal
    parameter: data.View
    wide: Signal
    result: Signal

    def __init__(self, *, width: int) -> None:
        if not 1 <= width <= 32:
            raise ValueError(f"width must be in 1..32, not {width!r}")
        super().__init__(
            {
                "value": In(signed(width)),
                "parameter": In(PARAMETER),
                "wide": In(1),
                "result": Out(signed(16)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()

        def delayed(source: Value, cycles: int, name: str) -> list[Value]:
            """``source`` after 0 .. cycles cycles."""
            taps = [source]
            for k in range(cycles):
                tap = Signal(source.shape(), name=f"{name}_{k + 1}", reset_less=True)
                m.d.sync += tap.eq(taps[-1])
                taps.append(tap)
            return taps

        # Six stages: bias; multiply; multiplier output; coarse shift; fine shift; round and clamp.
        # The multiplier has two registers behind it for the synthesis tool to move into the DSPs.
        multiplier = delayed(self.parameter.multiplier, 1, "multiplier")
        less_one = Signal(6)  # shift - 1; a shift of 0 comes with a product of 0 only
        m.d.comb += less_one.eq(self.parameter.shift - 1)
        shift = delayed(less_one, 4, "shift")
        wide = delayed(self.wide, REQUANTISE_LATENCY - 1, "wide")

        biased = Signal(signed(32), reset_less=True)  # the contract: the sum fits int32
        product = Signal(signed(48), reset_less=True)  # int32 x uint16
        multiplied = Signal(signed(48), reset_less=True)
        coarse = Signal(signed(48), reset_less=True)
        fine = Signal(signed(_NARROW), reset_less=True)
        m.d.sync += [
            biased.eq(self.value + self.parameter.bias),
            product.eq(biased * multiplier[1]),
            multiplied.eq(product),
            coarse.eq(multiplied >> (shift[3] & 0b111000)),
            fine.eq(_saturated(m, coarse, _NARROW) >> shift[4][:3]),
            self.result.eq(_clamped((fine + 1) >> 1, wide[-1])),
        ]
        return m


def _saturated(m: Module, value: Signal, width: int) -> Value:
    """``value`` limited to ``width`` bits, signed."""
    head = value[width - 1 :]
    limit = Mux(value[-1], Const(-1 << (width - 1), signed(width)), (1 << (width - 1)) - 1)
    fits = (head == 0) | head.all()
    return Mux(fits, value[:width].as_signed(), limit.as_signed())


def _clamped(value: Value, wide: Value) -> Value:
    """``value`` clamped to int16 if ``wide``, else to int8."""
    high = Mux(wide, 32767, 127)
    low = Mux(wide, Const(-32768, signed(16)), Const(-128, signed(16)))
    return Mux(value > high, high, Mux(value < low, low, value))
