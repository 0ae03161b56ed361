"""What entries leave behind: results, completions, and the write port for both."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_port_signature
from ..config import Config
from ..interfaces import QUERY_BITS, query_done_layout, result_layout
from ..program import Status
from .completion_ring import CompletionRing
from .completions import Completions, record_layout
from .query_places import QueryPlaces, queries_at_once
from .result_writer import ResultWriter
from .write_share import WriteShare

__all__ = ["EntryEnds"]

_INDEX_BITS = 16
_EVENTS = ("full", "completed", "failed", "query")


class EntryEnds(wiring.Component):
    """Follows entries from their begin to their completion.

    ``QueryPlaces`` knows the queries at work, ``ResultWriter`` writes their results as they come,
    ``Completions`` makes the completions in order, ``CompletionRing`` writes them, and
    ``WriteShare`` gives both the write port in turns and every answer to its query.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    now
        Time.
    i_record
        Entries begun or refused, in order.
    begin, result, tag
        Pulse: a query is begun, see ``QueryPlaces``.
    loaded, load_error
        The oldest LOAD is done; with it: its words had an error.
    i_result, i_done
        From the core.
    place_free, places_idle
        One more query may be at work; none is.
    abandoned, closing
        Queries at work are being given up, see ``FrontEnd``.
    searching, wanted, hit, marked
        Cancel, see ``QueryPlaces``.
    write
        Write port.
    base, size, head, tail, full, completed, failed, query
        See ``CompletionRing``.
    busy
        Some entry is not completed.
    """

    now: Signal
    i_record: stream.Interface
    begin: Signal
    result: Signal
    tag: Signal
    loaded: Signal
    load_error: Signal
    i_result: stream.Interface
    i_done: stream.Interface
    place_free: Signal
    places_idle: Signal
    abandoned: Signal
    closing: Signal
    searching: Signal
    wanted: Signal
    hit: Signal
    marked: Signal
    write: Any
    base: Signal
    size: Signal
    head: Signal
    tail: Signal
    full: Signal
    completed: Signal
    failed: Signal
    query: Signal
    busy: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "now": In(32),
                "i_record": In(stream.Signature(record_layout())),
                "begin": In(1),
                "result": In(config.address_bits),
                "tag": In(32),
                "loaded": In(1),
                "load_error": In(1),
                "i_result": In(stream.Signature(result_layout(config))),
                "i_done": In(stream.Signature(query_done_layout(config))),
                "place_free": Out(1),
                "places_idle": Out(1),
                "abandoned": In(1),
                "closing": In(1),
                "searching": In(1),
                "wanted": In(32),
                "hit": Out(1),
                "marked": Out(1 << QUERY_BITS),
                "write": Out(write_port_signature(config)),
                "base": In(config.address_bits),
                "size": In(_INDEX_BITS),
                "head": In(_INDEX_BITS),
                "tail": Out(_INDEX_BITS),
                **{name: Out(1) for name in _EVENTS},
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.places = places = QueryPlaces(config=config)
        m.submodules.results = results = ResultWriter(config=config)
        m.submodules.completions = completions = Completions(config=config)
        m.submodules.ring = ring = CompletionRing(config=config)
        m.submodules.writes = writes = WriteShare(config=config)
        wiring.connect(m, wiring.flipped(self.i_record), completions.i_record)
        # Bursts are counted a cycle late, and results are being written for a cycle longer.
        writing, was_writing, of_oldest = Signal(), Signal(), Signal()
        bits = max(1, (queries_at_once(self._config) - 1).bit_length())
        m.d.comb += writing.eq(results.busy & of_oldest)
        # Late by a cycle when the oldest query changes: its end is further away. The query of the
        # results changes while the writer is not busy.
        query = Mux(results.busy, results.query, results.i.payload.query)
        m.d.sync += [
            of_oldest.eq(query[:bits] == places.oldest[:bits]),
            was_writing.eq(writing),
            places.asked.eq(results.asked),
            places.asked_query.eq(results.query),
        ]
        self._from_core(m, results, completions)
        wiring.connect(m, completions.o, ring.i)
        m.d.comb += completions.taking.eq(ring.taking)
        wiring.connect(m, results.request, writes.result_request)
        wiring.connect(m, results.data, writes.result_data)
        wiring.connect(m, ring.request, writes.completion_request)
        wiring.connect(m, ring.data, writes.completion_data)
        wiring.connect(m, writes.write, wiring.flipped(self.write))
        for name in ("begin", "result", "tag"):
            m.d.comb += getattr(places, name).eq(getattr(self, name))
        for name in ("now", "loaded", "load_error"):
            m.d.comb += getattr(completions, name).eq(getattr(self, name))
        for name in ("base", "size", "head"):
            m.d.comb += getattr(ring, name).eq(getattr(self, name))
        for name in ("tail", *_EVENTS):
            m.d.comb += getattr(self, name).eq(getattr(ring, name))
        m.d.comb += [
            self.place_free.eq(places.free),
            self.places_idle.eq(places.idle),
            places.clear.eq(self.closing & places.idle),
            places.query.eq(results.query),
            places.answers.eq(writes.result_answers),
            places.end.eq(completions.query_end),
            places.cancel.eq(self.searching),
            places.wanted.eq(self.wanted),
            self.hit.eq(places.hit),
            self.marked.eq(places.marked),
            results.address.eq(places.address),
            completions.writing.eq(writing | was_writing),
            completions.written.eq(places.written),
            completions.write_error.eq(places.error),
            completions.cancelled.eq(places.oldest_marked),
            ring.answered.eq(writes.completion_answered),
            ring.error.eq(writes.completion_error),
            self.busy.eq(completions.busy | ring.busy),
        ]
        return m

    def _from_core(self, m: Module, results: ResultWriter, completions: Completions) -> None:
        """Results and ends, but for queries that are being given up."""
        for source, to in ((self.i_result, results.i), (self.i_done, completions.i_done)):
            m.d.comb += [
                to.payload.eq(source.payload),
                to.valid.eq(source.valid & ~self.abandoned),
                source.ready.eq(to.ready & ~self.abandoned),
            ]
        begun = Signal(range(queries_at_once(self._config) + 1))  # queries without an end
        ends = completions.i_done
        m.d.sync += begun.eq(begun + self.begin - (ends.valid & ends.ready))
        with m.If(self.closing & results.busy):  # the open list, which has a place more, is ended
            m.d.comb += [results.i.valid.eq(1), results.i.payload.last.eq(1)]
        with m.If(self.closing):
            m.d.comb += [
                ends.valid.eq(begun != 0),
                ends.payload.eq(0),
                ends.payload.status.eq(Status.BAD_PROGRAM),
            ]
