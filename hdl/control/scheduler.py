"""Runs queries side by side: admission, row blocks of all their stages, retirement."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
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
from ..ranking.funnel_layouts import (
    cancel_layout,
    forward_layout,
    funnel_result_layout,
    open_layout,
)
from .admission import Admission
from .block_issuer import BlockIssuer
from .engine_map import EngineMap
from .layouts import context_layout
from .prefetcher import Prefetcher
from .query_counters import query_counts_layout
from .query_stages import QueryStages
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
    cancelled
        Queries that are cancelled, a bit each, until they are retired: what of them is not given to
        engines never is.
    admitted, admitted_query
        Pulse: a query begins, and its number.
    i_query, o_done
        Queries in, their ends out.
    o_open, o_cancel, i_forward, i_result
        Ranking unit (``Funnel``): contexts, rows that will have no score, reports of selections,
        ordered results.
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
    cancelled: Signal
    admitted: Signal
    admitted_query: Signal
    i_query: stream.Interface
    o_done: stream.Interface
    o_open: stream.Interface
    o_cancel: stream.Interface
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
                "cancelled": In(1 << QUERY_BITS),
                "admitted": Out(1),
                "admitted_query": Out(QUERY_BITS),
                "i_query": In(stream.Signature(query_layout(config))),
                "o_done": Out(stream.Signature(query_done_layout(config))),
                "o_open": Out(stream.Signature(open_layout(config))),
                "o_cancel": Out(stream.Signature(cancel_layout(config))),
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
        m.submodules.retirement = retirement = Retirement(config=config)
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
            work.number.eq(admission.number),
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
        wiring.connect(m, work.o_cancel, wiring.flipped(self.o_cancel))
        wiring.connect(m, retirement.o_done, wiring.flipped(self.o_done))
        wiring.connect(m, issuer.o_engine_job, wiring.flipped(self.o_engine_job))
        wiring.connect(m, issuer.o_loader_job, wiring.flipped(self.o_loader_job))
        stages = self._stages(m, admission, work, issuer, retirement)
        users: list[BlockIssuer | Prefetcher] = [issuer]
        if config.features.look_ahead:
            m.submodules.prefetcher = prefetcher = Prefetcher(config=config)
            self._prefetch(m, admission, work, issuer, prefetcher, retirement, stages)
            users.append(prefetcher)
        self._records(m, admission, users)
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
        self, m: Module, admission: Admission, users: list[BlockIssuer | Prefetcher]
    ) -> None:
        """Memory of context records, a port a reader."""
        config = self._config
        storage: Any = memory.Memory(
            shape=context_layout(config), depth=config.filter_contexts, init=[]
        )
        m.submodules.records = storage
        write = storage.write_port()
        m.d.comb += [
            write.addr.eq(admission.number),
            write.data.eq(admission.context),
            write.en.eq(admission.opened),
        ]
        for user in users:
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
        stages: QueryStages,
    ) -> None:
        wiring.connect(m, prefetcher.o, wiring.flipped(self.o_prefetch))
        m.d.comb += [
            prefetcher.opened.eq(admission.opened),
            prefetcher.number.eq(admission.number),
            prefetcher.listed.eq(work.listed),
            prefetcher.oldest.eq(retirement.oldest),
            prefetcher.stage.eq(issuer.stage),
            prefetcher.available.eq(issuer.available),
            prefetcher.flight.eq(stages.contexts_in_flight & ~stages.cancelled_contexts),
        ]
        for loader in range(self._config.record_loaders):
            m.d.comb += prefetcher.walked[loader].eq(self.walked[loader])

    def _stages(
        self,
        m: Module,
        admission: Admission,
        work: WorkTable,
        issuer: BlockIssuer,
        retirement: Retirement,
    ) -> QueryStages:
        """Whose context each is, and what the ranking unit's events mean."""
        m.submodules.stages = stages = QueryStages(config=self._config)
        wiring.connect(m, wiring.flipped(self.i_result), stages.i_result)
        wiring.connect(m, stages.o_result, wiring.flipped(self.o_result))
        m.d.comb += [
            stages.opened.eq(admission.opened),
            stages.number.eq(admission.number),
            stages.context.eq(admission.context),
            stages.forwarded.eq(self.i_forward.valid & self.i_forward.ready),
            stages.report.eq(self.i_forward.payload),
            stages.cancelled.eq(self.cancelled),
            work.cancelled.eq(stages.cancelled_contexts),
            issuer.stage.eq(stages.stage),
            stages.flight.eq(retirement.flight),
            retirement.begun.eq(stages.begun),
            retirement.ended.eq(stages.ended),
            retirement.finished.eq(stages.finished),
        ]
        return stages
