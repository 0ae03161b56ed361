"""Hash constants from device memory: chunks in order to words for the hash lanes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import QUERY_BITS, read_port_signature
from ..queue import Queue
from .layouts import HASH_BYTES, HASH_CHUNK_BYTES, hash_layout

__all__ = ["HashFetch", "hash_job_layout"]

CHUNKS = 4
"""Chunks of room: three on their way while one is used. A chunk holds 16 hashes, each of which
keeps a lane busy for a whole row block: with two lanes and 32 rows it lasts 256 cycles, while
chunks of weights in front of a request may take 500 of the bus."""


def hash_job_layout(config: Config) -> data.StructLayout:
    """Hashes of one feature."""
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),
            "groups": unsigned(12),
            "query": unsigned(QUERY_BITS),  # that needs them, for errors
        }
    )


class HashFetch(wiring.Component):
    """Reads ``groups`` words of ``lanes`` hashes from an address on, job after job.

    Hashes lie one behind the other, HASH_BYTES each, from an address aligned to HASH_CHUNK_BYTES;
    whole chunks are read, what is behind the last word is dropped. Requests are sent only when the
    queue has room for the chunk, so beats are always taken. Jobs follow each other without a gap in
    the requests.

    Parameters
    ----------
    config
        Device configuration.
    lanes
        Hashes of a word, a power of two, at most 16.

    Members
    -------
    i
        Jobs.
    read
        Device memory. One burst tag: beats come in order.
    o
        Words of constants.
    bus_error
        Query of a beat that came with an error, a bit each; its constants are used all the same.
    """

    i: stream.Interface
    read: Any
    o: stream.Interface
    bus_error: Signal

    def __init__(self, *, config: Config, lanes: int) -> None:
        if lanes < 1 or lanes & (lanes - 1) or lanes > 16:
            raise ValueError(f"lanes must be a power of two, at most 16, not {lanes!r}")
        self._config = config
        self._lanes = lanes
        super().__init__(
            {
                "i": In(stream.Signature(hash_job_layout(config))),
                "read": Out(read_port_signature(config)),
                "o": Out(stream.Signature(data.ArrayLayout(hash_layout(), lanes))),
                "bus_error": Out(1 << QUERY_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        beats = HASH_CHUNK_BYTES // config.axi_bytes
        words_log2 = exact_log2(HASH_CHUNK_BYTES // (HASH_BYTES * self._lanes))
        m.submodules.beats = queue = Queue(shape=config.axi_data_bits, depth=CHUNKS * beats)
        # What was asked for and is not yet used up: the groups of each chunk.
        m.submodules.chunks = chunks = Queue(shape=unsigned(words_log2 + 1), depth=CHUNKS)
        # Whose beats come next.
        m.submodules.asked = asked = Queue(shape=unsigned(QUERY_BITS), depth=CHUNKS)
        job: Any = Signal(hash_job_layout(config))
        asking = Signal()
        error = Signal()
        whole = Signal()  # the chunk is not the job's last
        request, response = self.read.request, self.read.response
        most = 1 << words_log2
        m.d.comb += [
            self.i.ready.eq(~asking),
            whole.eq(job.groups > most),
            request.valid.eq(asking & chunks.i.ready & asked.i.ready),
            request.payload.address.eq(job.address),
            request.payload.beats.eq(beats - 1),
            chunks.i.valid.eq(request.valid & request.ready),
            asked.i.valid.eq(request.valid & request.ready),
            asked.i.payload.eq(job.query),
            asked.o.ready.eq(response.valid & response.payload.last),
            chunks.i.payload.eq(Mux(whole, most, job.groups)),
            queue.i.valid.eq(response.valid),
            queue.i.payload.eq(response.payload.data),
            response.ready.eq(1),
            error.eq(response.valid & response.payload.error),
            self.bus_error.eq(Mux(error, 1 << asked.o.payload, 0)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [job.eq(self.i.payload), asking.eq(1)]
        with m.If(request.valid & request.ready):
            m.d.sync += [
                job.address.eq(job.address + HASH_CHUNK_BYTES),
                job.groups.eq(job.groups - most),
                asking.eq(whole),
            ]
        self._cut(m, queue, chunks)
        return m

    def _cut(self, m: Module, queue: Queue, chunks: Queue) -> None:
        """Beats into a register of one word or beat, whichever is larger, and words out of it.

        It is filled while the one before is used from a second register, so that no cycle is lost
        between words as soon as one lasts for more rows than it has beats. Words behind a chunk's
        last one are dropped.
        """
        beat_bits, word_bits = self._config.axi_data_bits, 8 * HASH_BYTES * self._lanes
        bits = max(beat_bits, word_bits)
        beats, words, units = bits // beat_bits, bits // word_bits, 8 * HASH_CHUNK_BYTES // bits
        held = Signal(bits, reset_less=True)
        filled = Signal(range(beats + 1))
        shown = Signal(bits, reset_less=True)
        showing = Signal()
        unit = Signal(range(units))  # of the chunk
        used = Signal.like(chunks.o.payload)  # words of the chunk
        wanted = used != chunks.o.payload
        full = filled == beats
        word = shown.word_select(used[: exact_log2(words)], word_bits)
        taken = Signal()
        unit_end = Signal()
        chunk_end = Signal()
        moved = Signal()
        m.d.comb += [
            queue.o.ready.eq(~full),
            moved.eq(full & (~showing | unit_end)),
            self.o.valid.eq(showing & wanted & chunks.o.valid),
            taken.eq(self.o.valid & self.o.ready),
            unit_end.eq(
                showing & chunks.o.valid & (~wanted | (taken & used[: exact_log2(words)].all()))
            ),
            chunk_end.eq(unit_end & (unit == units - 1)),
            chunks.o.ready.eq(chunk_end),
            *(
                self.o.payload[n].as_value().eq(word[8 * HASH_BYTES * n :][: hash_layout().size])
                for n in range(self._lanes)
            ),
        ]
        with m.If(queue.o.valid & queue.o.ready):
            shifted = Cat(held[beat_bits:], queue.o.payload) if beats > 1 else queue.o.payload
            m.d.sync += [held.eq(shifted), filled.eq(filled + 1)]
        with m.If(taken):
            m.d.sync += used.eq(used + 1)
        with m.If(moved):
            m.d.sync += [shown.eq(held), filled.eq(0), showing.eq(1)]
        with m.Elif(unit_end):
            m.d.sync += showing.eq(0)
        with m.If(unit_end):
            m.d.sync += unit.eq(unit + 1)
        with m.If(chunk_end):
            m.d.sync += [used.eq(0), unit.eq(0)]
