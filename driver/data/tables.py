"""CSV and Parquet files with a schema, streamed. Parquet needs the extra `data` (pyarrow)."""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError

from .lines import BadLines
from .schema import Schema

__all__ = ["TableRows", "read_table", "time_cut"]

BATCH = 1 << 14
TIME_SAMPLES = 1 << 16
_TRUTH = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}
_LARGEST_ID = 1 << 32


@dataclass(frozen=True, kw_only=True, eq=False)
class TableRows:
    """Well-formed rows."""

    labels: NDArray[np.uint8]
    dense: NDArray[np.float32]
    """[n, dense]"""
    values: NDArray[np.uint32]
    """[n, sparse]; missing ones are 0."""
    times: NDArray[np.float64]
    """[n]; zeros without a time column."""
    users: NDArray[np.uint32]
    """[n], as `values`; zeros without a user column."""


def read_table(path: Path, schema: Schema, bad: BadLines) -> Iterator[TableRows]:
    """Stream the rows of a `.csv` or `.parquet` file.

    Raises
    ------
    UserError
        No such file, another kind of file, a column of the schema is missing, or no row of the
        first thousands is well formed.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    batches = _parquet(path, schema) if path.suffix == ".parquet" else _csv(path, schema, bad)
    found = False
    for columns in batches:
        rows = _rows(path, schema, columns, bad)
        if not found and not len(rows.labels):
            raise UserError(f"{bad.examples[0] if bad.examples else path}; no row fits the schema")
        found = True
        yield rows
    if not found:
        raise UserError(f"{path}: no rows to read")


def time_cut(path: Path, schema: Schema, share: float) -> float:
    """The time from which on rows are for evaluation, about `share` of them.

    From at most 65536 times in even steps; rows at or behind the cut are never for training,
    however exact it is.
    """
    if schema.time is None:
        raise UserError("to split by time the schema must name a time column")
    sample: list[NDArray[np.float64]] = []
    step = 1
    for rows in read_table(path, schema, BadLines()):
        sample.append(rows.times[::step])
        if sum(map(len, sample)) > TIME_SAMPLES:
            sample = [np.concatenate(sample)[::2]]
            step *= 2
    times = np.concatenate(sample)
    return float(np.quantile(times, 1 - share))


Columns = dict[str, list[Any]]
"""Values of a batch by column; the column "" holds the line of each row."""


def _csv(path: Path, schema: Schema, bad: BadLines) -> Iterator[Columns]:
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            reader = csv.reader(stream, delimiter=schema.delimiter)
            header = next(reader, None)
            if header is None:
                raise UserError(f"{path}: empty file")
            place = _places(path, header, schema)
            while True:
                lines = list(islice(((reader.line_num, row) for row in reader), BATCH))
                if not lines:
                    return
                good = []
                for line, row in lines:
                    if len(row) == len(header):
                        good.append((line, row))
                    else:
                        what = f"{len(row)} columns, the header has {len(header)}"
                        bad.add_line(path, line, None, what)
                columns: Columns = {"": [line for line, _ in good]}
                for name, column in place.items():
                    columns[name] = [row[column] or None for _, row in good]
                yield columns
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path}: no CSV file: {error}") from None


def _places(path: Path, header: list[str], schema: Schema) -> dict[str, int]:
    for name in schema.columns:
        if name not in header:
            shown = ", ".join(header[:8]) + ", ..." * (len(header) > 8)
            raise UserError(f"{path}: line 1: no column {name!r}; its columns: {shown}")
    return {name: header.index(name) for name in schema.columns}


def _parquet(path: Path, schema: Schema) -> Iterator[Columns]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install 'rpaccel[data]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            _places(path, list(file.schema_arrow.names), schema)
            line = 1
            for batch in file.iter_batches(batch_size=BATCH, columns=list(schema.columns)):
                columns = {name: batch.column(name).to_pylist() for name in schema.columns}
                columns[""] = list(range(line, line + batch.num_rows))
                line += batch.num_rows
                yield columns
    except (ArrowException, OSError) as error:
        raise UserError(
            f"{path}: damaged or no Parquet file: {str(error).splitlines()[0]}"
        ) from None


def _rows(path: Path, schema: Schema, columns: Columns, bad: BadLines) -> TableRows:
    """Numbers of a batch, without the rows that have something else in them."""
    lines = columns[""]
    wrong = np.zeros(len(lines), bool)

    def convert(name: str, one: Callable[[Any], Any], dtype: Any) -> NDArray[Any]:
        result = np.zeros(len(lines), dtype)
        for number, value in enumerate(columns[name]):
            try:
                result[number] = one(value)
            except (ValueError, TypeError, OverflowError):
                if not wrong[number]:
                    what = f"{str(value)[:20]!r} does not fit"
                    bad.add_line(path, lines[number], repr(name), what)
                wrong[number] = True
        return result

    def stack(parts: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
        return np.stack(parts, axis=1) if parts else np.zeros((len(lines), 0), dtype)

    labels = convert(schema.label, _label, np.uint8)
    number = _positive if schema.log else _finite
    dense = stack([convert(name, number, np.float32) for name in schema.dense], np.float32)
    values = stack([convert(name, _value, np.uint32) for name in schema.sparse], np.uint32)
    times = np.zeros(len(lines))
    if schema.time is not None:
        times = convert(schema.time, _time, np.float64)
    users = np.zeros(len(lines), np.uint32)
    if schema.user is not None:
        users = convert(schema.user, _value, np.uint32)
    good = ~wrong
    return TableRows(
        labels=labels[good],
        dense=dense[good],
        values=values[good],
        times=times[good],
        users=users[good],
    )


def _label(value: Any) -> int:
    label = _TRUTH.get(str(value).lower())
    if label is None:
        raise ValueError
    return label


def _finite(value: Any) -> float:
    number = 0.0 if value is None else float(value)
    if not abs(number) < 3e38:
        raise ValueError
    return number


def _positive(value: Any) -> float:
    number = _finite(value)
    if number < 0:
        raise ValueError
    return number


def _time(value: Any) -> float:
    """A number, or a time stamp."""
    if value is None:
        raise ValueError
    if hasattr(value, "timestamp"):
        return float(value.timestamp())
    try:
        return _finite(value)
    except ValueError:
        return float(np.datetime64(value, "us").astype(np.int64)) / 1e6


def _value(value: Any) -> int:
    if value is None:
        return 0
    text = str(value)
    if text.isascii() and text.isdigit() and int(text) < _LARGEST_ID:
        return int(text)
    return zlib.crc32(text.encode())
