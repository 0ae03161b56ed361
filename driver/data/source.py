"""Where items come from on the command line: one set of options for every kind of file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from driver.files import read_dataset
from golden.dataset import Dataset

from .criteo import read_criteo
from .lines import BadLines, Part, time_split
from .load import Split, load_criteo, load_table, stream_table
from .schema import load_schema
from .vocabulary import HashedVocabulary, Vocabulary, load_vocabulary

__all__ = ["DEMO", "DataOptions", "load_items", "stream_ids"]

_CHUNK = 1 << 16

DEMO = "demo"
_DEMO_FOLDER = Path(__file__).resolve().parents[2] / "examples" / "demo"
_TABLES = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What to read.

    Raises
    ------
    UserError
        Options that contradict each other.
    """

    paths: tuple[str, ...]
    """`demo`: the shipped data; an `.npz` data set; Criteo text, one file or one a day; one CSV or
    Parquet file."""
    schema: Path | None = None
    """Columns of a CSV or Parquet file."""
    vocabulary: Path | None = None
    """Counted vocabulary; None: values modulo the rows of the model's tables."""
    split: str = "time"
    """`time`, `user` or `none`."""
    share: float = 1 / 7
    """About how much of the data is for evaluation: the last day of Criteo's seven."""

    def __post_init__(self) -> None:
        if not self.paths:
            raise UserError("data: name at least one file, or demo")
        if self.split not in ("time", "user", "none"):
            raise UserError(f"split must be time, user or none, not {self.split!r}")
        if not 0 < self.share < 1:
            raise UserError(f"share must be between 0 and 1, not {self.share}")
        if self.is_table and self.schema is None:
            raise UserError(f"{self.paths[0]}: --schema must say which columns are what")
        if self.is_table and len(self.paths) > 1:
            raise UserError("one CSV or Parquet file at a time")
        if self.schema is not None and not self.is_table:
            raise UserError("--schema goes with a CSV or Parquet file")

    @property
    def is_table(self) -> bool:
        """Whether it is a CSV or Parquet file."""
        return Path(self.paths[0]).suffix in _TABLES


def load_items(
    options: DataOptions,
    *,
    evaluation: bool,
    rows: tuple[int, ...],
    features: tuple[str, ...],
    query_items: int,
    lines: int,
    bad: BadLines,
    progress: Callable[[int], None] | None = None,
) -> Dataset:
    """Items of the evaluation part, or of the part that is for training and calibration.

    Parameters
    ----------
    rows, features
        Of the model: ids must be below `rows`, in the order of `features`.
    query_items
        Items of a query.
    lines
        Items to read at most.

    Raises
    ------
    UserError
        Bad files, an id outside its table, data of another shape than the model's.
    """
    stored = _stored(options, evaluation)
    if stored is not None:
        data = _cut(stored, lines, query_items)
    else:
        data = _read(options, evaluation, _vocabulary(options, rows, features), query_items, lines,
                     bad, progress)  # fmt: skip
    _check(options, data.ids, rows)
    return data


def stream_ids(
    options: DataOptions,
    *,
    evaluation: bool,
    rows: tuple[int, ...],
    features: tuple[str, ...],
    bad: BadLines,
) -> Iterator[NDArray[np.uint32]]:
    """Ids [n, features] of one part, chunk by chunk, in constant memory (parameters as above)."""
    stored = _stored(options, evaluation)
    if stored is not None:
        _check(options, stored.ids, rows)
        for first in range(0, len(stored.ids), _CHUNK):
            yield stored.ids[first : first + _CHUNK]
        return
    vocabulary = _vocabulary(options, rows, features)
    if options.schema is not None:
        split = _table_split(options)
        table = load_schema(options.schema)
        for batch, keep in stream_table(
            Path(options.paths[0]), table, bad,
            split=split, share=options.share, evaluation=evaluation,
        ):  # fmt: skip
            _check(options, batch.values, (1 << 32,) * len(rows))
            yield vocabulary.ids(batch.values[keep])
        return
    for criteo in read_criteo(_criteo_parts(options, evaluation), bad):
        _check(options, criteo.values, (1 << 32,) * len(rows))
        yield vocabulary.ids(criteo.values)


def _stored(options: DataOptions, evaluation: bool) -> Dataset | None:
    """The shipped data or a data set file; None for anything else."""
    if options.paths == (DEMO,):
        return read_dataset(_DEMO_FOLDER / ("queries.npz" if evaluation else "calibration.npz"))
    if len(options.paths) == 1 and options.paths[0].endswith(".npz"):
        return read_dataset(options.paths[0])
    return None


def _table_split(options: DataOptions) -> Split | None:
    return None if options.split == "none" else "user" if options.split == "user" else "time"


def _criteo_parts(options: DataOptions, evaluation: bool) -> list[Part]:
    if options.split == "user":
        raise UserError("Criteo has no users: --split time or none")
    paths = [Path(path) for path in options.paths]
    if options.split == "none":
        return [Part(path) for path in paths]
    return time_split(paths, options.share)[int(evaluation)]


def _vocabulary(
    options: DataOptions, rows: tuple[int, ...], features: tuple[str, ...]
) -> Vocabulary:
    if options.vocabulary is None:
        return HashedVocabulary(rows)
    return load_vocabulary(options.vocabulary, features)


def _read(
    options: DataOptions,
    evaluation: bool,
    vocabulary: Vocabulary,
    query_items: int,
    lines: int,
    bad: BadLines,
    progress: Callable[[int], None] | None,
) -> Dataset:
    if options.schema is not None:
        return load_table(
            Path(options.paths[0]), load_schema(options.schema), vocabulary, bad,
            lines=lines, query_items=query_items, share=options.share, evaluation=evaluation,
            split=_table_split(options),
        )  # fmt: skip
    return load_criteo(
        _criteo_parts(options, evaluation), vocabulary, bad,
        lines=lines, query_items=query_items, progress=progress,
    )  # fmt: skip


def _cut(data: Dataset, lines: int, query_items: int) -> Dataset:
    """A data set file keeps its order; its queries may be cut shorter."""
    count = min(len(data.labels), lines)
    if count < query_items:
        raise UserError(f"{count} items do not fill one query of {query_items} items")
    return Dataset(
        counts=data.counts[:count],
        ids=data.ids[:count],
        labels=data.labels[:count],
        query_items=query_items,
        log=data.log,
    )


def _check(options: DataOptions, ids: NDArray[np.uint32], rows: tuple[int, ...]) -> None:
    name = options.paths[0]
    if ids.shape[1] != len(rows):
        raise UserError(f"{name}: {ids.shape[1]} features, the model has {len(rows)}")
    for feature, limit in enumerate(rows):
        largest = int(ids[:, feature].max(initial=0))
        if largest >= limit:
            item = int(ids[:, feature].argmax())
            raise UserError(
                f"{name}: item {item}: id {largest} is outside table {feature} of {limit} rows"
            )
