"""Multipliers and adder trees of the interaction."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..multiplier import registered_product
from .interaction_steps import ROW_LANES, most_rows, product_lanes
from .pipeline import carry
from .vector_bank import COPY_BYTES
from .vector_buffer import MAX_VECTOR_BYTES

__all__ = ["DOT_WIDTH", "DotUnit", "dot_latency"]

DOT_WIDTH = 23
"""Signed width of a dot product: 128 products of int8 x int8 reach 2**21 in magnitude, exactly."""


def dot_latency(multipliers: int) -> int:
    """Cycles from operands to outputs: products, two tree levels a cycle, accumulation."""
    return 2 + (_tree_levels(multipliers) + 1) // 2


def _tree_levels(multipliers: int) -> int:
    """Levels of the adder tree; a wide unit needs no sum of more than a vector."""
    levels = exact_log2(multipliers)
    return levels if multipliers <= 256 else exact_log2(MAX_VECTOR_BYTES)


class DotUnit(wiring.Component):
    """M products a cycle, summed in groups of d; copied bytes pass through unchanged.

    Output n is the sum of products n * d .. n * d + d - 1. For d > M output 0 is summed over
    d / M valid cycles, of which the first has ``first``; other outputs then mean nothing.
    With ``copy`` output n is byte n of b. With ``product`` output n is product n, of the first
    ``product_lanes``. Nothing can overflow.
    A wide unit (more than ``ROW_LANES`` outputs) has its multipliers in parts, one or more a vector
    a, as `OperandFetch` lays them out: outputs ``ROW_LANES`` * r + n are the sums of the r-th.

    A step every cycle; ``latency`` cycles: products, two tree levels a cycle, accumulation.
    Registers move only with a valid step, those of the products not with copies, those of the sums
    with neither copies nor products.

    Parameters
    ----------
    multipliers
        M, a power of two, 4..256, of a wide unit more.
    outputs
        Most outputs of a step, 16 or up to M / 4.

    Members
    -------
    valid, copy, product, first, log2_width
        Of the step, together with its operands.
    a, b
        Operands, byte 0 lowest, in as many parts as a step may have vectors a.
    o
        Outputs.
    """

    valid: Signal
    copy: Signal
    product: Signal
    first: Signal
    log2_width: Signal
    a: Any
    b: Any
    o: Any

    def __init__(self, *, multipliers: int, outputs: int = 16) -> None:
        if multipliers < 4 or multipliers & (multipliers - 1):
            raise ValueError(
                f"multipliers must be a power of two of at least 4, not {multipliers!r}"
            )
        if not 16 <= outputs <= max(16, multipliers // 4):
            raise ValueError(
                f"outputs must be in 16..{max(16, multipliers // 4)} for {multipliers} "
                f"multipliers, not {outputs!r}"
            )
        self._multipliers, self._outputs = multipliers, outputs
        rows = most_rows(outputs)
        super().__init__(
            {
                "valid": In(1),
                "copy": In(1),
                "product": In(1),
                "first": In(1),
                "log2_width": In(3),
                "a": In(8 * multipliers // rows).array(rows),
                "b": In(8 * max(multipliers, COPY_BYTES) // rows).array(rows),
                "o": Out(data.ArrayLayout(signed(DOT_WIDTH), outputs)),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from operands to outputs."""
        return dot_latency(self._multipliers)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums, chosen = self._products(m, platform)
        valid: Value = self.valid
        # Copies and products are chosen from the beginning: no sum replaces them.
        control: Value = Cat(self.copy | self.product, self.log2_width, self.first, self.product)
        top = _tree_levels(self._multipliers)
        level = 0
        while level < top:
            valid, control = carry(m, valid, control, 1, name=f"control_{level}")
            whole, log2_width = control[0], control[1:4]
            if level == 0:
                lanes = min(product_lanes(self._multipliers, self._outputs), self._multipliers)
                chosen = [
                    Mux(control[5], sums[n], old) if n < lanes else old
                    for n, old in enumerate(chosen)
                ]
                control = control[:5]
            levels = range(level + 1, min(level + 2, top) + 1)
            for level in levels:
                sums = [low + high for low, high in zip(sums[::2], sums[1::2], strict=True)]
                # The root also serves vectors longer than M.
                take = ~whole & ((log2_width >= top) if level == top else (log2_width == level))
                places = self._places(level)
                chosen = [
                    Mux(take, sums[places[n]], old) if n in places else old
                    for n, old in enumerate(chosen)
                ]
            sums = _register(m, valid & ~whole, sums, 16 + level, f"sum_{level}")
            chosen = _register(m, valid, chosen, 16 + level, f"chosen_{level}")
        valid, control = carry(m, valid, control, 1, name="control")
        first = control[4]
        with m.If(valid):
            m.d.sync += self.o[0].eq(chosen[0] + Mux(first, 0, self.o[0]))
            m.d.sync += [self.o[n].eq(chosen[n]) for n in range(1, self._outputs)]
        return m

    def _places(self, level: int) -> dict[int, int]:
        """Sum that becomes each output, of those of vectors of ``1 << level`` values."""
        sums = self._multipliers >> level
        rows = most_rows(self._outputs)
        if rows == 1:
            return {n: n for n in range(min(sums, self._outputs))}
        row = min(sums, max(sums // rows, ROW_LANES))  # of a vector a
        return {
            r * ROW_LANES + n: r * row + n
            for r in range(sums // row)
            for n in range(min(row, ROW_LANES))
        }

    def _products(self, m: Module, platform: object) -> tuple[list[Value], list[Value]]:
        """First stage: the products; copied bytes start as the chosen outputs."""
        a, b = (
            [part.word_select(n, 8).as_signed() for part in parts for n in range(len(part) // 8)]
            for parts in (self.a, self.b)
        )
        lanes = min(self._outputs, ROW_LANES)
        copied = b[:lanes]
        others: list[Value] = [Const(0, signed(8))] * (self._outputs - lanes)
        enable = Signal()
        m.d.comb += enable.eq(self.valid & ~self.copy)
        products: list[Value] = [
            registered_product(m, platform, x, y, name=f"multiplier_{n}", enable=enable)
            for n, (x, y) in enumerate(zip(a, b, strict=False))
        ]
        return products, _register(m, self.valid & self.copy, copied, 8, "copied") + others


def _register(m: Module, enable: Value, values: list[Value], width: int, name: str) -> list[Value]:
    """Register signed values; the caller knows that ``width`` bits hold them."""
    registers = [
        Signal(signed(width), name=f"{name}_{n}", reset_less=True) for n in range(len(values))
    ]
    with m.If(enable):
        m.d.sync += [new.eq(old) for new, old in zip(registers, values, strict=True)]
    return list(registers)
