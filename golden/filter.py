"""The funnel's selections: which items a stage passes on, sub-batch by sub-batch.

Everywhere the better item is the one with the higher score, of equal scores the one with the lower
index in the original query.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MOST_SUB_BATCHES",
    "POLICIES",
    "FunnelRules",
    "StageSelections",
    "bin_of",
    "select",
    "shares",
    "strided",
    "survivors",
    "top_k",
]

POLICIES = ("exact", "quota", "binned")
MOST_SUB_BATCHES = 16


@dataclass(frozen=True, kw_only=True)
class FunnelRules:
    """How the stages of a query are cut into sub-batches and choose; see ``select``."""

    policy: str = "exact"
    sub_batches: int = 1
    bins: int = 0
    fractions: tuple[tuple[int, ...], ...] = ()
    """Of each stage; a stage without any forwards nothing before its last sub-batch."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"policy must be one of {POLICIES}, not {self.policy!r}")
        if not 1 <= self.sub_batches <= MOST_SUB_BATCHES:
            raise ValueError(
                f"sub_batches must be in 1..{MOST_SUB_BATCHES}, not {self.sub_batches}"
            )
        if not 0 <= self.bins <= 3:
            raise ValueError(f"bins must be in 0..3, not {self.bins}")

    def fractions_of(self, stage: int) -> tuple[int, ...]:
        """Fractions of a stage."""
        return self.fractions[stage] if stage < len(self.fractions) else ()


def _comparable(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores that can be negated."""
    return scores.astype(np.int64) if np.issubdtype(scores.dtype, np.integer) else scores


def top_k(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Positions of the k best scores, best first; of equal scores the lower position comes first.

    Raises
    ------
    ValueError
        k is not in 1..n.
    """
    if not 1 <= k <= len(scores):
        raise ValueError(f"k must be in 1..{len(scores)}, not {k}")
    return np.argsort(-_comparable(scores), kind="stable")[:k]


def survivors(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """The same positions, ascending: what the next stage ranks."""
    return np.sort(top_k(scores, k))


def shares(count: int, parts: int) -> list[int]:
    """``count`` in ``parts`` parts that differ by one at most, the larger ones first."""
    return [count // parts + (part < count % parts) for part in range(parts)]


def strided(n: int, parts: int) -> list[NDArray[np.intp]]:
    """Sub-batches of a first stage: position p belongs to sub-batch p mod ``parts``."""
    return [np.arange(part, n, parts) for part in range(parts)]


def bin_of(scores: NDArray[Any], bins: int) -> NDArray[np.int64]:
    """Bin of each score, 0..15: 4096 >> 2 * bins wide, centred on 0, the outer ones open."""
    return np.clip((scores.astype(np.int64) >> (12 - 2 * bins)) + 8, 0, 15)


@dataclass(frozen=True)
class StageSelections:
    """What the selections of one stage forward."""

    forwarded: list[NDArray[np.intp]]
    """For each sub-batch the positions forwarded when it was complete, ascending."""
    dropped: NDArray[np.intp]
    """Positions that were forwarded and are not among the k best of all, ascending."""

    @property
    def survivors(self) -> NDArray[np.intp]:
        """Positions that the stage passes on in the end, ascending."""
        listed = np.concatenate(self.forwarded) if self.forwarded else np.array([], dtype=np.intp)
        return np.setdiff1d(listed, self.dropped)


def select(
    scores: NDArray[Any],
    items: NDArray[Any],
    sub_batches: Sequence[NDArray[np.intp]],
    *,
    k: int,
    policy: str = "exact",
    fractions: Sequence[int] = (),
    bins: int = 0,
    excluded: NDArray[Any] | None = None,
    final: bool = False,
) -> StageSelections:
    """All selections of one stage.

    Parameters
    ----------
    scores, items
        By position: score, and item index in the original query.
    sub_batches
        Positions of each sub-batch, in the order in which they are complete.
    k
        How many are to survive.
    policy
        ``exact``: after the last sub-batch the k best of all, and before what newly is among the
        best ``k * fraction >> 16`` so far. No more than k are forwarded before the last one, and
        none once a selection has left more than k / 16 of the forwarded behind.
        ``quota``: of each sub-batch its share of k. ``binned``: of each sub-batch's 16 bins
        the upper ones that hold its share.
    fractions
        ``exact``: of each sub-batch but the last, in 1 / 65536; missing ones are 0.
    bins
        ``binned``: width of the bins, see ``bin_of``.
    excluded
        Positions that a stage before has dropped again; only ``exact`` has such.
    final
        The query's last stage: exact, and nothing before the last sub-batch.

    Raises
    ------
    ValueError
        Unknown policy; ``binned`` for scores that are no integers.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {POLICIES}, not {policy!r}")
    wide = _comparable(scores)
    share = shares(k, len(sub_batches))

    def best(positions: NDArray[np.intp], count: int) -> NDArray[np.intp]:
        order = np.lexsort((items[positions], -wide[positions]))
        return np.sort(positions[order[:count]])

    forwarded: list[NDArray[np.intp]] = []
    if policy == "quota" and not final:
        forwarded = [best(p, count) for p, count in zip(sub_batches, share, strict=True)]
        return StageSelections(forwarded, np.array([], dtype=np.intp))
    if policy == "binned" and not final:
        if not np.issubdtype(scores.dtype, np.integer):
            raise ValueError("policy binned takes integer scores: its bins are ranges of int16")
        for positions, count in zip(sub_batches, share, strict=True):
            numbers = bin_of(scores[positions], bins)
            threshold = np.sort(numbers)[-count] if count else 16
            forwarded.append(positions[numbers >= threshold])
        return StageSelections(forwarded, np.array([], dtype=np.intp))
    return _select_exact(best, sub_batches, k, () if final else fractions, excluded)


def _select_exact(
    best: Any,
    sub_batches: Sequence[NDArray[np.intp]],
    k: int,
    fractions: Sequence[int],
    excluded: NDArray[Any] | None,
) -> StageSelections:
    none = np.array([], dtype=np.intp)
    forwarded: list[NDArray[np.intp]] = []
    listed, arrived, behind = none, none, 0
    for number, positions in enumerate(sub_batches):
        arrived = np.concatenate((arrived, positions))
        last = number + 1 == len(sub_batches)
        if last:
            count = k
            arrived = arrived if excluded is None else np.setdiff1d(arrived, excluded)
        else:
            fraction = fractions[number] if number < len(fractions) else 0
            count = 0 if behind > k // 16 else k * fraction >> 16
        if not count:
            forwarded.append(none)
            continue
        top = best(arrived, count)
        new = np.setdiff1d(top, listed)
        if not last:
            new = new[: k - len(listed)]
        behind = len(np.setdiff1d(listed, top))
        forwarded.append(new)
        listed = np.concatenate((listed, new))
    return StageSelections(forwarded, np.setdiff1d(listed, top) if len(listed) else none)
