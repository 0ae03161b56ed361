"""Ids of the DHE features of row blocks, taken out of the dense part of item records."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..engine.bank_writer import row_done_layout
from ..interfaces import chunk_layout
from .layouts import ID_BITS

__all__ = ["IdStore"]

_WORD_IDS = 4
"""Ids of a memory word: a chunk brings at most 16 bytes."""


class IdStore(wiring.Component):
    """Divides the dense pass of a record: values go on, ids are kept for both slots.

    A record's dense part is the dense values, then, from byte ``first`` of its slot on, ids of 4
    bytes. Chunks in front of ``first`` pass through without delay; the last of them carries
    ``last``, so that the row counts as landed where the values are written. Chunks from ``first``
    on are stored, one a cycle, never refused, and ``row_done`` pulses the cycle after the last one
    of a row. A slot without ids has ``first`` = NO_IDS.

    Parameters
    ----------
    config
        Device configuration. Chunks are those of the record loaders: min(D, 16) bytes, from a
        multiple of that on.
    ids
        Most ids of an item.

    Members
    -------
    first
        Byte of a slot's first id, a multiple of 16.
    i, o
        Chunks of records; those of dense values.
    row_done
        Pulse: all ids of a row of ``slot`` are stored.
    slot, feature, row
        What to read.
    id
        The id, a cycle later.
    """

    NO_IDS = (1 << 13) - 1

    first: Any
    i: stream.Interface
    o: stream.Interface
    row_done: data.View
    slot: Signal
    feature: Signal
    row: Signal
    id: Signal

    def __init__(self, *, config: Config, ids: int) -> None:
        if not 1 <= ids <= 128:
            raise ValueError(f"ids must be in 1..128, not {ids!r}")
        self._config = config
        words = -(-ids // _WORD_IDS)
        self._word_bits = max(1, (words - 1).bit_length())
        super().__init__(
            {
                "first": In(13).array(2),
                "i": In(stream.Signature(chunk_layout(config))),
                "o": Out(stream.Signature(chunk_layout(config))),
                "row_done": Out(row_done_layout()),
                "slot": In(1),
                "feature": In(7),
                "row": In(config.row_bits),
                "id": Out(ID_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        chunk, passed = self.i.payload, self.o.payload
        piece = min(self._config.axi_bytes, 16)
        first = Signal(13)
        is_id = Signal()
        stored = Signal()
        m.d.comb += [
            first.eq(Mux(chunk.slot, self.first[1], self.first[0])),
            is_id.eq(chunk.k >= first),
            stored.eq(self.i.valid & is_id),
            passed.eq(chunk),
            passed.last.eq(chunk.last | (chunk.k + piece == first)),
            self.o.valid.eq(self.i.valid & ~is_id),
            self.i.ready.eq(self.o.ready | is_id),
        ]
        m.d.sync += [
            self.row_done.valid.eq(stored & chunk.last),
            self.row_done.slot.eq(chunk.slot),
        ]
        self._store(m, stored, first)
        return m

    def _store(self, m: Module, stored: Signal, first: Signal) -> None:
        """One memory for both slots; word address: (slot, row, word of the item)."""
        chunk = self.i.payload
        piece = min(self._config.axi_bytes, 16)
        depth = 2 << (self._config.row_bits + self._word_bits)
        ids: memory.Memory = memory.Memory(
            shape=data.ArrayLayout(unsigned(ID_BITS), _WORD_IDS), depth=depth, init=[]
        )
        m.submodules.ids = ids
        write, read = ids.write_port(granularity=1), ids.read_port(domain="sync")
        number = Signal(13)  # of the chunk's first id
        place = Signal(range(_WORD_IDS))  # of that id in its word: words hold whole chunks
        wanted = Signal(range(_WORD_IDS))
        m.d.comb += [
            number.eq((chunk.k - first) >> exact_log2(4)),
            place.eq(number),
            write.addr.eq(
                Cat(number[exact_log2(_WORD_IDS) :][: self._word_bits], chunk.row, chunk.slot)
            ),
            write.data.as_value().eq(chunk.data.as_value()[: 8 * piece].replicate(16 // piece)),
            write.en.eq(Mux(stored, ((1 << (piece // 4)) - 1) << place, 0)),
            read.addr.eq(
                Cat(self.feature[exact_log2(_WORD_IDS) :][: self._word_bits], self.row, self.slot)
            ),
            self.id.eq(read.data[wanted]),
        ]
        m.d.sync += wanted.eq(self.feature)
