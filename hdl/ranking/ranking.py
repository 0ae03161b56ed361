"""From engines' scores to results where the host filters: all of them, in order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import position_score_layout, result_layout
from .bypass import Bypass
from .in_order import InOrder
from .layouts import return_start_layout, survivor_event_layout
from .score_collector import ScoreCollector

__all__ = ["Ranking"]


class Ranking(wiring.Component):
    """Collects a query's scores and returns them in the order of positions.

    For devices without ``features.on_chip_filter``. One query at a time: ``i_start``, then n scores
    over any of ``i_scores``, then ``done``. One engine's scores come in order and need no memory;
    those of several are put in order first.

    Latency: see ``ScoreCollector``, then ``Bypass`` or ``InOrder``; ``done`` comes in the cycle in
    which the last result is taken.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i_start
        Stream of ``return_start_layout``; refused until the query before is done.
    i_scores
        Array of ``sub_arrays`` streams of ``position_score_layout``.
    o_result
        Stream of ``result_layout``; a position is the item.
    done
        One pulse at the end of a query.
    survivor
        Event: a result leaves; for traces.
    """

    i_start: stream.Interface
    i_scores: Any  # array of streams
    o_result: stream.Interface
    done: Signal
    survivor: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        scores = stream.Signature(position_score_layout(config))
        super().__init__(
            {
                "i_start": In(stream.Signature(return_start_layout(config))),
                "i_scores": In(scores).array(config.sub_arrays),
                "o_result": Out(stream.Signature(result_layout(config))),
                "done": Out(1),
                "survivor": Out(survivor_event_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.collector = collector = ScoreCollector(config=self._config)
        chosen = InOrder if self._config.features.fission else Bypass
        m.submodules.order = order = chosen(config=self._config)
        for index in range(self._config.sub_arrays):
            wiring.connect(m, wiring.flipped(self.i_scores[index]), collector.i[index])
        wiring.connect(m, collector.o, order.i_score)
        wiring.connect(m, wiring.flipped(self.i_start), order.i_start)
        taken = Signal()
        m.d.comb += [
            self.o_result.valid.eq(order.o.valid),
            order.o.ready.eq(self.o_result.ready),
            self.o_result.payload.item.eq(order.o.payload.position),
            self.o_result.payload.score.eq(order.o.payload.score),
            self.o_result.payload.last.eq(order.o.payload.last),
            taken.eq(order.o.valid & self.o_result.ready),
            self.survivor.valid.eq(taken),
            self.survivor.position.eq(order.o.payload.position),
            self.done.eq(taken & order.o.payload.last),
        ]
        return m
