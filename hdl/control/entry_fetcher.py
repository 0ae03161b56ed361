"""Reads entries of the submission ring ahead of their execution."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_request_layout, read_response_layout
from ..program import SUBMISSION_BYTES
from ..queue import Queue

__all__ = ["AHEAD", "EntryFetcher", "entry_beat_layout"]

AHEAD = 8
"""Entries asked for and not yet taken: one every 14 cycles at 100 cycles of memory latency."""
_ENTRY_SHIFT = SUBMISSION_BYTES.bit_length() - 1
_INDEX_BITS = 16


def entry_beat_layout(config: Config) -> data.StructLayout:
    """A beat of an entry."""
    return data.StructLayout(
        {"data": unsigned(config.axi_data_bits), "error": unsigned(1), "last": unsigned(1)}
    )


class EntryFetcher(wiring.Component):
    """Asks for each entry between its place and the tail as soon as there is room for it.

    The ring is empty when the tail is reached; a tail that is not below the size is ignored: the
    one before it holds. Starts at entry 0. Beats are never refused. Latency:
    ``Queue.BUFFERED_LATENCY`` from ``i`` to ``o``, 1 from the tail to the request.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    base, size, tail
        Submission ring.
    request, i
        Read requests of whole entries; their beats, in order.
    o
        Beats of the entries, in order.
    busy
        Entries are asked for or held.
    end, ignored
        The tail that holds; ``tail`` is not it.
    """

    base: Signal
    size: Signal
    tail: Signal
    request: stream.Interface
    i: stream.Interface
    o: stream.Interface
    busy: Signal
    end: Signal
    ignored: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "base": In(config.address_bits),
                "size": In(_INDEX_BITS),
                "tail": In(_INDEX_BITS),
                "request": Out(stream.Signature(read_request_layout(config))),
                "i": In(stream.Signature(read_response_layout(config))),
                "o": Out(stream.Signature(entry_beat_layout(config))),
                "busy": Out(1),
                "end": Out(_INDEX_BITS),
                "ignored": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        beats = SUBMISSION_BYTES // self._config.axi_bytes
        # Every entry asked for has its place.
        m.submodules.beats = queue = Queue(
            shape=entry_beat_layout(self._config), depth=AHEAD * beats
        )
        entry = Signal(_INDEX_BITS)  # the next one to ask for
        held = Signal(range(AHEAD + 1))
        full = Signal()  # there are ``AHEAD``
        sent = Signal()
        taken = Signal()
        known = Signal(_INDEX_BITS)
        following = Signal(_INDEX_BITS)  # the one after ``entry``
        waiting = Signal()  # the tail of the cycle before is not reached
        inside = Signal()  # the tail is within the ring
        reached = Signal()  # the tail that holds is the next one to ask for
        next_reached = Signal()  # it is the one after that
        beat: Any = queue.i.payload
        m.d.comb += [
            inside.eq(self.tail < self.size),
            self.end.eq(Mux(inside, self.tail, known)),
            self.ignored.eq(~inside & (known != self.tail)),
            self.request.valid.eq(waiting & ~full),
            self.request.payload.address.eq((self.base[_ENTRY_SHIFT:] + entry) << _ENTRY_SHIFT),
            self.request.payload.beats.eq(beats - 1),
            sent.eq(self.request.valid & self.request.ready),
            taken.eq(self.o.valid & self.o.ready & self.o.payload.last),
            queue.i.valid.eq(self.i.valid),
            self.i.ready.eq(1),
            beat.data.eq(self.i.payload.data),
            beat.error.eq(self.i.payload.error),
            beat.last.eq(self.i.payload.last),
            # All compared while it is found out which are meant.
            reached.eq(Mux(inside, self.tail == entry, known == entry)),
            next_reached.eq(Mux(inside, self.tail == following, known == following)),
            self.busy.eq((held != 0) | waiting | ~reached),
        ]
        wiring.connect(m, queue.o, wiring.flipped(self.o))
        m.d.sync += [
            known.eq(self.end),
            held.eq(held + sent - taken),
            full.eq(~taken & (full | (sent & (held == AHEAD - 1)))),
            waiting.eq(Mux(sent, ~next_reached, ~reached)),
            following.eq(Mux(sent, self._after(following), self._after(entry))),
        ]
        with m.If(sent):
            m.d.sync += entry.eq(following)
        return m

    def _after(self, index: Signal) -> Value:
        return Mux(index + 1 >= self.size, 0, index + 1)
