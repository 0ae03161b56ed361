"""Completions of entries, in the order of the entries."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import query_done_layout
from ..program import COMPLETION, Status
from ..queue import Queue
from ..skid import StreamRegister
from .config_loader import TASKS

__all__ = ["RECORDS", "Completions", "record_layout"]

RECORDS = 2 * TASKS
"""Entries begun and not completed: the LOADs or queries at work, as many again between them."""
_COUNTS = ("lookups", "hits", "look_ahead_hits", "misses", "merged")


def record_layout() -> data.StructLayout:
    """An entry whose completion is to come, after its LOAD or its query if it has one."""
    return data.StructLayout(
        {
            "tag": unsigned(32),
            "opcode": unsigned(8),
            "status": unsigned(8),
            "since": unsigned(32),
            "load": 1,
            "query": 1,
        }
    )


class Completions(wiring.Component):
    """Makes each entry's completion when all before it are made and its work is done.

    A LOAD is done with the loader's pulse. A query is done when its ``i_done`` has come and all its
    results are written and answered; a write error turns its status OK into BUS_ERROR. A query that
    is cancelled by then gets CANCELLED and count 0, unless the core refused it. Two ends of queries
    are held: the core need not wait for the writes of a query.

    Latency from the last thing waited for to ``o``: 1 cycle for ``i_done``,
    ``Queue.BUFFERED_LATENCY`` for a LOAD, 1 more for an entry's record, 0 for writes. A place for a
    record is seen ``ROOM_LATENCY`` cycles after a completion is taken.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    now
        Time.
    i_record
        Entries, in order, with two cycles or more between two. All but ``load`` and ``query``
        stands for a cycle more.
    loaded, load_error
        The oldest LOAD is done; with it: its words had an error.
    i_done
        Ends of queries, in order.
    writing
        The result writer has results of the oldest query at work.
    written, write_error, cancelled, query_end
        Of the same query: all bursts asked for are answered; one of them had an error; it is
        cancelled. Pulse: it is completed.
    o
        Completions; while one waits, ``cycles`` runs on and a query may still be cancelled.
        ``phase`` is 0. ``ready`` is up only while ``valid`` is (``CompletionRing``).
    taking
        ``o`` is taken in the next cycle.
    busy
        Some entry is not completed.
    """

    ROOM_LATENCY = 2

    now: Signal
    i_record: stream.Interface
    loaded: Signal
    load_error: Signal
    i_done: stream.Interface
    writing: Signal
    written: Signal
    write_error: Signal
    cancelled: Signal
    query_end: Signal
    o: stream.Interface
    taking: Signal
    busy: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "now": In(32),
                "i_record": In(stream.Signature(record_layout())),
                "loaded": In(1),
                "load_error": In(1),
                "i_done": In(stream.Signature(query_done_layout(config))),
                "writing": In(1),
                "written": In(1),
                "write_error": In(1),
                "cancelled": In(1),
                "query_end": Out(1),
                "o": Out(stream.Signature(COMPLETION)),
                "taking": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.records = records = Queue(shape=record_layout(), depth=RECORDS)
        # Any record may be that of a LOAD that is done.
        m.submodules.loads = loads = Queue(shape=1, depth=RECORDS)
        # One is completed while the core gets rid of the next.
        m.submodules.ends = ends = StreamRegister(shape=query_done_layout(self._config))
        # A cycle late, both ways: two entries are never begun so soon after each other, and the
        # entry still stands.
        came, is_load, is_query = Signal(), Signal(), Signal()
        m.d.sync += [
            self.i_record.ready.eq(records.i.ready),
            came.eq(self.i_record.valid & self.i_record.ready),
            is_load.eq(self.i_record.payload.load),
            is_query.eq(self.i_record.payload.query),
        ]
        m.d.comb += [
            records.i.payload.eq(self.i_record.payload),
            records.i.payload.load.eq(is_load),
            records.i.payload.query.eq(is_query),
            records.i.valid.eq(came),
        ]
        wiring.connect(m, wiring.flipped(self.i_done), ends.i)
        record, end, out = records.o.payload, ends.o.payload, self.o.payload
        through = Signal()  # the work of the oldest entry is done
        status = Signal(8)
        count = Signal(32)
        taken = Signal()
        # A register beside ``taken``: the record has many to tell what it is.
        m.d.sync += self.query_end.eq(self.taking & record.query)
        m.d.comb += [
            loads.i.valid.eq(self.loaded),
            loads.i.payload.eq(self.load_error),
            through.eq(1),
            status.eq(record.status),
            self.o.valid.eq(records.o.valid & through),
            taken.eq(self.o.ready),
            records.o.ready.eq(taken),
            loads.o.ready.eq(taken & record.load),
            ends.o.ready.eq(self.query_end),
            self.busy.eq((records.level != 0) | came),
            out.tag.eq(record.tag),
            out.opcode.eq(record.opcode),
            out.status.eq(status),
            out.cycles.eq(self.now - record.since),
            out.count.eq(count),
            out.stage_cycles.eq(Mux(record.query, end.stage_cycles.as_value(), 0)),
            *(out[name].eq(Mux(record.query, end[name], 0)) for name in _COUNTS),
        ]
        with m.If(record.load):
            m.d.comb += through.eq(loads.o.valid)
            with m.If(loads.o.payload):
                m.d.comb += status.eq(Status.BUS_ERROR)
        with m.If(record.query):
            m.d.comb += [
                through.eq(ends.o.valid & self.written & ~self.writing),
                status.eq(end.status),
                count.eq(end.count),
            ]
            with m.Switch(end.status):
                with m.Case(Status.OK, Status.BAD_ID, Status.BUS_ERROR):
                    with m.If(self.cancelled):
                        m.d.comb += [status.eq(Status.CANCELLED), count.eq(0)]
                    with m.Elif(self.write_error & (end.status == Status.OK)):
                        m.d.comb += status.eq(Status.BUS_ERROR)
        return m
