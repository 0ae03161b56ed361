"""Works the rings: fetches entries, begins them in order, writes results and completions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_port_signature
from ..config import Config
from ..interfaces import (
    config_write_layout,
    query_done_layout,
    query_layout,
    read_port_signature,
    result_layout,
)
from ..program import Status
from .completion_ring import CompletionRing
from .completions import Completions
from .config_loader import IN_FLIGHT, ConfigLoader
from .entry_fetcher import AHEAD, EntryFetcher
from .entry_starter import EntryStarter
from .query_places import QueryPlaces, queries_at_once
from .read_share import ReadShare
from .result_writer import ResultWriter
from .write_share import WriteShare

__all__ = ["FrontEnd"]

_INDEX_BITS = 16


class FrontEnd(wiring.Component):
    """Runs the entries of the submission ring: begins and completes them in order.

    ``EntryFetcher`` reads them ahead, ``EntryStarter`` checks them and begins their work: a LOAD
    goes to the ``ConfigLoader``, a QUERY to the core behind ``o_query``; NOP only completes. An
    entry that fails its check is completed with its status and touches nothing else.
    ``Completions`` makes the completions, ``CompletionRing`` writes them.

    Queries run side by side, ``queries_at_once`` of them (``QueryPlaces``). The core numbers them
    in the order of ``o_query``, sends each one's results without others between them, and ends them
    in that order. ``ResultWriter`` writes results as they come; results and completions take turns
    at the write port (``WriteShare``). A query is completed when its own writes are answered.
    A LOAD is begun when the queries before it are completed, a QUERY when the LOADs before it are.

    Queries at work can be given up (``Watchdog``): with ``abandoned`` none is handed to the core
    and nothing is taken from it. With ``closing`` those at work end with BAD_PROGRAM and no
    results; ``running`` then falls, and the core, which was reset meanwhile, numbers from 0 again.

    Rings: indices run 0 .. size - 1; empty when tail equals head, full when one slot is left. A
    submission tail that is not below the size is ignored. With a full completion ring the device
    waits for the host: queries at work still run to their ends and write their results, no more
    than ``queries_at_once`` and ``RECORDS`` other entries are begun.

    The unit belongs to the core: soft reset puts it back to ring index 0, phase 1.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    memory
        Read port.
    write
        Write port.
    config_write
        LOAD broadcast.
    o_query, i_result, i_done
        Core: query out, results in, end of query in.
    submission_base, submission_size, submission_tail, submission_head
        Submission ring.
    completion_base, completion_size, completion_head, completion_tail
        Completion ring.
    window_base, window_limit
        Addresses that entries may name.
    hold
        No entry is begun: a change of partition is pending.
    partition_bad
        The partition that the host asked for last is none: queries are refused.
    running
        Queries are at work.
    abandoned, closing
        They are being given up; the core has forgotten them.
    starting
        An entry is checked, a LOAD runs or a query is on its way to the core.
    busy, completion_full
        An entry is being worked on; a completion waits for room in the completion ring.
    completed, failed
        Pulses: a completion was written; its status was not OK, or writing it failed.
    query_completed, result_taken
        Pulses for counters.
    """

    memory: Any
    write: Any
    config_write: Any
    o_query: stream.Interface
    i_result: stream.Interface
    i_done: stream.Interface
    submission_base: Signal
    submission_size: Signal
    submission_tail: Signal
    submission_head: Signal
    completion_base: Signal
    completion_size: Signal
    completion_head: Signal
    completion_tail: Signal
    window_base: Signal
    window_limit: Signal
    hold: Signal
    partition_bad: Signal
    running: Signal
    abandoned: Signal
    closing: Signal
    starting: Signal
    busy: Signal
    completion_full: Signal
    completed: Signal
    failed: Signal
    query_completed: Signal
    result_taken: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        address = config.address_bits
        super().__init__(
            {
                "memory": Out(read_port_signature(config)),
                "write": Out(write_port_signature(config)),
                "config_write": Out(config_write_layout(config)),
                "o_query": Out(stream.Signature(query_layout(config))),
                "i_result": In(stream.Signature(result_layout(config))),
                "i_done": In(stream.Signature(query_done_layout(config))),
                "submission_base": In(address),
                "submission_size": In(_INDEX_BITS),
                "submission_tail": In(_INDEX_BITS),
                "submission_head": Out(_INDEX_BITS),
                "completion_base": In(address),
                "completion_size": In(_INDEX_BITS),
                "completion_head": In(_INDEX_BITS),
                "completion_tail": Out(_INDEX_BITS),
                "window_base": In(address),
                "window_limit": In(address),
                "hold": In(1),
                "partition_bad": In(1),
                "running": Out(1),
                "abandoned": In(1),
                "closing": In(1),
                "starting": Out(1),
                "busy": Out(1),
                "completion_full": Out(1),
                "completed": Out(1),
                "failed": Out(1),
                "query_completed": Out(1),
                "result_taken": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.fetcher = self._fetcher = EntryFetcher(config=config)
        m.submodules.starter = self._starter = EntryStarter(config=config)
        m.submodules.loader = self._loader = ConfigLoader(config=config)
        m.submodules.places = self._places = QueryPlaces(config=config)
        m.submodules.results = self._results = ResultWriter(config=config)
        m.submodules.completions = self._completions = Completions(config=config)
        m.submodules.ring = self._ring = CompletionRing(config=config)
        now = Signal(32)
        m.d.sync += now.eq(now + 1)
        m.d.comb += [self._starter.now.eq(now), self._completions.now.eq(now)]
        self._wire_rings(m)
        self._wire_entries(m)
        self._wire_queries(m)
        self._wire_completions(m)
        self._share_reads(m)
        self._share_writes(m)
        return m

    def _wire_rings(self, m: Module) -> None:
        """Places in both rings, and the events of completions."""
        fetcher, ring = self._fetcher, self._ring
        m.d.comb += [
            fetcher.base.eq(self.submission_base),
            fetcher.size.eq(self.submission_size),
            fetcher.tail.eq(self.submission_tail),
            ring.base.eq(self.completion_base),
            ring.size.eq(self.completion_size),
            ring.head.eq(self.completion_head),
            self.completion_tail.eq(ring.tail),
            self.completion_full.eq(ring.full),
            self.completed.eq(ring.completed),
            self.failed.eq(ring.failed),
            self.query_completed.eq(ring.query),
        ]
        head = self.submission_head
        with m.If(ring.completed):
            m.d.sync += head.eq(Mux(head + 1 >= self.submission_size, 0, head + 1))

    def _wire_entries(self, m: Module) -> None:
        """From the fetcher to the work."""
        fetcher, starter, loader = self._fetcher, self._starter, self._loader
        wiring.connect(m, fetcher.o, starter.i)
        wiring.connect(m, starter.o_load, loader.i)
        self._pass(m, starter.o_query, self.o_query)
        for name in ("window_base", "window_limit", "partition_bad", "hold"):
            m.d.comb += getattr(starter, name).eq(getattr(self, name))
        m.d.comb += [
            starter.config_write.eq(loader.config_write),
            starter.loading.eq(loader.busy),
            starter.place_free.eq(self._places.free),
            starter.places_idle.eq(self._places.idle),
            self.config_write.eq(loader.config_write),
            self.starting.eq(starter.starting | loader.busy),
            self.busy.eq(
                ~starter.waiting | fetcher.busy | self._completions.busy | self._ring.busy
            ),
        ]

    def _wire_queries(self, m: Module) -> None:
        """Queries at work and their results."""
        starter, places, results = self._starter, self._places, self._results
        self._pass(m, self.i_result, results.i)
        with m.If(self.closing & results.busy):  # the open list, which has a place more, is ended
            m.d.comb += [results.i.valid.eq(1), results.i.payload.last.eq(1)]
        m.d.comb += [
            self.running.eq(~places.idle),
            places.clear.eq(self.closing & places.idle),
            places.begin.eq(starter.begin),
            places.result.eq(starter.result),
            places.query.eq(results.i.payload.query),
            results.address.eq(places.address),
            places.asked.eq(results.asked),
            places.asked_query.eq(results.query),
            places.end.eq(self._completions.query_end),
            self.result_taken.eq(self.i_result.valid & self.i_result.ready),
        ]

    def _wire_completions(self, m: Module) -> None:
        completions, places, results = self._completions, self._places, self._results
        wiring.connect(m, self._starter.o_record, completions.i_record)
        self._pass(m, self.i_done, completions.i_done)
        begun = Signal(range(queries_at_once(self._config) + 1))  # queries without an end
        ends = completions.i_done
        m.d.sync += begun.eq(begun + self._starter.begin - (ends.valid & ends.ready))
        with m.If(self.closing):
            m.d.comb += [
                ends.valid.eq(begun != 0),
                ends.payload.eq(0),
                ends.payload.status.eq(Status.BAD_PROGRAM),
            ]
        wiring.connect(m, completions.o, self._ring.i)
        m.d.comb += [
            completions.loaded.eq(self._loader.done),
            completions.load_error.eq(self._loader.error),
            completions.writing.eq(results.busy),
            completions.writing_query.eq(results.query),
            completions.oldest.eq(places.oldest),
            completions.written.eq(places.written),
            completions.write_error.eq(places.error),
        ]

    def _pass(self, m: Module, source: stream.Interface, to: stream.Interface) -> None:
        """Between core and front end, but for queries that are being given up."""
        m.d.comb += [
            to.payload.eq(source.payload),
            to.valid.eq(source.valid & ~self.abandoned),
            source.ready.eq(to.ready & ~self.abandoned),
        ]

    def _share_reads(self, m: Module) -> None:
        """Read port: the fetcher's entries go before the loader's words."""
        fetcher, loader = self._fetcher, self._loader.memory
        m.submodules.reads = reads = ReadShare(config=self._config, bursts=AHEAD + IN_FLIGHT)
        wiring.connect(m, fetcher.request, reads.first)
        wiring.connect(m, reads.to_first, fetcher.i)
        wiring.connect(m, loader.request, reads.second)
        wiring.connect(m, reads.to_second, loader.response)
        wiring.connect(m, reads.memory, wiring.flipped(self.memory))

    def _share_writes(self, m: Module) -> None:
        """Write port: results and completions in turns."""
        m.submodules.writes = writes = WriteShare(config=self._config)
        wiring.connect(m, self._results.request, writes.result_request)
        wiring.connect(m, self._results.data, writes.result_data)
        wiring.connect(m, self._ring.request, writes.completion_request)
        wiring.connect(m, self._ring.data, writes.completion_data)
        wiring.connect(m, writes.write, wiring.flipped(self.write))
        m.d.comb += [
            self._places.answers.eq(writes.result_answers),
            self._ring.answered.eq(writes.completion_answered),
            self._ring.error.eq(writes.completion_error),
        ]
