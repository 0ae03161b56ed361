"""From engines' scores to the next stages' lists and the queries' ordered results."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, position_score_layout
from ..skid import StreamRegister
from .candidate_memory import CandidateMemory
from .contexts import Contexts
from .funnel_layouts import (
    cancel_layout,
    forward_layout,
    funnel_result_layout,
    kept_layout,
    open_layout,
)
from .score_lanes import ScoreLanes
from .selection import Selection
from .sorter import Sorter

__all__ = ["Funnel"]


class Funnel(wiring.Component):
    """The filter: many contexts collect scores while one of them is selected from.

    A context is one stage of one query. Its candidates lie in a region of the candidate memory;
    when a sub-batch is complete its survivors are appended to the next context's list (its region),
    or go through the sorter as the query's result. See ``SelectionPlan`` for the policies.

    Flow control: scores are taken as ``ScoreLanes`` says, whatever is being selected. Reports
    (``o_forward``) and results may wait; a report that waits holds up all selections, results only
    those of other final stages.

    Without ``features.on_chip_filter`` every context is final, and all of its scores are results,
    in the order of positions.

    Parameters
    ----------
    config
        Device sizes.
    readers
        Independent readers of the lists.

    Members
    -------
    config_write
        Broadcast of LOAD, see ``SelectionPlan``.
    i_open
        Stream of ``open_layout``. All contexts of a query are opened before its first score comes,
        and none again before its last report was taken; regions do not overlap.
        1 <= sub_batches <= n, 1 <= k <= n; a later stage's k is not above that of the stage before.
    i_scores
        Array of ``sub_arrays`` streams of ``position_score_layout``: each position that was listed
        once, first stage: 0 .. n - 1, position p in sub-batch p mod sub_batches.
    i_cancel
        Stream of ``cancel_layout``: the context keeps nothing from now on, and so many scores of a
        sub-batch will not come.
    o_forward
        Stream of ``forward_layout``: one report for each sub-batch of each context.
    o_result
        Stream of ``funnel_result_layout``: score descending, item ascending. Results of one context
        are not mixed with others'.
    list_address, list_data
        Item at a candidate address (region + position), one clock later, by reader. Lists only.
    kept
        Events for traces.
    """

    config_write: Any
    i_open: stream.Interface
    i_scores: Any
    i_cancel: stream.Interface
    o_forward: stream.Interface
    o_result: stream.Interface
    list_address: Any
    list_data: Any
    kept: Any

    def __init__(self, *, config: Config, readers: int = 1) -> None:
        self._config = config
        self._readers = readers
        scores = stream.Signature(position_score_layout(config))
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "i_open": In(stream.Signature(open_layout(config))),
                "i_scores": In(scores).array(config.sub_arrays),
                "i_cancel": In(stream.Signature(cancel_layout(config))),
                "o_forward": Out(stream.Signature(forward_layout(config))),
                "o_result": Out(stream.Signature(funnel_result_layout(config))),
                "list_address": In(data.ArrayLayout(unsigned(config.candidate_bits), readers)),
                "list_data": Out(data.ArrayLayout(unsigned(config.item_bits), readers)),
                "kept": Out(data.ArrayLayout(kept_layout(config), config.filter_survivors)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.lanes = lanes = ScoreLanes(config=config)
        m.submodules.contexts = contexts = Contexts(config=config)
        m.submodules.candidates = candidates = CandidateMemory(config=config, readers=self._readers)
        m.submodules.selection = selection = Selection(config=config)
        self._wire_contexts(m, lanes, contexts)
        self._wire_selection(m, contexts, candidates, selection)
        self._wire_results(m, selection)
        m.d.comb += [
            candidates.write.eq(lanes.write),
            candidates.list_address.eq(self.list_address),
            self.list_data.eq(candidates.list_data),
        ]
        return m

    def _wire_contexts(self, m: Module, lanes: ScoreLanes, contexts: Contexts) -> None:
        """Scores and everything that counts them."""
        bases = Signal.like(lanes.bases)
        opened = self.i_open.payload
        for c in range(self._config.filter_contexts):
            with m.If(self.i_open.valid & self.i_open.ready & (opened.context == c)):
                m.d.sync += bases[c].eq(opened.base)
        m.d.comb += lanes.bases.eq(bases)
        for unit in range(self._config.sub_arrays):
            wiring.connect(m, wiring.flipped(self.i_scores[unit]), lanes.i[unit])
        wiring.connect(m, wiring.flipped(self.i_open), contexts.i_open)
        # Counters take a cancellation when nothing else is to be done: nobody waits for that.
        m.submodules.cancel = cancel = StreamRegister(shape=cancel_layout(self._config))
        wiring.connect(m, wiring.flipped(self.i_cancel), cancel.i)
        wiring.connect(m, cancel.o, contexts.i_cancel)
        wiring.connect(m, lanes.o, contexts.i_arrival)

    def _wire_selection(
        self, m: Module, contexts: Contexts, candidates: CandidateMemory, selection: Selection
    ) -> None:
        wiring.connect(m, selection.o_announce, contexts.i_announce)
        wiring.connect(m, selection.o_forward, wiring.flipped(self.o_forward))
        m.d.comb += [
            selection.config_write.eq(self.config_write),
            contexts.index.eq(selection.index),
            contexts.finish.eq(selection.finish),
            contexts.finish_last.eq(selection.finish_last),
            candidates.scan_address.eq(selection.scan_address),
            candidates.scan_enable.eq(selection.scan_enable),
            selection.candidates.eq(candidates.scan),
            candidates.append.eq(selection.append),
            candidates.link.eq(selection.link),
            self.kept.eq(selection.kept),
        ]
        for name in ("ready", "final", "context", "sub_batch", "aborted"):
            m.d.comb += getattr(selection, name).eq(getattr(contexts, name))

    def _wire_results(self, m: Module, selection: Selection) -> None:
        source = selection.o
        if self._config.features.on_chip_filter:
            cells = self._config.sorter_cells
            m.submodules.sorter = sorter = Sorter(config=self._config, cells=cells)
            short = Signal()
            with m.If(selection.results_begin):
                m.d.sync += short.eq(selection.results_count <= cells)
            m.d.comb += sorter.short.eq(short)
            wiring.connect(m, selection.o, sorter.i)
            source = sorter.o
        busy = Signal()  # results of a context are on their way
        context = Signal.like(self.o_result.payload.context)
        with m.If(self.o_result.valid & self.o_result.ready & self.o_result.payload.last):
            m.d.sync += busy.eq(0)
        with m.If(selection.results_begin):
            m.d.sync += [busy.eq(1), context.eq(selection.index)]
        m.d.comb += [
            selection.sorter_free.eq(~busy),
            self.o_result.valid.eq(source.valid),
            source.ready.eq(self.o_result.ready),
            self.o_result.payload.context.eq(context),
            self.o_result.payload.item.eq(source.payload.item),
            self.o_result.payload.score.eq(source.payload.score),
            self.o_result.payload.last.eq(source.payload.last),
        ]
