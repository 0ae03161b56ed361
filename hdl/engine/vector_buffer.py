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

__all__ = ["COPY_BYTES", "VectorBuffer", "buffer_word_bytes", "dense_write_layout"]

COPY_BYTES = 16
"""Bytes of one write of the dense vector, and of one chunk of a plain copy."""


def buffer_word_bytes(config: Config, row: int, column: int) -> int:
    """W: bytes of a vector buffer word, enough for one row word and one dot step's operand."""
    return max(config.interaction_multipliers_at(row, column), config.lane_bytes)


def dense_write_layout() -> data.StructLayout:
    """Up to 16 bytes of the dense vector; bytes and enables sit at ``address`` modulo 16."""
    return data.StructLayout(
        {
            "address": unsigned(13),  # byte address, a multiple of 4
            "enable": unsigned(COPY_BYTES // 4),  # 4-byte granules of the aligned 16 bytes
            "data": unsigned(COPY_BYTES * 8),
        }
    )


class VectorBuffer(wiring.Component):
    """Ring of item slots: rows land in any order, items leave in the order of their allocation.

    Slot i starts at byte i * slot_bytes. A slot is complete when ``features`` row words with
    ``last`` have landed in it. With ``features == 0`` there is nothing to wait for: ``ready`` and
    ``can_allocate`` are always high, ``allocate`` and ``release`` change no occupancy.

    Flow control: row writes are never refused and land 2 cycles after they were presented, when
    they also count for ``ready``. Writes of the dense vector wait while a row word lands.
    Reads: data of an address is there one cycle after it. Reading bytes that are written in the
    same cycle returns old bytes; nobody does, because items are read only when complete.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor: gives the word size W.
    unit
        Number by which ``row_write`` names this engine; its anchor's by default.

    Members
    -------
    row_write
        Words of embedding rows; words of other units are left alone.
    dense_write
        Stream of dense vector bytes.
    slot_bytes, slots, features
        Of the program that runs; changed only together with ``clear``.
    clear
        Empties the ring and goes back to slot 0. No row may be under way.
    can_allocate, allocate, allocate_index, allocate_address
        ``allocate`` takes the shown slot, only while ``can_allocate``.
    ready
        The oldest item is complete.
    release
        One pulse: the oldest item's slot is free again. Reads may still be presented in the next
        cycle: no row of a new item lands before.
    read_address, read_data
        Two ports of words of W bytes.
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
    release: Signal
    read_address: Any
    read_data: Any

    def __init__(self, *, config: Config, row: int, column: int, unit: int | None = None) -> None:
        for name, value in (("row", row), ("column", column)):
            if not 0 <= value < config.grid:
                raise ValueError(f"{name} must be in 0..{config.grid - 1}, not {value!r}")
        self._config = config
        self._unit = row * config.grid + column if unit is None else unit
        self._word = buffer_word_bytes(config, row, column)
        if not 2 * self._word <= config.vector_bytes <= 8192:
            raise ValueError(
                f"vector_bytes must be in {2 * self._word}..8192 for words of {self._word} bytes, "
                f"not {config.vector_bytes}"
            )
        self._depth = config.vector_bytes // self._word
        super().__init__(
            {
                "row_write": In(row_write_layout(config)),
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
                "release": In(1),
                "read_address": In(range(self._depth)).array(2),
                "read_data": Out(8 * self._word).array(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        row: Any = Signal(row_write_layout(self._config))
        m.d.sync += row.eq(self.row_write)
        # The broadcast reaches every engine: only words of this one count.
        m.d.sync += row.valid.eq(self.row_write.valid & (self.row_write.unit == self._unit))
        self._memory(m, row)
        self._occupancy(m, row)
        return m

    def _memory(self, m: Module, row: Any) -> None:
        """One write port shared by rows (first) and the dense vector; two read ports."""
        words, granules = self._word, self._word // 4
        storage: Any = memory.Memory(shape=unsigned(8 * words), depth=self._depth, init=[])
        m.submodules.memory = storage
        write = storage.write_port(granularity=32)
        word_bits = exact_log2(words)
        lane_bytes = self._config.lane_bytes
        address = Signal(13)
        row_enable = Signal(granules)
        dense_enable = Signal(granules)
        dense = self.dense_write
        m.d.comb += [
            dense.ready.eq(~row.valid),
            address.eq(Mux(row.valid, row.address, dense.payload.address)),
            write.addr.eq(address >> word_bits),
            write.data.eq(
                Mux(
                    row.valid,
                    row.data.replicate(words // lane_bytes),
                    dense.payload.data.replicate(words // COPY_BYTES),
                )
            ),
            row_enable.eq(_place(row.enable, row.address, lane_bytes, words)),
            dense_enable.eq(_place(dense.payload.enable, dense.payload.address, COPY_BYTES, words)),
        ]
        with m.If(row.valid):
            m.d.comb += write.en.eq(row_enable)
        with m.Elif(dense.valid):
            m.d.comb += write.en.eq(dense_enable)
        for number in range(2):
            read = storage.read_port(domain="sync")
            m.d.comb += [
                read.addr.eq(self.read_address[number]),
                read.en.eq(1),
                self.read_data[number].eq(read.data),
            ]

    def _occupancy(self, m: Module, row: Any) -> None:
        """Slots in use, rows landed in each of them."""
        m.submodules.tail = tail = RingPointer()
        m.submodules.head = head = RingPointer()
        for pointer in (tail, head):
            m.d.comb += [
                pointer.slots.eq(self.slots),
                pointer.slot_bytes.eq(self.slot_bytes),
                pointer.clear.eq(self.clear),
            ]
        used = Signal(range(self._config.vector_slots + 1))
        landed: Any = Signal(data.ArrayLayout(7, self._config.vector_slots))
        complete = Signal(self._config.vector_slots)
        no_features = self.features == 0
        m.d.comb += [
            self.can_allocate.eq((used < self.slots) | no_features),
            self.allocate_index.eq(tail.index),
            self.allocate_address.eq(tail.address),
            tail.advance.eq(self.allocate),
            head.advance.eq(self.release),
            self.ready.eq(complete.bit_select(head.index, 1) | no_features),
        ]
        with m.If(row.valid & row.last):
            count = landed[row.index] + 1
            m.d.sync += landed[row.index].eq(count)
            with m.If(count == self.features):
                m.d.sync += complete.bit_select(row.index, 1).eq(1)
        with m.If(self.release):  # never the slot of a row that lands: it was complete
            m.d.sync += [
                landed[head.index].eq(0),
                complete.bit_select(head.index, 1).eq(0),
            ]
        with m.If(~no_features):
            m.d.sync += used.eq(used + self.allocate - self.release)
        with m.If(self.clear):
            m.d.sync += [used.eq(0), landed.as_value().eq(0), complete.eq(0)]


def _place(enable: Any, address: Any, part_bytes: int, word_bytes: int) -> Any:
    """Granule enables of a part of ``part_bytes`` at its place in the word."""
    parts = word_bytes // part_bytes
    if parts == 1:
        return enable
    place = address[exact_log2(part_bytes) : exact_log2(word_bytes)]
    return Cat(Mux(place == number, enable, 0) for number in range(parts))
