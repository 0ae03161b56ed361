"""Multiplier with a register at its output, as DSP blocks have one."""

from __future__ import annotations

from amaranth.hdl import Module, Shape, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .share import share

__all__ = ["RegisteredMultiplier", "registered_product"]


class RegisteredMultiplier(wiring.Component):
    """``product`` is ``a * b`` of the cycle before, exact; with ``enable`` only if that was set.

    A module of its own although it is one line: DSP blocks have the register inside, but not every
    synthesis tool moves it there (Yosys does not for ECP5). Their flow replaces this module by name
    (``synth/ecp5/multiplier.py``). The name says both shapes. The register has no reset.

    Parameters
    ----------
    a_shape, b_shape
        Of the operands; unsigned or signed.
    enabled
        There is an ``enable``.

    Members
    -------
    a, b
        Operands.
    enable
        With ``enabled``: the product moves.
    product
        Signed when an operand is; as wide as both operands together.
    """

    a: Signal
    b: Signal
    enable: Signal
    product: Signal

    def __init__(self, *, a_shape: Shape, b_shape: Shape, enabled: bool = False) -> None:
        self._enabled = enabled
        is_signed = a_shape.signed or b_shape.signed
        width = a_shape.width + b_shape.width
        members = {
            "a": In(a_shape),
            "b": In(b_shape),
            "product": Out(Shape(width, signed=is_signed)),
        }
        if enabled:
            members["enable"] = In(1)
        super().__init__(members)

    @property
    def module_name(self) -> str:
        """Name in the generated text, ``registered_multiplier_s8_u16`` or with ``_ce`` behind."""
        kinds = [f"{'s' if s.signed else 'u'}{s.width}" for s in (self.a.shape(), self.b.shape())]
        return "_".join(["registered_multiplier", *kinds, *(["ce"] if self._enabled else [])])

    def elaborate(self, platform: object) -> Module:
        m = Module()
        product = Signal(self.product.shape(), reset_less=True)
        with m.If(self.enable if self._enabled else 1):
            m.d.sync += product.eq(self.a * self.b)
        m.d.comb += self.product.eq(product)
        return m


def registered_product(
    m: Module,
    platform: object,
    a: Value,
    b: Value,
    *,
    name: str,
    enable: Value | None = None,
) -> Signal:
    """Add a multiplier of ``a`` and ``b`` to ``m`` as submodule ``name``; returns its product."""
    unit = RegisteredMultiplier(a_shape=a.shape(), b_shape=b.shape(), enabled=enable is not None)
    m.submodules[name] = share(platform, unit, unit.module_name)
    m.d.comb += [unit.a.eq(a), unit.b.eq(b)]
    if enable is not None:
        m.d.comb += unit.enable.eq(enable)
    return unit.product
