"""Checks entries and begins them, one after the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, query_layout
from ..program import SUBMISSION, Opcode, Status
from .completions import record_layout
from .config_loader import load_layout
from .entry_fetcher import entry_beat_layout
from .submission_check import SubmissionCheck

__all__ = ["EntryStarter"]


class EntryStarter(wiring.Component):
    """Takes entries in order; each gets its record and what work it asks for is begun.

    An entry that fails its check gets a record with its status and touches nothing else; one that
    could not be read gets BUS_ERROR, tag 0 and opcode 0. LOADs are begun while others run, queries
    while others run. A LOAD waits for the completion of the queries before it, a query until the
    words of the LOADs before it are in place.

    Latency from an entry's last beat to ``o_load`` or ``o_query``: 2 + ``SubmissionCheck.LATENCY``
    cycles.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    now
        Time.
    i
        Beats of entries.
    config_write, window_base, window_limit, partition_bad
        See ``SubmissionCheck``.
    hold
        No entry is begun: a change of partition is pending.
    loading
        A LOAD is under way.
    place_free, places_idle
        One more query may be at work; none is.
    searching, wanted, refused
        A QUERY with the tag ``wanted``, which was the same in the cycle before, is cancelled, not
        begun; pulse: this one is.
    o_load, o_query
        Work begun.
    begin, result, tag
        Pulse: a query is begun; where its results go; its tag.
    o_record
        Entries begun or refused.
    starting
        An entry is checked or on its way to loader or core.
    waiting
        Nothing of an entry is held.
    """

    now: Signal
    i: stream.Interface
    config_write: Any
    window_base: Signal
    window_limit: Signal
    partition_bad: Signal
    hold: Signal
    loading: Signal
    place_free: Signal
    places_idle: Signal
    searching: Signal
    wanted: Signal
    refused: Signal
    o_load: stream.Interface
    o_query: stream.Interface
    begin: Signal
    result: Signal
    tag: Signal
    o_record: stream.Interface
    starting: Signal
    waiting: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "now": In(32),
                "i": In(stream.Signature(entry_beat_layout(config))),
                "config_write": In(config_write_layout(config)),
                "window_base": In(config.address_bits),
                "window_limit": In(config.address_bits),
                "partition_bad": In(1),
                "hold": In(1),
                "loading": In(1),
                "place_free": In(1),
                "places_idle": In(1),
                "searching": In(1),
                "wanted": In(32),
                "refused": Out(1),
                "o_load": Out(stream.Signature(load_layout(config))),
                "o_query": Out(stream.Signature(query_layout(config))),
                "begin": Out(1),
                "result": Out(config.address_bits),
                "tag": Out(32),
                "o_record": Out(stream.Signature(record_layout())),
                "starting": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = SubmissionCheck(config=self._config)
        self._check = check
        entry: Any = Signal(SUBMISSION)
        self._entry = entry
        self._status = Signal(8)  # of the check, or of the entry itself
        self._since = Signal(32)  # when the entry came
        self._meant = Signal()  # the entry has the tag that is wanted
        m.d.sync += self._meant.eq(entry.tag == self.wanted)
        for name in ("config_write", "window_base", "window_limit", "partition_bad"):
            m.d.comb += getattr(check, name).eq(getattr(self, name))
        m.d.comb += check.entry.eq(self._entry)
        self._wire_outputs(m)
        with m.FSM(name="state") as fsm:
            self._entry_states(m)
            self._begin_states(m)
        m.d.comb += [
            self.starting.eq(Cat(fsm.ongoing(s) for s in ("CHECK", "LOAD", "QUERY")).any()),
            self.waiting.eq(fsm.ongoing("ENTRY")),
        ]
        return m

    def _wire_outputs(self, m: Module) -> None:
        """What the entry's fields become."""
        entry = self._entry
        load, query, record = (x.payload for x in (self.o_load, self.o_query, self.o_record))
        m.d.comb += [
            load.address.eq(entry.address),
            load.words.eq(entry.items),
            load.target.eq(entry.target),
            load.unit.eq(entry.unit),
            load.units.eq(entry.units),
            load.start.eq(entry.start),
            query.pipeline.eq(entry.pipeline),
            query.items.eq(entry.items),
            query.keep.eq(entry.keep),
            query.records.eq(entry.address),
            query.policy.eq(entry.flags.policy),
            query.bins.eq(entry.flags.bins),
            query.sub_batches.eq(entry.flags.sub_batches_less_one + 1),
            self.result.eq(entry.result),
            self.tag.eq(entry.tag),
            record.tag.eq(entry.tag),
            record.opcode.eq(entry.opcode),
            record.status.eq(self._status),
            record.since.eq(self._since),
        ]

    def _entry_states(self, m: Module) -> None:
        """An entry comes, waits for what must be done before it, and is checked."""
        entry = self._entry
        beat = self.i.payload
        bad = Signal()  # some beat of the entry had an error
        is_query, is_load = entry.opcode == Opcode.QUERY, entry.opcode == Opcode.LOAD
        free = Mux(is_query, self.place_free & ~self.loading, self.places_idle | ~is_load)
        with m.State("ENTRY"):
            m.d.comb += self.i.ready.eq(1)
            with m.If(self.i.valid):
                shifted = Cat(entry.as_value(), beat.data)[self._config.axi_data_bits :]
                m.d.sync += [entry.eq(shifted), bad.eq(bad | beat.error), self._since.eq(self.now)]
                with m.If(beat.last):
                    m.next = "START"
        with m.State("START"):
            m.d.sync += [bad.eq(0), self._status.eq(Status.BUS_ERROR)]
            with m.If(bad):
                m.d.sync += [entry.tag.eq(0), entry.opcode.eq(0)]
                m.next = "RECORD"
            with m.Elif(~self.hold & free):
                m.d.comb += self._check.start.eq(1)
                m.next = "CHECK"
        was_query, was_load = Signal(), Signal()  # a register: the entry stands
        m.d.sync += [was_query.eq(is_query), was_load.eq(is_load)]
        with m.State("CHECK"):
            m.d.sync += self._status.eq(self._check.status)
            with m.If(self._check.done):
                m.next = "RECORD"
                with m.If(self._check.status == Status.OK):
                    with m.If(was_load):
                        m.next = "LOAD"
                    with m.Elif(was_query & self.searching & self._meant):
                        m.d.comb += self.refused.eq(1)
                        m.d.sync += self._status.eq(Status.CANCELLED)
                    with m.Elif(was_query):
                        m.next = "QUERY"

    def _begin_states(self, m: Module) -> None:
        """The work and its record go in one cycle."""
        records = self.o_record
        for name, work, mark in (
            ("LOAD", self.o_load, records.payload.load),
            ("QUERY", self.o_query, records.payload.query),
        ):
            with m.State(name):
                m.d.comb += [
                    mark.eq(1),
                    work.valid.eq(records.ready),
                    records.valid.eq(work.ready),
                ]
                with m.If(records.ready & work.ready):
                    m.d.comb += self.begin.eq(name == "QUERY")
                    m.next = "ENTRY"
        with m.State("RECORD"):
            m.d.comb += records.valid.eq(1)
            with m.If(records.ready):
                m.next = "ENTRY"
