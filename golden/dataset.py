"""Items with labels, cut into queries: held-out queries, calibration items, id statistics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.files import ModelFileError, read_archive, write_archive

__all__ = ["Dataset", "Query", "dense_values", "load_dataset", "save_dataset"]

KIND = "dataset"


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """Items to be ranked together."""

    dense: NDArray[np.float32]
    """[items, dense features], log already taken."""
    ids: NDArray[np.uint32]
    """[items, tables]"""
    labels: NDArray[np.uint8]
    """[items], 1: clicked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Items in file order; `query_items` consecutive ones make a query."""

    counts: NDArray[np.uint16]
    """[items, dense features]: raw counts, as Criteo has them."""
    ids: NDArray[np.uint32]
    """[items, tables]"""
    labels: NDArray[np.uint8]
    """[items]"""
    query_items: int

    def __len__(self) -> int:
        """Number of whole queries."""
        return len(self.labels) // self.query_items

    @property
    def dense(self) -> NDArray[np.float32]:
        """[items, dense features], log taken."""
        return dense_values(self.counts)

    def query(self, index: int) -> Query:
        if not 0 <= index < len(self):
            raise IndexError(f"query must be in 0..{len(self) - 1}, not {index}")
        part = slice(index * self.query_items, (index + 1) * self.query_items)
        return Query(
            dense=dense_values(self.counts[part]), ids=self.ids[part], labels=self.labels[part]
        )

    def __iter__(self) -> Iterator[Query]:
        return (self.query(index) for index in range(len(self)))


def dense_values(counts: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Dense inputs of a model from raw counts: log(1 + count)."""
    return np.log1p(counts.astype(np.float32))


def save_dataset(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set; ids are stored in 16 bits where they fit."""
    small = dataset.ids.size == 0 or int(dataset.ids.max()) < 1 << 16
    # Columns compress better than rows: values of one feature stand together.
    write_archive(
        path,
        KIND,
        {"query_items": dataset.query_items},
        {
            "counts": np.ascontiguousarray(dataset.counts.T),
            "ids": np.ascontiguousarray(dataset.ids.T).astype(np.uint16 if small else np.uint32),
            "labels": dataset.labels,
        },
    )


def load_dataset(path: str | os.PathLike[str]) -> Dataset:
    """Read a data set.

    Raises
    ------
    ModelFileError
        Missing, damaged or foreign file.
    """
    header, arrays = read_archive(path, KIND)
    try:
        dataset = Dataset(
            counts=np.ascontiguousarray(arrays["counts"].T),
            ids=np.ascontiguousarray(arrays["ids"].T).astype(np.uint32),
            labels=arrays["labels"],
            query_items=int(header["query_items"]),
        )
    except KeyError as error:
        raise ModelFileError(f"{path}: {error.args[0]} is missing") from None
    if not len(dataset.counts) == len(dataset.ids) == len(dataset.labels):
        raise ModelFileError(f"{path}: counts, ids and labels differ in length")
    if dataset.query_items < 1:
        raise ModelFileError(f"{path}: query_items must be positive, not {dataset.query_items}")
    return dataset
