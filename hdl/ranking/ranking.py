"""From engines' scores to the next stage's list, or to the query's ordered result."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import position_score_layout, result_layout
from .bypass import Bypass
from .filter import Filter
from .item_list import ItemList
from .layouts import ranking_stage_layout, survivor_event_layout
from .score_collector import ScoreCollector
from .sorter import Sorter

__all__ = ["Ranking"]


class Ranking(wiring.Component):
    """Collects a stage's scores, keeps the best, and lists or sorts them.

    One stage at a time: ``i_stage``, then n scores over any of ``i_scores``, then ``done``. In a
    ``final`` stage the survivors go through the sorter to ``o_result``; in the others they become
    the list that the next stage reads through ``list_address``.

    Without ``features.on_chip_filter`` every stage is final and its scores are returned unsorted
    in the order of positions; ``k`` is ignored. A device with one engine needs no memory for that;
    with fission the filter puts the scores in order, keeping all.

    Latency: see ``ScoreCollector``, ``Filter``, ``ItemList`` and ``Sorter``, in series; ``done``
    comes in the cycle in which the list's last entry is written or the last result is taken.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i_stage
        Stream of ``ranking_stage_layout``; refused until the stage before is done.
    i_scores
        Array of ``sub_arrays`` streams of ``position_score_layout``.
    o_result
        Stream of ``result_layout``.
    list_address, list_data
        Item index at a position of the stage in work, one clock later (the position itself in
        the first stage). Not to be used once all scores of the stage are in.
    done
        One pulse at the end of a stage.
    survivor
        Event: the filter keeps a position of the stage in work; for traces.
    """

    i_stage: stream.Interface
    i_scores: Any  # array of streams
    o_result: stream.Interface
    list_address: Any  # arrays, one a record loader
    list_data: Any
    done: Signal
    survivor: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        scores = stream.Signature(position_score_layout(config))
        super().__init__(
            {
                "i_stage": In(stream.Signature(ranking_stage_layout(config))),
                "i_scores": In(scores).array(config.sub_arrays),
                "o_result": Out(stream.Signature(result_layout(config))),
                "list_address": In(config.candidate_bits).array(config.record_loaders),
                "list_data": Out(config.item_bits).array(config.record_loaders),
                "done": Out(1),
                "survivor": Out(survivor_event_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        features = self._config.features
        m.submodules.collector = collector = ScoreCollector(config=self._config)
        chosen = Filter if features.on_chip_filter or features.fission else Bypass
        m.submodules.filter = chooser = chosen(config=self._config)
        for index in range(self._config.sub_arrays):
            wiring.connect(m, wiring.flipped(self.i_scores[index]), collector.i[index])
        wiring.connect(m, collector.o, chooser.i_score)
        m.d.comb += [
            self.survivor.valid.eq(chooser.o.valid & chooser.o.ready),
            self.survivor.position.eq(chooser.o.payload.position),
        ]

        stage = self.i_stage.payload
        keep = stage.k if features.on_chip_filter else stage.n
        m.d.comb += [
            chooser.i_start.valid.eq(self.i_stage.valid),
            self.i_stage.ready.eq(chooser.i_start.ready),
            chooser.i_start.payload.n.eq(stage.n),
            chooser.i_start.payload.k.eq(keep),
        ]
        if features.on_chip_filter:
            self._list_and_sort(m, chooser.o)
        else:
            self._return_all(m, chooser.o)
        return m

    def _list_and_sort(self, m: Module, survivors: stream.Interface) -> None:
        m.submodules.items = items = ItemList(config=self._config)
        m.submodules.sorter = sorter = Sorter(config=self._config)
        with m.If(self.i_stage.valid & self.i_stage.ready):
            m.d.sync += [
                items.first.eq(self.i_stage.payload.first),
                items.final.eq(self.i_stage.payload.final),
            ]
        wiring.connect(m, survivors, items.i)
        wiring.connect(m, items.o, sorter.i)
        self._send(m, sorter.o, sorter.o.payload.item)
        m.d.comb += self.done.eq(items.done | self._last_taken())
        for loader in range(self._config.record_loaders):
            m.d.comb += [
                items.list_address[loader].eq(self.list_address[loader]),
                self.list_data[loader].eq(items.list_data[loader]),
            ]

    def _return_all(self, m: Module, survivors: stream.Interface) -> None:
        self._send(m, survivors, survivors.payload.position)
        for loader in range(self._config.record_loaders):
            m.d.sync += self.list_data[loader].eq(self.list_address[loader])
        m.d.comb += self.done.eq(self._last_taken())

    def _send(self, m: Module, source: stream.Interface, item: Signal) -> None:
        m.d.comb += [
            self.o_result.valid.eq(source.valid),
            source.ready.eq(self.o_result.ready),
            self.o_result.payload.item.eq(item),
            self.o_result.payload.score.eq(source.payload.score),
            self.o_result.payload.last.eq(source.payload.last),
        ]

    def _last_taken(self) -> Signal:
        return self.o_result.valid & self.o_result.ready & self.o_result.payload.last
