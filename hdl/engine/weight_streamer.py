"""Weight streamer: brings streamed weight tiles of all engines from device memory to the banks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out

from ..array.layouts import grid_weight_write_layout
from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import QUERY_BITS, read_port_signature, stream_state_layout
from ..program import STREAM_CHUNK_BYTES
from ..queue import Queue
from ..share import share
from .stream_lane import StreamLane

__all__ = ["WeightStreamer"]


class WeightStreamer(wiring.Component):
    """Fetches chunks of 256 bytes, engines taking turns, and writes them into the rings.

    One AXI burst a chunk, up to ``IN_FLIGHT`` of them on the way; an engine's ring limits what is
    fetched for it (see `StreamLane`), so beats are never refused. Beats of one stream and of
    different streams come back in the order of the requests (tag 0, ordered requester). Throughput:
    one beat, thus one word of one bank, a cycle.

    Latency: 2 cycles from a request of an engine to the read request, 1 from a beat to
    ``weight_write``; ``landed`` pulses together with the write of a tile's last word.

    Parameters
    ----------
    config
        Sizes of the device.

    Members
    -------
    levels
        Level of the engine that each sub-array belongs to.
    i_{u}
        Streams of the engine anchored at u, in the order of execution; one for each of
        ``config.anchors``.
    landed_{u}, consumed_{u}
        Pulses: a tile lies in the ring; a tile was issued for loading.
    read
        Device memory, as an ordered requester.
    weight_write
        To the grid: one word, ``mask`` has the one bank that owns it.
    bus_error
        Queries whose stream has a beat with an error in this cycle; its data is written all the
        same.
    """

    levels: data.View
    read: Any
    weight_write: data.View
    bus_error: Signal

    IN_FLIGHT = 32
    """Chunks on the way: 8 KB cover 128 cycles of memory latency at 64 bytes a cycle."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        members: dict[str, Member] = {
            "levels": In(data.ArrayLayout(unsigned(config.level_bits), config.sub_arrays)),
            "read": Out(read_port_signature(config)),
            "weight_write": Out(grid_weight_write_layout(config)),
            "bus_error": Out(1 << QUERY_BITS),
        }
        for u in config.anchors:
            members |= {
                f"i_{u}": In(stream.Signature(stream_state_layout(config))),
                f"landed_{u}": Out(1),
                f"consumed_{u}": In(1),
            }
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        lanes = {}
        for u in config.anchors:
            row, column = divmod(u, config.grid)
            lane = StreamLane(config=config, row=row, column=column)
            kind = config.largest_level_at(row, column)
            m.submodules[f"lane_{u}"] = share(platform, lane, f"stream_lane_{kind}")
            wiring.connect(m, wiring.flipped(getattr(self, f"i_{u}")), lane.i)
            m.d.comb += [
                lane.level.eq(self.levels[u] if config.features.fission else kind),
                lane.consumed.eq(getattr(self, f"consumed_{u}")),
            ]
            lanes[u] = lane
        chunk_beats = STREAM_CHUNK_BYTES // config.axi_bytes
        m.submodules.in_flight = in_flight = Queue(
            shape=data.StructLayout(
                {
                    "unit": unsigned(max(1, (config.sub_arrays - 1).bit_length())),
                    "useful": unsigned(chunk_beats.bit_length()),
                    "query": unsigned(QUERY_BITS),
                }
            ),
            depth=self.IN_FLIGHT,
        )
        self._request(m, lanes, in_flight)
        self._receive(m, lanes, in_flight)
        return m

    def _request(self, m: Module, lanes: dict[int, StreamLane], in_flight: Queue) -> None:
        """One chunk of one engine into the request register and the list of those in flight."""
        request = self.read.request
        chunk_beats = STREAM_CHUNK_BYTES // self._config.axi_bytes
        m.submodules.arbiter = arbiter = RoundRobin(count=len(lanes))
        free = Signal()
        take = Signal()
        m.d.comb += [
            free.eq((~request.valid | request.ready) & in_flight.i.ready),
            arbiter.requests.eq(Cat(lane.o.valid for lane in lanes.values())),
            take.eq(free & (arbiter.requests != 0)),
            arbiter.advance.eq(take),
            in_flight.i.valid.eq(take),
            request.payload.beats.eq(chunk_beats - 1),
            request.payload.tag.eq(0),
        ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(take):
            m.d.sync += request.valid.eq(1)
        for number, (u, lane) in enumerate(lanes.items()):
            m.d.comb += lane.o.ready.eq(free & arbiter.grant[number])
            with m.If(arbiter.grant[number]):
                m.d.comb += [
                    in_flight.i.payload.unit.eq(u),
                    in_flight.i.payload.useful.eq(lane.o.payload.useful),
                    in_flight.i.payload.query.eq(lane.o.payload.query),
                ]
                with m.If(take):
                    m.d.sync += request.payload.address.eq(lane.o.payload.address)

    def _receive(self, m: Module, lanes: dict[int, StreamLane], in_flight: Queue) -> None:
        """Beats of the oldest chunk in flight into the bank that its lane names."""
        config = self._config
        response, head = self.read.response, in_flight.o.payload
        place: Any = Signal(
            data.StructLayout(
                {
                    "address": config.weight_address_bits,
                    "target": max(1, (config.sub_arrays - 1).bit_length()),
                }
            )
        )
        index = Signal(range(STREAM_CHUNK_BYTES // config.axi_bytes))
        fire = Signal()
        keep = Signal()  # no padding
        m.d.comb += [
            response.ready.eq(in_flight.o.valid),
            fire.eq(response.valid & response.ready),
            keep.eq(fire & (index < head.useful)),
            in_flight.o.ready.eq(fire & response.payload.last),
        ]
        with m.If(fire):
            m.d.sync += index.eq(Mux(response.payload.last, 0, index + 1))
        with m.Switch(head.unit):
            for u, lane in lanes.items():
                with m.Case(u):
                    m.d.comb += [
                        place.address.eq(lane.write_address),
                        place.target.eq(u | lane.target),  # anchors are aligned: no carry
                        lane.beat.eq(keep),
                    ]
        write = self.weight_write
        m.d.sync += [
            write.valid.eq(keep),
            write.mask.eq(_one_hot(place.target, config.sub_arrays)),
            write.address.eq(place.address),
            write.data.eq(response.payload.data),
            self.bus_error.eq(Mux(fire & response.payload.error, 1 << head.query, 0)),
        ]
        for u, lane in lanes.items():
            m.d.sync += getattr(self, f"landed_{u}").eq(lane.beat & lane.tile_last)


def _one_hot(value: Value, width: int) -> Value:
    return Cat(value == index for index in range(width))
