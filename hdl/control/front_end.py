"""Works the rings: fetches entries, runs them one after the other, writes completions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
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
from ..program import COMPLETION, SUBMISSION, SUBMISSION_BYTES, Opcode, Status
from .config_loader import ConfigLoader
from .entry_writer import EntryWriter
from .result_writer import ResultWriter
from .submission_check import SubmissionCheck

__all__ = ["FrontEnd"]

_ENTRY_SHIFT = SUBMISSION_BYTES.bit_length() - 1
_INDEX_BITS = 16


class FrontEnd(wiring.Component):
    """Runs the entries of the submission ring in order, one at a time.

    For each entry: fetch, check (``SubmissionCheck``), then LOAD by ``ConfigLoader`` or QUERY by
    the dispatcher behind ``o_query``; then the completion. NOP only completes. An entry that fails
    a check is completed with its status and touches nothing else. An entry that cannot be read is
    completed with BUS_ERROR, tag 0 and opcode 0.

    QUERY: results of ``i_result`` are written at ``result`` while the dispatcher works. The query
    ends when ``i_done`` has come, ``count`` results have come and all writes are answered. A write
    error turns status OK into BUS_ERROR. The completion is written after that, and its tail
    and event follow when that write is answered too: the host finds everything in place.

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
        self._completion: Any = Signal(COMPLETION)  # built up while the entry is worked on
        self._final: Any = Signal(COMPLETION)  # as it is written
        self._phase = Signal(init=1)
        self._pending = Signal()  # the submission ring holds an entry
        self._next_head = Signal(_INDEX_BITS)
        self._next_tail = Signal(_INDEX_BITS)
        self._write_error = Signal()
        m.submodules.check = self._check = SubmissionCheck(config=config)
        m.submodules.loader = self._loader = ConfigLoader(config=config)
        m.submodules.results = self._results = ResultWriter(config=config)
        m.submodules.completion = self._writer = EntryWriter(config=config)
        self._wire(m)
        self._wire_rings(m)
        with m.FSM(name="state") as fsm:
            self._fetch_states(m)
            self._load_states(m)
            self._query_states(m)
            self._completion_states(m)
        fetching = fsm.ongoing("FETCH") | fsm.ongoing("ENTRY")
        self._share_ports(m, fetching, fsm.ongoing("COMPLETE"))
        m.d.comb += [
            self.busy.eq(~fsm.ongoing("IDLE")),
            self.starting.eq(
                Cat(fsm.ongoing(s) for s in ("CHECK", "LOAD", "LOADING", "QUERY")).any()
            ),
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
            self._results.address.eq(entry.result),
            self._results.count.eq(self._completion.count),
            self.result_taken.eq(self.i_result.valid & self.i_result.ready),
        ]
        wiring.connect(m, wiring.flipped(self.i_result), self._results.i)
        with m.If(self.write.error):
            m.d.sync += self._write_error.eq(1)
        m.d.sync += self._completion.cycles.eq(self._completion.cycles + 1)

    def _wire_rings(self, m: Module) -> None:
        """Ring positions and the completion as it will be written."""
        tail, head = self.completion_tail, self.submission_head
        completion, final = self._completion, self._final
        m.d.comb += [
            self._pending.eq(
                (self.submission_tail != head) & (self.submission_tail < self.submission_size)
            ),
            self._next_head.eq(Mux(head + 1 >= self.submission_size, 0, head + 1)),
            self._next_tail.eq(Mux(tail + 1 >= self.completion_size, 0, tail + 1)),
            final.eq(completion),
            final.phase.eq(self._phase),
            self._writer.i.payload.entry.eq(final),
            self._writer.i.payload.address.eq(
                (self.completion_base[_ENTRY_SHIFT:] + tail) << _ENTRY_SHIFT
            ),
        ]
        # A result that could not be written; a worse status of the query stays.
        with m.If(self._write_error & (completion.status == Status.OK)):
            m.d.comb += final.status.eq(Status.BUS_ERROR)

    def _share_ports(self, m: Module, fetching: Any, completing: Any) -> None:
        """Read port: entry fetch or loader. Write port: results or completion."""
        config = self._config
        memory, loader = self.memory, self._loader.memory
        fetch_beats = SUBMISSION_BYTES // config.axi_bytes
        entry_address = self.submission_base[_ENTRY_SHIFT:] + self.submission_head
        with m.If(fetching):
            m.d.comb += [
                memory.request.payload.address.eq(entry_address << _ENTRY_SHIFT),
                memory.request.payload.beats.eq(fetch_beats - 1),
            ]
        with m.Else():
            m.d.comb += [
                memory.request.payload.eq(loader.request.payload),
                memory.request.valid.eq(loader.request.valid),
                loader.request.ready.eq(memory.request.ready),
                loader.response.valid.eq(memory.response.valid),
                memory.response.ready.eq(loader.response.ready),
            ]
        m.d.comb += loader.response.payload.eq(memory.response.payload)
        for name in ("request", "data"):
            port = getattr(self.write, name)
            for source, active in ((self._writer, completing), (self._results, ~completing)):
                inner = getattr(source, name)
                with m.If(active):
                    m.d.comb += [
                        port.payload.eq(inner.payload),
                        port.valid.eq(inner.valid),
                        inner.ready.eq(port.ready),
                    ]

    def _fetch_states(self, m: Module) -> None:
        memory = self.memory
        bad = Signal()  # some beat of the entry had an error
        completion = self._completion
        with m.State("IDLE"):
            m.d.sync += [completion.eq(0), self._write_error.eq(0), bad.eq(0)]
            with m.If(self._pending):
                m.next = "FETCH"
        with m.State("FETCH"):
            m.d.comb += memory.request.valid.eq(1)
            with m.If(memory.request.ready):
                m.next = "ENTRY"
        with m.State("ENTRY"):
            m.d.comb += memory.response.ready.eq(1)
            with m.If(memory.response.valid):
                beat = memory.response.payload
                shifted = Cat(self._entry.as_value(), beat.data)[self._config.axi_data_bits :]
                m.d.sync += [self._entry.eq(shifted), bad.eq(bad | beat.error)]
                with m.If(beat.last & (bad | beat.error)):
                    m.d.sync += completion.status.eq(Status.BUS_ERROR)
                    m.next = "SPACE"
                with m.Elif(beat.last):
                    m.next = "START"

    def _load_states(self, m: Module) -> None:
        """Check, then LOAD."""
        entry, completion = self._entry, self._completion
        with m.State("START"):
            m.d.sync += [completion.tag.eq(entry.tag), completion.opcode.eq(entry.opcode)]
            with m.If(~self.hold):
                m.d.comb += self._check.start.eq(1)
                m.next = "CHECK"
        with m.State("CHECK"):
            with m.If(self._check.done):
                m.d.sync += completion.status.eq(self._check.status)
                m.next = "SPACE"
                with m.If(self._check.status == Status.OK):
                    with m.If(entry.opcode == Opcode.LOAD):
                        m.next = "LOAD"
                    with m.Elif(entry.opcode == Opcode.QUERY):
                        m.next = "QUERY"
        with m.State("LOAD"):
            m.d.comb += self._loader.i.valid.eq(1)
            with m.If(self._loader.i.ready):
                m.next = "LOADING"
        with m.State("LOADING"):
            with m.If(self._loader.done):
                with m.If(self._loader.error):
                    m.d.sync += completion.status.eq(Status.BUS_ERROR)
                m.next = "SPACE"

    def _query_states(self, m: Module) -> None:
        completion = self._completion
        counters = ("lookups", "hits", "look_ahead_hits", "misses")
        before = {name: Signal(32, name=f"{name}_before") for name in counters}
        with m.State("QUERY"):
            m.d.comb += self.o_query.valid.eq(1)
            with m.If(self.o_query.ready):
                m.d.comb += self._results.start.eq(1)
                m.d.sync += [before[name].eq(getattr(self, name)) for name in counters]
                m.next = "RUN"
        with m.State("RUN"):
            m.d.comb += self.i_done.ready.eq(1)
            with m.If(self.i_done.valid):
                done = self.i_done.payload
                m.d.sync += [
                    completion.status.eq(done.status),
                    completion.count.eq(done.count),
                    completion.stage_cycles.eq(done.stage_cycles),
                ]
                m.next = "DRAIN"
        with m.State("DRAIN"):
            m.d.comb += self._results.end.eq(1)
            m.d.sync += [
                getattr(completion, name).eq(getattr(self, name) - before[name])
                for name in counters
            ]
            with m.If(self._results.done & self.write.idle):
                m.next = "SPACE"

    def _completion_states(self, m: Module) -> None:
        completion = self._completion
        tail, head = self.completion_tail, self.submission_head
        next_tail, next_head = self._next_tail, self._next_head
        written = Signal()  # the writer has taken the completion
        with m.State("SPACE"):
            m.d.comb += self.completion_full.eq(next_tail == self.completion_head)
            m.d.sync += written.eq(0)
            with m.If(~self.completion_full):
                m.next = "COMPLETE"
        with m.State("COMPLETE"):
            m.d.comb += self._writer.i.valid.eq(~written)
            with m.If(~written & self._writer.i.ready):
                m.d.sync += [written.eq(1), completion.status.eq(self._final.status)]
                m.d.sync += self._write_error.eq(0)
            with m.Elif(written & self._writer.i.ready & self.write.idle):
                m.next = "FINISH"
        with m.State("FINISH"):
            m.d.comb += [
                self.completed.eq(1),
                self.failed.eq((completion.status != Status.OK) | self._write_error),
                self.query_completed.eq(completion.opcode == Opcode.QUERY),
            ]
            m.d.sync += [tail.eq(next_tail), head.eq(next_head)]
            with m.If(next_tail == 0):
                m.d.sync += self._phase.eq(~self._phase)
            m.next = "IDLE"
