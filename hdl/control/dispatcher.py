"""Runs queries of one stage, row block after row block, where the host filters."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring

from ..config import Config
from ..interfaces import query_layout
from ..program import Status
from ..ranking.ranking import Ranking
from .engine_map import EngineMap
from .job_issuer import JobIssuer
from .pipeline_table import PipelineTable
from .query_check import QueryCheck
from .query_control import query_control_members
from .query_counters import QueryCounters, query_counts_layout

__all__ = ["Dispatcher"]


class Dispatcher(wiring.Component):
    """Takes one query at a time from start to end: for devices whose host filters.

    Reads the query's pipeline, checks it (``QueryCheck``), which has one stage, cuts the items into
    row blocks, sends each to an engine with a free slot (round robin) and to the record loader, and
    waits until the results are taken. Then ``o_done``. All n scores are results in the order of
    positions; ``keep`` is ignored.

    A query that fails the check sends no job and no result. Errors that the embedding unit or the
    bus flag while a query runs set its status (BUS_ERROR before BAD_ID); its results are still
    computed and sent, and ``count`` counts them. Flags outside a query are ignored.

    Latency: the stage starts ``CHECK_CYCLES`` plus one after the query is taken, its first job is
    offered 5 cycles later. ``o_done`` comes 2 cycles after the last result is taken.
    ``stage_cycles`` counts from the stage's start to that result.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write
        Broadcast of LOAD; holds the pipelines (``Target.PIPELINES``).
    levels, engine_stages
        Partition in force: level and stage mask of each sub-array. Stable from two cycles before a
        query is taken until it is checked; later changes do not reach it.
    needed
        Bit u is set while the query may still send a job to the engine anchored at u: all bits
        until it is checked, then its engines while not all jobs are sent.
    free
        Bit u is set when the engine anchored at u has a free slot.
    live
        The one query has number 0.
    bad_ids, bus_errors
        Not 0: an error in this cycle.
    cancelled
        Not looked at: the query runs to its end.
    lookup
        Lookups decided, one event struct a gather lane.
    i_query
        Stream of ``query_layout``.
    o_done
        Stream of ``query_done_layout``, after the query's last result was taken.
    o_result
        Stream of ``result_layout``.
    o_engine_job, o_loader_job
        The same jobs for engine and record loader, see ``JobIssuer``.
    o_prefetch, walked
        Nothing is fetched ahead.
    i_scores
        Array of ``sub_arrays`` streams of ``position_score_layout``, from the engines.
    list_address, list_data
        The record loaders' lookups: the item at a position, one clock later, is the position.
    kept
        Events for traces: a result leaves, its position as item.
    """

    CHECK_CYCLES = 9

    config_write: data.View
    levels: data.View
    engine_stages: data.View
    needed: Signal
    free: Signal
    live: Signal
    bad_ids: Signal
    bus_errors: Signal
    cancelled: Signal
    lookup: Any
    i_query: stream.Interface
    o_done: stream.Interface
    o_result: stream.Interface
    o_engine_job: stream.Interface
    o_loader_job: stream.Interface
    o_prefetch: stream.Interface
    walked: Any
    i_scores: Any  # array of streams
    list_address: Any  # arrays, one a record loader
    list_data: Any
    kept: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(query_control_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.table = table = PipelineTable(config=config)
        m.submodules.engine_map = engine_map = EngineMap(config=config)
        m.submodules.check = check = QueryCheck(config=config, side_by_side=False)
        m.submodules.issuer = issuer = JobIssuer(config=config)
        m.submodules.ranking = ranking = Ranking(config=config)
        query: Any = Signal(query_layout(config))
        ranked = Signal()
        start = Signal()
        running = Signal()
        m.d.comb += [
            table.config_write.eq(self.config_write),
            table.index.eq(query.pipeline),
            engine_map.levels.eq(self.levels),
            engine_map.engine_stages.eq(self.engine_stages),
            check.query.eq(query),
            check.pipeline.eq(table.entry),
            check.present.eq(Cat(engine_map.engines[s] != 0 for s in range(config.max_stages))),
            self.live.eq(1),
        ]
        # The query keeps the engines it was checked with, whatever the partition becomes.
        engines = Signal(config.sub_arrays)
        self._wire_jobs(m, issuer, table, engines, query)
        self._wire_ranking(m, ranking, query)
        self._count_lookups(m, start)
        self._count_cycles(m, start, running)
        self._report_status(m, start, running, check)

        with m.FSM() as fsm:
            with m.State("IDLE"):
                m.d.comb += [self.i_query.ready.eq(1), start.eq(self.i_query.valid)]
                m.d.sync += query.eq(self.i_query.payload)
                with m.If(self.i_query.valid):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += table.read.eq(1)
                m.next = "WAIT ENTRY"
            with m.State("WAIT ENTRY"):
                m.d.comb += check.start.eq(table.done)
                with m.If(table.done):
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += engines.eq(engine_map.engines[0])
                with m.If(check.done):
                    m.next = "START"
                    with m.If(check.status != Status.OK):
                        m.next = "DONE"
            with m.State("START"):
                m.d.comb += ranking.i_start.valid.eq(1)
                with m.If(ranking.i_start.ready):
                    m.d.comb += issuer.start.eq(1)
                    m.d.sync += ranked.eq(0)
                    m.next = "RUN"
            with m.State("RUN"):
                m.d.comb += running.eq(1)
                with m.If(ranking.done):
                    m.d.sync += ranked.eq(1)
                with m.If(ranked & ~issuer.busy):
                    m.d.sync += self.o_done.payload.count.eq(query.items)
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "IDLE"
        with m.If(start):
            m.d.sync += self.o_done.payload.count.eq(0)
        unchecked = Cat(fsm.ongoing(s) for s in ("READ", "WAIT ENTRY", "CHECK")).any()
        issuing = fsm.ongoing("START") | (fsm.ongoing("RUN") & issuer.busy)
        m.d.comb += self.needed.eq(Mux(unchecked, ~0, Mux(issuing, engines, 0)))
        return m

    def _wire_jobs(
        self, m: Module, issuer: JobIssuer, table: PipelineTable, engines: Signal, query: Any
    ) -> None:
        wiring.connect(m, issuer.o_engine_job, wiring.flipped(self.o_engine_job))
        wiring.connect(m, issuer.o_loader_job, wiring.flipped(self.o_loader_job))
        m.d.comb += [
            issuer.free.eq(self.free),
            issuer.engines.eq(engines),
            issuer.stage.eq(table.entry.stage[0]),
            issuer.items.eq(query.items),
            issuer.records.eq(query.records),
            issuer.pitch.eq(table.entry.pitch),
            issuer.dense_bytes.eq(table.entry.dense_bytes),
            issuer.ids_offset.eq(table.entry.ids_offset),
            issuer.first.eq(1),
        ]
        # Positions are item indices; a loader asks as it asks a device with lists.
        for loader in range(self._config.record_loaders):
            m.d.sync += self.list_data[loader].eq(self.list_address[loader])

    def _wire_ranking(self, m: Module, ranking: Ranking, query: Any) -> None:
        for index in range(self._config.sub_arrays):
            wiring.connect(m, wiring.flipped(self.i_scores[index]), ranking.i_scores[index])
        wiring.connect(m, ranking.o_result, wiring.flipped(self.o_result))
        m.d.comb += [
            ranking.i_start.payload.n.eq(query.items),
            self.kept[0].valid.eq(ranking.survivor.valid),
            self.kept[0].item.eq(ranking.survivor.position),
        ]

    def _count_lookups(self, m: Module, start: Signal) -> None:
        m.submodules.counters = counters = QueryCounters(config=self._config, queries=1)
        m.d.comb += counters.clear.eq(start)
        for lane in range(self._config.gather_lanes):
            m.d.comb += counters.lookup[lane].eq(self.lookup[lane])
        for name, _ in query_counts_layout():
            m.d.comb += self.o_done.payload[name].eq(counters.counts[0][name])

    def _count_cycles(self, m: Module, start: Signal, running: Signal) -> None:
        """32 bits: 17 s at 250 MHz, longer than any query."""
        cycles = self.o_done.payload.stage_cycles[0]
        with m.If(start):
            m.d.sync += cycles.eq(0)
        with m.Elif(running):
            m.d.sync += cycles.eq(cycles + 1)

    def _report_status(self, m: Module, start: Signal, running: Signal, check: QueryCheck) -> None:
        """Errors are noted only while a stage runs: the status holds while ``o_done`` waits."""
        bus_error = Signal()
        bad_id = Signal()
        with m.If(start):
            m.d.sync += [bus_error.eq(0), bad_id.eq(0)]
        with m.Elif(running):
            m.d.sync += [
                bus_error.eq(bus_error | self.bus_errors.any()),
                bad_id.eq(bad_id | self.bad_ids.any()),
            ]
        m.d.comb += self.o_done.payload.status.eq(check.status)
        with m.If(check.status == Status.OK):
            with m.If(bus_error):
                m.d.comb += self.o_done.payload.status.eq(Status.BUS_ERROR)
            with m.Elif(bad_id):
                m.d.comb += self.o_done.payload.status.eq(Status.BAD_ID)
