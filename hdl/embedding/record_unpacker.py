"""Beats of item records into dense chunks and ids."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import lane_id_layout
from ..skid import StreamRegister
from .id_spreader import IdSpreader
from .record_layouts import chunk_bytes, dense_chunk_layout, record_layout, step_words

__all__ = ["RecordUnpacker"]


class RecordUnpacker(wiring.Component):
    """Cuts beats into dense chunks of min(D, 16) bytes, one a cycle, or hands their ids out.

    Ids are combinational from beats; a beat stays at the input until its last piece is taken. Dense
    chunks pass a register, ``DENSE_PLACES`` of them wait there for their engine. A record part is
    taken a cycle before its first piece is looked at. Dense values start at a beat's first byte;
    for ids see ``IdSpreader``.

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
    idle
        Nothing is held.
    """

    i_record: stream.Interface
    i_beat: stream.Interface
    o_dense: stream.Interface
    o_id: Any
    idle: Value

    DENSE_LATENCY = StreamRegister.LATENCY
    DENSE_PLACES = StreamRegister.CAPACITY

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i_record": In(stream.Signature(record_layout(config))),
                "i_beat": In(stream.Signature(unsigned(config.axi_data_bits))),
                "o_dense": Out(stream.Signature(dense_chunk_layout(config))),
                "o_id": Out(stream.Signature(lane_id_layout(config))).array(config.gather_lanes),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        piece = chunk_bytes(config)
        log2_piece = piece.bit_length() - 1
        new, beat = self.i_record.payload, self.i_beat.payload
        m.submodules.ids = ids = IdSpreader(config=config)
        for lane in range(config.gather_lanes):
            wiring.connect(m, ids.o[lane], wiring.flipped(self.o_id[lane]))
        m.submodules.chunks = chunks = StreamRegister(shape=dense_chunk_layout(config))
        wiring.connect(m, chunks.o, wiring.flipped(self.o_dense))

        # The part in work. Whether its piece at hand is its last one is known a cycle ahead.
        record: Any = Signal(record_layout(config), reset_less=True)
        present = Signal()
        left = Signal(8)  # pieces behind the one at hand
        last = Signal()
        pieces = Signal.like(left)  # behind the first one of the part that comes
        piece_done = Signal()
        step_bytes = 4 * step_words(config)
        m.d.comb += [
            pieces.eq(
                Mux(new.dense, new.end >> log2_piece, new.end >> (step_bytes.bit_length() - 1))
            ),
            self.i_record.ready.eq(~present | (piece_done & last)),
            self.idle.eq(~present & ~self.o_dense.valid),
        ]
        with m.If(piece_done):
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]
        with m.If(self.i_record.ready):
            m.d.sync += [
                present.eq(self.i_record.valid),
                record.eq(new),
                left.eq(pieces),
                last.eq(pieces == 0),
            ]

        def behind(part: Any) -> Value:
            """Words behind the last id in the part's last step."""
            words = step_words(config)
            last_word = part.end[2 : 1 + words.bit_length()]
            return Cat(Const(0, 1), *(j > last_word for j in range(1, words)))

        done = Signal(9)  # dense bytes of this part handed over
        taken = Signal()
        valid = present & self.i_beat.valid
        dense = chunks.i
        chunk = dense.payload.chunk
        place = Signal(range(max(2, config.axi_bytes // piece)))  # of the chunk in its beat
        beat_end = Signal()
        m.d.comb += [
            ids.valid.eq(valid & ~record.dense),
            ids.i_record.eq(record),
            ids.i_beat.eq(beat),
            ids.last.eq(last),
            ids.begin.eq(self.i_record.ready),
            ids.next_start.eq(new.start),
            ids.begin_behind.eq(Mux(pieces == 0, behind(new), 0)),
            ids.next_behind.eq(Mux(left == 1, behind(record), 0)),
            taken.eq(dense.valid & dense.ready),
            dense.valid.eq(valid & record.dense),
            # No prefetches here: engines have few numbers, and need not compare more.
            dense.payload.unit.eq(record.unit[: (config.sub_arrays - 1).bit_length()]),
            chunk.slot.eq(record.slot),
            chunk.row.eq(record.row),
            chunk.k.eq(done),
            chunk.count.eq(Mux(last, record.end[:log2_piece] + 1, piece)),
            chunk.last.eq(last),
            place.eq(done[log2_piece:] if piece < config.axi_bytes else 0),
            beat_end.eq(last | (place == config.axi_bytes // piece - 1)),
            chunk.data.as_value().eq(beat.word_select(place, 8 * piece)),
            piece_done.eq(taken | ids.step_done),
            self.i_beat.ready.eq((taken & beat_end) | ids.beat_done),
        ]
        with m.If(taken):
            m.d.sync += done.eq(Mux(last, 0, done + piece))
        return m
