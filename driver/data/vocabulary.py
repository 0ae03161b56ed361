"""From categorical values to rows of embedding tables: by a hash, or by a counted vocabulary."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.files import ModelFileError, read_archive, write_archive

__all__ = [
    "CountedVocabulary",
    "HashedVocabulary",
    "Vocabulary",
    "count_values",
    "load_vocabulary",
    "save_vocabulary",
]

KIND = "vocabulary"
ROOM = 4
"""Distinct values kept while counting, as a multiple of the rows: bounds the memory."""


class Vocabulary(Protocol):
    """Maps values to ids."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each feature's table; ids are below."""

    def ids(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """[n, features] ids of values [n, features]."""


@dataclass(frozen=True)
class HashedVocabulary:
    """The value modulo the rows, as the public DLRM reference does; missing (0) becomes 0."""

    rows: tuple[int, ...]

    def ids(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """[n, features] ids of values [n, features]."""
        return values % np.array(self.rows, np.uint32)


@dataclass(frozen=True, eq=False)
class CountedVocabulary:
    """The most frequent values in the order of their counts, from 1; 0: missing and all others."""

    values: tuple[NDArray[np.uint32], ...]
    """By feature, the most frequent first (of equal ones the smaller value first)."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each feature's table."""
        return tuple(len(values) + 1 for values in self.values)

    def ids(self, values: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """[n, features] ids of values [n, features]."""
        result = np.zeros(values.shape, np.uint32)
        for feature, known in enumerate(self.values):
            if len(known) == 0:
                continue
            order = np.argsort(known)
            place = np.searchsorted(known, values[:, feature], sorter=order)
            place = order[np.minimum(place, len(known) - 1)]
            found = known[place] == values[:, feature]
            result[:, feature] = np.where(found, place + 1, 0)
        return result


def count_values(
    chunks: Iterable[NDArray[np.uint32]], *, max_rows: int, least: int = 1
) -> CountedVocabulary:
    """Count the values of a training part.

    Parameters
    ----------
    chunks
        Values [n, features]; 0 is missing.
    max_rows
        Rows of a table at most, with the one for all other values.
    least
        Values seen less often are left out.

    Of each feature at most `ROOM * max_rows` distinct values are kept while counting: beyond that
    the rarest are forgotten, so memory stays bounded and only counts of rare values can be short.

    Raises
    ------
    UserError
        `max_rows` below 2, or no values.
    """
    if max_rows < 2:
        raise UserError(f"max_rows must be at least 2, not {max_rows}")
    known: list[tuple[NDArray[np.uint32], NDArray[np.int64]]] = []
    for chunk in chunks:
        for feature in range(chunk.shape[1]):
            if len(known) == feature:
                known.append((np.zeros(0, np.uint32), np.zeros(0, np.int64)))
            found, counts = np.unique(chunk[:, feature], return_counts=True)
            known[feature] = _merge(*known[feature], found, counts, ROOM * max_rows)
    if not known:
        raise UserError("no values to make a vocabulary of")
    chosen = []
    for values, counts in known:
        enough = (counts >= least) & (values != 0)
        values, counts = values[enough], counts[enough]
        order = np.lexsort((values, -counts))[: max_rows - 1]
        chosen.append(values[order])
    return CountedVocabulary(tuple(chosen))


def _merge(
    values: NDArray[np.uint32],
    counts: NDArray[np.int64],
    more: NDArray[np.uint32],
    more_counts: NDArray[np.int64],
    limit: int,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    both, place = np.unique(np.concatenate([values, more]), return_inverse=True)
    total = np.bincount(place, np.concatenate([counts, more_counts])).astype(np.int64)
    if len(both) > limit:
        keep = np.sort(np.lexsort((both, -total))[:limit])
        both, total = both[keep], total[keep]
    return both, total


def save_vocabulary(path: str | os.PathLike[str], vocabulary: CountedVocabulary) -> None:
    """Write a counted vocabulary."""
    arrays = {f"values.{f}": values for f, values in enumerate(vocabulary.values)}
    write_archive(path, KIND, {"features": len(vocabulary.values)}, arrays)


def load_vocabulary(path: str | os.PathLike[str], features: Sequence[str]) -> CountedVocabulary:
    """Read a counted vocabulary of so many features.

    Raises
    ------
    UserError
        Missing, damaged or foreign file, or of another number of features.
    """
    try:
        header, arrays = read_archive(path, KIND)
        values = tuple(arrays[f"values.{f}"] for f in range(int(header["features"])))
    except (ModelFileError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            str(error) if isinstance(error, ModelFileError) else f"{path}: damaged vocabulary"
        ) from None
    if len(values) != len(features):
        raise UserError(f"{path}: {len(values)} features, the model has {len(features)}")
    if any(v.dtype != np.uint32 or v.ndim != 1 or len(np.unique(v)) != len(v) for v in values):
        raise UserError(f"{path}: damaged vocabulary")
    return CountedVocabulary(values)
