"""Gather lane: embedding rows of the vectors it serves, in the order of their ids."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import (
    QUERY_BITS,
    config_write_layout,
    lane_id_layout,
    lookup_event_layout,
    query_event_layout,
    read_port_signature,
    row_write_layout,
)
from ..program import Target
from ..queue import Queue
from ..skid import StreamRegister
from .bag_sum import BagSum
from .feature_table import FeatureTable
from .lane_layouts import filled_layout, queue_entry_layout, tag_step_layout
from .line_fetch import LineFetch
from .line_tags import LineTags
from .row_reader import RowReader
from .static_cache import CacheTags, check_lane, selected

__all__ = ["INVALIDATING", "GatherLane"]

INVALIDATING = (Target.FEATURES, Target.CACHE_TAGS, Target.CACHE_REGIONS)
"""LOADs after which lines of device memory may hold something else."""


class GatherLane(wiring.Component):
    """Looks ids up and hands their rows over word by word, in order.

    Access and data are decoupled: the tags decide the outcome of a lookup and send for its line
    up to ``lookup_queue`` entries before the data is read. Sustained: one row of at most
    ``lane_bytes`` a cycle, ceil(row bytes / lane_bytes) cycles for others, when the lines have
    come. ``reads_per_lane`` fetches are outstanding. Nothing behind the lane can refuse a word.

    A bad id, an empty one and a row whose fetch failed give zeros; a row of a bag is summed with
    the others, see ``BagSum``. A prefetch hands nothing over.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane.

    Members
    -------
    i
        Ids.
    row_write
        Words for the lane's bank of the vector buffers; registered.
    read
        Read port; 64-byte bursts, the tag is the number of the outstanding fetch.
    config_write
        ``FEATURES``, ``CACHE_TAGS``, ``CACHE_DATA``, ``CACHE_REGIONS`` of this lane; not while
        lookups are in flight. A word of any but ``CACHE_DATA`` empties the look-ahead cache: the
        tables may be others now.
    live
        By query number: prefetch claims count. Decisions hear of it ``LIVE_LATENCY`` cycles late.
    lookup
        Event: a lookup's outcome; a row of 128 bytes is a miss when one of its lines is.
    bad_id, bus_error
        Event: a bad id (of a lookup, not of a prefetch); a word that is zero because of an error.
    step, filled
        Events for traces: each decision of the tags; the end of each fetch, a cycle later.
    idle
        Nothing is held or outstanding, and the last word is on ``row_write``.
    """

    i: stream.Interface
    row_write: data.View
    read: Any
    config_write: data.View
    live: Signal
    lookup: data.View
    bad_id: data.View
    bus_error: data.View
    step: data.View
    filled: data.View
    idle: Value

    LIVE_LATENCY = 1 + LineTags.LIVE_LATENCY
    """Cycles from ``live`` to the decisions that go by it: a register, the tags."""

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        super().__init__(
            {
                "i": In(stream.Signature(lane_id_layout(config))),
                "row_write": Out(row_write_layout(config)),
                "read": Out(read_port_signature(config)),
                "config_write": In(config_write_layout(config)),
                "live": In(1 << QUERY_BITS),
                "lookup": Out(lookup_event_layout(config)),
                "bad_id": Out(query_event_layout()),
                "bus_error": Out(query_event_layout()),
                "step": Out(tag_step_layout(config)),
                "filled": Out(filled_layout(config)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, lane = self._config, self._lane
        m.submodules.features = features = FeatureTable(config=config, lane=lane)
        m.submodules.static = static = CacheTags(config=config, lane=lane)
        m.submodules.tags = tags = LineTags(config=config)
        # Deep enough to cover the memory's latency at one lookup a cycle: room for all entries that
        # the tags may send. Behind its block memory a register: what the entry at the reader waits
        # for is looked up in the cycle it comes.
        m.submodules.queue = queue = Queue(
            shape=queue_entry_layout(config), depth=config.lookup_queue, refuses=False
        )
        m.submodules.entry = entry = StreamRegister(shape=queue_entry_layout(config))
        m.submodules.fetch = fetch = LineFetch(config=config)
        m.submodules.reader = reader = RowReader(config=config, lane=lane)
        m.submodules.sums = sums = BagSum(config=config)
        wiring.connect(m, wiring.flipped(self.i), features.i)
        wiring.connect(m, features.o, static.i)
        wiring.connect(m, static.o, tags.i)
        m.d.comb += [queue.i.valid.eq(tags.o.valid), queue.i.payload.eq(tags.o.payload)]
        wiring.connect(m, tags.fetch, fetch.i)
        wiring.connect(m, queue.o, entry.i)
        wiring.connect(m, entry.o, reader.i)
        wiring.connect(m, fetch.read, wiring.flipped(self.read))
        # A LOAD is done long before the next lookup comes.
        config_write: Any = Signal(config_write_layout(config), reset_less=True)
        config_valid = Signal()
        m.d.sync += [config_write.eq(self.config_write), config_valid.eq(self.config_write.valid)]
        for unit in (features, static, reader):
            m.d.comb += [
                unit.config_write.eq(config_write),
                unit.config_write.valid.eq(config_valid),
            ]
        # The queries' end is far away.
        live = Signal.like(self.live)
        m.d.sync += live.eq(self.live)
        m.d.comb += [
            tags.live.eq(live),
            tags.filled.eq(fetch.filled),
            fetch.set.eq(tags.set),
            tags.busy.eq(fetch.busy_ways),
            fetch.line.eq(reader.line),
            reader.busy.eq(fetch.busy),
            reader.write.eq(fetch.write),
            reader.filled.eq(fetch.filled),
            sums.i.eq(reader.o),
            reader.sum_done.eq(sums.done),
            self.row_write.eq(sums.row_write),
            self.idle.eq(
                features.idle & static.idle & tags.idle & fetch.idle & reader.idle & sums.idle
            ),
        ]
        written = Cat(selected(static.config_write, t, lane) for t in INVALIDATING)
        m.d.comb += tags.read_done.eq(reader.read_done)
        m.d.sync += tags.invalidate.eq(written.any())
        m.d.sync += [self.filled.eq(fetch.filled), self.bus_error.eq(reader.bus_error)]
        self._events(m, tags)
        return m

    def _events(self, m: Module, tags: LineTags) -> None:
        """Counters' view of the tags' decisions: one event a lookup, none for an empty id."""
        step, event = tags.step, self.lookup
        missed, merged = Signal(), Signal()  # in the first step of the lookup
        m.d.comb += [
            self.step.eq(step),
            event.valid.eq(step.valid & tags.done & ~step.empty),
            event.static_hit.eq(step.static_hit),
            event.miss.eq(step.miss | missed),
            event.look_ahead_hit.eq(step.hit & ~missed),
            event.merged.eq((step.merged | merged) & ~step.miss & ~missed),
            event.bad.eq(step.bad),
            event.dropped.eq(step.dropped & ~missed),
            self.bad_id.valid.eq(event.valid & step.bad & ~step.prefetch),
            self.bad_id.query.eq(step.query),
        ]
        for name in ("prefetch", "table", "id", "query"):
            m.d.comb += event[name].eq(step[name])
        with m.If(step.valid):
            m.d.sync += [
                missed.eq(~tags.done & step.miss),
                merged.eq(~tags.done & step.merged),
            ]
