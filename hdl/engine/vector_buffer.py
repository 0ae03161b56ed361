"""On-chip buffer of the embedding vectors of items that wait for the interaction."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import row_write_layout
from .ring_pointer import RingPointer

__all__ = [
    "COPY_BYTES",
    "MAX_VECTOR_BYTES",
    "VectorBuffer",
    "bank_word_bytes",
    "dense_write_layout",
]

COPY_BYTES = 16
"""Bytes of one write of the dense vector, and of one chunk of a plain copy."""
MAX_VECTOR_BYTES = 128
"""Longest vector."""


def bank_word_bytes(config: Config, row: int, column: int) -> int:
    """Bytes of a word of a bank: what a dot step needs of one vector, or a row word."""
    multipliers = config.interaction_multipliers_at(row, column)
    return max(config.lane_bytes, min(multipliers, MAX_VECTOR_BYTES))


def dense_write_layout() -> data.StructLayout:
    """Up to 16 bytes of the dense vector; bytes and enables sit at ``address`` modulo 16."""
    return data.StructLayout(
        {
            "address": unsigned(13),  # byte address in bank 0, a multiple of 4
            "enable": unsigned(COPY_BYTES // 4),  # 4-byte granules of the aligned 16 bytes
            "data": unsigned(COPY_BYTES * 8),
        }
    )


class VectorBuffer(wiring.Component):
    """Ring of item slots over G banks, one a gather lane: lane g writes bank g and no other.

    Vector v of an item lies in bank v mod G, at byte ``slot * slot_bytes + (v // G) * d``. Each
    lane hands over the vectors of the items in the order of their allocation, so a counter of
    finished items a lane is all there is to keep: the oldest item is complete when every lane that
    has vectors of an item has finished one. Lanes run ahead of each other freely.
    With ``features == 0`` there is nothing to wait for: ``ready`` and ``can_allocate`` are always
    high, ``allocate`` and ``release`` change no occupancy.

    Flow control: row words are never refused; they land, and count, in the cycle after they were
    presented. Writes of the dense vector wait while a row word lands in bank 0.
    Reads: data of an address is there one cycle after it, and stays while a bank is not enabled.
    Reading bytes that are written in the same cycle returns old bytes; nobody does, because items
    are read only when complete.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor: gives the size of a bank's words.
    unit
        Number by which ``row_write`` names this engine; its anchor's by default.

    Members
    -------
    row_write
        Words of embedding rows, one broadcast a lane; words of other units are left alone.
    dense_write
        Stream of dense vector bytes, into bank 0.
    slot_bytes
        Bytes of an item in each bank: a power of two of at least 16 or a multiple of a bank's word.
    slots, features
        Of the program that runs; like ``slot_bytes`` changed only together with ``clear``.
    clear
        Empties the ring and goes back to slot 0. No row may be under way.
    can_allocate, allocate, allocate_index, allocate_address
        ``allocate`` takes the shown slot, only while ``can_allocate``; the address is the slot's
        first byte in every bank.
    ready, next_ready
        The oldest item is complete; so is the one after it.
    release
        One pulse: the oldest item's slot is free again. Reads may still be presented in the next
        cycle: no row of a new item lands before.
    read_address, read_enable, read_data
        Two ports; each reads a word of the same address in all banks that are enabled.
    """

    row_write: Any
    dense_write: stream.Interface
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
    read_data: Any

    def __init__(self, *, config: Config, row: int, column: int, unit: int | None = None) -> None:
        for name, value in (("row", row), ("column", column)):
            if not 0 <= value < config.grid:
                raise ValueError(f"{name} must be in 0..{config.grid - 1}, not {value!r}")
        self._config = config
        self._unit = row * config.grid + column if unit is None else unit
        self._word = bank_word_bytes(config, row, column)
        self._banks = config.gather_lanes
        least = 2 * self._word * self._banks
        if not least <= config.vector_bytes <= 8192:
            raise ValueError(
                f"vector_bytes must be in {least}..8192 for {self._banks} banks with words of "
                f"{self._word} bytes, not {config.vector_bytes}"
            )
        self._depth = config.bank_bytes // self._word
        super().__init__(
            {
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
                "read_data": Out(8 * self._word).array(2, self._banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # The broadcasts reach every engine: only words of this one count.
        landing = [Signal(name=f"landing_{number}") for number in range(self._banks)]
        for number, lands in enumerate(landing):
            word = self.row_write[number]
            m.d.comb += lands.eq(word.valid & (word.unit == self._unit))
            self._bank(m, number, lands)
        self._ring(m)
        self._count(m, landing)
        return m

    def _bank(self, m: Module, number: int, lands: Signal) -> None:
        """One write port, in bank 0 shared by rows (first) and the dense vector; two to read."""
        size = self._word
        storage: Any = memory.Memory(shape=unsigned(8 * size), depth=self._depth, init=[])
        m.submodules[f"bank_{number}"] = storage
        write = storage.write_port(granularity=32)
        lane_bytes = self._config.lane_bytes
        row, dense = self.row_write[number], self.dense_write
        address, words = row.address, row.data.replicate(size // lane_bytes)
        row_enable = _place(row.enable, row.address, lane_bytes, size)
        if number == 0:
            new = dense.payload
            address = Mux(lands, address, new.address)
            words = Mux(lands, words, new.data.replicate(size // COPY_BYTES))
            dense_enable = _place(new.enable, new.address, COPY_BYTES, size)
            m.d.comb += dense.ready.eq(~lands)
            with m.If(dense.valid):
                m.d.comb += write.en.eq(dense_enable)
        with m.If(lands):
            m.d.comb += write.en.eq(row_enable)
        m.d.comb += [
            write.addr.eq(address >> exact_log2(size)),
            write.data.eq(words),
        ]
        for port in range(2):
            read = storage.read_port(domain="sync")
            m.d.comb += [
                read.addr.eq(self.read_address[port]),
                read.en.eq(self.read_enable[port][number]),
                self.read_data[port][number].eq(read.data),
            ]

    def _ring(self, m: Module) -> None:
        """Slots in use."""
        m.submodules.tail = tail = RingPointer()
        used = Signal(range(self._config.vector_slots + 1))
        no_features = self.features == 0
        m.d.comb += [
            tail.slots.eq(self.slots),
            tail.slot_bytes.eq(self.slot_bytes),
            tail.clear.eq(self.clear),
            tail.advance.eq(self.allocate),
            self.allocate_index.eq(tail.index),
            self.allocate_address.eq(tail.address),
            self.can_allocate.eq((used < self.slots) | no_features),
        ]
        with m.If(~no_features):
            m.d.sync += used.eq(used + self.allocate - self.release)
        with m.If(self.clear):
            m.d.sync += used.eq(0)

    def _count(self, m: Module, landing: list[Signal]) -> None:
        """Items that each lane has finished and the interaction has not."""
        ready, next_ready = [], []
        for number, lands in enumerate(landing):
            # Vector 0 is the dense one: lane 0 first serves vector G.
            needed = Signal(name=f"needed_{number}")
            finished = Signal(range(self._config.vector_slots + 1), name=f"finished_{number}")
            m.d.comb += needed.eq(self.features >= (number or self._banks))
            ready.append(~needed | (finished != 0))
            next_ready.append(~needed | (finished > 1))
            done = lands & self.row_write[number].item_last
            leaves = self.release & needed
            with m.If(done & ~leaves):
                m.d.sync += finished.eq(finished + 1)
            with m.Elif(leaves & ~done):
                m.d.sync += finished.eq(finished - 1)
            with m.If(self.clear):
                m.d.sync += finished.eq(0)
        m.d.comb += [self.ready.eq(Cat(ready).all()), self.next_ready.eq(Cat(next_ready).all())]


def _place(enable: Any, address: Any, part_bytes: int, word_bytes: int) -> Any:
    """Granule enables of a part of ``part_bytes`` at its place in the word."""
    parts = word_bytes // part_bytes
    if parts == 1:
        return enable
    place = address[exact_log2(part_bytes) : exact_log2(word_bytes)]
    return Cat(Mux(place == number, enable, 0) for number in range(parts))
