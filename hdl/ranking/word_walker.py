"""Walks over the words of a selection and says which lanes take part."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .funnel_layouts import SUB_BATCH_BITS, bank_address_bits, selection_layout

__all__ = ["WordWalker"]


class WordWalker(wiring.Component):
    """One word of ``candidate_banks`` positions a cycle.

    A pass starts with ``go`` and covers the words from the first to the last position of the
    selection: from the next cycle on ``valid``, then one word for each cycle with ``advance``,
    ``last`` with the last one. A selection without positions takes one word without members.

    In the first stage position p belongs to sub-batch p mod B: each lane keeps the remainder of
    its position. In later stages sub-batches are ranges of positions.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    selection
        ``selection_layout``; stable from the cycle before ``go`` to the end of the pass.
    go, advance
        Start a pass; take the word on offer.
    valid, last
        A word is on offer; it is the pass's last one.
    address
        Its address in the banks.
    position
        Position of its lane 0, in words.
    member, fresh
        Lanes that take part; those of them that no selection has seen before.
    """

    selection: Any
    go: Signal
    advance: Signal
    valid: Signal
    last: Signal
    address: Signal
    position: Signal
    member: Signal
    fresh: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        banks = config.candidate_banks
        self._shift = banks.bit_length() - 1
        self._word_bits = max(1, config.item_bits + 1 - self._shift)
        super().__init__(
            {
                "selection": In(selection_layout(config)),
                "go": In(1),
                "advance": In(1),
                "valid": Out(1),
                "last": Out(1),
                "address": Out(bank_address_bits(config)),
                "position": Out(self._word_bits),
                "member": Out(banks),
                "fresh": Out(banks),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        selection = self.selection
        word = self.position
        first_word = Signal(self._word_bits)
        last_word = Signal(self._word_bits)
        base, empty = Signal.like(self.address), Signal()
        m.d.sync += [
            first_word.eq(
                Mux(selection.first | selection.cumulative, 0, selection.start[self._shift :])
            ),
            last_word.eq((selection.end - 1)[self._shift :]),
            empty.eq(selection.end == 0),
            base.eq(selection.base[self._shift :]),
        ]
        m.d.comb += self.last.eq((word >= last_word) | empty)
        with m.If(self.valid & self.advance):
            m.d.sync += [word.eq(word + 1), self.address.eq(self.address + 1)]
            with m.If(self.last):
                m.d.sync += self.valid.eq(0)
        with m.If(self.go):
            m.d.sync += [
                self.valid.eq(1),
                word.eq(first_word),
                self.address.eq(base + first_word),
            ]
        remainders = self._remainders(m)
        self._members(m, remainders)
        return m

    def _remainders(self, m: Module) -> list[Signal]:
        """Position mod B of every lane, kept up to date from word to word."""
        banks = self._config.candidate_banks
        counts = range(1, (1 << SUB_BATCH_BITS) + 1)

        def by_count(values: list[int]) -> Value:
            """Table over B, which is 1 .. 16."""
            table = Array(Const(value, SUB_BATCH_BITS) for value in values)
            return table[(self.selection.sub_batches - 1)[:SUB_BATCH_BITS]]

        step = Signal(SUB_BATCH_BITS)  # a word further the remainders grow by this
        m.d.comb += step.eq(by_count([banks % count for count in counts]))
        remainders = []
        for lane in range(banks):
            remainder = Signal(SUB_BATCH_BITS, name=f"remainder_{lane}")
            total = Signal(SUB_BATCH_BITS + 1, name=f"total_{lane}")
            count = self.selection.sub_batches
            m.d.comb += total.eq(remainder + step)
            with m.If(self.go):
                m.d.sync += remainder.eq(by_count([lane % count for count in counts]))
            with m.Elif(self.valid & self.advance):
                m.d.sync += remainder.eq(Mux(total >= count, total - count, total))
            remainders.append(remainder)
        return remainders

    def _members(self, m: Module, remainders: list[Signal]) -> None:
        selection, word, shift = self.selection, self.position, self._shift
        before_end = Signal(len(self.member))
        from_start = Signal(len(self.member))
        for bound, lanes, below in (
            (selection.end, before_end, True),
            (selection.start, from_start, False),
        ):
            # Words before the bound's are below it as a whole; in its word it depends on the lane.
            less = [
                # The last lane is below no bound inside its word.
                lane < bound[:shift] if lane + 1 < len(self.member) else Const(0)
                for lane in range(len(self.member))
            ]
            bits = Cat(less)
            same, smaller = word == bound[shift:], word < bound[shift:]
            under = Mux(same, bits, smaller.replicate(len(self.member)))
            m.d.comb += lanes.eq(under if below else ~under)
        now = Cat(remainder == selection.sub_batch for remainder in remainders)
        so_far = Cat(remainder <= selection.sub_batch for remainder in remainders)
        new = Cat(remainder >= selection.fresh_from for remainder in remainders)
        with m.If(selection.first):
            m.d.comb += [
                self.member.eq(before_end & Mux(selection.cumulative, so_far, now)),
                self.fresh.eq(self.member & new),
            ]
        with m.Else():
            m.d.comb += [
                self.member.eq(
                    before_end & (from_start | selection.cumulative.replicate(len(from_start)))
                ),
                self.fresh.eq(self.member & from_start),
            ]
