"""Fetches and aligns the operands of an interaction step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .interaction_steps import ROW_LANES, most_rows
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

    A wide unit (more than ``ROW_LANES`` outputs) has several vectors a, in banks side by side, and
    repeats the block of operand b for each of them: its multipliers are cut into as many equal
    parts as it can have vectors, and a vector takes one part, or 2, 4 when 32 * d is more than one.
    The layout follows from d alone: what fewer vectors leave out holds values that nobody takes.

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
        Most outputs of a step: operand b has as many vectors, a wide unit's ``ROW_LANES``.

    Members
    -------
    valid
        A step.
    load_a
        It has a new operand a.
    address_a, bank_a, address_b, bank_b, log2_group, log2_width
        Of the step. ``bank_b`` is a multiple of the group; 0 when the group is all banks.
    log2_rows
        Of a wide unit: vectors a of the step; ``bank_a`` is a multiple of their number.
    read_address, read_enable, read_bank, words_a, words_b
        To and from the vector buffer, words one cycle after the address.
    a, b
        The operands, byte 0 lowest, in as many parts as a step may have vectors a.
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
    log2_rows: Signal
    read_address: Any
    read_enable: Any
    read_bank: Any
    words_a: Any
    words_b: Any
    a: Any
    b: Any

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
        self._vectors = min(outputs, ROW_LANES)  # of operand b
        self._rows = most_rows(outputs)
        self._vector = min(multipliers, word)  # most bytes of a vector a in a cycle
        self._repeated = multipliers  # bytes that it is repeated to
        if self._rows > 1:
            self._vector = self._repeated = MAX_VECTOR_BYTES
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
                **({"log2_rows": In(2)} if self._rows > 1 else {}),
                "read_address": Out(range(depth)).array(2),
                "read_enable": Out(banks).array(2),
                "read_bank": Out(range(banks)).array(2),
                "words_a": In(8 * word).array(self._rows),
                "words_b": In(8 * word).array(group),
                "a": Out(8 * multipliers // self._rows).array(self._rows),
                "b": Out(8 * self._block // self._rows).array(self._rows),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word_bits = exact_log2(self._word)
        self._read(m, word_bits)
        a, b = list(self.words_a), list(self.words_b)
        load = self.valid & self.load_a
        sizes = [self._vector] * self._rows
        vectors = self._align(m, "a", load, self.address_a[:word_bits], a, sizes, self._repeat)
        block = self._align(
            m, "b", self.valid, self.address_b[:word_bits], b, self._slot_bytes(), self._pack
        )
        times = self._multipliers // (self._repeated * self._rows)
        m.d.comb += [
            *(part.eq(v.replicate(times)) for part, v in zip(self.a, vectors, strict=True)),
            *(part.eq(values) for part, values in zip(self.b, block, strict=True)),
        ]
        return m

    def _align(
        self,
        m: Module,
        name: str,
        valid: Value,
        place: Value,
        words: list[Signal],
        sizes: list[int],
        use: Callable[[Module, list[Signal], Value], list[Value]],
    ) -> list[Signal]:
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
        used = use(m, parts, control)
        operand = [Signal(len(part), name=f"operand_{name}_{n}") for n, part in enumerate(used)]
        with m.If(valid):
            m.d.sync += [new.eq(part) for new, part in zip(operand, used, strict=True)]
        return operand

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
            mine = self.bank_a == number
            if self._rows > 1:
                mine = ((self.bank_a ^ number) >> self.log2_rows) == 0
            m.d.comb += [
                self.read_enable[0][number].eq(self.valid & self.load_a & mine),
                self.read_enable[1][number].eq(self.valid & (group == 0)),
            ]

    def _slot_bytes(self) -> list[int]:
        """Most bytes of operand b that come from the n-th bank of a group."""
        # The n-th bank takes part in groups of more than n banks only.
        return [min(self._word, self._block >> n.bit_length()) for n in range(self._group)]

    def _repeat(self, m: Module, parts: list[Signal], log2_width: Value) -> list[Value]:
        """Repeat the lowest d bytes: each step doubles the part that is already right.

        In a wide unit, for each part of its multipliers, of the vector that it works on.
        """
        repeated: list[Value] = []
        for number in range(self._rows):
            vector: Value = parts[0]
            if self._rows > 1:
                first = number * (self._multipliers // self._rows)  # multiplier
                vector = _table([parts[first // self._row_bytes(w)] for w in range(8)], log2_width)
            part: Value = vector[: 8 * GRANULE]
            for step in range(exact_log2(GRANULE), exact_log2(self._repeated)):
                upper = vector[8 << step : 16 << step]
                # Vectors have at most 128 bytes: the upper half of 256 always repeats.
                doubled = Signal(16 << step, name=f"repeated_{number}_{step}")
                high = part if not len(upper) else Mux(log2_width <= step, part, upper)
                m.d.comb += doubled.eq(Cat(part, high))
                part = doubled
            repeated.append(part)
        return repeated

    def _row_bytes(self, log2_width: int) -> int:
        """Multipliers that a vector a of so many bytes has."""
        part = self._block // self._rows
        return min(self._block, max(part, self._vectors << log2_width))

    def _pack(self, m: Module, parts: list[Signal], log2_width: Value) -> list[Value]:
        """Vectors from the banks of a group side by side; one behind the other when it is all."""
        granules = []
        for position in range(0, self._block, GRANULE):
            choices: list[Value] = []
            for width in (2, 3, *range(2, 8)):  # vectors have 4 bytes at least
                # In a wide unit again for each vector a.
                inside = position % self._row_bytes(width) if self._rows > 1 else position
                vector, inside = inside >> width, inside & ((1 << width) - 1)
                place = (vector // self._banks << width) + inside
                bank = vector % self._banks
                used = vector < self._vectors and bank < len(parts)
                granule = parts[bank][8 * place :][: 8 * GRANULE] if used else Const(0, 0)
                choices.append(granule if len(granule) else Const(0, 8 * GRANULE))
            granules.append(_table(choices, log2_width))
        count = len(granules) // self._rows
        return [Cat(granules[n : n + count]) for n in range(0, len(granules), count)]


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
