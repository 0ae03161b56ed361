"""Runs selections: one complete sub-batch of a context after the other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .digit_count import DigitCount
from .funnel_layouts import arrival_layout, context_layout, forward_layout
from .scan import DIGIT_BITS, SCORE_DIGITS, digits_of
from .selection_plan import SelectionPlan

__all__ = ["Selector"]


class Selector(wiring.Component):
    """Chooses a ready context, finds the threshold of its selection and has it listed.

    Threshold: the digits of the key, 4 bits each, from the highest on. A pass counts, among the
    candidates that equal the digits found, how many have at least each value; the next digit is
    the largest that still reaches the rank. It ends as soon as all candidates that equal the
    digits found are kept. Where positions are in the order of items the item digits are not
    looked at: of equal scores the first ones are kept.

    Contexts that are ready take turns; those of a final stage wait for the sorter.

    Cycles of a selection that keeps something: ``PREPARE``, ``words + PASS`` a digit, ``LIST`` and
    the cycles that ``Emission`` takes for the words, ``CLOSE`` to the report.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    ready, final
        See ``Contexts``.
    sorter_free
        A final stage may emit.
    index
        The context in work, for ``Contexts`` and ``SelectionPlan``.
    context
        See ``Contexts``.
    quota, nothing, last, by_item, binned
        See ``SelectionPlan``.
    save, finish
        Pulses: note what was done; go on to the next sub-batch.
    listed_after, fallen_after
        What is to be noted: the next list's length, candidates left behind.
    o_announce
        Stream of ``arrival_layout``: the next context's new sub-batch.
    go, threshold, depth, scanned
        See ``Scan``; ``scanned``: the last word of the pass is out.
    rank, value, above, whole, members
        See ``DigitCount``; ``go`` clears it.
    start, emitting, emitted, ties, survivors, listed_before, listed, fallen
        See ``Emission``.
    o_forward
        Stream of ``forward_layout``, one for each selection.
    """

    PREPARE = 2 + SelectionPlan.LATENCY
    PASS = 8
    LIST = 9
    CLOSE = 2

    ready: Signal
    final: Signal
    sorter_free: Signal
    index: Signal
    sub_batch: Signal
    context: Any
    quota: Signal
    nothing: Signal
    last: Signal
    by_item: Signal
    binned: Signal
    save: Signal
    finish: Signal
    o_announce: stream.Interface
    go: Signal
    threshold: Signal
    depth: Signal
    scanned: Signal
    rank: Signal
    value: Signal
    above: Signal
    whole: Signal
    members: Signal
    start: Signal
    emitting: Signal
    emitted: Signal
    ties: Signal
    survivors: Signal
    listed_before: Signal
    listed: Signal
    fallen: Signal
    listed_after: Signal
    fallen_after: Signal
    o_forward: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._digits = digits_of(config)
        count = config.item_bits + 1
        super().__init__(
            {
                "ready": In(config.filter_contexts),
                "final": In(config.filter_contexts),
                "sorter_free": In(1),
                "index": Out(range(config.filter_contexts)),
                "sub_batch": In(4),
                "context": In(context_layout(config)),
                "quota": In(count),
                "nothing": In(1),
                "last": In(1),
                "by_item": In(1),
                "binned": In(1),
                "save": Out(1),
                "finish": Out(1),
                "o_announce": Out(stream.Signature(arrival_layout(config))),
                "go": Out(1),
                "threshold": Out(DIGIT_BITS * self._digits),
                "depth": Out(range(self._digits + 1)),
                "scanned": In(1),
                "rank": Out(count),
                "value": In(DIGIT_BITS),
                "above": In(count),
                "whole": In(1),
                "members": In(count),
                "start": Out(1),
                "emitting": Out(1),
                "emitted": In(1),
                "ties": Out(count),
                "survivors": Out(count),
                "listed_before": In(count),
                "listed": In(count),
                "fallen": In(count),
                "listed_after": Out(count),
                "fallen_after": Out(count),
                "o_forward": Out(stream.Signature(forward_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        listed, dropped = self.listed_after, self.fallen_after
        wait = Signal(range(SelectionPlan.LATENCY))
        self._appended = Signal(len(listed))  # to the next list
        # The next digit is the last one, whatever is counted; ``depth`` is older than a cycle.
        self._enough = Signal()
        scores_done = self.depth + 1 >= SCORE_DIGITS
        m.d.sync += self._enough.eq(
            self.binned | (scores_done & ~self.by_item) | (self.depth + 1 == self._digits)
        )
        chosen = self._choose(m)
        self._report(m)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [self.index.eq(chosen), wait.eq(0)]
                with m.If((self.ready & self._allowed()).any()):
                    m.next = "PREPARE"
            with m.State("PREPARE"):
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == SelectionPlan.LATENCY - 1):
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.sync += [
                    self.rank.eq(self.quota),
                    self.depth.eq(0),
                    self.threshold.eq(0),
                    self.ties.eq(Const(-1, len(self.ties))),
                    listed.eq(self.listed_before),
                    dropped.eq(0),
                    self._appended.eq(0),
                ]
                with m.If(self.nothing):
                    m.next = "CLOSE"
                with m.Elif(~Const(int(config.features.on_chip_filter), 1)):
                    m.d.sync += self.survivors.eq(self.context.n)
                    m.next = "START"
                with m.Else():
                    m.d.comb += self.go.eq(1)
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.sync += wait.eq(0)
                with m.If(self.scanned):
                    m.next = "SETTLE"
            with m.State("SETTLE"):  # DigitCount.LATENCY
                m.d.sync += wait.eq(wait + 1)
                with m.If(wait == DigitCount.LATENCY - 2):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                found = self._judge(m)
                m.next = "START"
                with m.If(~found):
                    m.d.comb += self.go.eq(1)
                    m.next = "COUNT"
            with m.State("START"):
                m.d.comb += [self.start.eq(1), self.go.eq(1)]
                m.next = "LIST"
            with m.State("LIST"):
                m.d.comb += self.emitting.eq(1)
                with m.If(self.emitted):
                    m.d.sync += [
                        listed.eq(self.listed),
                        dropped.eq(self.fallen),
                        self._appended.eq(self.listed - self.listed_before),
                    ]
                    m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += self.o_announce.valid.eq(~self.context.final)
                with m.If(self.context.final | self.o_announce.ready):
                    m.d.comb += self.save.eq(1)
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += self.o_forward.valid.eq(1)
                with m.If(self.o_forward.ready):
                    m.d.comb += self.finish.eq(1)
                    m.next = "IDLE"
        return m

    def _allowed(self) -> Any:
        return ~self.final | self.sorter_free.replicate(len(self.final))

    def _choose(self, m: Module) -> Signal:
        """The next ready context behind the one served last."""
        count = self._config.filter_contexts
        chosen = Signal(range(count))
        candidates = Signal(count)
        behind = Signal(count)
        m.d.comb += [
            candidates.eq(self.ready & self._allowed()),
            behind.eq(candidates & ~((2 << self.index) - 1)[:count]),
        ]
        for c in reversed(range(count)):
            with m.If(candidates[c]):
                m.d.comb += chosen.eq(c)
        for c in reversed(range(count)):
            with m.If(behind[c]):
                m.d.comb += chosen.eq(c)
        return chosen

    def _judge(self, m: Module) -> Signal:
        """Take over the digit found; returns: the threshold is complete."""
        found = Signal()
        rank = Signal(len(self.rank))  # among those that equal the threshold from now on
        m.d.comb += [
            rank.eq(self.rank - self.above),
            found.eq(self.whole | self._enough),
        ]
        m.d.sync += [self.depth.eq(self.depth + 1), self.rank.eq(rank)]
        # All that equal the threshold, or in the order of positions as many as are missing.
        every = Const(-1, len(self.ties))
        m.d.sync += self.ties.eq(Mux(self.whole | self.binned, every, rank))
        for number in range(self._digits):
            with m.If(self.depth == number):
                digit = self.threshold.word_select(self._digits - 1 - number, DIGIT_BITS)
                m.d.sync += digit.eq(self.value)
        with m.If(self.depth == 0):
            m.d.sync += self.survivors.eq(Mux(self.members < self.rank, self.members, self.rank))
        return found

    def _report(self, m: Module) -> None:
        announce, forward = self.o_announce.payload, self.o_forward.payload
        m.d.comb += [
            announce.context.eq(self.context.next_context),
            announce.sub_batch.eq(self.sub_batch),
            announce.count.eq(self._appended),
            forward.context.eq(self.index),
            forward.next_context.eq(self.context.next_context),
            forward.sub_batch.eq(self.sub_batch),
            forward.count.eq(self.listed_after),
            forward.added.eq(self._appended),
            forward.dropped.eq(Mux(self.last, self.fallen_after, 0)),
            forward.last.eq(self.last),
            forward.final.eq(self.context.final),
        ]
