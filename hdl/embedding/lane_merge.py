"""Ids of all record loaders for one gather lane."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import lane_id_layout
from ..queue import Queue

__all__ = ["LaneMerge"]


class LaneMerge(wiring.Component):
    """One id a cycle from the loaders, in turns, through a queue to the lane.

    A queue of two a loader breaks the path from the lane's ready to the loader's beat; the queue of
    four in front of the lane rides out rows of two words. With one loader there is only the latter.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Array of L streams, one a record loader.
    o
        Ids for the lane.
    idle
        No id is held.
    """

    i: Any
    o: stream.Interface
    idle: Value

    LANE_DEPTH = 4
    LOADER_DEPTH = 2

    def __init__(self, *, config: Config) -> None:
        self._config = config
        ids = stream.Signature(lane_id_layout(config))
        super().__init__(
            {
                "i": In(ids).array(config.record_loaders),
                "o": Out(ids),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = lane_id_layout(self._config)
        m.submodules.out = out = Queue(shape=shape, depth=self.LANE_DEPTH)
        wiring.connect(m, out.o, wiring.flipped(self.o))
        loaders = self._config.record_loaders
        if loaders == 1:
            wiring.connect(m, wiring.flipped(self.i[0]), out.i)
            m.d.comb += self.idle.eq(out.level == 0)
            return m
        m.submodules.turn = turn = RoundRobin(count=loaders)
        queues = []
        for number in range(loaders):
            queue = Queue(shape=shape, depth=self.LOADER_DEPTH)
            m.submodules[f"queue_{number}"] = queue
            wiring.connect(m, wiring.flipped(self.i[number]), queue.i)
            m.d.comb += [
                turn.requests[number].eq(queue.o.valid),
                queue.o.ready.eq(turn.grant[number] & out.i.ready),
            ]
            with m.If(turn.grant[number]):
                m.d.comb += [
                    out.i.payload.eq(queue.o.payload),
                    out.i.payload.loader.eq(number),
                ]
            queues.append(queue)
        m.d.comb += [
            turn.advance.eq(out.i.ready),
            out.i.valid.eq(turn.requests.any()),
            self.idle.eq((out.level == 0) & ~turn.requests.any()),
        ]
        return m
