"""(a x + b) mod p without a divider."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .layouts import ID_BITS, PRIME_BITS, hash_layout
from .pipe import delayed

__all__ = ["AffineModulus"]


class AffineModulus(wiring.Component):
    """``result = (a * id + b) mod p``, exact, one a cycle, LATENCY cycles, no flow control.

    The id is cut in halves of H = id_bits / 2 bits: ``v = c * high + a * low + b`` with
    ``c = (a << H) mod p`` is congruent to a * id + b, and only H + 1 bits longer than p, so that
    a quotient of H + 2 bits is all that is left to find: no product is wider than
    max(prime_bits x H, (H + 2) x (H + 2)), 24 x 16 and 18 x 18 bits at full size.

    All constants come multiplied by 2**scale so that 2**(N-1) < p < 2**N, N = prime_bits: the
    remainder of the scaled numbers is the scaled remainder, and every shift is fixed.

    The quotient is estimated as ``q = ((v >> (N-1)) * reciprocal) >> (H+2)`` with
    ``reciprocal = floor(2**(N+H+1) / p)``. It is never too large, as everything is rounded down.
    And it is less than 3 too small: with v / 2**(N-1) - 1 < v >> (N-1) and
    2**(N+H+1) / p - 1 < reciprocal the exact product falls short of v / p by less than
    v / 2**(N+H+1) + 2**(N-1) / p, each of which is below 1, because
    v <= (p-1) (2**(H+1) - 1) < 2**(N+H+1) and p > 2**(N-1); the last shift takes less than 1.
    So ``v - q p`` is in 0 .. 3 p - 1, and two conditional subtractions, of 2 p and of p, end it;
    N + 2 bits of v are enough for the difference.

    Parameters
    ----------
    prime_bits
        N; primes are 3 .. 2**N - 1.
    id_bits
        Width of an id, even.

    Members
    -------
    id, constants
        The id and the hash's constants (`hash_layout`); both may change every cycle.
    result
        The remainder, not scaled any more.
    """

    LATENCY = 13

    id: Signal
    constants: data.View
    result: Signal

    def __init__(self, *, prime_bits: int = PRIME_BITS, id_bits: int = ID_BITS) -> None:
        if not 2 <= prime_bits <= 32:
            raise ValueError(f"prime_bits must be in 2..32, not {prime_bits!r}")
        if not 2 <= id_bits <= 32 or id_bits % 2:
            raise ValueError(f"id_bits must be even and in 2..32, not {id_bits!r}")
        self._prime_bits = prime_bits
        self._half = id_bits // 2
        super().__init__(
            {
                "id": In(id_bits),
                "constants": In(hash_layout(prime_bits, id_bits)),
                "result": Out(prime_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        n, half = self._prime_bits, self._half
        given: Any = Signal(self.constants.shape(), reset_less=True)
        low, high = (Signal(half, name=name, reset_less=True) for name in ("low", "high"))
        m.d.sync += [
            given.eq(self.constants),
            low.eq(self.id[:half]),
            high.eq(self.id[half:]),
        ]
        b = delayed(m, given.b, 3, "b")
        reciprocal = delayed(m, given.reciprocal, 4, "reciprocal")
        p = delayed(m, given.p, 10, "p")
        scale = delayed(m, given.scale, 11, "scale")

        # Each product has two registers behind it for the synthesis tool to move into the DSPs.
        low_product = delayed(m, given.a * low, 2, "low_product")[-1]
        high_product = delayed(m, given.c * high, 2, "high_product")[-1]
        products = Signal(n + half + 1, reset_less=True)
        value = Signal(n + half + 1, reset_less=True)
        m.d.sync += [products.eq(low_product + high_product), value.eq(products + b[3])]
        estimate = delayed(m, value[n - 1 :] * reciprocal[4], 2, "estimate")[-1]
        quotient = estimate[half + 2 :]
        multiple = delayed(m, (quotient * p[6])[: n + 2], 2, "multiple")[-1]
        values = delayed(m, value[: n + 2], 4, "value")

        rest = Signal(n + 2, reset_less=True)  # 0 .. 3 p - 1
        less = Signal(n + 1, reset_less=True)  # 0 .. 2 p - 1
        least = Signal(n, reset_less=True)
        twice = p[9] << 1
        m.d.sync += [
            rest.eq(values[4] - multiple),
            less.eq(Mux(rest >= twice, rest - twice, rest)),
            least.eq(Mux(less >= p[10], less - p[10], less)),
            self.result.eq(least >> scale[11]),
        ]
        return m
