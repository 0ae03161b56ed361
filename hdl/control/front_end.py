"""Works the rings: fetches entries, begins them in order, writes results and completions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_port_signature
from ..config import Config
from ..interfaces import (
    QUERY_BITS,
    config_write_layout,
    query_done_layout,
    query_layout,
    read_port_signature,
    read_response_layout,
    result_layout,
)
from ..skid import ReadyRegister
from .config_loader import IN_FLIGHT, ConfigLoader
from .entry_ends import EntryEnds
from .entry_fetcher import AHEAD, EntryFetcher
from .entry_starter import EntryStarter
from .query_cancel import QueryCancel
from .read_share import ReadShare

__all__ = ["FrontEnd"]

_INDEX_BITS = 16


class FrontEnd(wiring.Component):
    """Runs the entries of the submission ring: begins and completes them in order.

    ``EntryFetcher`` reads them ahead, ``EntryStarter`` checks them and begins their work: a LOAD
    goes to the ``ConfigLoader``, a QUERY to the core behind ``o_query``; NOP only completes. An
    entry that fails its check is completed with its status and touches nothing else. ``EntryEnds``
    writes results and completions.

    Queries run side by side, ``queries_at_once`` of them. The core numbers them in the order of
    ``o_query``, sends each one's results without others between them, and ends them in that order.
    Results are written as they come; a query is completed when its own writes are answered. A LOAD
    is begun when the queries before it are completed, a QUERY when the LOADs before it are.

    ``cancel`` (``QueryCancel``): a query at work is marked, ``cancelled`` tells the core, which may
    then give up what is left of it; in any case it ends in its turn, with CANCELLED and count 0. An
    entry that is not begun is refused when its turn comes. Others are not touched.

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
    doorbell_ignored
        The submission tail is beyond the ring.
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
    cancel, cancel_tag
        Pulse: cancel the query with this tag.
    cancel_pending, cancel_found, cancel_unknown
        The search is on; it found the query; there was none.
    cancelled
        Queries at work that are cancelled, a bit each.
    starting
        An entry is checked, a LOAD runs or a query is on its way to the core.
    busy, completion_full
        An entry is being worked on; a completion waits for room in the completion ring.
    completed, failed
        Pulses: a completion was written; its status was not OK, or writing it failed.
    query_completed, result_taken
        Pulses for counters.
    """

    TAKEN_LATENCY = 1
    """Cycles from the core's taking a query until it counts as begun."""

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
    doorbell_ignored: Signal
    window_base: Signal
    window_limit: Signal
    hold: Signal
    partition_bad: Signal
    running: Signal
    abandoned: Signal
    closing: Signal
    cancel: Signal
    cancel_tag: Signal
    cancel_pending: Signal
    cancel_found: Signal
    cancel_unknown: Signal
    cancelled: Signal
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
                "doorbell_ignored": Out(1),
                "window_base": In(address),
                "window_limit": In(address),
                "hold": In(1),
                "partition_bad": In(1),
                "running": Out(1),
                "abandoned": In(1),
                "closing": In(1),
                "cancel": In(1),
                "cancel_tag": In(32),
                "cancel_pending": Out(1),
                "cancel_found": Out(1),
                "cancel_unknown": Out(1),
                "cancelled": Out(1 << QUERY_BITS),
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
        m.submodules.ends = self._ends = EntryEnds(config=config)
        now = Signal(32)
        m.d.sync += now.eq(now + 1)
        m.d.comb += [self._starter.now.eq(now), self._ends.now.eq(now)]
        self._wire_rings(m)
        self._wire_entries(m)
        self._wire_ends(m)
        self._wire_cancel(m)
        self._share_reads(m)
        return m

    def _wire_rings(self, m: Module) -> None:
        """Places in both rings, and the events of completions."""
        fetcher, ends = self._fetcher, self._ends
        m.d.comb += [
            fetcher.base.eq(self.submission_base),
            fetcher.size.eq(self.submission_size),
            fetcher.tail.eq(self.submission_tail),
            self.doorbell_ignored.eq(fetcher.ignored),
            ends.base.eq(self.completion_base),
            ends.size.eq(self.completion_size),
            ends.head.eq(self.completion_head),
            self.completion_tail.eq(ends.tail),
            self.completion_full.eq(ends.full),
            self.completed.eq(ends.completed),
            self.failed.eq(ends.failed),
            self.query_completed.eq(ends.query),
        ]
        head = self.submission_head
        with m.If(ends.completed):
            m.d.sync += head.eq(Mux(head + 1 >= self.submission_size, 0, head + 1))

    def _wire_entries(self, m: Module) -> None:
        """From the fetcher to the work."""
        fetcher, starter, loader, ends = self._fetcher, self._starter, self._loader, self._ends
        wiring.connect(m, fetcher.o, starter.i)
        wiring.connect(m, starter.o_load, loader.i)
        # Whether the core takes a query comes from deep in it: the starter hears of it a cycle
        # late (``TAKEN_LATENCY``).
        taken = Signal(name="query_taken")
        m.d.sync += taken.eq(self.o_query.valid & self.o_query.ready)
        m.d.comb += [
            self.o_query.payload.eq(starter.o_query.payload),
            self.o_query.valid.eq(starter.o_query.valid & ~self.abandoned & ~taken),
            starter.o_query.ready.eq(taken),
        ]
        for name in ("window_base", "window_limit", "partition_bad", "hold"):
            m.d.comb += getattr(starter, name).eq(getattr(self, name))
        m.d.comb += [
            starter.config_write.eq(loader.config_write),
            starter.loading.eq(loader.busy),
            starter.place_free.eq(ends.place_free),
            starter.places_idle.eq(ends.places_idle),
            self.config_write.eq(loader.config_write),
            self.starting.eq((starter.starting & ~taken) | loader.busy),
            self.busy.eq(~starter.waiting | fetcher.busy | ends.busy),
        ]

    def _wire_ends(self, m: Module) -> None:
        """From the work to results and completions."""
        starter, loader, ends = self._starter, self._loader, self._ends
        wiring.connect(m, starter.o_record, ends.i_record)
        wiring.connect(m, wiring.flipped(self.i_result), ends.i_result)
        wiring.connect(m, wiring.flipped(self.i_done), ends.i_done)
        wiring.connect(m, ends.write, wiring.flipped(self.write))
        for name in ("begin", "result", "tag"):
            m.d.comb += getattr(ends, name).eq(getattr(starter, name))
        for name in ("abandoned", "closing"):
            m.d.comb += getattr(ends, name).eq(getattr(self, name))
        m.d.comb += [
            ends.loaded.eq(loader.done),
            ends.load_error.eq(loader.error),
            self.running.eq(~ends.places_idle),
            self.result_taken.eq(self.i_result.valid & self.i_result.ready),
        ]

    def _wire_cancel(self, m: Module) -> None:
        """The search goes through entries not begun and queries at work."""
        starter, ends = self._starter, self._ends
        m.submodules.cancel = search = QueryCancel()
        m.d.comb += [
            starter.searching.eq(search.steady),
            starter.wanted.eq(search.wanted),
            ends.searching.eq(search.steady),
            ends.wanted.eq(search.wanted),
            search.begun.eq(starter.o_record.valid & starter.o_record.ready),
            search.go.eq(self.cancel),
            search.tag.eq(self.cancel_tag),
            search.submitted.eq(self._fetcher.end),
            search.size.eq(self.submission_size),
            search.hit.eq(ends.hit),
            search.refused.eq(starter.refused),
            self.cancel_pending.eq(search.searching),
            self.cancel_found.eq(search.found),
            self.cancel_unknown.eq(search.unknown),
            self.cancelled.eq(ends.marked),
        ]

    def _share_reads(self, m: Module) -> None:
        """Read port: the fetcher's entries go before the loader's words."""
        fetcher, loader = self._fetcher, self._loader.memory
        m.submodules.reads = reads = ReadShare(config=self._config, bursts=AHEAD + IN_FLIGHT)
        wiring.connect(m, fetcher.request, reads.first)
        wiring.connect(m, reads.to_first, fetcher.i)
        wiring.connect(m, loader.request, reads.second)
        wiring.connect(m, reads.to_second, loader.response)
        # Whether an entry or a word can be taken must not reach the crossbar in its cycle.
        m.submodules.beats = beats = ReadyRegister(shape=read_response_layout(self._config))
        wiring.connect(m, reads.memory.request, wiring.flipped(self.memory.request))
        wiring.connect(m, wiring.flipped(self.memory.response), beats.i)
        wiring.connect(m, beats.o, reads.memory.response)
