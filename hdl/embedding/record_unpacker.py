"""Beats of item records into dense chunks and ids."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .layouts import dense_chunk_layout, id_layout, record_layout

__all__ = ["RecordUnpacker"]


class RecordUnpacker(wiring.Component):
    """Cuts beats into dense chunks of min(D, 16) bytes and into ids, one of either a cycle.

    Combinational from the inputs to the outputs; a beat and its record stay at the inputs until
    their last piece is taken. Dense values start at a beat's first byte, ids at any multiple of 4.

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
        Ids, features in order.
    """

    i_record: stream.Interface
    i_beat: stream.Interface
    o_dense: stream.Interface
    o_id: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i_record": In(stream.Signature(record_layout(config))),
                "i_beat": In(stream.Signature(unsigned(config.axi_data_bits))),
                "o_dense": Out(stream.Signature(dense_chunk_layout(config))),
                "o_id": Out(stream.Signature(id_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        piece = min(config.axi_bytes, 16)
        log2_beat = config.axi_bytes.bit_length() - 1
        log2_piece = piece.bit_length() - 1
        record, beat = self.i_record.payload, self.i_beat.payload

        done = Signal(9)  # bytes of this part handed over
        position = Signal(log2_beat)  # in the beat; wraps at its end
        step = Mux(record.dense, piece, 4)
        remaining = Signal(9)
        last = Signal()
        m.d.comb += [
            position.eq(record.start + done),
            remaining.eq(record.bytes - done),
            last.eq(remaining <= step),
        ]

        chunk = self.o_dense.payload.chunk
        out = self.o_id.payload
        valid = self.i_record.valid & self.i_beat.valid
        m.d.comb += [
            self.o_dense.valid.eq(valid & record.dense),
            self.o_dense.payload.unit.eq(record.unit),
            chunk.slot.eq(record.slot),
            chunk.row.eq(record.row),
            chunk.k.eq(done),
            chunk.count.eq(Mux(last, remaining, piece)),
            chunk.last.eq(last),
            chunk.data.as_value().eq(beat.word_select(position[log2_piece:], 8 * piece)),
            self.o_id.valid.eq(valid & ~record.dense),
            out.unit.eq(record.unit),
            out.index.eq(record.index),
            out.address.eq(record.vector),
            out.program.eq(record.program),
            out.feature.eq(done[2:]),
            out.id.eq(beat.word_select(position[2:], 32)),
        ]

        taken = Signal()
        beat_end = Signal()
        next_position = Signal.like(position)
        m.d.comb += [
            taken.eq(valid & Mux(record.dense, self.o_dense.ready, self.o_id.ready)),
            next_position.eq(position + step),
            beat_end.eq(last | (next_position == 0)),
            self.i_beat.ready.eq(taken & beat_end),
            self.i_record.ready.eq(taken & last),
        ]
        with m.If(taken):
            m.d.sync += done.eq(Mux(last, 0, done + step))
        return m
