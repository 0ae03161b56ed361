"""Embedding unit: from row blocks to dense chunks and embedding rows in the engines' buffers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import (
    config_write_layout,
    lane_request_layout,
    read_port_signature,
    row_write_layout,
)
from ..program import ALL_UNITS
from ..queue import Queue
from ..share import share
from .feature_table import FeatureTable
from .gather_lane import GatherLane
from .layouts import lookup_layout
from .record_loader import CONTEXT, RecordLoader, loader_members

__all__ = ["LANE_QUEUE", "EmbeddingUnit"]

LANE_QUEUE = 16
"""Lookups that wait in front of a gather lane."""


class EmbeddingUnit(wiring.Component):
    """Record loader, feature table, gather lanes and the broadcast to the vector buffers.

    Ids are handed to the lanes in order, at one a cycle; an id whose lane's queue is full holds up
    those behind it. The lanes share ``row_write``, one word a cycle, taking turns. Nothing here
    waits for an engine but dense chunks (``o_dense``) and slots (``can_allocate``); row words are
    never refused, so every id that was read is looked up and handed over.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job, records, pitch, dense_bytes, ids_offset, first_stage, list_address, list_data,
    can_allocate, allocate, allocate_address, allocate_index, o_dense
        See ``RecordLoader``.
    row_write
        Row words for all vector buffers; ``valid`` in the payload, registered.
    read_record, read_lane_0, read_lane_1, ..
        Read ports.
    config_write
        ``FEATURES`` and the ``CACHE_`` targets; not while a query runs.
    lookup
        One event struct a lane: a finished tag lookup.
    bad_id, bus_error
        Some lane met a bad id, or somebody a beat with an error, in this cycle.
    idle
        No job held, nothing in flight, and the last row word has been broadcast.
    """

    i_job: stream.Interface
    o_dense: stream.Interface
    records: Signal
    pitch: Signal
    dense_bytes: Signal
    ids_offset: Signal
    first_stage: Signal
    row_write: data.View
    read_record: Any
    config_write: data.View
    lookup: Any
    allocate: Signal
    can_allocate: Signal
    allocate_address: Any
    allocate_index: Any
    list_address: Signal
    list_data: Signal
    bad_id: Value
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        lanes = config.gather_lanes
        super().__init__(
            {
                **loader_members(config),
                "row_write": Out(row_write_layout(config)),
                "read_record": Out(read_port_signature(config)),
                **{f"read_lane_{lane}": Out(read_port_signature(config)) for lane in range(lanes)},
                "config_write": In(config_write_layout(config)),
                "lookup": Out(lookup_layout(config)).array(lanes),
                "bad_id": Out(1),
                "bus_error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.loader = loader = RecordLoader(config=config)
        m.submodules.features = features = FeatureTable(config=config)
        wiring.connect(m, loader.o_id, features.i)
        wiring.connect(m, loader.read, wiring.flipped(self.read_record))
        wiring.connect(m, wiring.flipped(self.i_job), loader.i_job)
        wiring.connect(m, loader.o_dense, wiring.flipped(self.o_dense))
        for name in (*CONTEXT, "list_data", "can_allocate", "allocate_address", "allocate_index"):
            m.d.comb += getattr(loader, name).eq(getattr(self, name))
        for name in ("list_address", "allocate"):
            m.d.comb += getattr(self, name).eq(getattr(loader, name))
        m.d.comb += features.config_write.eq(self.config_write)

        queues, lanes = self._lanes(m, platform)
        self._route(m, features, queues)
        self._broadcast(m, lanes)
        m.d.comb += [
            self.bad_id.eq(Cat(lane.bad_id for lane in lanes).any()),
            self.bus_error.eq(loader.bus_error | Cat(lane.bus_error for lane in lanes).any()),
            self.idle.eq(
                loader.idle
                & features.idle
                & Cat(queue.level == 0 for queue in queues).all()
                & Cat(lane.idle for lane in lanes).all()
                & ~self.row_write.valid
            ),
        ]
        return m

    def _lanes(self, m: Module, platform: object) -> tuple[list[Queue], list[GatherLane]]:
        """Gather lanes, each behind its queue."""
        queues, lanes = [], []
        for number in range(self._config.gather_lanes):
            # Ids of one item come feature by feature, so a lane gets them in clusters: 16 hold two
            # items of 26 features on four lanes and ride out rows of several words.
            queue = Queue(shape=lane_request_layout(self._config), depth=LANE_QUEUE)
            lane = GatherLane(config=self._config, lane=0)
            m.submodules[f"queue_{number}"] = queue
            m.submodules[f"lane_{number}"] = share(platform, lane, "gather_lane")
            wiring.connect(m, queue.o, lane.i)
            wiring.connect(m, lane.read, wiring.flipped(getattr(self, f"read_lane_{number}")))
            m.d.comb += [
                # Lanes are equal modules: each is told of its own words as if it were lane 0.
                lane.config_write.eq(self.config_write),
                lane.config_write.unit.eq(0),
                lane.config_write.valid.eq(
                    self.config_write.valid
                    & ((self.config_write.unit == number) | (self.config_write.unit == ALL_UNITS))
                ),
                self.lookup[number].eq(lane.lookup),
            ]
            queues.append(queue)
            lanes.append(lane)
        return queues, lanes

    def _route(self, m: Module, features: FeatureTable, queues: list[Queue]) -> None:
        """Each lookup to its lane; the lane number is taken modulo the lanes there are."""
        lane = features.o.payload.lane[: (len(queues) - 1).bit_length()]
        for number, queue in enumerate(queues):
            mine = lane == number
            m.d.comb += [
                queue.i.payload.eq(features.o.payload.request),
                queue.i.valid.eq(features.o.valid & mine),
            ]
            with m.If(mine):
                m.d.comb += features.o.ready.eq(queue.i.ready)

    def _broadcast(self, m: Module, lanes: list[GatherLane]) -> None:
        """One row word a cycle from the lanes, round robin; without one ``word`` stays invalid."""
        m.submodules.turn = turn = RoundRobin(count=len(lanes))
        word = Signal(row_write_layout(self._config))
        m.d.comb += turn.advance.eq(1)
        for number, lane in enumerate(lanes):
            m.d.comb += turn.requests[number].eq(lane.row_write.valid)
            with m.If(turn.grant[number]):
                m.d.comb += [
                    word.eq(lane.row_write.payload),
                    lane.row_write.ready.eq(1),
                ]
        m.d.sync += self.row_write.eq(word)
