"""Loader of item records: dense values to the engines, ids to the gather lanes."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import Out

from ..config import Config
from ..interfaces import QUERY_BITS, lane_id_layout, read_port_signature
from .record_layouts import dense_chunk_layout
from .record_reader import RecordReader
from .record_unpacker import RecordUnpacker
from .record_walker import RecordWalker, walker_members

__all__ = ["RecordLoader"]


class RecordLoader(wiring.Component):
    """Fetches every item record twice: dense values of a whole row block, then ids row by row.

    Only the beats that hold the wanted bytes are read. Records are read ahead into a buffer of
    ``BEATS`` beats; dense chunks and ids leave in the order of the reads. A refused id holds up
    what was read after it, dense chunks too; lookups always finish, so this cannot deadlock.

    An item record lies at ``records`` + item * ``pitch``: ``dense_bytes`` dense values at offset 0,
    then from ``ids_offset`` on the 32-bit id words. ``records`` and ``pitch`` are multiples of
    ``config.record_alignment``. The item is the position itself (``first``), else it is read from
    the item list.

    Throughput: a row, a beat, a dense chunk a cycle; an id a lane and cycle. Latency: 11 cycles
    from a job to its first read request, 3 from a beat to the first id, one more
    to the first dense chunk.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job, i_prefetch
        Row blocks, jobs that only fetch ahead, see ``RecordWalker`` for the order of service.
    walked
        Event: a row of a later stage is about to be looked up.
    list_address, list_data
        Item lists; data belongs to the address of the cycle before.
    can_allocate, allocate, allocate_address, allocate_index
        One vector buffer a unit, see ``RecordWalker``.
    read
        Read port; the tag is the number of the AXI channel.
    o_dense, o_id
        Dense chunks for the engines; ids, one stream a gather lane.
    bus_error
        Beats with an error, one bit a query; the data is used all the same.
    idle
        No job held, nothing in flight.
    """

    i_job: stream.Interface
    i_prefetch: stream.Interface
    o_dense: stream.Interface
    o_id: Any
    read: Any
    walked: Any
    list_address: Value
    list_data: Value
    can_allocate: Value
    allocate: Value
    allocate_address: Any
    allocate_index: Any
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                **walker_members(config),
                "o_dense": Out(stream.Signature(dense_chunk_layout(config))),
                "o_id": Out(stream.Signature(lane_id_layout(config))).array(config.gather_lanes),
                "read": Out(read_port_signature(config)),
                "bus_error": Out(1 << QUERY_BITS),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.walker = walker = RecordWalker(config=self._config)
        m.submodules.reader = reader = RecordReader(config=self._config)
        m.submodules.unpacker = unpacker = RecordUnpacker(config=self._config)
        wiring.connect(m, wiring.flipped(self.i_job), walker.i_job)
        wiring.connect(m, wiring.flipped(self.i_prefetch), walker.i_prefetch)
        wiring.connect(m, walker.o, reader.i)
        wiring.connect(m, reader.read, wiring.flipped(self.read))
        wiring.connect(m, reader.o_record, unpacker.i_record)
        wiring.connect(m, reader.o_beat, unpacker.i_beat)
        wiring.connect(m, unpacker.o_dense, wiring.flipped(self.o_dense))
        for lane in range(self._config.gather_lanes):
            wiring.connect(m, unpacker.o_id[lane], wiring.flipped(self.o_id[lane]))
        for name in ("list_data", "can_allocate", "allocate_address", "allocate_index"):
            m.d.comb += getattr(walker, name).eq(getattr(self, name))
        for name in ("list_address", "allocate", "walked"):
            m.d.comb += getattr(self, name).eq(getattr(walker, name))
        m.d.comb += [
            self.bus_error.eq(reader.bus_error),
            self.idle.eq(walker.idle & reader.idle & unpacker.idle),
        ]
        return m
