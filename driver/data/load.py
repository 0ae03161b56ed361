"""Items of a log as a data set of queries, bounded in memory by the items asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.dataset import Dataset

from .criteo import read_criteo
from .lines import BadLines, Part
from .schema import Schema
from .tables import TableRows, read_table, time_cut
from .vocabulary import Vocabulary

__all__ = ["Split", "load_criteo", "load_table", "stream_table"]

Split = Literal["time", "user"]

USER_SHARES = 10_000


def load_criteo(
    parts: Sequence[Part],
    vocabulary: Vocabulary,
    bad: BadLines,
    *,
    lines: int,
    query_items: int,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """The first `lines` well-formed lines of the parts as a data set.

    Raises
    ------
    UserError
        As `read_criteo`, or fewer lines than one query.
    """
    rows = list(read_criteo(parts, bad, lines=lines, progress=progress))
    labels = np.concatenate([part.labels for part in rows])
    if len(labels) < query_items:
        raise UserError(f"{len(labels)} lines do not fill one query of {query_items} items")
    return Dataset(
        counts=np.concatenate([part.counts for part in rows]),
        ids=np.concatenate([vocabulary.ids(part.values) for part in rows]),
        labels=labels,
        query_items=query_items,
    )


def load_table(
    path: Path,
    schema: Schema,
    vocabulary: Vocabulary,
    bad: BadLines,
    *,
    lines: int,
    query_items: int,
    split: Split | None = None,
    share: float = 1 / 7,
    evaluation: bool = True,
) -> Dataset:
    """The first `lines` well-formed rows of a CSV or Parquet file as a data set.

    Parameters
    ----------
    split
        None: all rows. `time`: rows from a point in time on are for evaluation. `user`: all rows of
        some users are, chosen by a hash.
    share
        About how many are for evaluation.
    evaluation
        Which of the two parts; no row is in both.

    Raises
    ------
    UserError
        As `read_table`, a split without its column, or fewer rows than one query.
    """
    taken: list[tuple[TableRows, NDArray[np.bool_]]] = []
    left = lines
    parts = stream_table(path, schema, bad, split=split, share=share, evaluation=evaluation)
    for rows, keep in parts:
        keep &= np.cumsum(keep) <= left
        left -= int(keep.sum())
        taken.append((rows, keep))
        if left == 0:
            break
    if taken and taken[0][0].values.shape[1] != len(vocabulary.rows):
        raise UserError(
            f"{path}: the schema names {taken[0][0].values.shape[1]} sparse columns, "
            f"the model has {len(vocabulary.rows)} features"
        )
    labels = np.concatenate([rows.labels[keep] for rows, keep in taken])
    if len(labels) < query_items:
        raise UserError(f"{len(labels)} rows do not fill one query of {query_items} items")
    return Dataset(
        counts=np.concatenate([rows.dense[keep] for rows, keep in taken]),
        ids=np.concatenate([vocabulary.ids(rows.values[keep]) for rows, keep in taken]),
        labels=labels,
        query_items=query_items,
        log=schema.log,
    )


def stream_table(
    path: Path,
    schema: Schema,
    bad: BadLines,
    *,
    split: Split | None,
    share: float,
    evaluation: bool,
) -> Iterator[tuple[TableRows, NDArray[np.bool_]]]:
    """Rows of a table and which of them are of the part asked for; parameters as `load_table`."""
    if split == "user" and schema.user is None:
        raise UserError("to split by user the schema must name a user column")
    cut = time_cut(path, schema, share) if split == "time" else 0.0
    for rows in read_table(path, schema, bad):
        keep = np.ones(len(rows.labels), bool)
        if split == "time":
            keep = (rows.times >= cut) == evaluation
        elif split == "user":
            keep = _chosen(rows.users, share) == evaluation
        yield rows, keep


def _chosen(users: NDArray[np.uint32], share: float) -> NDArray[np.bool_]:
    """Users for evaluation, by a hash that has nothing to do with the ids' order."""
    mixed = users * np.uint32(2654435761)
    return (mixed >> np.uint32(8)) % USER_SHARES < share * USER_SHARES
