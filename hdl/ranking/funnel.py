"""From engines' scores to the next stages' lists and the queries' ordered results."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from .candidate_memory import CandidateMemory
from .contexts import Contexts
from .digit_count import DigitCount
from .emission import Emission
from .funnel_layouts import (
    cancel_layout,
    forward_layout,
    funnel_result_layout,
    funnel_score_layout,
    kept_layout,
    open_layout,
)
from .scan import Scan
from .score_lanes import ScoreLanes
from .selection_plan import SelectionPlan
from .selector import Selector
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
        Array of ``sub_arrays`` streams of ``funnel_score_layout``: each position that was listed
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
        scores = stream.Signature(funnel_score_layout(config))
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
        m.submodules.plan = plan = SelectionPlan(config=config)
        m.submodules.scan = scan = Scan(config=config)
        m.submodules.emission = emission = Emission(config=config)
        m.submodules.selector = selector = Selector(config=config)
        self._wire_contexts(m, lanes, contexts)
        self._wire_plan(m, contexts, plan, selector)
        self._wire_scan(m, candidates, plan, scan, emission, selector)
        self._wire_emission(m, candidates, plan, scan, emission, selector)
        self._wire_results(m, emission, selector)
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
        wiring.connect(m, wiring.flipped(self.i_cancel), contexts.i_cancel)
        wiring.connect(m, lanes.o, contexts.i_arrival)

    def _wire_plan(
        self, m: Module, contexts: Contexts, plan: SelectionPlan, selector: Selector
    ) -> None:
        wiring.connect(m, selector.o_announce, contexts.i_announce)
        m.d.comb += [
            selector.ready.eq(contexts.ready),
            selector.final.eq(contexts.final),
            contexts.index.eq(selector.index),
            contexts.finish.eq(selector.finish),
            contexts.finish_last.eq(plan.last),
            plan.config_write.eq(self.config_write),
            plan.index.eq(selector.index),
            plan.save.eq(selector.save),
            plan.listed.eq(selector.listed_after),
            plan.fallen.eq(selector.fallen_after),
        ]
        for unit in (plan, selector):
            m.d.comb += [unit.sub_batch.eq(contexts.sub_batch), unit.context.eq(contexts.context)]
        m.d.comb += plan.aborted.eq(contexts.aborted)
        for name in ("quota", "last", "by_item", "binned"):
            m.d.comb += getattr(selector, name).eq(getattr(plan, name))
        m.d.comb += selector.listed_before.eq(plan.job.listed)

    def _wire_scan(
        self,
        m: Module,
        candidates: CandidateMemory,
        plan: SelectionPlan,
        scan: Scan,
        emission: Emission,
        selector: Selector,
    ) -> None:
        """Candidates -> digits -> threshold."""
        config = self._config
        m.submodules.count = count = DigitCount(
            lanes=config.candidate_banks, count_width=config.item_bits + 1
        )
        selection = plan.selection
        m.d.comb += [
            scan.selection.eq(selection),
            scan.go.eq(selector.go),
            scan.advance.eq(emission.advance),
            scan.exclude_dropped.eq(~selection.first & plan.last & selection.cumulative),
            scan.bins.eq(Mux(plan.binned, selector.context.bins, 0)),
            scan.threshold.eq(selector.threshold),
            scan.depth.eq(selector.depth),
            scan.candidates.eq(candidates.scan),
            candidates.scan_address.eq(scan.scan_address),
            candidates.scan_enable.eq(scan.scan_enable),
            count.clear.eq(selector.go),
            count.valid.eq(scan.o.valid),
            count.counted.eq(scan.o.counted),
            count.digit.eq(scan.o.digit),
            count.rank.eq(selector.rank),
            selector.scanned.eq(scan.o.valid & scan.o.last),
        ]
        for name in ("value", "above", "whole", "members"):
            m.d.comb += getattr(selector, name).eq(getattr(count, name))

    def _wire_emission(
        self,
        m: Module,
        candidates: CandidateMemory,
        plan: SelectionPlan,
        scan: Scan,
        emission: Emission,
        selector: Selector,
    ) -> None:
        """Threshold -> survivors -> lists."""
        config = self._config
        # A bit a candidate, a word at a time, by lane: only selections read and write it.
        flags: memory.Memory = memory.Memory(
            shape=unsigned(config.candidate_banks),
            depth=config.candidate_words // config.candidate_banks,
            init=[],
        )
        m.submodules.flags = flags
        read, write = flags.read_port(domain="sync"), flags.write_port()
        m.d.comb += [
            read.addr.eq(scan.scan_address),
            read.en.eq(scan.scan_enable),
            scan.flags.eq(read.data),
            write.en.eq(emission.flag_write),
            write.addr.eq(emission.flag_address),
            write.data.eq(emission.flag_data),
            emission.selection.eq(plan.selection),
            emission.job.eq(plan.job),
            emission.job.ties.eq(selector.ties),
            emission.job.survivors.eq(selector.survivors),
            emission.start.eq(selector.start),
            emission.active.eq(selector.emitting),
            emission.word.eq(scan.o),
            selector.emitted.eq(emission.done),
            selector.listed.eq(emission.listed),
            selector.fallen.eq(emission.fallen),
            candidates.append.eq(emission.append),
            candidates.link.eq(emission.link),
            self.kept.eq(emission.kept),
        ]
        for port in range(config.filter_survivors):
            m.d.comb += [
                self.kept[port].context.eq(selector.index),
                self.kept[port].sub_batch.eq(selector.sub_batch),
            ]

    def _wire_results(self, m: Module, emission: Emission, selector: Selector) -> None:
        wiring.connect(m, selector.o_forward, wiring.flipped(self.o_forward))
        source = emission.o
        if self._config.features.on_chip_filter:
            m.submodules.sorter = sorter = Sorter(config=self._config)
            wiring.connect(m, emission.o, sorter.i)
            source = sorter.o
        busy = Signal()  # results of a context are on their way
        context = Signal.like(self.o_result.payload.context)
        with m.If(self.o_result.valid & self.o_result.ready & self.o_result.payload.last):
            m.d.sync += busy.eq(0)
        with m.If(selector.start & selector.context.final & (selector.survivors != 0)):
            m.d.sync += [busy.eq(1), context.eq(selector.index)]
        m.d.comb += [
            selector.sorter_free.eq(~busy),
            self.o_result.valid.eq(source.valid),
            source.ready.eq(self.o_result.ready),
            self.o_result.payload.context.eq(context),
            self.o_result.payload.item.eq(source.payload.item),
            self.o_result.payload.score.eq(source.payload.score),
            self.o_result.payload.last.eq(source.payload.last),
        ]
