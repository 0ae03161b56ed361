"""Timing of the funnel: when a selection reports, and how long its survivors take.

Follows ``hdl/ranking`` (``ScoreLanes``, ``Contexts``, ``Selector``, ``Emission``) cycle by cycle,
for a selection that finds the selector idle. Left out: scores of several lanes that want the same
bank at the same time, which cost the later one a cycle each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from hdl.ranking.selection_plan import SelectionPlan

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
    """The selections of one stage, one after the other.

    Parameters
    ----------
    config
        Device sizes.
    scores, items
        By position.
    sub_batches
        Positions of each sub-batch.
    k, policy, bins, first, final
        See ``golden.filter.select``; ``first``: positions are item indices.
    """

    def __init__(
        self,
        config: Config,
        scores: NDArray[np.int64],
        items: NDArray[np.intp],
        sub_batches: Sequence[NDArray[np.intp]],
        *,
        k: int,
        policy: str,
        bins: int = 0,
        first: bool,
        final: bool,
    ) -> None:
        self._config, self._sub_batches = config, sub_batches
        self._k, self._final, self._first = k, final, first
        self._exact = final or policy == "exact"
        self._binned = policy == "binned" and not final
        self._share = shares(k, len(sub_batches))
        padded = DIGIT_BITS * (digits_of(config) - SCORE_DIGITS)
        lead = bin_of(scores, bins if self._binned else 0)
        mask = (1 << config.item_bits) - 1
        low = (scores.astype(np.int64) & 0xFFF) << padded
        self._keys = (lead << (12 + padded)) | low | (~items.astype(np.int64) & mask)

    def selection(
        self,
        number: int,
        new: NDArray[np.intp],
        *,
        quota: int,
        dropped: NDArray[np.intp] | None = None,
        excluded: NDArray[np.intp] | None = None,
    ) -> SelectionTiming:
        """Selection after sub-batch ``number`` of the best ``quota``, ``new`` of them not listed.

        ``dropped``: positions marked in the next list; ``excluded``: that take no part.
        """
        if not quota:
            return SelectionTiming([], _PLAN + 2)
        banks = self._config.candidate_banks
        parts = self._sub_batches[: number + 1] if self._exact else [self._sub_batches[number]]
        members = np.concatenate(parts)
        if self._first:
            words = np.arange(-(-sum(len(part) for part in self._sub_batches) // banks))
        else:
            last = int(members.max())
            start = 0 if self._exact else int(members.min())
            words = np.arange(start // banks, last // banks + 1)
        if excluded is not None:
            members = np.setdiff1d(members, excluded)
        by_item = not self._first and self._exact and number > 0
        passes = self._passes(self._keys[members], quota, by_item)
        count = len(words) + Scan.LATENCY - 1 + DigitCount.LATENCY
        start = _PLAN + passes * count + 1
        # The first word is in the last stage of Emission.
        cycle = start + Scan.LATENCY + Emission.STAGES - 1
        wide = 1 if self._final else self._config.filter_survivors
        listed = []
        for word in words:
            here = int(np.count_nonzero(new // banks == word))
            listed += [cycle + 1 + place // wide for place in range(here)]
            marks = 0 if dropped is None else int(np.count_nonzero(dropped // banks == word))
            cycle += max(1, -(-here // wide) + marks)
        return SelectionTiming(listed, cycle + 2)

    def _passes(self, keys: NDArray[np.int64], rank: int, by_item: bool) -> int:
        """Digits that the threshold takes."""
        digits = digits_of(self._config)
        for done in range(1, digits + 1):
            values = keys >> DIGIT_BITS * (digits - done) & (1 << DIGIT_BITS) - 1
            at_least = np.array([np.count_nonzero(values >= v) for v in range(1 << DIGIT_BITS)])
            reached = np.flatnonzero(at_least >= rank)
            value = int(reached[-1]) if len(reached) else 0
            if at_least[value] <= rank or self._binned or (done >= SCORE_DIGITS and not by_item):
                return done
            rank -= int(at_least[value + 1]) if value + 1 < len(at_least) else 0
            keys = keys[values == value]
        return digits
