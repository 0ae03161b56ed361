"""Two neighbouring processing elements of a row that share one wide multiplier."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

from ..multiplier import registered_product
from ..share import share
from .gated_adder import GatedAdder

__all__ = ["ProcessingElementPair"]

_FIELD = 16
"""Bits of a product: int8 x int8, signed."""


class ProcessingElementPair(wiring.Component):
    """What two ``ProcessingElement`` side by side do, cycle by cycle, with one multiplication.

    DSP blocks of 25 x 18 bits and more (DSP48) hold two int8 products of the same activation:
    ``activation * (east * 2**16 + west) = activation * east * 2**16 + activation * west``. The low
    16 bits are the west product; when it is negative the bits above lack 1, which is added behind
    the multiplier. The activation reaches the east element one cycle later, so its weight swaps
    and its product is made with the west one's, and the product waits a cycle.

    The operand of 25 bits is kept instead of the two weights: the borrow of a negative west weight
    is taken off when the weights swap. Exact for all weights from -128 to 127.

    Parameters
    ----------
    sum_width
        Signed width of the partial sums, at least 17.
    gated
        The pair lies below a possible cut: ``sums`` count only while ``take_sums`` is set.

    Members
    -------
    activation, swap
        From the west neighbour.
    sums
        From the north neighbours, west first; each one cycle behind its element's activation.
    take_sums
        With ``gated``: the sums count; else they are as if 0.
    shadow_write, shadow_weights
        Load of the shadow weights, west first.
    activation_out, swap_out
        To the east neighbour, two cycles later.
    sums_out
        To the south neighbours.
    """

    activation: Signal
    swap: Signal
    sums: data.View
    take_sums: Signal
    shadow_write: Signal
    shadow_weights: data.View
    activation_out: Signal
    swap_out: Signal
    sums_out: data.View

    def __init__(self, *, sum_width: int, gated: bool = False) -> None:
        if sum_width < 17:
            raise ValueError(f"sum_width must be at least 17, not {sum_width!r}")
        self._gated = gated
        self._sum_width = sum_width
        sums = data.ArrayLayout(signed(sum_width), 2)
        members: dict[str, Member] = {
            "activation": In(signed(8)),
            "swap": In(1),
            "sums": In(sums),
            "shadow_write": In(1),
            "shadow_weights": In(data.ArrayLayout(signed(8), 2)),
            "activation_out": Out(signed(8)),
            "swap_out": Out(1),
            "sums_out": Out(sums),
        }
        if gated:
            members["take_sums"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        west, east = (Signal(signed(8), name=f"shadow_{n}", reset_less=True) for n in range(2))
        low = Signal(signed(8), reset_less=True)
        high = Signal(signed(9), reset_less=True)  # -129 for the weights -128 and below 0
        operand = Cat(low, low[-1].replicate(_FIELD - 8), high).as_signed()
        product = registered_product(m, platform, operand, self.activation, name="multiplier")
        products = [
            Signal(signed(_FIELD), name="product_0"),
            Signal(signed(_FIELD), name="product_1", reset_less=True),
        ]
        activation_1, activation_2 = (
            Signal(signed(8), name=f"activation_{n}", reset_less=True) for n in (1, 2)
        )
        swap_1, swap_2 = (Signal(name=f"swap_{n}", reset_less=True) for n in (1, 2))
        m.d.comb += products[0].eq(product[:_FIELD])
        m.d.sync += [
            products[1].eq(product[_FIELD:] + product[_FIELD - 1]),
            activation_1.eq(self.activation),
            activation_2.eq(activation_1),
            swap_1.eq(self.swap),
            swap_2.eq(swap_1),
        ]
        with m.If(self.swap):
            m.d.sync += [low.eq(west), high.eq(east - west[-1])]
        with m.If(self.shadow_write):
            m.d.sync += [west.eq(self.shadow_weights[0]), east.eq(self.shadow_weights[1])]
        for n in range(2):
            total = Signal(signed(self._sum_width), name=f"total_{n}", reset_less=True)
            m.d.sync += total.eq(self._total(m, platform, n, products[n]))
            m.d.comb += self.sums_out[n].eq(total)
        m.d.comb += [self.activation_out.eq(activation_2), self.swap_out.eq(swap_2)]
        return m

    def _total(self, m: Module, platform: object, index: int, product: Signal) -> Value:
        """The product, and the sum from above where it counts."""
        if not self._gated:
            return self.sums[index] + product
        adder = GatedAdder(sum_width=self._sum_width)
        m.submodules[f"adder_{index}"] = share(platform, adder, "gated_adder")
        m.d.comb += [
            adder.product.eq(product),
            adder.sum.eq(self.sums[index]),
            adder.gate.eq(self.take_sums),
        ]
        return adder.total
