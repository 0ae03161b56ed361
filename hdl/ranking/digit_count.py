"""Counts candidates by a digit of their key and finds the digit of a given rank."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_
from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .lanes import count_ones
from .scan import DIGIT_BITS

__all__ = ["DigitCount"]

VALUES = 1 << DIGIT_BITS


class DigitCount(wiring.Component):
    """For each value of a digit, how many candidates have at least that value.

    A word of candidates a cycle. Counting "at least" instead of "exactly" leaves nothing to be
    summed up at the end: all comparisons with the rank are made at once.

    Latency: a word counts 2 cycles after it came; the comparison with ``rank`` is there one cycle
    later, the answer another one, so ``LATENCY`` cycles after the last word ``value``, ``above``,
    ``whole`` and ``members`` hold.

    Parameters
    ----------
    lanes
        Candidates of a word.
    count_width
        Bits of a count; the caller sees to it that no count overflows.

    Members
    -------
    clear
        Forget all counts. Not within 2 cycles after a word.
    valid, counted, digit
        A word: which lanes count, and their digits.
    rank
        1 for the largest; stable from the last word on.
    value
        Digit of the candidate of that rank, 0 if there are fewer.
    above
        Candidates with larger digits.
    whole
        All candidates of ``value`` are within the rank.
    members
        All candidates.
    """

    LATENCY = 4

    clear: Signal
    valid: Signal
    counted: Signal
    digit: Any
    rank: Signal
    value: Signal
    above: Signal
    whole: Signal
    members: Signal

    def __init__(self, *, lanes: int, count_width: int) -> None:
        if lanes < 1 or count_width < 1:
            raise ValueError(
                f"lanes and count_width must be at least 1, not {lanes}, {count_width}"
            )
        self._lanes = lanes
        self._count_width = count_width
        super().__init__(
            {
                "clear": In(1),
                "valid": In(1),
                "counted": In(lanes),
                "digit": In(data.ArrayLayout(DIGIT_BITS, lanes)),
                "rank": In(count_width),
                "value": Out(DIGIT_BITS),
                "above": Out(count_width),
                "whole": Out(1),
                "members": Out(count_width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._count_width
        valid = Signal()
        counts = [Signal(width, name=f"count_{value}") for value in range(VALUES)]
        reached = Signal(VALUES)  # the rank lies at this value or above
        exact = Signal(VALUES)  # with none left over
        m.d.sync += valid.eq(self.valid)
        for value in range(VALUES):
            ones = Signal(self._lanes.bit_length(), name=f"ones_{value}")
            hits = Cat(
                self.counted[lane] & ((self.digit[lane] >= value) if value else 1)
                for lane in range(self._lanes)
            )
            m.d.sync += [
                ones.eq(count_ones(hits)),
                reached[value].eq(counts[value] >= self.rank),
                exact[value].eq(counts[value] == self.rank),
            ]
            with m.If(valid):
                m.d.sync += counts[value].eq(counts[value] + ones)
            with m.If(self.clear):
                m.d.sync += counts[value].eq(0)
        # The largest value that reaches the rank; 0 reaches it or holds all that there is. Smaller
        # values count no less, so ``reached`` falls off once: one bit is found, nothing ripples.
        found = Signal(VALUES)
        m.d.comb += found.eq(Cat(Const(1, 1), reached[1:]) & ~Cat(reached[1:], Const(0, 1)))
        m.d.sync += [
            self.members.eq(counts[0]),
            self.above.eq(
                _any_of(
                    counts[value + 1] & found[value].replicate(width) for value in range(VALUES - 1)
                )
            ),
            self.whole.eq(~reached[0] | (found & exact).any()),
        ]
        for bit in range(DIGIT_BITS):
            has_bit = Cat(found[value] for value in range(VALUES) if value >> bit & 1)
            m.d.sync += self.value[bit].eq(has_bit.any())
        return m


def _any_of(values: Iterable[Value]) -> Value:
    """Bits that are set in one of the values."""
    return reduce(or_, values)
