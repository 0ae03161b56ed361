"""Works the rings: fetches entries, runs them in order, writes completions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
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
from ..program import COMPLETION, SUBMISSION, Opcode, Status
from ..queue import Queue
from .completion_ring import CompletionRing
from .config_loader import IN_FLIGHT, TASKS, ConfigLoader
from .entry_fetcher import AHEAD, EntryFetcher
from .read_share import ReadShare
from .result_writer import ResultWriter
from .submission_check import SubmissionCheck

__all__ = ["FrontEnd"]

_INDEX_BITS = 16
_RECORD = data.StructLayout(
    {
        "tag": unsigned(32),
        "opcode": unsigned(8),
        "status": unsigned(8),
        "since": unsigned(32),
        "load": 1,
    }
)
"""An entry whose completion is to be written, after its LOAD if it has one."""


class FrontEnd(wiring.Component):
    """Runs the entries of the submission ring in order.

    ``EntryFetcher`` reads them ahead. Each is checked (``SubmissionCheck``); a LOAD then goes to
    the ``ConfigLoader``, which works on several, a QUERY to the dispatcher behind ``o_query``. NOP
    only completes. An entry that fails a check is completed with its status and touches nothing
    else; one that cannot be read is completed with BUS_ERROR, tag 0 and opcode 0. Completions are
    written in the order of the entries (``CompletionRing``).

    A QUERY is begun when all before it are completed: LOADs are in place then. Its results of
    ``i_result`` are written at ``result`` while the dispatcher works. It ends when ``i_done`` has
    come, ``count`` results have come and all writes are answered. A write error turns status OK
    into BUS_ERROR.

    Rings: indices run 0 .. size - 1; empty when tail equals head, full when one slot is left. With
    a full completion ring the device waits for the host. A submission tail that is not below the
    size counts as empty ring, so a bad setting waits and does not run wild.

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
        Dispatcher: query out, results in, end of query in.
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
    starting
        An entry is checked, a LOAD runs or a query is on its way to the dispatcher.
    lookups, hits, look_ahead_hits, misses
        Running counts, wrapping; a completion carries their growth during its query.
    busy, completion_full
        An entry is being worked on; it waits for room in the completion ring.
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
    starting: Signal
    lookups: Signal
    hits: Signal
    look_ahead_hits: Signal
    misses: Signal
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
                "starting": Out(1),
                "lookups": In(32),
                "hits": In(32),
                "look_ahead_hits": In(32),
                "misses": In(32),
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
        self._entry: Any = Signal(SUBMISSION)
        self._since = Signal(32)  # when the entry came
        self._now = Signal(32)
        self._status = Signal(8)  # of the check, or of the entry itself
        self._query: Any = Signal(COMPLETION)  # of a query, built up while it runs
        self._write_error = Signal()
        m.submodules.fetcher = self._fetcher = EntryFetcher(config=config)
        m.submodules.check = self._check = SubmissionCheck(config=config)
        m.submodules.loader = self._loader = ConfigLoader(config=config)
        m.submodules.results = self._results = ResultWriter(config=config)
        m.submodules.ring = self._ring = CompletionRing(config=config)
        # As many entries as LOADs can be under way.
        m.submodules.records = self._records = Queue(shape=_RECORD, depth=TASKS)
        m.submodules.loaded = self._loaded = Queue(shape=1, depth=TASKS)
        m.d.sync += self._now.eq(self._now + 1)
        self._wire(m)
        self._wire_rings(m)
        with m.FSM(name="state") as fsm:
            self._entry_states(m)
            self._run_states(m)
            self._query_states(m)
        self._complete(m, fsm.ongoing("REPORT"))
        self._share_reads(m)
        self._share_writes(m, fsm.ongoing("RUN") | fsm.ongoing("DRAIN"))
        at_work = Cat(fsm.ongoing(s) for s in ("CHECK", "LOAD", "QUERY")).any()
        waiting = fsm.ongoing("ENTRY") & ~self._fetcher.busy
        m.d.comb += [
            self.starting.eq(at_work | self._loader.busy),
            self.busy.eq(~waiting | (self._records.level != 0) | self._ring.busy),
        ]
        return m

    def _wire(self, m: Module) -> None:
        """What holds in every state."""
        entry = self._entry
        load = self._loader.i.payload
        query = self.o_query.payload
        m.d.comb += [
            self._check.entry.eq(entry),
            self._check.window_base.eq(self.window_base),
            self._check.window_limit.eq(self.window_limit),
            self._check.config_write.eq(self._loader.config_write),
            self._check.partition_bad.eq(self.partition_bad),
            self.config_write.eq(self._loader.config_write),
            load.address.eq(entry.address),
            load.words.eq(entry.items),
            load.target.eq(entry.target),
            load.unit.eq(entry.unit),
            load.start.eq(entry.start),
            query.pipeline.eq(entry.pipeline),
            query.items.eq(entry.items),
            query.keep.eq(entry.keep),
            query.records.eq(entry.address),
            query.policy.eq(entry.flags.policy),
            query.bins.eq(entry.flags.bins),
            query.sub_batches.eq(entry.flags.sub_batches_less_one + 1),
            self._results.address.eq(entry.result),
            self._results.count.eq(self._query.count),
            self.result_taken.eq(self.i_result.valid & self.i_result.ready),
        ]
        wiring.connect(m, wiring.flipped(self.i_result), self._results.i)
        with m.If(self.write.error):
            m.d.sync += self._write_error.eq(1)

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
            ring.answered.eq(self.write.answered),
            ring.error.eq(self.write.error),
            self.completion_tail.eq(ring.tail),
            self.completion_full.eq(ring.full),
            self.completed.eq(ring.completed),
            self.failed.eq(ring.failed),
            self.query_completed.eq(ring.query),
        ]
        head = self.submission_head
        with m.If(ring.completed):
            m.d.sync += head.eq(Mux(head + 1 >= self.submission_size, 0, head + 1))

    def _share_reads(self, m: Module) -> None:
        """Read port: the fetcher's entries go before the loader's words."""
        fetcher, loader = self._fetcher, self._loader.memory
        m.submodules.reads = reads = ReadShare(config=self._config, bursts=AHEAD + IN_FLIGHT)
        wiring.connect(m, fetcher.request, reads.first)
        wiring.connect(m, reads.to_first, fetcher.i)
        wiring.connect(m, loader.request, reads.second)
        wiring.connect(m, reads.to_second, loader.response)
        wiring.connect(m, reads.memory, wiring.flipped(self.memory))

    def _share_writes(self, m: Module, results: Value) -> None:
        """Write port: results of a query, else completions; never both at a time."""
        for name in ("request", "data"):
            port = getattr(self.write, name)
            for source, active in ((self._results, results), (self._ring, ~results)):
                inner = getattr(source, name)
                with m.If(active):
                    m.d.comb += [
                        port.payload.eq(inner.payload),
                        port.valid.eq(inner.valid),
                        inner.ready.eq(port.ready),
                    ]

    def _entry_states(self, m: Module) -> None:
        """An entry comes and is checked."""
        entry = self._entry
        bad = Signal()  # some beat of the entry had an error
        beats = self._fetcher.o
        beat = beats.payload
        alone = ~(self._loader.busy | (self._records.level != 0) | self._ring.busy)
        with m.State("ENTRY"):
            m.d.comb += beats.ready.eq(1)
            with m.If(beats.valid):
                shifted = Cat(entry.as_value(), beat.data)[self._config.axi_data_bits :]
                m.d.sync += [entry.eq(shifted), bad.eq(bad | beat.error), self._since.eq(self._now)]
                with m.If(beat.last):
                    m.next = "START"
        with m.State("START"):
            m.d.sync += [bad.eq(0), self._status.eq(Status.BUS_ERROR)]
            with m.If(bad):
                m.d.sync += [entry.tag.eq(0), entry.opcode.eq(0)]
                m.next = "RECORD"
            with m.Elif(~self.hold & ((entry.opcode != Opcode.QUERY) | alone)):
                m.d.comb += self._check.start.eq(1)
                m.next = "CHECK"
        with m.State("CHECK"):
            m.d.sync += self._status.eq(self._check.status)
            with m.If(self._check.done):
                m.next = "RECORD"
                with m.If(self._check.status == Status.OK):
                    with m.If(entry.opcode == Opcode.LOAD):
                        m.next = "LOAD"
                    with m.Elif(entry.opcode == Opcode.QUERY):
                        m.next = "QUERY"

    def _run_states(self, m: Module) -> None:
        """LOADs to the loader; all entries but queries that ran become records."""
        records, entry = self._records.i, self._entry
        running = Signal()
        m.d.comb += [
            records.payload.tag.eq(entry.tag),
            records.payload.opcode.eq(entry.opcode),
            records.payload.status.eq(self._status),
            records.payload.since.eq(self._since),
            records.payload.load.eq(running),
        ]
        with m.State("LOAD"):
            m.d.comb += [
                running.eq(1),
                self._loader.i.valid.eq(records.ready),
                records.valid.eq(self._loader.i.ready),
            ]
            with m.If(records.ready & self._loader.i.ready):
                m.next = "ENTRY"
        with m.State("RECORD"):
            m.d.comb += records.valid.eq(1)
            with m.If(records.ready):
                m.next = "ENTRY"

    def _query_states(self, m: Module) -> None:
        query, entry = self._query, self._entry
        counters = ("lookups", "hits", "look_ahead_hits", "misses")
        before = {name: Signal(32, name=f"{name}_before") for name in counters}
        with m.State("QUERY"):
            m.d.comb += self.o_query.valid.eq(1)
            m.d.sync += [
                query.eq(0),
                query.tag.eq(entry.tag),
                query.opcode.eq(entry.opcode),
                self._write_error.eq(0),
            ]
            with m.If(self.o_query.ready):
                m.d.comb += self._results.start.eq(1)
                m.d.sync += [before[name].eq(getattr(self, name)) for name in counters]
                m.next = "RUN"
        with m.State("RUN"):
            m.d.comb += self.i_done.ready.eq(1)
            with m.If(self.i_done.valid):
                done = self.i_done.payload
                m.d.sync += [
                    query.status.eq(done.status),
                    query.count.eq(done.count),
                    query.stage_cycles.eq(done.stage_cycles),
                ]
                m.next = "DRAIN"
        with m.State("DRAIN"):
            m.d.comb += self._results.end.eq(1)
            m.d.sync += [
                getattr(query, name).eq(getattr(self, name) - before[name]) for name in counters
            ]
            with m.If(self._results.done & self.write.idle):
                m.next = "REPORT"
        with m.State("REPORT"):
            with m.If(self._ring.i.ready):
                m.next = "ENTRY"

    def _complete(self, m: Module, report: Value) -> None:
        """Completions into the ring: of a query, or of the oldest record."""
        out, record, loaded = self._ring.i, self._records.o, self._loaded.o
        completion = out.payload
        ready = record.valid & (~record.payload.load | loaded.valid)
        m.d.comb += [
            self._loaded.i.valid.eq(self._loader.done),
            self._loaded.i.payload.eq(self._loader.error),
            out.valid.eq(report | ready),
        ]
        with m.If(report):
            m.d.comb += [completion.eq(self._query), completion.cycles.eq(self._now - self._since)]
            # A result that could not be written; a worse status of the query stays.
            with m.If(self._write_error & (self._query.status == Status.OK)):
                m.d.comb += completion.status.eq(Status.BUS_ERROR)
        with m.Else():
            m.d.comb += [
                completion.tag.eq(record.payload.tag),
                completion.opcode.eq(record.payload.opcode),
                completion.status.eq(record.payload.status),
                completion.cycles.eq(self._now - record.payload.since),
                record.ready.eq(out.ready & ready),
                loaded.ready.eq(out.ready & record.valid & record.payload.load),
            ]
            with m.If(record.payload.load & loaded.payload):
                m.d.comb += completion.status.eq(Status.BUS_ERROR)
