"""Selections over the candidate memory: plan, threshold, list."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from .digit_count import DigitCount
from .emission import Emission
from .funnel_layouts import (
    SUB_BATCH_BITS,
    append_layout,
    arrival_layout,
    bank_address_bits,
    candidate_layout,
    context_layout,
    forward_layout,
    kept_layout,
    link_layout,
)
from .layouts import ranked_item_layout
from .scan import Scan
from .selection_plan import SelectionPlan
from .selector import Selector

__all__ = ["Selection"]


class Selection(wiring.Component):
    """Selects from one context after the other: everything between counters and memory.

    ``Selector`` is in charge; ``SelectionPlan`` tells it what to do, ``Scan`` reads and compares,
    ``DigitCount`` finds the threshold's digits, ``Emission`` lists the survivors.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write
        Broadcast of LOAD, see ``SelectionPlan``.
    ready, final, index, context, sub_batch, aborted, finish, finish_last, o_announce
        See ``Contexts``.
    scan_address, scan_enable, candidates, append, link
        See ``CandidateMemory``; ``candidates`` is its ``scan``.
    sorter_free
        A final stage may emit.
    results_begin, results_count
        Pulse: so many results of context ``index`` follow at ``o``.
    o
        Stream of ``ranked_item_layout``: survivors of a final stage, by position.
    o_forward
        Stream of ``forward_layout``, one for each selection.
    kept
        Events for traces.
    """

    config_write: Any
    ready: Signal
    final: Signal
    index: Signal
    context: Any
    sub_batch: Signal
    aborted: Signal
    finish: Signal
    finish_last: Signal
    o_announce: stream.Interface
    scan_address: Signal
    scan_enable: Signal
    candidates: Any
    append: Any
    link: Any
    sorter_free: Signal
    results_begin: Signal
    results_count: Signal
    o: stream.Interface
    o_forward: stream.Interface
    kept: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        banks, wide = config.candidate_banks, config.filter_survivors
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "ready": In(config.filter_contexts),
                "final": In(config.filter_contexts),
                "index": Out(range(config.filter_contexts)),
                "context": In(context_layout(config)),
                "sub_batch": In(SUB_BATCH_BITS),
                "aborted": In(1),
                "finish": Out(1),
                "finish_last": Out(1),
                "o_announce": Out(stream.Signature(arrival_layout(config))),
                "scan_address": Out(bank_address_bits(config)),
                "scan_enable": Out(1),
                "candidates": In(data.ArrayLayout(candidate_layout(config), banks)),
                "append": Out(data.ArrayLayout(append_layout(config), wide)),
                "link": Out(data.ArrayLayout(link_layout(config), wide)),
                "sorter_free": In(1),
                "results_begin": Out(1),
                "results_count": Out(config.item_bits + 1),
                "o": Out(stream.Signature(ranked_item_layout(config))),
                "o_forward": Out(stream.Signature(forward_layout(config))),
                "kept": Out(data.ArrayLayout(kept_layout(config), wide)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.plan = plan = SelectionPlan(config=config)
        m.submodules.scan = scan = Scan(config=config)
        m.submodules.emission = emission = Emission(config=config)
        m.submodules.selector = selector = Selector(config=config)
        self._wire_plan(m, plan, selector)
        self._wire_scan(m, plan, scan, emission, selector)
        self._wire_emission(m, plan, scan, emission, selector)
        wiring.connect(m, selector.o_announce, wiring.flipped(self.o_announce))
        wiring.connect(m, selector.o_forward, wiring.flipped(self.o_forward))
        wiring.connect(m, emission.o, wiring.flipped(self.o))
        m.d.comb += [
            selector.ready.eq(self.ready),
            selector.final.eq(self.final),
            selector.sorter_free.eq(self.sorter_free),
            self.index.eq(selector.index),
            self.finish.eq(selector.finish),
            self.finish_last.eq(plan.last),
            self.results_begin.eq(selector.start & self.context.final & (selector.survivors != 0)),
            self.results_count.eq(selector.survivors),
        ]
        return m

    def _wire_plan(self, m: Module, plan: SelectionPlan, selector: Selector) -> None:
        for unit in (plan, selector):
            m.d.comb += [unit.sub_batch.eq(self.sub_batch), unit.context.eq(self.context)]
        for name in ("quota", "nothing", "last", "by_item", "binned"):
            m.d.comb += getattr(selector, name).eq(getattr(plan, name))
        m.d.comb += [
            selector.listed_before.eq(plan.job.listed),
            plan.config_write.eq(self.config_write),
            plan.index.eq(selector.index),
            plan.aborted.eq(self.aborted),
            plan.save.eq(selector.save),
            plan.listed.eq(selector.listed_after),
            plan.fallen.eq(selector.fallen_after),
        ]

    def _wire_scan(
        self,
        m: Module,
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
        clear = Signal()  # a cycle late: the first word comes later
        m.d.sync += clear.eq(selector.go)
        m.d.comb += [
            scan.selection.eq(selection),
            scan.go.eq(selector.go),
            scan.advance.eq(emission.advance),
            scan.exclude_dropped.eq(~selection.first & plan.last & selection.cumulative),
            scan.bins.eq(Mux(plan.binned, self.context.bins, 0)),
            scan.threshold.eq(selector.threshold),
            scan.depth.eq(selector.depth),
            scan.candidates.eq(self.candidates),
            self.scan_address.eq(scan.scan_address),
            self.scan_enable.eq(scan.scan_enable),
            count.clear.eq(clear),
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
            self.append.eq(emission.append),
            self.link.eq(emission.link),
            self.kept.eq(emission.kept),
        ]
        for port in range(config.filter_survivors):
            m.d.comb += [
                self.kept[port].context.eq(selector.index),
                self.kept[port].sub_batch.eq(self.sub_batch),
            ]
