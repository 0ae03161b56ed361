"""Items with labels, cut into queries: held-out queries, calibration items, id statistics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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

    counts: NDArray[Any]
    """[items, dense features]: raw counts, as Criteo has them, or other finite numbers."""
    ids: NDArray[np.uint32]
    """[items, tables]"""
    labels: NDArray[np.uint8]
    """[items]"""
    query_items: int
    log: bool = True
    """Whether a model's dense inputs are the logarithms of the numbers, or the numbers."""

    def __len__(self) -> int:
        """Number of whole queries."""
        return len(self.labels) // self.query_items

    @property
    def dense(self) -> NDArray[np.float32]:
        """[items, dense features], as a model takes them."""
        return self.inputs(slice(None))

    def inputs(self, part: slice) -> NDArray[np.float32]:
        """Dense inputs of some items."""
        counts = self.counts[part]
        return dense_values(counts) if self.log else counts.astype(np.float32)

    def query(self, index: int) -> Query:
        if not 0 <= index < len(self):
            raise IndexError(f"query must be in 0..{len(self) - 1}, not {index}")
        part = slice(index * self.query_items, (index + 1) * self.query_items)
        return Query(dense=self.inputs(part), ids=self.ids[part], labels=self.labels[part])

    def __iter__(self) -> Iterator[Query]:
        return (self.query(index) for index in range(len(self)))


def dense_values(counts: NDArray[Any]) -> NDArray[np.float32]:
    """Dense inputs of a model from raw counts: log(1 + count)."""
    return np.log1p(counts.astype(np.float32))


def save_dataset(path: str | os.PathLike[str], dataset: Dataset) -> None:
    """Write a data set; ids are stored in 16 bits where they fit."""
    small = dataset.ids.size == 0 or int(dataset.ids.max()) < 1 << 16
    # Columns compress better than rows: values of one feature stand together.
    write_archive(
        path,
        KIND,
        {"query_items": dataset.query_items, "log": dataset.log},
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
            log=bool(header.get("log", True)),
        )
    except KeyError as error:
        raise ModelFileError(f"{path}: {error.args[0]} is missing") from None
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from None
    if dataset.counts.ndim != 2 or dataset.ids.ndim != 2 or dataset.labels.ndim != 1:
        raise ModelFileError(f"{path}: counts and ids must be matrices, labels a list")
    if dataset.counts.dtype.kind not in "uf" or not np.isfinite(dataset.counts).all():
        raise ModelFileError(f"{path}: counts must be finite numbers")
    if dataset.labels.dtype != np.uint8 or dataset.labels.max(initial=0) > 1:
        raise ModelFileError(f"{path}: labels must be 0 or 1")
    if not len(dataset.counts) == len(dataset.ids) == len(dataset.labels):
        raise ModelFileError(f"{path}: counts, ids and labels differ in length")
    if dataset.query_items < 1:
        raise ModelFileError(f"{path}: query_items must be positive, not {dataset.query_items}")
    return dataset
