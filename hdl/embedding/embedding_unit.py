"""Embedding unit: from row blocks to dense chunks and embedding rows in the engines' buffers."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import (
    QUERY_BITS,
    config_write_layout,
    job_layout,
    lookup_event_layout,
    read_port_signature,
    row_write_layout,
    walked_layout,
)
from ..program import ALL_UNITS
from ..share import share
from .gather_lane import GatherLane
from .lane_layouts import filled_layout, tag_step_layout
from .lane_merge import LaneMerge
from .record_layouts import dense_chunk_layout
from .record_loader import RecordLoader

__all__ = ["EmbeddingUnit"]


class EmbeddingUnit(wiring.Component):
    """Record loaders and gather lanes: every loader feeds every lane, a lane its banks.

    A job goes to the loader of its engine (``config.loader_of``), so an engine always has the same
    one; prefetches go to the loaders in turns. Nothing here waits for an engine but dense
    chunks (``o_dense``) and slots (``can_allocate``); row words are never refused, so every id that
    was read is looked up and handed over.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    levels
        Partition in force.
    i_job, i_prefetch
        Row blocks; jobs that only fetch ahead, ``prefetch`` set.
    walked
        Array of event structs, one a loader: a row of a later stage is about to be looked up.
    list_address, list_data
        Arrays, one item list port a loader; data belongs to the address of the cycle before.
    can_allocate, allocate, allocate_address, allocate_index
        One vector buffer a unit, see ``RecordWalker``.
    o_dense
        Array of dense chunk streams, one a loader.
    row_write
        Array of row words, one a lane, for all vector buffers.
    read_record_0, .., read_lane_0, ..
        Read ports.
    config_write
        ``FEATURES`` and the ``CACHE_`` targets; not while a query runs.
    live
        By query number: prefetch claims count.
    lookup, step, filled
        Arrays of event structs, one a lane, see ``GatherLane``.
    bad_id, bus_error
        Queries for which some lane met a bad id, or somebody an error, in this cycle.
    idle
        No job held, nothing in flight, and the last row word has been sent.
    """

    levels: Any
    i_job: stream.Interface
    i_prefetch: stream.Interface
    list_address: Any
    list_data: Any
    walked: Any
    can_allocate: Signal
    allocate: Signal
    allocate_address: Any
    allocate_index: Any
    o_dense: Any
    row_write: Any
    config_write: data.View
    live: Signal
    lookup: Any
    step: Any
    filled: Any
    bad_id: Value
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        lanes, loaders, units = config.gather_lanes, config.record_loaders, config.sub_arrays
        port = Out(read_port_signature(config))
        super().__init__(
            {
                "levels": In(data.ArrayLayout(unsigned(config.level_bits), units)),
                "i_job": In(stream.Signature(job_layout(config))),
                "i_prefetch": In(stream.Signature(job_layout(config))),
                "list_address": Out(config.candidate_bits).array(loaders),
                "list_data": In(config.item_bits).array(loaders),
                "walked": Out(walked_layout()).array(loaders),
                "can_allocate": In(units),
                "allocate": Out(units),
                "allocate_address": In(data.ArrayLayout(unsigned(13), units)),
                "allocate_index": In(data.ArrayLayout(unsigned(4), units)),
                "o_dense": Out(stream.Signature(dense_chunk_layout(config))).array(loaders),
                "row_write": Out(row_write_layout(config)).array(lanes),
                **{f"read_record_{number}": port for number in range(loaders)},
                **{f"read_lane_{number}": port for number in range(lanes)},
                "config_write": In(config_write_layout(config)),
                "live": In(1 << QUERY_BITS),
                "lookup": Out(lookup_event_layout(config)).array(lanes),
                "step": Out(tag_step_layout(config)).array(lanes),
                "filled": Out(filled_layout(config)).array(lanes),
                "bad_id": Out(1 << QUERY_BITS),
                "bus_error": Out(1 << QUERY_BITS),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        loaders = self._loaders(m, platform)
        merges, lanes = self._lanes(m, platform, loaders)
        self._route(m, loaders)
        bad: list[Value] = []
        failed: list[Value] = [loader.bus_error for loader in loaders]
        for lane in lanes:
            for event, masks in ((lane.bad_id, bad), (lane.bus_error, failed)):
                masks.append((Const(1) << event.query) & event.valid.replicate(1 << QUERY_BITS))
        m.d.comb += [
            self.idle.eq(
                Cat(unit.idle for units in (loaders, merges, lanes) for unit in units).all()
                & ~Cat(self.row_write[n].valid for n in range(len(lanes))).any()
            )
        ]
        for target, masks in ((self.bad_id, bad), (self.bus_error, failed)):
            value: Value = Const(0)
            for mask in masks:
                value = value | mask
            m.d.comb += target.eq(value)
        return m

    def _loaders(self, m: Module, platform: object) -> list[RecordLoader]:
        """All record loaders; units have their jobs in one of them."""
        loaders = []
        allocate: Value = Const(0)
        for number in range(self._config.record_loaders):
            loader = RecordLoader(config=self._config)
            m.submodules[f"loader_{number}"] = share(platform, loader, "record_loader")
            wiring.connect(m, loader.read, wiring.flipped(getattr(self, f"read_record_{number}")))
            wiring.connect(m, loader.o_dense, wiring.flipped(self.o_dense[number]))
            for name in ("can_allocate", "allocate_address", "allocate_index"):
                m.d.comb += getattr(loader, name).eq(getattr(self, name))
            m.d.comb += [
                self.list_address[number].eq(loader.list_address),
                loader.list_data.eq(self.list_data[number]),
                self.walked[number].eq(loader.walked),
            ]
            allocate = allocate | loader.allocate
            loaders.append(loader)
        m.d.comb += self.allocate.eq(allocate)
        return loaders

    def _lanes(
        self, m: Module, platform: object, loaders: list[RecordLoader]
    ) -> tuple[list[LaneMerge], list[GatherLane]]:
        """Gather lanes, each behind the ids of all loaders."""
        merges, lanes = [], []
        unit_bits = (self._config.sub_arrays - 1).bit_length()
        for number in range(self._config.gather_lanes):
            merge = LaneMerge(config=self._config)
            lane = GatherLane(config=self._config, lane=0)
            m.submodules[f"merge_{number}"] = share(platform, merge, "lane_merge")
            m.submodules[f"lane_{number}"] = share(platform, lane, "gather_lane")
            for source, loader in enumerate(loaders):
                wiring.connect(m, loader.o_id[number], merge.i[source])
            wiring.connect(m, merge.o, lane.i)
            wiring.connect(m, lane.read, wiring.flipped(getattr(self, f"read_lane_{number}")))
            m.d.comb += [
                # Lanes are equal modules: each is told of its own words as if it were lane 0.
                lane.config_write.eq(self.config_write),
                lane.config_write.unit.eq(0),
                lane.config_write.valid.eq(
                    self.config_write.valid
                    & ((self.config_write.unit == number) | (self.config_write.unit == ALL_UNITS))
                ),
                lane.live.eq(self.live),
                self.row_write[number].eq(lane.row_write),
                # No prefetches here: engines have few numbers, and need not compare more.
                self.row_write[number].unit.eq(lane.row_write.unit[:unit_bits]),
                self.lookup[number].eq(lane.lookup),
                self.step[number].eq(lane.step),
                self.filled[number].eq(lane.filled),
            ]
            merges.append(merge)
            lanes.append(lane)
        return merges, lanes

    def _route(self, m: Module, loaders: list[RecordLoader]) -> None:
        """Each job to its loader."""
        config = self._config
        job, ahead = self.i_job, self.i_prefetch
        chosen = Signal(range(max(2, len(loaders))))
        turn = Signal.like(chosen)  # of prefetches; the number of loaders is a power of two
        if len(loaders) > 1:
            with m.If(ahead.valid & ahead.ready):
                m.d.sync += turn.eq(turn + 1)
            with m.Switch(job.payload.unit):
                for u in config.anchors:
                    row, column = divmod(u, config.grid)
                    with m.Case(u), m.Switch(self.levels[u]):
                        for level in range(config.largest_level_at(row, column) + 1):
                            with m.Case(level):
                                number = config.loader_of(row, column, level)
                                m.d.comb += chosen.eq(number)
        for number, loader in enumerate(loaders):
            for source, to, choice in (
                (job, loader.i_job, chosen),
                (ahead, loader.i_prefetch, turn),
            ):
                m.d.comb += [
                    to.payload.eq(source.payload),
                    to.valid.eq(source.valid & (choice == number)),
                ]
                with m.If(choice == number):
                    m.d.comb += source.ready.eq(to.ready)
