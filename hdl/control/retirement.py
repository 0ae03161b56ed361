"""Follows the queries in flight to their end and reports them in the order of admission."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS, query_done_layout
from ..program import Status
from ..ranking.funnel_layouts import CONTEXT_BITS
from .layouts import admitted_layout
from .query_counters import query_counts_layout

__all__ = ["Retirement"]


class Retirement(wiring.Component):
    """Status, count and stage times of each query; ``o_done`` for the oldest when it is through.

    A query is through when its last result was taken, when its last selection kept nothing as it is
    cancelled, or at once when it failed its check. Errors
    set its status, BUS_ERROR before BAD_ID; its results are still sent and counted.
    A stage's time runs from its start (first stage: admission; later ones: first survivor) to the
    last survivor it forwards, or its last result taken.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    admitted, i_admitted
        A query begins.
    opened, number, stage_of
        A context begins; its number, query and stage.
    begun, ended
        Contexts whose time starts, or stops, in this cycle.
    bad_ids, bus_errors
        Queries, a bit each, for which an error was seen in this cycle.
    counts
        Lookups of each query.
    finished
        Queries, a bit each, whose last result was taken, or that will have none.
    o_done
        Ends of queries.
    retire, retired_stages, retired_words
        Pulse with it: what the oldest query had.
    flight
        Queries that are admitted and not reported, a bit each.
    oldest
        First context of the oldest query.
    """

    admitted: Signal
    i_admitted: data.View
    begun: Signal
    ended: Signal
    bad_ids: Signal
    bus_errors: Signal
    counts: Any
    finished: Signal
    o_done: stream.Interface
    retire: Signal
    retired_stages: Signal
    retired_words: Signal
    flight: Signal
    oldest: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        contexts, queries = config.filter_contexts, config.queries_in_flight
        super().__init__(
            {
                "admitted": In(1),
                "i_admitted": In(admitted_layout(config)),
                "begun": In(contexts),
                "ended": In(contexts),
                "bad_ids": In(1 << QUERY_BITS),
                "bus_errors": In(1 << QUERY_BITS),
                "counts": In(data.ArrayLayout(query_counts_layout(), config.queries_in_flight)),
                "finished": In(queries),
                "o_done": Out(stream.Signature(query_done_layout(config))),
                "retire": Out(1),
                "retired_stages": Out(3),
                "retired_words": Out(config.candidate_bits + 1),
                "flight": Out(config.queries_in_flight),
                "oldest": Out(CONTEXT_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        queries = config.queries_in_flight
        entries: Any = Array(
            Signal(admitted_layout(config), name=f"query_{q}") for q in range(queries)
        )
        flight = self.flight
        through = Signal(queries)
        bad_id = Signal(queries)
        bus_error = Signal(queries)
        began = Signal(queries)  # errors are forgotten a cycle late: none of the query's is so soon
        oldest = Signal(range(queries))
        elapsed = self._clock(m)
        for q in range(queries):
            mine = self.admitted & (self.i_admitted.query == q)
            m.d.sync += began[q].eq(mine)
            with m.If(mine):
                m.d.sync += [
                    entries[q].eq(self.i_admitted),
                    flight[q].eq(1),
                    through[q].eq(self.i_admitted.status != Status.OK),
                ]
            with m.Elif(self.finished[q]):
                m.d.sync += through[q].eq(1)
            m.d.sync += [
                bad_id[q].eq((bad_id[q] | self.bad_ids[q]) & ~began[q]),
                bus_error[q].eq((bus_error[q] | self.bus_errors[q]) & ~began[q]),
            ]

        done = self.o_done.payload
        # The oldest query's, a cycle late: it has been that for a cycle when it is looked at.
        entry: Any = Signal(admitted_layout(config))
        counts: Any = Signal(query_counts_layout())
        m.d.sync += [entry.eq(entries[oldest]), counts.eq(self.counts[oldest])]
        place = Signal(range(config.max_stages + 1))  # stages read so far, the last stage first
        context = Signal(range(config.filter_contexts))
        stage = Signal(range(config.filter_contexts))  # context of the stage read next
        m.d.comb += [
            self.oldest.eq(context),
            self.retired_stages.eq(entry.stages),
            self.retired_words.eq(entry.words),
        ]
        with m.FSM(name="state"):
            with m.State("WAIT"):
                m.d.sync += done.stage_cycles.as_value().eq(0)
                with m.If((flight & through).bit_select(oldest, 1)):
                    m.next = "STATUS"
            with m.State("STATUS"):
                m.d.sync += [
                    place.eq(entry.stages),
                    stage.eq(context),
                    done.query.eq(oldest),
                    done.count.eq(entry.count),
                    done.status.eq(entry.status),
                    *(done[name].eq(counts[name]) for name, _ in query_counts_layout()),
                ]
                with m.If(entry.status == Status.OK):
                    with m.If(bus_error.bit_select(oldest, 1)):
                        m.d.sync += done.status.eq(Status.BUS_ERROR)
                    with m.Elif(bad_id.bit_select(oldest, 1)):
                        m.d.sync += done.status.eq(Status.BAD_ID)
                m.next = "TIMES"
            with m.State("TIMES"):
                # A context's number wraps at filter_contexts, a power of two.
                m.d.sync += [place.eq(place - 1), stage.eq(stage + 1)]
                with m.If(place == 0):
                    m.next = "OFFER"
                with m.Else():
                    m.d.sync += done.stage_cycles[(place - 1)[:2]].eq(elapsed[stage])
            with m.State("OFFER"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.d.comb += self.retire.eq(1)
                    m.d.sync += [
                        flight.bit_select(oldest, 1).eq(0),
                        context.eq(context + entry.stages),
                        oldest.eq(oldest + 1),  # queries_in_flight is a power of two
                    ]
                    m.next = "WAIT"
        return m

    def _clock(self, m: Module) -> Any:
        """Cycles of each context from its begin to its end."""
        now = Signal(32)
        # Both a cycle late: a result that is taken ends a stage, far from here.
        begun, ended = Signal.like(self.begun), Signal.like(self.ended)
        m.d.sync += [now.eq(now + 1), begun.eq(self.begun), ended.eq(self.ended)]
        elapsed = []
        for c in range(self._config.filter_contexts):
            start = Signal(32, name=f"start_{c}")
            time = Signal(32, name=f"time_{c}")
            with m.If(begun[c]):
                m.d.sync += start.eq(now)
            with m.If(ended[c]):
                m.d.sync += time.eq(now - start)
            elapsed.append(time)
        return Array(elapsed)
