"""Fetches and aligns the operands of an interaction step."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .dot_unit import OUTPUTS
from .pipeline import carry
from .vector_buffer import COPY_BYTES, MAX_VECTOR_BYTES

__all__ = ["OperandFetch"]

_GRANULE = 4
"""Vectors are aligned to it."""


class OperandFetch(wiring.Component):
    """Turns places in the vector buffer into the operands of the dot unit.

    Operand b is a block of consecutive vectors, the first of them in bank ``bank_b`` at
    ``address_b``: either they lie in ``1 << log2_group`` banks side by side, all at that address,
    or in all banks and one behind the other from that address on. Operand a repeats the one vector
    in ``bank_a`` at ``address_a`` so that multiplier n works on element n % d of it. Vectors and
    groups are aligned to their size, so each bank is asked for one word.

    A step every cycle; ``LATENCY`` cycles from places to operands: memory, choice of the banks,
    place in the word, packing. Only banks that hold something of the step are read, and registers
    move only with a step; a keeps its value until ``load_a``.

    Parameters
    ----------
    banks
        G, a power of two.
    word
        Bytes of a bank's word.
    depth
        Words of a bank.
    multipliers
        M: bytes of operand a. Operand b has at least 16 bytes, for copies.

    Members
    -------
    valid
        A step.
    load_a
        It has a new operand a.
    address_a, bank_a, address_b, bank_b, log2_group, log2_width
        Of the step. ``bank_b`` is a multiple of the group; 0 when the group is all banks.
    read_address, read_enable, read_data
        To and from the vector buffer, data one cycle after the address.
    a, b
        The operands, byte 0 lowest.
    """

    LATENCY = 4

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
    read_data: Any
    a: Signal
    b: Signal

    def __init__(self, *, banks: int, word: int, depth: int, multipliers: int) -> None:
        for name, value, least in (
            ("multipliers", multipliers, 4), ("word", word, COPY_BYTES), ("depth", depth, 2),
            ("banks", banks, 1),
        ):  # fmt: skip
            if value < least or value & (value - 1):
                raise ValueError(
                    f"{name} must be a power of two of at least {least}, not {value!r}"
                )
        self._banks = banks
        self._word = word
        self._multipliers = multipliers
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
                "read_data": In(8 * word).array(2, banks),
                "a": Out(8 * multipliers),
                "b": Out(8 * self._block),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        word_bits = exact_log2(self._word)
        self._read(m, word_bits)
        load = self.valid & self.load_a
        for number, (name, valid, address, bank, slots, use) in enumerate(
            (
                ("a", load, self.address_a, self.bank_a, [self._vector], self._repeat),
                ("b", self.valid, self.address_b, self.bank_b, self._slot_bytes(), self._pack),
            )
        ):
            offset = address[exact_log2(_GRANULE) : word_bits]
            control: Value = Cat(self.log2_width, offset, bank)
            # Memory.
            valid, control = carry(m, valid, control, 1, name=f"memory_{name}")
            chosen = _choose_banks(
                list(self.read_data[number]), control[3 + len(offset) :], len(slots)
            )
            words = [Signal(8 * self._word, name=f"word_{name}_{n}") for n in range(len(slots))]
            with m.If(valid):
                m.d.sync += [new.eq(old) for new, old in zip(words, chosen, strict=True)]
            # Choice of the banks.
            valid, control = carry(m, valid, control[: 3 + len(offset)], 1, name=f"choice_{name}")
            parts = [Signal(8 * size, name=f"part_{name}_{n}") for n, size in enumerate(slots)]
            with m.If(valid):
                m.d.sync += [
                    part.eq(_lowest(old, control[3:])[: len(part)])
                    for part, old in zip(parts, words, strict=True)
                ]
            # Place in the word.
            valid, control = carry(m, valid, control[:3], 1, name=f"place_{name}")
            with m.If(valid):
                m.d.sync += getattr(self, name).eq(use(parts, control))
        return m

    def _read(self, m: Module, word_bits: int) -> None:
        """Addresses to all banks, enables to those that the step needs."""
        m.d.comb += [
            self.read_address[0].eq(self.address_a >> word_bits),
            self.read_address[1].eq(self.address_b >> word_bits),
        ]
        for number in range(self._banks):
            group = (self.bank_b ^ number) >> self.log2_group
            m.d.comb += [
                self.read_enable[0][number].eq(self.valid & self.load_a & (self.bank_a == number)),
                self.read_enable[1][number].eq(self.valid & (group == 0)),
            ]

    def _slot_bytes(self) -> list[int]:
        """Most bytes of operand b that come from the n-th bank of a group."""
        count = min(self._banks, OUTPUTS, self._block // _GRANULE)
        # The n-th bank takes part in groups of more than n banks only.
        return [min(self._word, self._block >> n.bit_length()) for n in range(count)]

    def _repeat(self, parts: list[Signal], log2_width: Value) -> Value:
        """Repeat the lowest d bytes: each step doubles the part that is already right."""
        (vector,) = parts
        part = vector[: 8 * _GRANULE]
        for step in range(exact_log2(_GRANULE), exact_log2(self._multipliers)):
            upper = vector[8 << step : 16 << step]
            # Vectors have at most 128 bytes: the upper half of 256 always repeats.
            part = Cat(part, part if not len(upper) else Mux(log2_width <= step, part, upper))
        return part

    def _pack(self, parts: list[Signal], log2_width: Value) -> Value:
        """Vectors from the banks of a group side by side; one behind the other when it is all."""
        granules = []
        for position in range(0, self._block, _GRANULE):
            choices: list[Value] = []
            for width in (2, 3, *range(2, 8)):  # vectors have 4 bytes at least
                vector, inside = position >> width, position & ((1 << width) - 1)
                place = (vector // self._banks << width) + inside
                bank = vector % self._banks
                used = vector < OUTPUTS and bank < len(parts)
                granule = parts[bank][8 * place :][: 8 * _GRANULE] if used else Const(0, 0)
                choices.append(granule if len(granule) else Const(0, 8 * _GRANULE))
            granules.append(_table(choices, log2_width))
        return Cat(granules)


def _table(choices: list[Value], index: Value) -> Value:
    """``choices[index]`` as a tree."""
    for bit in index:
        choices = [
            Mux(bit, high, low) for low, high in zip(choices[::2], choices[1::2], strict=True)
        ]
    return choices[0]


def _choose_banks(words: list[Value], bank: Value, count: int) -> list[Value]:
    """Words of banks ``bank`` .. ``bank + count - 1``.

    With a group of P banks only the words of P banks from ``bank`` on, a multiple of P, are right:
    a bit of ``bank`` moves a word only to a place below the bit's value.
    """
    for level in reversed(range(exact_log2(len(words)))):
        size = 1 << level
        moved = [
            Mux(bank[level], high, low)
            for low, high in zip(words[:size], words[size:], strict=False)
        ]
        words = moved + words[len(moved) : count]
    return words


def _lowest(word: Value, offset: Value) -> Value:
    """Bring the part at granule ``offset``, aligned to its size, down to byte 0."""
    for level in reversed(range(len(offset))):
        size = 8 * _GRANULE << level
        word = Cat(Mux(offset[level], word[size : 2 * size], word[:size]), word[size:])
    return word
