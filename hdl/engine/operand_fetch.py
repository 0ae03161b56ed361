"""Fetches and aligns the operands of an interaction step."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .pipeline import delay
from .vector_buffer import COPY_BYTES

__all__ = ["OperandFetch"]


class OperandFetch(wiring.Component):
    """Turns two byte addresses into the operands of the dot unit.

    Operand b is the block at ``address_b``; operand a repeats the vector at ``address_a`` so that
    multiplier n works on element n % d of it. Both lie inside one word of the buffer, because
    vectors and blocks are aligned to their size.

    Always enabled; ``LATENCY`` cycles from address to operands: memory, its output register,
    alignment, repetition.

    Parameters
    ----------
    word
        W: bytes of a vector buffer word.
    depth
        Words of the buffer.
    multipliers
        M: bytes of operand a. Operand b has at least 16 bytes, for copies.

    Members
    -------
    address_a, address_b, log2_width
        Of the step.
    read_address, read_data
        To and from the vector buffer, data one cycle after the address.
    a, b
        The operands, byte 0 lowest.
    """

    LATENCY = 4

    address_a: Signal
    address_b: Signal
    log2_width: Signal
    read_address: Any
    read_data: Any
    a: Signal
    b: Signal

    def __init__(self, *, word: int, depth: int, multipliers: int) -> None:
        for name, value in (("multipliers", multipliers), ("word", word), ("depth", depth)):
            if value < 2 or value & (value - 1):
                raise ValueError(f"{name} must be a power of two, not {value!r}")
        self._word_bits = exact_log2(word)
        self._multipliers = multipliers
        self._block = max(multipliers, COPY_BYTES)
        if word < self._block:
            raise ValueError(f"word must be at least {self._block} bytes, not {word!r}")
        super().__init__(
            {
                "address_a": In(13),
                "address_b": In(13),
                "log2_width": In(3),
                "read_address": Out(range(depth)).array(2),
                "read_data": In(8 * word).array(2),
                "a": Out(8 * multipliers),
                "b": Out(8 * self._block),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        aligned = []
        sizes = (self._multipliers, self._block)
        addresses = (self.address_a, self.address_b)
        for number, (name, address, size) in enumerate(zip("ab", addresses, sizes, strict=True)):
            m.d.comb += self.read_address[number].eq(address >> self._word_bits)
            granule_bits = max(0, self._word_bits - 2)
            offset_memory = Signal(granule_bits, name=f"offset_memory_{name}")
            offset = Signal(granule_bits, name=f"offset_{name}")
            word = Signal(8 << self._word_bits, name=f"word_{name}")
            block = Signal(8 * size, name=f"block_{name}")
            m.d.sync += [
                offset_memory.eq(address[2 : self._word_bits]),
                offset.eq(offset_memory),
                word.eq(self.read_data[number]),
                block.eq(word >> (offset << 5)),
            ]
            aligned.append(block)
        log2_width = delay(m, self.log2_width, self.LATENCY - 1, name="log2_width")
        m.d.sync += [self.a.eq(self._repeat(aligned[0], log2_width)), self.b.eq(aligned[1])]
        return m

    def _repeat(self, vector: Value, log2_width: Value) -> Value:
        """Repeat the lowest d bytes: each step doubles the part that is already right."""
        part = vector[:32]
        for step in range(2, exact_log2(self._multipliers)):
            upper = vector[8 << step : 16 << step]
            # Vectors have at most 128 bytes: the upper half of 256 always repeats.
            part = Cat(part, part if step == 7 else Mux(log2_width <= step, part, upper))
        return part
