"""Lets queries in: checks them, gives them contexts and room, opens their stages."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, query_layout
from ..program import Status
from ..ranking.divider import Divider
from ..ranking.funnel_layouts import CONTEXT_BITS, open_layout
from .layouts import admitted_layout, context_layout
from .pipeline_table import PipelineTable
from .query_check import QueryCheck, region_words

__all__ = ["Admission"]


class Admission(wiring.Component):
    """Takes queries in order, one at a time, as long as there is room for them.

    A query gets the next number of a ring of ``queries_in_flight``; a query that passes the check
    (``QueryCheck``) gets as many contexts as it has stages, from a ring too, the last stage first,
    and for each stage a region of the candidate memory, again from a ring. Whatever is used up is
    waited for; regions and contexts come back with ``retire``, in the order of admission.
    So a query that waits for room waits for older ones only, and these need nothing more: no query
    can hold up another for ever.

    Regions: see ``region_words``.

    About 40 cycles a query, plus 10 a stage.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write
        Broadcast of LOAD; holds the pipelines.
    hold
        No query is taken.
    busy
        A query was taken and not all of its contexts are open.
    present
        Bit s is set when the partition in force has an engine for stage s.
    i_query
        Queries.
    o_admitted
        Pulse struct with ``admitted``: the query's number and what to expect of it. It comes before
        the query's first ``o_open``.
    o_open
        Stages to the ranking unit, a query's last stage first.
    opened, number, context
        Pulse the cycle after a context was opened, its number and what it is: registers.
    retire, retired_stages, retired_words
        The oldest query is through: its number, contexts and room are free again.
    """

    config_write: data.View
    hold: Signal
    busy: Signal
    present: Signal
    i_query: stream.Interface
    admitted: Signal
    o_admitted: data.View
    o_open: stream.Interface
    opened: Signal
    number: Signal
    context: data.View
    retire: Signal
    retired_stages: Signal
    retired_words: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "hold": In(1),
                "busy": Out(1),
                "present": In(config.max_stages),
                "i_query": In(stream.Signature(query_layout(config))),
                "admitted": Out(1),
                "o_admitted": Out(admitted_layout(config)),
                "o_open": Out(stream.Signature(open_layout(config))),
                "opened": Out(1),
                "number": Out(CONTEXT_BITS),
                "context": Out(context_layout(config)),
                "retire": In(1),
                "retired_stages": In(3),
                "retired_words": In(config.candidate_bits + 1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.table = self._table = table = PipelineTable(config=config)
        m.submodules.check = self._check = check = QueryCheck(config=config)
        m.submodules.divider = self._divider = divider = Divider(
            width=config.item_bits + 1, divisor_width=5
        )
        query: Any = Signal(query_layout(config))
        self._query = query
        self._stage = Signal(range(config.max_stages))
        self._number = Signal(range(config.queries_in_flight))
        self._context_number = Signal(range(config.filter_contexts))
        self._base = Signal(config.candidate_bits)
        self._next_base = Signal(config.candidate_bits)
        self._dividing = Signal(range(config.item_bits + 3))
        self._size = Signal(config.candidate_bits + 1)  # of this stage's region
        self._words = Signal(config.candidate_bits + 1)  # of all regions of the query so far
        m.d.comb += [
            table.config_write.eq(self.config_write),
            table.index.eq(query.pipeline),
            check.query.eq(query),
            check.pipeline.eq(table.entry),
            check.present.eq(self.present),
            divider.dividend.eq(query.items),
            divider.divisor.eq(query.sub_batches),
        ]
        room = self._room(m)
        self._describe(m)
        self._walk(m, room)
        return m

    def _room(self, m: Module) -> Any:
        """Numbers, contexts and words in use."""
        config = self._config
        queries = Signal(range(config.queries_in_flight + 1))
        contexts = Signal(range(config.filter_contexts + 1))
        words = Signal(config.candidate_bits + 1)
        left = Signal(config.candidate_bits + 1)
        fits = Signal()
        taken = self._taken = Signal()  # a region and its context are taken in this cycle
        was_taken = Signal()
        m.d.comb += left.eq(config.candidate_words - words)
        m.d.sync += [
            # One cycle old: it only grows while a stage waits.
            fits.eq((left >= self._size) & (contexts != config.filter_contexts)),
            queries.eq(queries + self.admitted - self.retire),
            # A cycle late: the next stage asks for room four cycles later.
            was_taken.eq(taken),
            contexts.eq(contexts + was_taken - Mux(self.retire, self.retired_stages, 0)),
            words.eq(
                words + Mux(was_taken, self._size, 0) - Mux(self.retire, self.retired_words, 0)
            ),
        ]
        self._free_number = Signal(init=1)  # queries != queries_in_flight
        most = config.queries_in_flight
        with m.If(self.admitted & ~self.retire):
            m.d.sync += self._free_number.eq(queries != most - 1)
        with m.Elif(self.retire & ~self.admitted):
            m.d.sync += self._free_number.eq(1)
        return fits

    def _describe(self, m: Module) -> None:
        """The stage as the ranking unit and the context table see it."""
        config = self._config
        query: Any = self._query
        entry, stage = self._table.entry, self._stage
        opening = self.o_open.payload
        items = Signal(config.item_bits + 1)
        keep = Signal(config.item_bits + 1)
        final = Signal()
        before = query.keep[(stage - 1)[:2]]
        first = stage == 0
        # A cycle each after a change of ``stage``.
        m.d.sync += [
            items.eq(Mux(first, query.items, before)),
            keep.eq(query.keep[stage]),
            final.eq(stage + 1 == entry.stages),
            self._size.eq(region_words(config, query, items, first)),
        ]
        m.d.comb += [
            opening.context.eq(self._context_number),
            opening.next_context.eq((self._context_number - 1)[: len(self._context_number)]),
            opening.base.eq(self._base),
            opening.next_base.eq(self._next_base),
            opening.n.eq(items),
            opening.k.eq(keep),
            opening.first.eq(first),
            opening.final.eq(final),
            opening.policy.eq(query.policy),
            opening.bins.eq(query.bins),
            opening.sub_batches.eq(query.sub_batches),
            opening.fractions.eq(Cat(stage, query.pipeline[:3])),
        ]
        m.d.sync += [
            self.number.eq(self._context_number),
            self.context.query.eq(self.o_admitted.query),
            self.context.stage.eq(stage),
            self.context.program.eq(entry.stage[stage].program),
            self.context.features.eq(entry.stage[stage].features),
            self.context.rows.eq(entry.stage[stage].rows),
            self.context.ahead.eq(entry.stage[stage].ahead),
            self.context.first.eq(first),
            self.context.base.eq(self._base),
            self.context.records.eq(query.records),
            self.context.pitch.eq(entry.pitch),
            self.context.dense_bytes.eq(entry.dense_bytes),
            self.context.ids_offset.eq(entry.ids_offset),
            self.context.sub_batches.eq(query.sub_batches),
            self.context.quotient.eq(self._divider.quotient),
            self.context.remainder.eq(self._divider.remainder),
        ]

    def _walk(self, m: Module, fits: Signal) -> None:
        config = self._config
        query: Any = self._query
        entry, stage = self._table.entry, self._stage
        report = self.o_admitted
        idle = Signal(init=1)  # what FSM.ongoing says, as a register: other units wait for ready
        m.d.sync += [self.admitted.eq(0), self.opened.eq(0)]
        with m.FSM(name="state"):
            m.d.comb += [
                self.busy.eq(~idle | self.opened),
                self.i_query.ready.eq(idle & self._free_number & ~self.admitted & ~self.hold),
            ]
            with m.State("IDLE"):
                # ``admitted`` is counted a cycle late: one more cycle before the next query.
                m.d.sync += query.eq(self.i_query.payload)
                with m.If(self.i_query.valid & self.i_query.ready):
                    m.d.sync += idle.eq(0)
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += self._table.read.eq(1)
                m.next = "WAIT ENTRY"
            with m.State("WAIT ENTRY"):
                m.d.comb += self._check.start.eq(self._table.done)
                with m.If(self._table.done):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += self._divider.start.eq(self._check.done)
                m.d.sync += [
                    report.query.eq(self._number),
                    report.status.eq(self._check.status),
                    report.stages.eq(entry.stages),
                    report.count.eq(query.keep[(entry.stages - 1)[:2]]),
                    self._words.eq(0),
                    self._dividing.eq(0),
                    stage.eq(entry.stages - 1),
                ]
                with m.If(self._check.done):
                    m.next = "DIVIDE"
                    with m.If(self._check.status != Status.OK):
                        m.d.sync += [report.stages.eq(0), report.count.eq(0)]
                        m.next = "REPORT"
            with m.State("DIVIDE"):
                m.d.sync += self._dividing.eq(self._dividing + 1)
                with m.If(self._dividing == config.item_bits + 2):
                    m.next = "COUNT"
            with m.State("COUNT"):  # the stage's items
                m.next = "TOTAL"
            with m.State("TOTAL"):  # all regions together, for the time when they come back
                m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += [self._words.eq(self._words + self._size), stage.eq(stage - 1)]
                m.next = "COUNT"
                with m.If(stage == 0):
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.sync += [
                    self.admitted.eq(1),
                    report.words.eq(self._words),
                    stage.eq(report.stages - 1),
                    self._number.eq(_next(self._number, config.queries_in_flight)),
                ]
                with m.If(report.stages == 0):
                    m.d.sync += [report.words.eq(0), idle.eq(1)]
                    m.next = "IDLE"
                with m.Else():
                    m.next = "ITEMS"
            with m.State("ITEMS"):
                m.next = "SIZE"
            with m.State("SIZE"):
                m.next = "ROOM"
            with m.State("ROOM"):
                m.next = "FIT"
            with m.State("FIT"):
                with m.If(fits):
                    m.next = "OPEN"
            with m.State("OPEN"):
                m.d.comb += self.o_open.valid.eq(1)
                with m.If(self.o_open.ready):
                    m.d.comb += self._taken.eq(1)
                    m.d.sync += [
                        self.opened.eq(1),
                        self._context_number.eq(self._context_number + 1),
                        self._next_base.eq(self._base),
                        self._base.eq(self._base + self._size),
                        stage.eq(stage - 1),
                    ]
                    m.next = "ITEMS"
                    with m.If(stage == 0):
                        m.d.sync += idle.eq(1)
                        m.next = "IDLE"


def _next(number: Signal, count: int) -> Any:
    """The number after ``number`` in a ring of ``count``."""
    return Mux(number == count - 1, 0, number + 1)
