"""Sparse inputs: one id a feature, or bags of ids whose rows are summed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "EMPTY_ID",
    "Bags",
    "IdRangeError",
    "Ids",
    "check_ids",
    "item_count",
    "split_places",
    "take_items",
    "valid_ids",
]

EMPTY_ID = 0xFFFF_FFFF
"""In a place of a bag that holds no id."""


class IdRangeError(ValueError):
    """An id is not below its table's row count; names item, table, id and limit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bags:
    """Bags of one feature: item i owns `ids[offsets[i] : offsets[i + 1]]`."""

    ids: NDArray[np.uint32]
    """[total]"""
    offsets: NDArray[np.int64]
    """[items + 1], from 0, never falling."""

    def __post_init__(self) -> None:
        if (
            len(self.offsets) < 1
            or self.offsets[0] != 0
            or self.offsets[-1] != len(self.ids)
            or np.any(np.diff(self.offsets) < 0)
        ):
            raise ValueError(f"offsets must rise from 0 to {len(self.ids)}, not {self.offsets}")

    def sums(self, rows: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
        """Sum of each bag's rows [total, width] in `dtype`; an empty bag gives zeros."""
        result = np.zeros((len(self.offsets) - 1, rows.shape[1]), dtype)
        filled = np.diff(self.offsets) > 0
        if filled.any():
            starts = self.offsets[:-1][filled]
            result[filled] = np.add.reduceat(rows, starts, axis=0, dtype=dtype)
        return result

    def places(self, size: int) -> NDArray[np.uint32]:
        """[items, size]: the ids of each bag in their order, then `EMPTY_ID`.

        Raises
        ------
        ValueError
            A bag holds more ids; names the item.
        """
        counts = np.diff(self.offsets)
        if (counts > size).any():
            item = int(np.argmax(counts > size))
            raise ValueError(f"item {item}: a bag of {counts[item]} ids, at most {size} fit")
        result = np.full((len(counts), size), EMPTY_ID, np.uint32)
        result[np.arange(size) < counts[:, None]] = self.ids
        return result


Ids = NDArray[np.uint32] | Sequence[Bags]
"""Either [items, features], one id each, or one `Bags` per feature."""


def split_places(places: NDArray[np.uint32], bags: Sequence[int]) -> Ids:
    """Ids from the places of bags.

    Parameters
    ----------
    places : uint32 [items, sum(bags)], `EMPTY_ID` where a place of a bag is not used
    bags : places of each feature

    Returns
    -------
    The array itself where every feature has one place, else one `Bags` per feature.

    Raises
    ------
    ValueError
        Wrong number of places.
    """
    if places.shape[1] != sum(bags):
        raise ValueError(f"ids must have {sum(bags)} places, not {places.shape[1]}")
    if all(size == 1 for size in bags):
        return places
    found = []
    first = 0
    for size in bags:
        part = places[:, first : first + size]
        used = part != EMPTY_ID
        offsets = np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64)
        found.append(Bags(ids=part[used].astype(np.uint32), offsets=offsets))
        first += size
    return found


def item_count(ids: Ids) -> int:
    """Number of items."""
    return len(ids) if isinstance(ids, np.ndarray) else len(ids[0].offsets) - 1


def take_items(ids: Ids, items: NDArray[Any]) -> Ids:
    """Ids of some items, in the order given."""
    if isinstance(ids, np.ndarray):
        return ids[items]
    taken = []
    for bags in ids:
        parts = [bags.ids[bags.offsets[i] : bags.offsets[i + 1]] for i in items]
        offsets = np.concatenate([[0], np.cumsum([len(part) for part in parts])]).astype(np.int64)
        flat = np.concatenate(parts) if parts else np.zeros(0, np.uint32)
        taken.append(Bags(ids=flat.astype(np.uint32), offsets=offsets))
    return taken


def valid_ids(ids: NDArray[np.uint32], rows: Sequence[int]) -> NDArray[np.bool_]:
    """[items, features]: the id is below its table's row count."""
    return ids < np.asarray(rows, dtype=np.int64)


def check_ids(ids: Ids, rows: Sequence[int]) -> None:
    """Require the right number of features and ids below the row counts.

    Raises
    ------
    IdRangeError
        First id out of range.
    ValueError
        Wrong number of features.
    """
    features = ids.shape[1] if isinstance(ids, np.ndarray) else len(ids)
    if features != len(rows):
        raise ValueError(f"ids must have {len(rows)} features, not {features}")
    if isinstance(ids, np.ndarray):
        bad = np.argwhere(~valid_ids(ids, rows))
        if len(bad):
            item, table = bad[0]
            raise IdRangeError(
                f"item {item}: id {ids[item, table]} of table {table} must be below {rows[table]}"
            )
        return
    for table, (bags, limit) in enumerate(zip(ids, rows, strict=True)):
        wrong = np.flatnonzero(bags.ids >= limit)
        if len(wrong):
            item = int(np.searchsorted(bags.offsets, wrong[0], side="right")) - 1
            raise IdRangeError(
                f"item {item}: id {bags.ids[wrong[0]]} of table {table} must be below {limit}"
            )
