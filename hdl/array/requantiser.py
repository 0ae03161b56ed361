"""Requantiser: bias, scale, rounding shift and clamp of one accumulator value a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..multiplier import registered_product
from ..program import PARAMETER
from .timing import REQUANTISE_LATENCY

__all__ = ["Requantiser"]

_LOW = 17
"""Bits of the sum in the lower of two multiplications."""

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

        # Six stages: bias; multiply in two parts; their sum; coarse shift; fine shift; round and
        # clamp. A part fits a DSP block with its output register.
        multiplier = delayed(self.parameter.multiplier, 1, "multiplier")
        less_one = Signal(6)  # shift - 1; a shift of 0 comes with a product of 0 only
        m.d.comb += less_one.eq(self.parameter.shift - 1)
        shift = delayed(less_one, 4, "shift")
        wide = delayed(self.wide, REQUANTISE_LATENCY - 1, "wide")

        biased = Signal(signed(32), reset_less=True)  # the contract: the sum fits int32
        low = registered_product(m, platform, biased[:_LOW], multiplier[1], name="low")
        high = registered_product(
            m, platform, biased[_LOW:].as_signed(), multiplier[1], name="high"
        )
        multiplied = Signal(signed(48), reset_less=True)  # int32 x uint16
        coarse = Signal(signed(_NARROW), reset_less=True)
        large = Signal(reset_less=True)
        negative = Signal(reset_less=True)
        fine = Signal(signed(_NARROW), reset_less=True)
        m.d.sync += [
            biased.eq(self.value + self.parameter.bias),
            multiplied.eq((high << _LOW) + low),
            coarse.eq(multiplied >> (shift[3] & 0b111000)),
            large.eq(_is_large(multiplied, shift[3][3:])),
            negative.eq(multiplied[-1]),
            fine.eq(Mux(large, _limit(negative), coarse) >> shift[4][:3]),
            self.result.eq(_rounded(fine, wide[-1])),
        ]
        return m


def _is_large(value: Value, coarse: Value) -> Value:
    """Whether ``value >> 8 * coarse`` has more than ``_NARROW`` bits, signed.

    Beside the shift, not behind it: for each of its amounts the bits above must all be equal.
    """
    large: list[Value] = [Const(0)] * 8
    for step in range(8):
        head = value[_NARROW - 1 + 8 * step :]
        if len(head) > 1:
            large[step] = ~((head == 0) | head.all())
    return Cat(large).bit_select(coarse, 1)


def _limit(negative: Value) -> Value:
    """Least or largest number of ``_NARROW`` bits."""
    return Cat((~negative).replicate(_NARROW - 1), negative).as_signed()


def _rounded(value: Value, wide: Value) -> Value:
    """``(value + 1) >> 1`` clamped to int16 if ``wide``, else to int8.

    Compared before the addition: it is above 127 if ``value`` is 255 or more, below -128 if
    ``value`` is -258 or less.
    """
    above = Mux(wide, value >= 65535, value >= 255)
    below = Mux(wide, value <= -65538, value <= -258)
    limit = Mux(wide, Cat((~value[-1]).replicate(15), value[-1]), _int8_limit(value[-1]))
    return Mux(above | below, limit.as_signed(), ((value + 1) >> 1)[:16].as_signed())


def _int8_limit(negative: Value) -> Value:
    return Cat((~negative).replicate(7), negative.replicate(9))
