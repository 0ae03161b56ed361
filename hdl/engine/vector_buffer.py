"""On-chip buffer of the embedding vectors of items that wait for the interaction."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import row_write_layout
from ..share import share
from .interaction_steps import most_rows
from .pipeline import carry
from .ring_pointer import RingPointer
from .vector_bank import COPY_BYTES, VectorBank, dense_write_layout

__all__ = ["GRANULE", "MAX_VECTOR_BYTES", "VectorBuffer", "bank_word_bytes", "group_banks"]

GRANULE = 4
"""Bytes that vectors are aligned to."""
MAX_VECTOR_BYTES = 128
"""Longest vector."""


def bank_word_bytes(config: Config, row: int, column: int) -> int:
    """Bytes of a word of a bank: what a dot step needs of one vector, or a row word."""
    multipliers = config.interaction_multipliers_at(row, column)
    word = max(config.lane_bytes, min(multipliers, MAX_VECTOR_BYTES))
    if config.wide_interaction_at(row, column):  # all vectors of an item in a step
        return max(word, multipliers // config.gather_lanes)
    return word


def group_banks(config: Config, row: int, column: int) -> int:
    """Most banks that a step needs words of: one a vector, of its outputs or of M products."""
    multipliers = config.interaction_multipliers_at(row, column)
    vectors = max(multipliers, COPY_BYTES) // GRANULE
    return min(config.gather_lanes, config.interaction_outputs_at(row, column), vectors)


class VectorBuffer(wiring.Component):
    """Ring of item slots over G banks, one a gather lane: lane g writes bank g and no other.

    Vector v of an item lies in bank v mod G, at byte ``slot * slot_bytes + (v // G) * d``. Each
    lane hands over the vectors of the items in the order of their allocation, so a counter of
    finished items a lane is all there is to keep: the oldest item is complete when every lane that
    has vectors of an item has finished one. Lanes run ahead of each other freely.
    With ``features == 0`` there is nothing to wait for: ``ready`` and ``can_allocate`` are always
    high, ``allocate`` and ``release`` change no occupancy.

    Flow control: row words are never refused; they land, and count, in the cycle after they were
    presented. Writes of the dense vector wait while a row word lands in their bank.
    Reads: words are there one cycle after their address and stay while nothing else is read.
    Reading bytes that are written in the same cycle returns old bytes; nobody does, because items
    are read only when complete.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor: gives the size of a bank's words.
    decoded
        Vectors that the array made may go to every bank, not to bank 0 alone.

    Members
    -------
    unit
        Number by which ``row_write`` names this engine; constant.
    row_write
        Words of embedding rows, one broadcast a lane; words of other units are left alone.
    dense_write, dense_bank
        Stream of dense vector bytes, into bank 0 or, with ``decoded``, that bank.
    slot_bytes
        Bytes of an item in each bank: a power of two of at least 16 or a multiple of a bank's word.
    slots, features
        Of the program that runs; like ``slot_bytes`` changed only together with ``clear``.
    clear
        Empties the ring and goes back to slot 0. No row may be under way.
    can_allocate, allocate, allocate_index, allocate_address
        ``allocate`` takes the shown slot, only while ``can_allocate``; the address is the slot's
        first byte in every bank, the index its number mod 16.
    ready, next_ready
        The oldest item is complete; so is the one after it. They go by ``features`` of the cycle
        before.
    release
        One pulse: the oldest item's slot is free again. Reads may still be presented in the next
        cycle: no row of a new item lands before.
    read_address, read_enable, read_bank
        Two ports; each reads a word of the same address in all banks that are enabled.
        ``read_bank`` is the first of them; of a group of P it is a multiple of P.
    words_a
        Words of the first port, of that bank and, in a wide unit, of those behind it.
    words_b
        Words of the second port, of the group's banks in order; words beyond the group mean
        nothing.
    """

    unit: Signal
    row_write: Any
    dense_write: stream.Interface
    dense_bank: Signal
    slot_bytes: Signal
    slots: Signal
    features: Signal
    clear: Signal
    can_allocate: Signal
    allocate: Signal
    allocate_index: Signal
    allocate_address: Signal
    ready: Signal
    next_ready: Signal
    release: Signal
    read_address: Any
    read_enable: Any
    read_bank: Any
    words_a: Any
    words_b: Any

    def __init__(self, *, config: Config, row: int, column: int, decoded: bool = False) -> None:
        for name, value in (("row", row), ("column", column)):
            if not 0 <= value < config.grid:
                raise ValueError(f"{name} must be in 0..{config.grid - 1}, not {value!r}")
        self._config = config
        self._decoded = decoded
        self._word = bank_word_bytes(config, row, column)
        self._banks = config.gather_lanes
        self._group = group_banks(config, row, column)
        self._wide = config.wide_interaction_at(row, column)
        self._slots = config.vector_slots_at(row, column)
        self._rows = most_rows(config.interaction_outputs_at(row, column))
        least = 2 * self._word * self._banks
        if not least <= config.vector_bytes <= 8192:
            raise ValueError(
                f"vector_bytes must be in {least}..8192 for {self._banks} banks with words of "
                f"{self._word} bytes, not {config.vector_bytes}"
            )
        self._depth = config.bank_bytes_at(row, column) // self._word
        super().__init__(
            {
                "unit": In(8),
                "row_write": In(row_write_layout(config)).array(self._banks),
                "dense_write": In(stream.Signature(dense_write_layout())),
                "slot_bytes": In(14),
                "slots": In(5),
                "features": In(7),
                "clear": In(1),
                "can_allocate": Out(1),
                "allocate": In(1),
                "allocate_index": Out(4),
                "allocate_address": Out(13),
                "ready": Out(1),
                "next_ready": Out(1),
                "release": In(1),
                "read_address": In(range(self._depth)).array(2),
                "read_enable": In(self._banks).array(2),
                "read_bank": In(range(self._banks)).array(2),
                "words_a": Out(8 * self._word).array(self._rows),
                "words_b": Out(8 * self._word).array(self._group),
                **({"dense_bank": In(range(self._banks))} if decoded else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        landing = [Signal(name=f"landing_{number}") for number in range(self._banks)]
        read: list[list[Value]] = [[], []]
        for number, lands in enumerate(landing):
            dense = self._decoded or number == 0
            bank = VectorBank(config=self._config, word=self._word, depth=self._depth, dense=dense)
            wide = "_wide" if self._wide else ""
            kind = f"vector_bank_{self._word}{wide}{'_dense' if dense else ''}"
            m.submodules[f"bank_{number}"] = share(platform, bank, kind)
            row = self.row_write[number]
            m.d.comb += [
                # The broadcasts reach every engine: only words of this one count.
                lands.eq(row.valid & (row.unit == self.unit)),
                bank.row_write.eq(row),
                bank.lands.eq(lands),
            ]
            if self._decoded:
                chosen = self.dense_bank == number
                m.d.comb += [
                    bank.dense_write.payload.eq(self.dense_write.payload),
                    bank.dense_write.valid.eq(self.dense_write.valid & chosen),
                ]
                with m.If(chosen):
                    m.d.comb += self.dense_write.ready.eq(bank.dense_write.ready)
            elif number == 0:
                wiring.connect(m, wiring.flipped(self.dense_write), bank.dense_write)
            for port in range(2):
                m.d.comb += [
                    bank.read_address[port].eq(self.read_address[port]),
                    bank.read_enable[port].eq(self.read_enable[port][number]),
                ]
                read[port].append(bank.read_data[port])
        self._choose(m, 0, read[0], list(self.words_a))
        self._choose(m, 1, read[1], list(self.words_b))
        self._ring(m)
        self._count(m, landing)
        return m

    def _choose(self, m: Module, port: int, words: list[Value], chosen: list[Signal]) -> None:
        """Words from bank ``read_bank`` on.

        A bit of the bank's number moves words only to places below the bit's value: the number is a
        multiple of the group.
        """
        _, bank = carry(
            m, self.read_enable[port].any(), self.read_bank[port], 1, name=f"choice_{port}"
        )
        for level in reversed(range(exact_log2(self._banks))):
            size = 1 << level
            moved: list[Value] = [
                Mux(bank[level], high, low)
                for low, high in zip(words[:size], words[size:], strict=False)
            ]
            words = moved + words[size : len(chosen)]
        m.d.comb += [new.eq(word) for new, word in zip(chosen, words, strict=True)]

    def _ring(self, m: Module) -> None:
        """Slots in use."""
        m.submodules.tail = tail = RingPointer(most=self._slots)
        used = Signal(range(self._slots + 1))
        room = Signal(init=1)  # used < slots, or there is nothing to wait for
        no_features = self.features == 0
        m.d.comb += [
            tail.slots.eq(self.slots),
            tail.slot_bytes.eq(self.slot_bytes),
            tail.clear.eq(self.clear),
            tail.advance.eq(self.allocate),
            self.allocate_index.eq(tail.index),
            self.allocate_address.eq(tail.address),
            self.can_allocate.eq(room),
        ]
        with m.If(~no_features):
            m.d.sync += used.eq(used + self.allocate - self.release)
        # All outcomes are compared before it is known which one it is.
        with m.If(self.allocate & ~self.release):
            m.d.sync += room.eq((used + 1 < self.slots) | no_features)
        with m.Elif(self.release & ~self.allocate):
            m.d.sync += room.eq((used <= self.slots) | no_features)  # used - 1 < slots
        with m.Else():
            m.d.sync += room.eq((used < self.slots) | no_features)
        with m.If(self.clear):
            m.d.sync += [used.eq(0), room.eq(1)]

    def _count(self, m: Module, landing: list[Signal]) -> None:
        """Items that each lane has finished and the interaction has not."""
        ready, next_ready = [], []
        for number, lands in enumerate(landing):
            # Vector 0 is the dense one: lane 0 first serves vector G.
            needed = Signal(name=f"needed_{number}")
            finished = Signal(range(self._slots + 1), name=f"finished_{number}")
            some, several = Signal(name=f"some_{number}"), Signal(name=f"several_{number}")
            more = Signal(2, name=f"more_{number}")  # some and several of the next cycle
            # The lane keeps no item, nor the one behind it, waiting: registers, because the
            # interaction's steps wait for them.
            first = Signal(init=1, name=f"first_{number}")
            second = Signal(init=1, name=f"second_{number}")
            # A cycle after ``features``: no row lands before one was asked for.
            now_needed = self.features >= (number or self._banks)
            done = lands & self.row_write[number].item_last
            leaves = self.release & needed
            m.d.comb += more.eq(Cat(some, several))
            with m.If(done & ~leaves):
                m.d.sync += finished.eq(finished + 1)
                m.d.comb += more.eq(Cat(Const(1, 1), some))
            with m.Elif(leaves & ~done):
                m.d.sync += finished.eq(finished - 1)
                m.d.comb += more.eq(Cat(finished != 1, finished > 2))
            with m.If(self.clear):
                m.d.sync += finished.eq(0)
                m.d.comb += more.eq(0)
            m.d.sync += [
                needed.eq(now_needed),
                Cat(some, several).eq(more),
                first.eq(~now_needed | more[0]),
                second.eq(~now_needed | more[1]),
            ]
            ready.append(first)
            next_ready.append(second)
        m.d.comb += [self.ready.eq(Cat(ready).all()), self.next_ready.eq(Cat(next_ready).all())]
