"""Which columns of a CSV or Parquet file are what: a small JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from driver.errors import UserError

__all__ = ["Schema", "load_schema"]


@dataclass(frozen=True, kw_only=True)
class Schema:
    """Columns by their names.

    Raises
    ------
    UserError
        A column has two uses, or there is no sparse one.
    """

    label: str
    """0 or 1, or a truth value."""
    dense: tuple[str, ...] = ()
    """Numbers; empty ones are 0."""
    sparse: tuple[str, ...]
    """Whole numbers below 2^32 as they are, everything else by the CRC-32 of its text."""
    log: bool = True
    """Models take the logarithm of 1 + the dense numbers; they must not be negative then."""
    time: str | None = None
    """Sorts rows into training and evaluation, when asked to."""
    user: str | None = None
    """The same by user."""
    delimiter: str = ","

    def __post_init__(self) -> None:
        used = [self.label, *self.dense, *self.sparse]
        twice = sorted({name for name in used if used.count(name) > 1})
        if twice:
            raise UserError(f"column {twice[0]!r} is there twice")
        if not self.sparse:
            raise UserError("sparse must name at least one column")
        if len(self.delimiter) != 1:
            raise UserError(f"delimiter must be one character, not {self.delimiter!r}")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read, label, dense and sparse first."""
        names = [self.label, *self.dense, *self.sparse, self.time, self.user]
        return tuple(dict.fromkeys(name for name in names if name is not None))


def load_schema(path: Path) -> Schema:
    """Read a schema; its keys are the fields of `Schema`.

    Raises
    ------
    UserError
        Missing file, no JSON object, unknown or missing keys, values of the wrong type.
    """
    try:
        entries = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: no JSON: {error}") from None
    try:
        return _schema(entries)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _schema(entries: Any) -> Schema:
    known = {field.name: field for field in fields(Schema)}
    if not isinstance(entries, dict):
        raise UserError("must be a JSON object")
    for key in entries:
        if key not in known:
            raise UserError(f"unknown key {key!r}; known: {', '.join(known)}")
    for key in ("label", "sparse"):
        if key not in entries:
            raise UserError(f"{key} is missing")
    for key, value in entries.items():
        if key in ("dense", "sparse"):
            right = isinstance(value, list) and all(isinstance(name, str) for name in value)
        elif key == "log":
            right = isinstance(value, bool)
        else:
            right = isinstance(value, str) or (value is None and key in ("time", "user"))
        if not right:
            raise UserError(f"{key} cannot be {value!r}")
    lists = {key: tuple(entries[key]) for key in ("dense", "sparse") if key in entries}
    return Schema(**(entries | lists))
