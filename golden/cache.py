"""Static embedding cache: what it holds, and which lookups hit.

The cache is filled before the first query and never changes, so a lookup's outcome depends on the
id alone: no order of requests has to be replayed. A row with id i may stand in any way of set
`((i ^ seed) & (sets - 1)) + set_base` of its table's lane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CachedTable", "StaticCache", "choose_contents"]

Place = tuple[int, int, int]
"""(lane, set, way)"""


@dataclass(frozen=True, kw_only=True)
class CachedTable:
    """How the rows of one table find their sets."""

    table: int
    """The tag's table number (on the device: program * 64 + feature)."""
    lane: int
    """Gather lane that serves the table; each lane has sets of its own."""
    set_base: int
    """First set of the table's region."""
    log2_sets: int
    """Sets of the region; tables of one region share them."""
    seed: int = 0

    def sets_of(self, ids: NDArray[Any]) -> NDArray[np.int64]:
        """Set of each id."""
        mask = (1 << self.log2_sets) - 1
        return ((ids.astype(np.int64) ^ self.seed) & mask) + self.set_base


class StaticCache:
    """Predicts hits of a filled cache.

    Parameters
    ----------
    tables : tables that the cache serves; lookups of others always miss
    ways : associativity
    contents : {(lane, set, way): (table, id)}

    Raises
    ------
    ValueError
        A row stands where a lookup would never find it, or twice.
    """

    def __init__(
        self,
        tables: Sequence[CachedTable],
        *,
        ways: int,
        contents: Mapping[Place, tuple[int, int]],
    ) -> None:
        known = {table.table: table for table in tables}
        held: dict[int, list[int]] = {number: [] for number in known}
        for (lane, index, way), (number, row) in contents.items():
            table = known.get(number)
            if table is None:
                raise ValueError(f"table {number} of way {(lane, index, way)} is not served")
            home = int(table.sets_of(np.array([row]))[0])
            if (lane, index) != (table.lane, home) or not 0 <= way < ways:
                raise ValueError(
                    f"table {number} id {row} belongs to lane {table.lane} set {home}, "
                    f"ways 0..{ways - 1}, not to {(lane, index, way)}"
                )
            held[number].append(row)
        self._held = {number: np.array(rows, np.int64) for number, rows in held.items()}
        for number, rows in self._held.items():
            if len(np.unique(rows)) != len(rows):
                raise ValueError(f"table {number} has a row that is held twice")
        self.contents = dict(contents)

    def hits(self, table: int, ids: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each lookup of `table` hits; any shape."""
        if table not in self._held:
            return np.zeros(ids.shape, np.bool_)
        return np.isin(ids, self._held[table])

    def count(self, tables: Sequence[int], ids: NDArray[Any]) -> tuple[int, int]:
        """(hits, misses) of items [n, features], column f being looked up in `tables[f]`."""
        hits = sum(int(self.hits(table, ids[:, f]).sum()) for f, table in enumerate(tables))
        return hits, ids.size - hits


def choose_contents(
    tables: Sequence[CachedTable], *, ways: int, histograms: Mapping[int, NDArray[Any]]
) -> dict[Place, tuple[int, int]]:
    """Fill a cache with the hottest rows.

    Rows go in by falling count, then table number, then id, each into the first free way of its
    set. So every set ends with its hottest rows: no other filling has more hits.

    Parameters
    ----------
    tables : tables that share the cache
    ways : associativity
    histograms : {table: lookups of each id, [rows]}; rows never looked up stay out
    """
    counts, numbers, ids, lanes, sets = [], [], [], [], []
    for table in tables:
        histogram = np.asarray(histograms[table.table])
        rows = np.flatnonzero(histogram)
        counts.append(histogram[rows])
        numbers.append(np.full(len(rows), table.table))
        ids.append(rows)
        lanes.append(np.full(len(rows), table.lane))
        sets.append(table.sets_of(rows))
    columns = [np.concatenate(c) for c in (counts, numbers, ids, lanes, sets)] if tables else []
    if not columns:
        return {}
    order = np.lexsort((columns[2], columns[1], -columns[0].astype(np.int64)))
    _, numbers_of, ids_of, lanes_of, sets_of = (column[order].tolist() for column in columns)
    used: dict[tuple[int, int], int] = {}
    contents: dict[Place, tuple[int, int]] = {}
    for number, row, lane, index in zip(numbers_of, ids_of, lanes_of, sets_of, strict=True):
        way = used.get((lane, index), 0)
        if way < ways:
            contents[lane, index, way] = (number, row)
            used[lane, index] = way + 1
    return contents
