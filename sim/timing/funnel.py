"""Timing of the funnel: when a selection reports, and how long its survivors take.

Follows ``hdl/ranking`` (``SelectionPlan``, ``Selector``, ``Scan``, ``Emission``) cycle by cycle.
When a selection is begun is the business of ``selector``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.filter import bin_of, shares
from hdl.config import Config
from hdl.queue import Queue
from hdl.ranking.contexts import Contexts
from hdl.ranking.digit_count import DigitCount
from hdl.ranking.emission import Emission
from hdl.ranking.merge_tree import MergeTree
from hdl.ranking.scan import DIGIT_BITS, SCORE_DIGITS, Scan, digits_of
from hdl.ranking.selection_plan import FRACTION_SHIFT, SelectionPlan

__all__ = ["SelectionTiming", "StageTiming", "ready_cycles"]

_PLAN = 1 + SelectionPlan.LATENCY
"""From the cycle in which a context is ready to the one in which the first pass starts."""


def ready_cycles(config: Config) -> int:
    """From the cycle in which a sub-batch's last score is taken to the one in which it is ready."""
    lanes = min(config.filter_lanes, config.sub_arrays)
    queue = Queue.BUFFERED_LATENCY if config.rows > 4 else Queue.LATENCY
    merges = MergeTree.latency(config.sub_arrays // lanes) + MergeTree.latency(lanes)
    head, count = 1, 1
    return merges + queue + head + count + Contexts.COUNT_CYCLES


@dataclass(frozen=True)
class SelectionTiming:
    """Cycles of one selection, counted from the cycle in which its sub-batch is ready."""

    listed: list[int]
    """Of each new survivor, in their order: when it is written to the next list, or offered."""
    report: int
    """When the report is offered; the next selection may begin ``AFTER_REPORT`` later."""

    AFTER_REPORT = 1


class StageTiming:
    """The selections of one stage, in order, each from the cycle in which it is begun.

    Parameters
    ----------
    config
        Device sizes.
    scores, items
        By position.
    sub_batches
        Positions of each sub-batch.
    k, rules
        See ``golden.filter.select``; ``fractions`` are those of this stage.
    first, final
        Positions are item indices; survivors are results.
    excluded
        Positions that the stage before has dropped again.
    """

    def __init__(
        self,
        config: Config,
        scores: NDArray[np.int64],
        items: NDArray[Any],
        sub_batches: Sequence[NDArray[np.intp]],
        *,
        k: int,
        policy: str = "exact",
        bins: int = 0,
        fractions: Sequence[int] = (),
        first: bool,
        final: bool,
        excluded: NDArray[np.intp] | None = None,
    ) -> None:
        self._config, self._sub_batches, self._excluded = config, sub_batches, excluded
        self._k, self._final, self._first = k, final, first
        self._exact = final or policy == "exact"
        self._binned = policy == "binned" and not final
        self._fractions = () if final else fractions
        self._share = shares(k, len(sub_batches))
        padded = DIGIT_BITS * (digits_of(config) - SCORE_DIGITS)
        lead = bin_of(scores, bins if self._binned else 0)
        mask = (1 << config.item_bits) - 1
        low = (scores.astype(np.int64) & 0xFFF) << padded
        self._keys = (lead << (12 + padded)) | low | (~items.astype(np.int64) & mask)
        ends = np.cumsum([len(part) for part in sub_batches])
        self._ends = [int(end) for end in ends]  # later stages: of each sub-batch in the list
        self._start = 0  # later stages: where the positions not seen before begin
        self._listed = np.array([], np.intp)
        self._fallen = 0

    def selection(self, number: int) -> SelectionTiming:
        """The selection after sub-batch ``number``; each must be asked for once, in order."""
        last = number + 1 == len(self._sub_batches)
        quota = self._quota(number, last)
        start, end = self._start, self._ends[number]
        if quota or not self._exact:
            self._start = end
        if not quota:
            return SelectionTiming([], _PLAN + 2)
        parts = self._sub_batches[: number + 1] if self._exact else [self._sub_batches[number]]
        members = np.concatenate(parts)
        if last and self._exact and self._excluded is not None:
            members = np.setdiff1d(members, self._excluded)
        banks = self._config.candidate_banks
        if self._first:
            words = range(-(-self._ends[-1] // banks))
        else:
            first_word = 0 if self._exact else start // banks
            words = range(first_word, max((end - 1) // banks, first_word) + 1)
        by_item = not self._first and self._exact and number > 0
        keys = self._keys[members]
        passes, above = self._passes(keys, quota, by_item)
        # Of equal keys the first ones: where the item digits are not looked at, items rise.
        order = np.argsort(-keys, kind="stable")
        chosen = np.sort(members[order[: above if self._binned else quota]])
        new = np.setdiff1d(chosen, self._listed)
        lost = np.setdiff1d(self._listed, chosen) if self._exact else np.array([], np.intp)
        marked = lost if last and not self._final else lost[:0]
        room = len(new) if last or not self._exact else self._k - len(self._listed)
        self._fallen = len(lost)
        self._listed = np.concatenate((self._listed, new[:room]))
        pass_cycles = len(words) + Scan.LATENCY - 1 + DigitCount.LATENCY
        return self._emission(_PLAN + passes * pass_cycles + 1, words, new, room, marked)

    def _quota(self, number: int, last: bool) -> int:
        """Rank of the last survivor, as ``SelectionPlan`` finds it."""
        if not self._exact:
            return self._share[number]
        if last:
            return self._k
        if number >= len(self._fractions) or self._fallen > self._k >> 4:
            return 0
        return self._k * self._fractions[number] >> FRACTION_SHIFT

    def _emission(
        self, start: int, words: range, new: NDArray[np.intp], room: int, marked: NDArray[np.intp]
    ) -> SelectionTiming:
        """Word after word, from the cycle in which the pass starts."""
        banks = self._config.candidate_banks
        wide = 1 if self._final else self._config.filter_survivors
        news = np.bincount(new // banks - words.start, minlength=len(words)).tolist()
        marks = np.bincount(marked // banks - words.start, minlength=len(words)).tolist()
        # The first word is in the last stage of Emission.
        cycle = start + Scan.LATENCY + Emission.STAGES - 1
        listed: list[int] = []
        for here, dropping in zip(news, marks, strict=True):
            listed += [cycle + 1 + place // wide for place in range(here)]
            cycle += max(1, -(-here // wide) + dropping)
        return SelectionTiming(listed[:room], cycle + 2)

    def _passes(self, keys: NDArray[np.int64], rank: int, by_item: bool) -> tuple[int, int]:
        """Digits that the threshold takes, and candidates that reach it."""
        digits = digits_of(self._config)
        above = 0
        for done in range(1, digits + 1):
            values = keys >> DIGIT_BITS * (digits - done) & (1 << DIGIT_BITS) - 1
            exactly = np.bincount(values, minlength=1 << DIGIT_BITS)
            at_least = np.cumsum(exactly[::-1])[::-1]
            reached = np.flatnonzero(at_least >= rank)
            value = int(reached[-1]) if len(reached) else 0
            taken = int(at_least[value])
            if taken <= rank or self._binned or (done >= SCORE_DIGITS and not by_item):
                return done, above + taken
            beyond = taken - int(exactly[value])
            above, rank = above + beyond, rank - beyond
            keys = keys[values == value]
        return digits, above + taken
