"""Fetches and aligns the operands of an interaction step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .pipeline import carry
from .vector_bank import COPY_BYTES
from .vector_buffer import GRANULE, MAX_VECTOR_BYTES

__all__ = ["OperandFetch"]


class OperandFetch(wiring.Component):
    """Turns places in the vector buffer into the operands of the dot unit.

    Operand b is a block of consecutive vectors, the first of them in bank ``bank_b`` at
    ``address_b``: either they lie in ``1 << log2_group`` banks side by side, all at that address,
    or in all banks and one behind the other from that address on. Operand a repeats the one vector
    in ``bank_a`` at ``address_a`` so that multiplier n works on element n % d of it. Vectors and
    groups are aligned to their size, so each bank is asked for one word.

    A step every cycle; ``LATENCY`` cycles from places to operands: memory, choice of the banks (in
    the vector buffer) and place in the word, packing. Whole words are not registered: with 32 banks
    a group's would be thousands of bits, its parts at the place are little more than the operands.
    Only banks that hold something of the step are read, and registers move only with a step; a
    keeps its value until ``load_a``.

    Parameters
    ----------
    banks, group
        G, a power of two; most banks of a group.
    word
        Bytes of a bank's word.
    depth
        Words of a bank.
    multipliers
        M: bytes of operand a. Operand b has at least 16 bytes, for copies.
    outputs
        Most vectors of operand b.

    Members
    -------
    valid
        A step.
    load_a
        It has a new operand a.
    address_a, bank_a, address_b, bank_b, log2_group, log2_width
        Of the step. ``bank_b`` is a multiple of the group; 0 when the group is all banks.
    read_address, read_enable, read_bank, word_a, words_b
        To and from the vector buffer, words one cycle after the address.
    a, b
        The operands, byte 0 lowest.
    """

    LATENCY = 3

    valid: Signal
    load_a: Signal
    address_a: Signal
    bank_a: Signal
    address_b: Signal
    bank_b: Signal
    log2_group: Signal
    log2_width: Signal
    read_address: Any
    read_enable: Any
    read_bank: Any
    word_a: Signal
    words_b: Any
    a: Signal
    b: Signal

    def __init__(
        self,
        *,
        banks: int,
        group: int,
        word: int,
        depth: int,
        multipliers: int,
        outputs: int = 16,
    ) -> None:
        for name, value, least in (
            ("multipliers", multipliers, 4), ("word", word, COPY_BYTES), ("depth", depth, 2),
            ("banks", banks, 1), ("group", group, 1),
        ):  # fmt: skip
            if value < least or value & (value - 1):
                raise ValueError(
                    f"{name} must be a power of two of at least {least}, not {value!r}"
                )
        self._banks = banks
        self._group = group
        self._word = word
        self._multipliers = multipliers
        self._outputs = outputs
        self._vector = min(multipliers, word)  # most bytes of operand a in a cycle
        self._block = max(multipliers, COPY_BYTES)
        least = max(min(multipliers, MAX_VECTOR_BYTES), self._block // banks)
        if word < least:
            raise ValueError(
                f"word must be at least {least} bytes for {multipliers} multipliers and {banks} "
                f"banks, not {word!r}"
            )
        super().__init__(
            {
                "valid": In(1),
                "load_a": In(1),
                "address_a": In(13),
                "bank_a": In(range(banks)),
                "address_b": In(13),
                "bank_b": In(range(banks)),
                "log2_group": In(3),
                "log2_width": In(3),
                "read_address": Out(range(depth)).array(2),
                "read_enable": Out(banks).array(2),
                "read_bank": Out(range(banks)).array(2),
                "word_a": In(8 * word),
                "words_b": In(8 * word).array(group),
                "a": Out(8 * multipliers),
                "b": Out(8 * self._block),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word_bits = exact_log2(self._word)
        self._read(m, word_bits)
        a, b = [self.word_a], list(self.words_b)
        load = self.valid & self.load_a
        self._align(m, "a", load, self.address_a[:word_bits], a, [self._vector], self._repeat)
        self._align(
            m, "b", self.valid, self.address_b[:word_bits], b, self._slot_bytes(), self._pack
        )
        return m

    def _align(
        self,
        m: Module,
        name: str,
        valid: Value,
        place: Value,
        words: list[Signal],
        sizes: list[int],
        use: Callable[[Module, list[Signal], Value], Value],
    ) -> None:
        """From words of the buffer to an operand: the words' parts at a place, then ``use``."""
        control: Value = Cat(self.log2_width, place[exact_log2(GRANULE) :])
        valid, control = carry(m, valid, control, 1, name=f"read_{name}")
        parts = [
            Signal(8 * size, name=f"part_{name}_{n}", reset_less=True)
            for n, size in enumerate(sizes)
        ]
        with m.If(valid):
            m.d.sync += [
                part.eq(_lowest(m, word, control[3:], f"lowest_{name}_{n}")[: len(part)])
                for n, (part, word) in enumerate(zip(parts, words, strict=True))
            ]
        valid, control = carry(m, valid, control[:3], 1, name=f"place_{name}")
        with m.If(valid):
            m.d.sync += getattr(self, name).eq(use(m, parts, control))

    def _read(self, m: Module, word_bits: int) -> None:
        """Addresses to all banks, enables to those that the step needs."""
        m.d.comb += [
            self.read_address[0].eq(self.address_a >> word_bits),
            self.read_address[1].eq(self.address_b >> word_bits),
            self.read_bank[0].eq(self.bank_a),
            self.read_bank[1].eq(self.bank_b),
        ]
        for number in range(self._banks):
            group = (self.bank_b ^ number) >> self.log2_group
            m.d.comb += [
                self.read_enable[0][number].eq(self.valid & self.load_a & (self.bank_a == number)),
                self.read_enable[1][number].eq(self.valid & (group == 0)),
            ]

    def _slot_bytes(self) -> list[int]:
        """Most bytes of operand b that come from the n-th bank of a group."""
        # The n-th bank takes part in groups of more than n banks only.
        return [min(self._word, self._block >> n.bit_length()) for n in range(self._group)]

    def _repeat(self, m: Module, parts: list[Signal], log2_width: Value) -> Value:
        """Repeat the lowest d bytes: each step doubles the part that is already right."""
        (vector,) = parts
        part: Value = vector[: 8 * GRANULE]
        for step in range(exact_log2(GRANULE), exact_log2(self._multipliers)):
            upper = vector[8 << step : 16 << step]
            # Vectors have at most 128 bytes: the upper half of 256 always repeats.
            repeated = Signal(16 << step, name=f"repeated_{step}")
            high = part if not len(upper) else Mux(log2_width <= step, part, upper)
            m.d.comb += repeated.eq(Cat(part, high))
            part = repeated
        return part

    def _pack(self, m: Module, parts: list[Signal], log2_width: Value) -> Value:
        """Vectors from the banks of a group side by side; one behind the other when it is all."""
        granules = []
        for position in range(0, self._block, GRANULE):
            choices: list[Value] = []
            for width in (2, 3, *range(2, 8)):  # vectors have 4 bytes at least
                vector, inside = position >> width, position & ((1 << width) - 1)
                place = (vector // self._banks << width) + inside
                bank = vector % self._banks
                used = vector < self._outputs and bank < len(parts)
                granule = parts[bank][8 * place :][: 8 * GRANULE] if used else Const(0, 0)
                choices.append(granule if len(granule) else Const(0, 8 * GRANULE))
            granules.append(_table(choices, log2_width))
        return Cat(granules)


def _table(choices: list[Value], index: Value) -> Value:
    """``choices[index]`` as a tree."""
    for bit in index:
        choices = [
            Mux(bit, high, low) for low, high in zip(choices[::2], choices[1::2], strict=True)
        ]
    return choices[0]


def _lowest(m: Module, word: Value, offset: Value, name: str) -> Value:
    """Bring the part at granule ``offset``, aligned to its size, down to byte 0."""
    for level in reversed(range(len(offset))):
        size = 8 * GRANULE << level
        low = Signal(size, name=f"{name}_{level}")  # of the parts that are no longer than that
        m.d.comb += low.eq(Mux(offset[level], word[size : 2 * size], word[:size]))
        word = Cat(low, word[size:])
    return word
