"""Which finished DHE vectors a device holds, and where: tier 1 of the MP-Cache.

Policy: chosen offline from id histograms, the id first whose count times the MACs of its decoder is
largest, as long as its set has a free way. A running device is refreshed as static caches are: the
host loads tags, and the vectors they name before them, between two queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.shape import layer_macs

__all__ = ["ResultPlan", "choose_results"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResultPlan:
    """Contents of the tags."""

    places: dict[tuple[int, int], int]
    """Place (set * ways + way) by table and id."""
    sets: int
    ways: int


def choose_results(
    counts: Sequence[NDArray[np.int64] | None],
    decoders: Sequence[Sequence[int]],
    *,
    tables: Sequence[int],
    seeds: Sequence[int],
    sets: int,
    ways: int,
) -> ResultPlan:
    """Fill the tags.

    Parameters
    ----------
    counts, decoders, tables, seeds
        By feature: histogram of its ids (None: leave it out), sizes of its decoder (() for none),
        number of its table in the tags, seed of its sets.
    sets, ways
        Of the device.
    """
    worth, table_of, id_of, set_of = [], [], [], []
    for count, sizes, table, seed in zip(counts, decoders, tables, seeds, strict=True):
        if count is None or not sizes:
            continue
        seen = np.flatnonzero(count)
        worth.append(count[seen] * layer_macs(tuple(sizes)))
        table_of.append(np.full(len(seen), table))
        id_of.append(seen)
        set_of.append((seen ^ seed) & (sets - 1))
    places: dict[tuple[int, int], int] = {}
    if worth:
        used = np.zeros(sets, np.int64)
        named, ids, chosen = (np.concatenate(x) for x in (table_of, id_of, set_of))
        for i in np.argsort(-np.concatenate(worth), kind="stable"):
            if len(places) == sets * ways:
                break
            if used[chosen[i]] < ways:
                places[int(named[i]), int(ids[i])] = int(chosen[i] * ways + used[chosen[i]])
                used[chosen[i]] += 1
    return ResultPlan(places=places, sets=sets, ways=ways)
