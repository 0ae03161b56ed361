"""Counts the lookups of each query in flight."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS, lookup_event_layout
from ..share import share

__all__ = ["QueryCount", "QueryCounters", "query_counts_layout"]

_OUTCOMES = {
    "hits": "static_hit",
    "look_ahead_hits": "look_ahead_hit",
    "misses": "miss",
    "merged": "merged",
}


def query_counts_layout() -> data.StructLayout:
    """Counts of one query; 32 bits hold more lookups than any query has."""
    return data.StructLayout(
        {name: unsigned(32) for name in ("lookups", "hits", "look_ahead_hits", "misses", "merged")}
    )


class QueryCount(wiring.Component):
    """Adds up what the gather lanes decide for one query; prefetches are not counted.

    Two cycles behind the events.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    clear
        Counts of 0 again.
    query
        Whose lookups count.
    lookup
        One event struct a gather lane.
    counts
        Of the query.
    """

    clear: Signal
    query: Signal
    lookup: Any
    counts: Any

    def __init__(self, *, config: Config) -> None:
        self._lanes = config.gather_lanes
        super().__init__(
            {
                "clear": In(1),
                "query": In(QUERY_BITS),
                "lookup": In(data.ArrayLayout(lookup_event_layout(config), self._lanes)),
                "counts": Out(query_counts_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        events = []
        for lane in range(self._lanes):
            event = self.lookup[lane]
            mine = Signal(name=f"mine_{lane}")
            m.d.comb += mine.eq(event.valid & ~event.prefetch & (event.query == self.query))
            events.append((event, mine))
        added = {"lookups": sum((mine for _, mine in events), start=Value.cast(0))}
        for name, outcome in _OUTCOMES.items():
            found = (mine & event[outcome] for event, mine in events)
            added[name] = sum(found, start=Value.cast(0))
        for name, amount in added.items():
            step = Signal(range(self._lanes + 1), name=name)
            count = self.counts[name]
            m.d.sync += [step.eq(amount), count.eq(count + step)]
            with m.If(self.clear):
                m.d.sync += count.eq(0)
        return m


class QueryCounters(wiring.Component):
    """A `QueryCount` for each query in flight.

    A query's lookups are over long before its end.

    Parameters
    ----------
    config
        Device sizes.
    queries
        Queries that are told apart.

    Members
    -------
    clear, query
        A query begins with counts of 0.
    lookup
        One event struct a gather lane.
    counts
        Of each query.
    """

    clear: Signal
    query: Signal
    lookup: Any
    counts: Any

    def __init__(self, *, config: Config, queries: int) -> None:
        self._config = config
        self._queries = queries
        super().__init__(
            {
                "clear": In(1),
                "query": In(QUERY_BITS),
                "lookup": In(lookup_event_layout(config)).array(config.gather_lanes),
                "counts": Out(data.ArrayLayout(query_counts_layout(), queries)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # A register: the lanes are far away.
        lookup = Signal(sum(len(Value.cast(event)) for event in self.lookup))
        m.d.sync += lookup.eq(Cat(Value.cast(event) for event in self.lookup))
        for q in range(self._queries):
            count = QueryCount(config=self._config)
            m.submodules[f"count_{q}"] = share(platform, count, "query_count")
            m.d.comb += [
                count.clear.eq(self.clear & (self.query == q)),
                count.query.eq(q),
                Value.cast(count.lookup).eq(lookup),
                self.counts[q].eq(count.counts),
            ]
        return m
