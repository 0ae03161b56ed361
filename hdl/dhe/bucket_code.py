"""From a remainder to its bucket and to the int8 code."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .layouts import PRIME_BITS, RECIPROCAL_BITS, buckets_layout
from .pipe import delayed

__all__ = ["BucketCode"]

_LEAST_SHIFT = 9
"""Shift of m = 2; a larger m has a larger shift."""


class BucketCode(wiring.Component):
    """``bucket = remainder mod m`` and ``code = requantise(2 bucket - (m - 1))``, one a cycle.

    No divider: ``q = (remainder * reciprocal) >> N`` with ``reciprocal = floor(2**N / m)``,
    N = prime_bits, is never too large and less than 2 too small (the reciprocal is short by less
    than 1, and remainder / 2**N < 1; the shift takes less than 1), so ``remainder - q m`` is in
    0 .. 2 m - 1 and one conditional subtraction ends it.

    The code needs no clamp: |2 bucket - (m - 1)| <= m - 1 and the pair is within 2**-16 of
    127 / (m - 1), so the rounded value is -127 .. 127.

    ``bucket`` comes BUCKET_LATENCY, ``code`` LATENCY cycles after ``remainder``. No flow control.

    Parameters
    ----------
    prime_bits
        N, the width of ``remainder``.
    reciprocal_bits
        Width of the reciprocal: m is at least 2**N / 2**reciprocal_bits, and above it unless it
        divides 2**N.

    Members
    -------
    remainder
        (a x + b) mod p.
    constants
        The feature's constants (`buckets_layout`). Must not change while a value is on its way.
    bucket
        The hash.
    code
        -127 .. 127 for [-1, 1].
    """

    BUCKET_LATENCY = 6
    LATENCY = 11

    remainder: Signal
    constants: data.View
    bucket: Signal
    code: Signal

    def __init__(
        self, *, prime_bits: int = PRIME_BITS, reciprocal_bits: int = RECIPROCAL_BITS
    ) -> None:
        if not 1 <= reciprocal_bits <= prime_bits:
            raise ValueError(f"reciprocal_bits must be in 1..{prime_bits}, not {reciprocal_bits!r}")
        self._bits = prime_bits
        super().__init__(
            {
                "remainder": In(prime_bits),
                "constants": In(buckets_layout(prime_bits, reciprocal_bits)),
                "bucket": Out(prime_bits),
                "code": Out(signed(8)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._bits
        buckets = self.constants.m
        estimate = delayed(m, self.remainder * self.constants.reciprocal, 2, "estimate")[-1]
        multiple = delayed(m, (estimate[bits:] * buckets)[: bits + 1], 2, "multiple")[-1]
        remainder = delayed(m, self.remainder, 4, "remainder")
        rest = Signal(bits + 1, reset_less=True)  # 0 .. 2 m - 1
        m.d.sync += [
            rest.eq(remainder[4] - multiple),
            self.bucket.eq(Mux(rest >= buckets, rest - buckets, rest)),
        ]

        centred = Signal(signed(bits + 1), reset_less=True)
        m.d.sync += centred.eq((self.bucket << 1) - (buckets - 1))
        product = delayed(m, centred * self.constants.multiplier, 2, "product")[-1]
        # floor(x / 2**s + 1/2) = (floor(x / 2**(s-1)) + 1) >> 1; the result has 8 bits, so 9 of
        # the shifted value are enough.
        halves = Signal(signed(9), reset_less=True)
        shift = Signal(5, reset_less=True)
        m.d.sync += [
            shift.eq(self.constants.shift - _LEAST_SHIFT),
            halves.eq((product >> (_LEAST_SHIFT - 1)) >> shift),
            self.code.eq((halves + 1) >> 1),
        ]
        return m
