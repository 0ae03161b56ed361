"""Processing element: one multiply-accumulate with double-buffered weight."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..multiplier import registered_product
from ..share import share
from .gated_adder import GatedAdder

__all__ = ["ProcessingElement"]


class ProcessingElement(wiring.Component):
    """Weight-stationary multiply-accumulate; two pipeline stages, no flow control.

    ``sum_out`` two cycles after ``activation`` is ``activation * weight`` plus the ``sum`` of the
    cycle between. ``activation_out`` and ``swap_out`` follow after one cycle. The PE that sees
    ``swap`` uses the old weight for that cycle's activation and the shadow weight from the next
    cycle on. The product is exact; the sum wraps, and its width makes sure that it never does.

    No register needs a reset: what they hold reaches memory only under a valid control word.

    Parameters
    ----------
    sum_width
        Signed width of the partial sum, at least 17.
    gated
        The PE lies below a possible cut: ``sum`` counts only while ``take_sum`` is set.

    Members
    -------
    activation, swap
        From the west neighbour.
    sum
        From the north neighbour, one cycle behind the activation.
    take_sum
        With ``gated``: the sum counts; else it is as if 0.
    shadow_write, shadow_weight
        Load of the shadow weight.
    activation_out, swap_out
        To the east neighbour.
    sum_out
        To the south neighbour.
    """

    activation: Signal
    swap: Signal
    sum: Signal
    take_sum: Signal
    shadow_write: Signal
    shadow_weight: Signal
    activation_out: Signal
    swap_out: Signal
    sum_out: Signal

    def __init__(self, *, sum_width: int, gated: bool = False) -> None:
        if sum_width < 17:
            raise ValueError(f"sum_width must be at least 17, not {sum_width!r}")
        self._gated = gated
        members: dict[str, Member] = {
            "activation": In(signed(8)),
            "swap": In(1),
            "sum": In(signed(sum_width)),
            "shadow_write": In(1),
            "shadow_weight": In(signed(8)),
            "activation_out": Out(signed(8)),
            "swap_out": Out(1),
            "sum_out": Out(signed(sum_width)),
        }
        if gated:
            members["take_sum"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        weight = Signal(signed(8), reset_less=True)
        shadow = Signal(signed(8), reset_less=True)
        activation = Signal(signed(8), reset_less=True)
        total = Signal(self.sum_out.shape(), reset_less=True)
        swap = Signal(reset_less=True)
        product = registered_product(m, platform, self.activation, weight, name="multiplier")
        m.d.sync += [
            activation.eq(self.activation),
            swap.eq(self.swap),
            total.eq(self._total(m, platform, product)),
        ]
        with m.If(self.swap):
            m.d.sync += weight.eq(shadow)
        with m.If(self.shadow_write):
            m.d.sync += shadow.eq(self.shadow_weight)
        m.d.comb += [
            self.activation_out.eq(activation),
            self.swap_out.eq(swap),
            self.sum_out.eq(total),
        ]
        return m

    def _total(self, m: Module, platform: object, product: Signal) -> Value:
        """The product, and the sum from above where it counts."""
        if not self._gated:
            return self.sum + product
        adder = GatedAdder(sum_width=len(self.sum))
        m.submodules.adder = share(platform, adder, "gated_adder")
        m.d.comb += [
            adder.product.eq(product),
            adder.sum.eq(self.sum),
            adder.gate.eq(self.take_sum),
        ]
        return adder.total
