"""Everything that a query passes between its submission and its results, but for the engines."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from ..config import Config
from ..interfaces import (
    QUERY_BITS,
    config_write_layout,
    job_layout,
    lookup_event_layout,
    position_score_layout,
    query_done_layout,
    query_layout,
    result_layout,
    walked_layout,
)
from ..ranking.funnel import Funnel
from ..ranking.funnel_layouts import kept_layout
from .query_counters import QueryCounters
from .scheduler import Scheduler

__all__ = ["QueryControl", "query_control_members"]


def query_control_members(config: Config) -> dict[str, Member]:
    """Ports of ``QueryControl`` and of its stand-in where the host filters, ``Dispatcher``."""
    units, loaders = config.sub_arrays, config.record_loaders
    job = stream.Signature(job_layout(config))
    return {
        "config_write": In(config_write_layout(config)),
        "levels": In(data.ArrayLayout(config.level_bits, units)),
        "engine_stages": In(data.ArrayLayout(config.max_stages, units)),
        "needed": Out(units),
        "free": In(units),
        "live": Out(1 << QUERY_BITS),
        "bad_ids": In(1 << QUERY_BITS),
        "bus_errors": In(1 << QUERY_BITS),
        "cancelled": In(1 << QUERY_BITS),
        "lookup": In(lookup_event_layout(config)).array(config.gather_lanes),
        "i_query": In(stream.Signature(query_layout(config))),
        "o_done": Out(stream.Signature(query_done_layout(config))),
        "o_result": Out(stream.Signature(result_layout(config))),
        "o_engine_job": Out(job),
        "o_loader_job": Out(job),
        "o_prefetch": Out(job),
        "walked": In(walked_layout()).array(loaders),
        "i_scores": In(stream.Signature(position_score_layout(config))).array(units),
        "list_address": In(data.ArrayLayout(unsigned(config.candidate_bits), loaders)),
        "list_data": Out(data.ArrayLayout(unsigned(config.item_bits), loaders)),
        "kept": Out(data.ArrayLayout(kept_layout(config), config.filter_survivors)),
    }


class QueryControl(wiring.Component):
    """Up to ``queries_in_flight`` queries side by side: ``Scheduler``, ``Funnel``, counters.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write
        Broadcast of LOAD: PIPELINES and QUOTAS.
    levels, engine_stages
        Partition in force; a change reaches queries that are admitted after it.
    needed
        Bit u: a query may still send a job to the engine anchored at u.
    free
        Bit u: the engine anchored at u has a free slot.
    live
        Queries in flight, a bit each.
    bad_ids, bus_errors
        Queries for which a bad id, an error on the bus was met in this cycle.
    cancelled
        Queries that are cancelled, a bit each, until their end is taken.
    lookup
        Lookups decided, one event struct a gather lane.
    i_query, o_done, o_result
        Queries in; their ends, in the order of admission; their results, ordered, those of one
        query without a break.
    o_engine_job, o_loader_job, o_prefetch
        Row blocks, see ``BlockIssuer``; jobs that only fetch ahead, see ``Prefetcher``.
    walked
        Array of events, one a record loader: rows of later stages are looked up.
    i_scores
        From the engines.
    list_address, list_data
        Item at a candidate address, one clock later, a reader a record loader.
    kept
        Events for traces: selections keep items.
    """

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
    i_scores: Any
    list_address: Any
    list_data: Any
    kept: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(query_control_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.scheduler = scheduler = Scheduler(config=config)
        m.submodules.funnel = funnel = Funnel(config=config, readers=config.record_loaders)
        m.submodules.counters = counters = QueryCounters(
            config=config, queries=config.queries_in_flight
        )
        for name in (
            "config_write",
            "levels",
            "engine_stages",
            "free",
            "bad_ids",
            "bus_errors",
            "cancelled",
        ):
            m.d.comb += getattr(scheduler, name).eq(getattr(self, name))
        m.d.comb += [
            self.needed.eq(scheduler.needed),
            self.live.eq(scheduler.live),
            scheduler.counts.eq(counters.counts),
            counters.clear.eq(scheduler.admitted),
            counters.query.eq(scheduler.admitted_query),
            funnel.config_write.eq(self.config_write),
            funnel.list_address.eq(self.list_address),
            self.list_data.eq(funnel.list_data),
            self.kept.eq(funnel.kept),
        ]
        for loader in range(config.record_loaders):
            m.d.comb += scheduler.walked[loader].eq(self.walked[loader])
        for lane in range(config.gather_lanes):
            m.d.comb += counters.lookup[lane].eq(self.lookup[lane])
        for unit in range(config.sub_arrays):
            wiring.connect(m, wiring.flipped(self.i_scores[unit]), funnel.i_scores[unit])
        wiring.connect(m, scheduler.o_open, funnel.i_open)
        wiring.connect(m, scheduler.o_cancel, funnel.i_cancel)
        # A register: the report comes out of memories, and comparisons wait for it.
        m.d.comb += funnel.o_forward.ready.eq(1)  # always taken, see ``WorkTable``
        m.d.sync += [
            scheduler.i_forward.valid.eq(funnel.o_forward.valid),
            scheduler.i_forward.payload.eq(funnel.o_forward.payload),
        ]
        wiring.connect(m, funnel.o_result, scheduler.i_result)
        wiring.connect(m, wiring.flipped(self.i_query), scheduler.i_query)
        for name in ("o_done", "o_result", "o_engine_job", "o_loader_job", "o_prefetch"):
            wiring.connect(m, getattr(scheduler, name), wiring.flipped(getattr(self, name)))
        return m
