"""Weight streamer: brings streamed weight tiles of all engines from device memory to the banks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Member, Out
from amaranth.utils import exact_log2

from ..array.layouts import grid_weight_write_layout
from ..config import Config
from ..interfaces import QUERY_BITS, read_port_signature, stream_state_layout
from ..program import STREAM_CHUNK_BYTES
from ..queue import Queue
from ..share import share
from .stream_choice import StreamChoice
from .stream_lane import StreamLane

__all__ = ["WeightStreamer"]


class WeightStreamer(wiring.Component):
    """Fetches chunks of 256 bytes and writes each into the rings of all engines that want it.

    One AXI burst a chunk, up to ``IN_FLIGHT`` of them on the way; an engine's ring limits what is
    fetched for it (see `StreamLane`), so beats are never refused. Which chunk is next, and for
    which engines, says `StreamChoice`. Beats of one stream and of different streams come back in
    the order of the requests (tag 0, ordered requester). Throughput: one beat, thus one word of
    one bank of each of these engines, a cycle.

    Latency: 6 cycles from a request of an engine to the read request, 1 from a beat to
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
        To the grid: one word for one bank of each engine that the chunk is for.
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
        m.submodules.in_flight = in_flight = Queue(
            shape=data.StructLayout(
                {
                    "lanes": unsigned(len(lanes)),
                    "useful": unsigned((STREAM_CHUNK_BYTES // config.axi_bytes).bit_length()),
                    "queries": unsigned(1 << QUERY_BITS),
                }
            ),
            depth=self.IN_FLIGHT,
        )
        self._request(m, platform, list(lanes.values()), in_flight)
        self._receive(m, lanes, in_flight)
        return m

    def _request(
        self, m: Module, platform: object, lanes: list[StreamLane], in_flight: Queue
    ) -> None:
        """One chunk into the request register and the list of those in flight."""
        choice = StreamChoice(config=self._config, count=len(lanes))
        m.submodules.choice = share(platform, choice, "stream_choice")
        request = self.read.request
        chosen = choice.o.payload
        fire = Signal()
        flying = Signal(range(self.IN_FLIGHT + 1))  # chunks in the list
        most = self.IN_FLIGHT
        back = in_flight.o.valid & in_flight.o.ready
        full = ((flying == most) | ((flying == most - 1) & fire)) & ~back
        m.d.sync += [
            flying.eq(flying + fire - back),
            # A choice takes longer than the register needs: nothing waits for the bus's ready.
            choice.o.ready.eq((~request.valid | request.ready) & ~fire & ~full),
        ]
        m.d.comb += [
            fire.eq(choice.o.valid & choice.o.ready),
            in_flight.i.valid.eq(fire),
            in_flight.i.payload.lanes.eq(chosen.lanes),
            in_flight.i.payload.useful.eq(chosen.chunk.useful),
            in_flight.i.payload.queries.eq(chosen.queries),
            request.payload.beats.eq(STREAM_CHUNK_BYTES // self._config.axi_bytes - 1),
            request.payload.tag.eq(0),
        ]
        for number, lane in enumerate(lanes):
            m.d.comb += [
                choice.active[number].eq(lane.active),
                choice.room[number].eq(lane.room),
                choice.urgent[number].eq(lane.urgent),
                choice.chunks[number].eq(lane.chunk),
                choice.queries[number].eq(lane.query),
                lane.take.eq(fire & chosen.lanes[number]),
            ]
        with m.If(request.ready):
            m.d.sync += request.valid.eq(0)
        with m.If(fire):
            m.d.sync += [
                request.valid.eq(1),
                request.payload.address.eq(chosen.chunk.chunk << exact_log2(STREAM_CHUNK_BYTES)),
            ]

    def _receive(self, m: Module, lanes: dict[int, StreamLane], in_flight: Queue) -> None:
        """Beats of the oldest chunk in flight into the banks that its lanes name."""
        config = self._config
        response, head = self.read.response, in_flight.o.payload
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
        for number, (u, lane) in enumerate(lanes.items()):
            m.d.comb += lane.beat.eq(keep & head.lanes[number])
            m.d.sync += getattr(self, f"landed_{u}").eq(lane.beat & lane.tile_last)
        write = self.weight_write
        m.d.sync += [
            write.valid.eq(keep),
            write.data.eq(response.payload.data),
            self.bus_error.eq(Mux(fire & response.payload.error, head.queries, 0)),
        ]
        for sub_array in range(config.sub_arrays):
            self._place(m, sub_array, lanes)

    def _place(self, m: Module, sub_array: int, lanes: dict[int, StreamLane]) -> None:
        """Whether the beat is for the bank of a sub-array, and where: its engine's lane says."""
        config, write = self._config, self.weight_write
        row, column = divmod(sub_array, config.grid)
        hit = Signal(name=f"hit_{sub_array}")
        address = Signal(config.weight_address_bits, name=f"address_{sub_array}")

        def at(level: int) -> list[Any]:
            anchor = (row >> level << level) * config.grid + (column >> level << level)
            lane = lanes[anchor]
            return [
                hit.eq(lane.beat & (lane.target == sub_array - anchor)),
                address.eq(lane.write_address),
            ]

        if config.features.fission:
            with m.Switch(self.levels[sub_array]):
                for level in range(config.levels):
                    with m.Case(level):
                        m.d.comb += at(level)
        else:
            m.d.comb += at(config.levels - 1)
        m.d.sync += [
            Value.cast(write.mask)[sub_array].eq(hit),
            write.addresses[sub_array].eq(address),
        ]
