"""Adder at a cut: the sum from above counts or does not."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["GatedAdder"]


class GatedAdder(wiring.Component):
    """``total = product + (gate ? sum : 0)``; no register, wraps.

    A module of its own although it is one line: the carry cells of many FPGAs have an input to
    spare for the gate, but synthesis does not find that. Their flow replaces this module by name
    (``synth/ecp5/gated_adder.v``); without that it is an adder behind AND gates.

    Parameters
    ----------
    sum_width
        Signed width of the sum, at least that of the product.

    Members
    -------
    product
        Always counts.
    sum, gate
        Counts where ``gate`` is set.
    total
        The result.
    """

    product: Signal
    sum: Signal
    gate: Signal
    total: Signal

    def __init__(self, *, sum_width: int) -> None:
        if sum_width < 16:
            raise ValueError(f"sum_width must be at least 16, not {sum_width!r}")
        super().__init__(
            {
                "product": In(signed(16)),
                "sum": In(signed(sum_width)),
                "gate": In(1),
                "total": Out(signed(sum_width)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.total.eq(self.product + Mux(self.gate, self.sum, 0))
        return m
