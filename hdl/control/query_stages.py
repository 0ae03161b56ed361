"""Whose context each is, and what the ranking unit's events mean for its query."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS, result_layout
from ..ranking.funnel_layouts import CONTEXT_BITS, forward_layout, funnel_result_layout
from .layouts import context_layout

__all__ = ["QueryStages"]


class QueryStages(wiring.Component):
    """Query and stage of each context; results get the number of their query.

    A stage's time starts when it is opened (first stages) or gets its first items, and stops with
    its last selection, or when its last result was taken. A query is finished when its last result
    was taken, or when the last selection of its last stage kept nothing: it is cancelled.

    Everything here follows its cause in the same cycle.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    opened, number, context
        A context begins.
    forwarded, report
        Pulse: the ranking unit reports a selection.
    i_result, o_result
        Results.
    flight, contexts_in_flight
        Queries in flight, a bit each; their contexts.
    cancelled, cancelled_contexts
        Queries that are cancelled, a bit each; their contexts, a cycle later.
    stage
        Stage of each context.
    begun, ended
        Contexts whose time starts, or stops, in this cycle.
    finished
        Queries, a bit each, that are finished in this cycle.
    """

    opened: Signal
    number: Signal
    context: Any
    forwarded: Signal
    report: Any
    i_result: stream.Interface
    o_result: stream.Interface
    flight: Signal
    contexts_in_flight: Signal
    cancelled: Signal
    cancelled_contexts: Signal
    stage: Any
    begun: Signal
    ended: Signal
    finished: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        contexts = config.filter_contexts
        super().__init__(
            {
                "opened": In(1),
                "number": In(CONTEXT_BITS),
                "context": In(context_layout(config)),
                "forwarded": In(1),
                "report": In(forward_layout(config)),
                "i_result": In(stream.Signature(funnel_result_layout(config))),
                "o_result": Out(stream.Signature(result_layout(config))),
                "flight": In(config.queries_in_flight),
                "contexts_in_flight": Out(contexts),
                "cancelled": In(1 << QUERY_BITS),
                "cancelled_contexts": Out(contexts),
                "stage": Out(data.ArrayLayout(2, contexts)),
                "begun": Out(contexts),
                "ended": Out(contexts),
                "finished": Out(config.queries_in_flight),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        contexts = self._config.filter_contexts
        report, source, result = self.report, self.i_result, self.o_result
        started = Signal(contexts)
        queries: Any = Array(Signal(QUERY_BITS, name=f"query_{c}") for c in range(contexts))
        last = Signal()  # the last result of a query is taken
        nothing = Signal()  # a query ends without results
        m.d.comb += [
            last.eq(result.valid & result.ready & result.payload.last),
            nothing.eq(self.forwarded & report.final & report.last & (report.count == 0)),
            result.valid.eq(source.valid),
            source.ready.eq(result.ready),
            result.payload.item.eq(source.payload.item),
            result.payload.score.eq(source.payload.score),
            result.payload.last.eq(source.payload.last),
            result.payload.query.eq(queries[source.payload.context]),
        ]
        for c in range(contexts):
            opened = self.opened & (self.number == c)
            first = opened & self.context.first
            grows = (
                self.forwarded & ~report.final & (report.next_context == c) & (report.count != 0)
            )
            closed = self.forwarded & report.last & ~report.final
            with m.If(opened):
                m.d.sync += [
                    self.stage[c].eq(self.context.stage),
                    queries[c].eq(self.context.query),
                    started[c].eq(self.context.first),
                ]
            with m.Elif(grows):
                m.d.sync += started[c].eq(1)
            m.d.comb += [
                self.begun[c].eq(first | (grows & ~started[c])),
                self.ended[c].eq(
                    ((closed | nothing) & (report.context == c))
                    | (last & (source.payload.context == c))
                ),
                self.contexts_in_flight[c].eq(self.flight.bit_select(queries[c], 1)),
            ]
            # A cycle late: a context that begins has no rows yet.
            m.d.sync += self.cancelled_contexts[c].eq(self.cancelled.bit_select(queries[c], 1))
        m.d.comb += self.finished.eq(
            Cat(
                (last & (result.payload.query == q)) | (nothing & (queries[report.context] == q))
                for q in range(self._config.queries_in_flight)
            )
        )
        return m
