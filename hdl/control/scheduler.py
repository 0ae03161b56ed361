"""Runs queries side by side: admission, row blocks of all their stages, retirement."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import (
    QUERY_BITS,
    config_write_layout,
    job_layout,
    query_done_layout,
    query_layout,
    result_layout,
    walked_layout,
)
from ..ranking.funnel_layouts import forward_layout, funnel_result_layout, open_layout
from .admission import Admission
from .block_issuer import BlockIssuer
from .engine_map import EngineMap
from .layouts import context_layout
from .prefetcher import Prefetcher
from .query_counters import query_counts_layout
from .retirement import Retirement
from .work_table import WorkTable

__all__ = ["Scheduler"]


class Scheduler(wiring.Component):
    """Several queries in flight, each with several stages in work at once.

    ``Admission`` lets queries in and opens their contexts here and in the ranking unit;
    ``WorkTable`` knows what rows may be worked on; ``BlockIssuer`` gives them to engines;
    ``Prefetcher`` has the next stage's embedding rows fetched; ``Retirement`` reports the ends in
    the order of admission.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write, levels, engine_stages, free
        Pipelines, partition in force, engines with a free slot. Queries keep the engines they were
        admitted with: after a change of partition the next query waits until those before have
        sent all their jobs.
    needed
        Bit u: a query may still send a job to the engine anchored at u.
    live
        Queries in flight, a bit each.
    bad_ids, bus_errors
        Queries, a bit each, that met an error in this cycle.
    counts
        Lookups of each query.
    admitted, admitted_query
        Pulse: a query begins, and its number.
    i_query, o_done
        Queries in, their ends out.
    o_open, i_forward, i_result
        Ranking unit (``Funnel``): contexts, reports of selections, ordered results.
    o_result
        Results with the number of their query.
    walked
        Array of events, one a record loader: rows of later stages are looked up.
    o_engine_job, o_loader_job, o_prefetch
        Jobs.
    idle
        No query is in flight.
    """

    config_write: data.View
    levels: data.View
    engine_stages: data.View
    needed: Signal
    live: Signal
    free: Signal
    bad_ids: Signal
    bus_errors: Signal
    counts: Any
    admitted: Signal
    admitted_query: Signal
    i_query: stream.Interface
    o_done: stream.Interface
    o_open: stream.Interface
    i_forward: stream.Interface
    i_result: stream.Interface
    o_result: stream.Interface
    o_engine_job: stream.Interface
    o_loader_job: stream.Interface
    o_prefetch: stream.Interface
    walked: Any
    idle: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        units = config.sub_arrays
        job = stream.Signature(job_layout(config))
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "levels": In(data.ArrayLayout(config.level_bits, units)),
                "engine_stages": In(data.ArrayLayout(config.max_stages, units)),
                "needed": Out(units),
                "live": Out(1 << QUERY_BITS),
                "free": In(units),
                "bad_ids": In(1 << QUERY_BITS),
                "bus_errors": In(1 << QUERY_BITS),
                "counts": In(data.ArrayLayout(query_counts_layout(), config.queries_in_flight)),
                "admitted": Out(1),
                "admitted_query": Out(QUERY_BITS),
                "i_query": In(stream.Signature(query_layout(config))),
                "o_done": Out(stream.Signature(query_done_layout(config))),
                "o_open": Out(stream.Signature(open_layout(config))),
                "i_forward": In(stream.Signature(forward_layout(config))),
                "i_result": In(stream.Signature(funnel_result_layout(config))),
                "o_result": Out(stream.Signature(result_layout(config))),
                "o_engine_job": Out(job),
                "o_loader_job": Out(job),
                "o_prefetch": Out(job),
                "walked": In(walked_layout()).array(config.record_loaders),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.engine_map = engine_map = EngineMap(config=config)
        m.submodules.admission = admission = Admission(config=config)
        m.submodules.work = work = WorkTable(config=config)
        m.submodules.issuer = issuer = BlockIssuer(config=config)
        m.submodules.prefetcher = prefetcher = Prefetcher(config=config)
        m.submodules.retirement = retirement = Retirement(config=config)
        number = self.o_open.payload.context
        engines = self._keep_engines(m, engine_map, admission, work, issuer)
        m.d.comb += [
            engine_map.levels.eq(self.levels),
            engine_map.engine_stages.eq(self.engine_stages),
            admission.config_write.eq(self.config_write),
            admission.present.eq(Cat(engines[s] != 0 for s in range(config.max_stages))),
            admission.retire.eq(retirement.retire),
            admission.retired_stages.eq(retirement.retired_stages),
            admission.retired_words.eq(retirement.retired_words),
            work.opened.eq(admission.opened),
            work.number.eq(number),
            work.context.eq(admission.context),
            issuer.pending.eq(work.pending),
            issuer.oldest.eq(retirement.oldest),
            issuer.engines.eq(engines),
            self.live.eq(retirement.flight),
            issuer.free.eq(self.free),
            issuer.block.eq(work.block),
            work.select.eq(issuer.select),
            work.take.eq(issuer.take),
            work.rows.eq(issuer.rows),
            work.busy.eq(issuer.busy),
            retirement.admitted.eq(admission.admitted),
            retirement.i_admitted.eq(admission.o_admitted),
            retirement.counts.eq(self.counts),
            self.admitted.eq(admission.admitted),
            self.admitted_query.eq(admission.o_admitted.query),
            retirement.bad_ids.eq(self.bad_ids),
            retirement.bus_errors.eq(self.bus_errors),
        ]
        wiring.connect(m, wiring.flipped(self.i_query), admission.i_query)
        wiring.connect(m, admission.o_open, wiring.flipped(self.o_open))
        wiring.connect(m, wiring.flipped(self.i_forward), work.i_forward)
        wiring.connect(m, retirement.o_done, wiring.flipped(self.o_done))
        wiring.connect(m, issuer.o_engine_job, wiring.flipped(self.o_engine_job))
        wiring.connect(m, issuer.o_loader_job, wiring.flipped(self.o_loader_job))
        self._prefetch(m, admission, work, issuer, prefetcher, retirement)
        self._records(m, admission, issuer, prefetcher)
        self._stages(m, admission, issuer, prefetcher, retirement)
        in_flight = Signal(range(config.queries_in_flight + 1))
        m.d.sync += in_flight.eq(
            in_flight
            + (self.i_query.valid & self.i_query.ready)
            - (self.o_done.valid & self.o_done.ready)
        )
        m.d.comb += self.idle.eq(in_flight == 0)
        return m

    def _keep_engines(
        self,
        m: Module,
        engine_map: EngineMap,
        admission: Admission,
        work: WorkTable,
        issuer: BlockIssuer,
    ) -> data.View:
        """Engines of each stage as the queries at work know them, and those still needed."""
        stages = range(self._config.max_stages)
        engines: Any = Signal(engine_map.engines.shape())
        open_stages = Signal(len(stages))
        settled = Signal()
        m.d.comb += [
            settled.eq(Value.cast(engines) == Value.cast(engine_map.engines)),
            admission.hold.eq(~settled),
            open_stages.eq(
                Cat(
                    Cat(
                        is_open & (issuer.stage[c] == s) for c, is_open in enumerate(work.open)
                    ).any()
                    for s in stages
                )
            ),
        ]
        with m.If(~admission.busy & (open_stages == 0)):
            m.d.sync += engines.eq(engine_map.engines)
        for u in range(self._config.sub_arrays):
            serves = Cat(engines[s][u] for s in stages)
            m.d.comb += self.needed[u].eq(admission.busy | (serves & open_stages).any())
        return engines

    def _records(
        self, m: Module, admission: Admission, issuer: BlockIssuer, prefetcher: Prefetcher
    ) -> None:
        """Memory of context records, read by issuer and prefetcher."""
        config = self._config
        storage: Any = memory.Memory(
            shape=context_layout(config), depth=config.filter_contexts, init=[]
        )
        m.submodules.records = storage
        write = storage.write_port()
        m.d.comb += [
            write.addr.eq(self.o_open.payload.context),
            write.data.eq(admission.context),
            write.en.eq(admission.opened),
        ]
        for user in (issuer, prefetcher):
            read = storage.read_port(domain="sync")
            m.d.comb += [read.addr.eq(user.select), user.context.eq(read.data)]

    def _prefetch(
        self,
        m: Module,
        admission: Admission,
        work: WorkTable,
        issuer: BlockIssuer,
        prefetcher: Prefetcher,
        retirement: Retirement,
    ) -> None:
        if not self._config.features.look_ahead:
            return
        wiring.connect(m, prefetcher.o, wiring.flipped(self.o_prefetch))
        m.d.comb += [
            prefetcher.opened.eq(admission.opened),
            prefetcher.number.eq(self.o_open.payload.context),
            prefetcher.listed.eq(work.listed),
            prefetcher.oldest.eq(retirement.oldest),
            prefetcher.stage.eq(issuer.stage),
            prefetcher.available.eq(issuer.available),
        ]
        for loader in range(self._config.record_loaders):
            m.d.comb += prefetcher.walked[loader].eq(self.walked[loader])

    def _stages(
        self,
        m: Module,
        admission: Admission,
        issuer: BlockIssuer,
        prefetcher: Prefetcher,
        retirement: Retirement,
    ) -> None:
        """Stage of each context, and when its time starts and stops."""
        forward, result = self.i_forward, self.o_result
        forwarded = forward.valid & forward.ready
        last = result.valid & result.ready & result.payload.last
        m.d.comb += [
            retirement.finished.eq(last),
            retirement.finished_query.eq(result.payload.query),
        ]
        contexts = self._config.filter_contexts
        started = Signal(contexts)
        queries = Array(Signal(QUERY_BITS, name=f"query_{c}") for c in range(contexts))
        m.d.comb += [
            result.valid.eq(self.i_result.valid),
            self.i_result.ready.eq(result.ready),
            result.payload.item.eq(self.i_result.payload.item),
            result.payload.score.eq(self.i_result.payload.score),
            result.payload.last.eq(self.i_result.payload.last),
            result.payload.query.eq(queries[self.i_result.payload.context]),
        ]
        for c in range(contexts):
            stage = Signal(2, name=f"stage_{c}")
            opened = admission.opened & (self.o_open.payload.context == c)
            report = forward.payload
            grows = forwarded & ~report.final & (report.next_context == c) & (report.count != 0)
            with m.If(opened):
                m.d.sync += [
                    stage.eq(admission.context.stage),
                    queries[c].eq(admission.context.query),
                    started[c].eq(admission.context.first),
                ]
            with m.Elif(grows):
                m.d.sync += started[c].eq(1)
            m.d.comb += [
                issuer.stage[c].eq(stage),
                prefetcher.flight[c].eq(retirement.flight.bit_select(queries[c], 1)),
                retirement.begun[c].eq((opened & admission.context.first) | (grows & ~started[c])),
                retirement.ended[c].eq(
                    (forwarded & report.last & ~report.final & (report.context == c))
                    | (last & (self.i_result.payload.context == c))
                ),
            ]
