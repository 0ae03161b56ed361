"""Counts the scores of a lane until they are noted."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import position_score_layout
from .funnel_layouts import arrival_layout

__all__ = ["ArrivalCount"]


class ArrivalCount(wiring.Component):
    """Sums up a lane's arrivals, so that one counter can serve many lanes.

    Scores of one sub-batch come in runs. What waits at ``o`` grows while it waits, until a score of
    another sub-batch comes: that one is refused until ``o`` was taken.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    score
        The score at the head of the lane.
    allowed
        It may be counted.
    take
        It is taken in this cycle (only when ``allowed``).
    o
        Stream of ``arrival_layout``. Its count may grow while it waits.
    """

    LIMIT = 255
    """Most that is counted at once: more than any wait for the other lanes."""

    score: Any
    allowed: Signal
    take: Signal
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        super().__init__(
            {
                "score": In(position_score_layout(config)),
                "allowed": Out(1),
                "take": In(1),
                "o": Out(stream.Signature(arrival_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waiting = self.o.payload
        same = Signal()
        taken = self.o.valid & self.o.ready
        m.d.comb += [
            same.eq(
                (waiting.context == self.score.context)
                & (waiting.sub_batch == self.score.sub_batch)
                & (waiting.count != min(self.LIMIT, (1 << len(waiting.count)) - 1))
            ),
            self.allowed.eq(~self.o.valid | same),
        ]
        with m.If(self.take):
            m.d.sync += [
                self.o.valid.eq(1),
                waiting.context.eq(self.score.context),
                waiting.sub_batch.eq(self.score.sub_batch),
                waiting.count.eq(1),
            ]
            with m.If(self.o.valid & ~taken):
                m.d.sync += waiting.count.eq(waiting.count + 1)
        with m.Elif(taken):
            m.d.sync += self.o.valid.eq(0)
        return m
