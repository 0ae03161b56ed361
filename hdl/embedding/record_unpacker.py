"""Beats of item records into dense chunks and ids."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import lane_id_layout
from .id_spreader import IdSpreader
from .record_layouts import dense_chunk_layout, record_layout

__all__ = ["RecordUnpacker", "chunk_bytes"]


def chunk_bytes(config: Config) -> int:
    """Bytes of a dense chunk."""
    return min(config.axi_bytes, 16)


class RecordUnpacker(wiring.Component):
    """Cuts beats into dense chunks of min(D, 16) bytes, one a cycle, or hands their ids out.

    Combinational from the inputs to the outputs; a beat and its record stay at the inputs until
    their last piece is taken. Dense values start at a beat's first byte; for ids see
    ``IdSpreader``.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_record, i_beat
        Record parts and their beats, from the ``RecordReader``.
    o_dense
        Chunks; ``k`` counts the bytes of the record, ``last`` marks the end of the row.
    o_id
        Array of streams of ids, one a gather lane.
    """

    i_record: stream.Interface
    i_beat: stream.Interface
    o_dense: stream.Interface
    o_id: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i_record": In(stream.Signature(record_layout(config))),
                "i_beat": In(stream.Signature(unsigned(config.axi_data_bits))),
                "o_dense": Out(stream.Signature(dense_chunk_layout(config))),
                "o_id": Out(stream.Signature(lane_id_layout(config))).array(config.gather_lanes),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        piece = chunk_bytes(config)
        record, beat = self.i_record.payload, self.i_beat.payload
        m.submodules.ids = ids = IdSpreader(config=config)
        for lane in range(config.gather_lanes):
            wiring.connect(m, ids.o[lane], wiring.flipped(self.o_id[lane]))

        done = Signal(9)  # dense bytes of this part handed over
        remaining = Signal(9)
        last = Signal()
        taken = Signal()
        valid = self.i_record.valid & self.i_beat.valid
        chunk = self.o_dense.payload.chunk
        place = Signal(range(max(2, config.axi_bytes // piece)))  # of the chunk in its beat
        beat_end = Signal()
        m.d.comb += [
            ids.valid.eq(valid & ~record.dense),
            ids.i_record.eq(record),
            ids.i_beat.eq(beat),
            remaining.eq(record.bytes - done),
            last.eq(remaining <= piece),
            taken.eq(self.o_dense.valid & self.o_dense.ready),
            self.o_dense.valid.eq(valid & record.dense),
            self.o_dense.payload.unit.eq(record.unit),
            chunk.slot.eq(record.slot),
            chunk.row.eq(record.row),
            chunk.k.eq(done),
            chunk.count.eq(Mux(last, remaining, piece)),
            chunk.last.eq(last),
            place.eq(done[piece.bit_length() - 1 :] if piece < config.axi_bytes else 0),
            beat_end.eq(last | (place == config.axi_bytes // piece - 1)),
            chunk.data.as_value().eq(beat.word_select(place, 8 * piece)),
            self.i_record.ready.eq(Mux(record.dense, taken & last, ids.record_done)),
            self.i_beat.ready.eq(Mux(record.dense, taken & beat_end, ids.beat_done)),
        ]
        with m.If(taken):
            m.d.sync += done.eq(Mux(last, 0, done + piece))
        return m
