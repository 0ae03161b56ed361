"""Criteo's click logs (Kaggle and Terabyte): label, 13 counts, 26 hexadecimal ids, tabs between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError

from .lines import BadLines, Block, Part, blocks
from .words import PAD, decimals, hexadecimals, last_words

__all__ = ["COLUMNS", "COUNTS", "IDS", "CriteoRows", "read_criteo"]

COUNTS, IDS = 13, 26
COLUMNS = 1 + COUNTS + IDS
_TAB, _NEWLINE, _RETURN, _MINUS = 9, 10, 13, 45
_LARGEST_COUNT = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True, eq=False)
class CriteoRows:
    """Well-formed lines of a block."""

    labels: NDArray[np.uint8]
    """[n]"""
    counts: NDArray[np.uint32]
    """[n, 13]; missing and negative ones are 0."""
    values: NDArray[np.uint32]
    """[n, 26]: categorical values as the file has them, in hexadecimal; missing ones are 0."""


def read_criteo(
    parts: Sequence[Part],
    bad: BadLines,
    *,
    lines: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Iterator[CriteoRows]:
    """Stream the lines of files, some thousands at a time, in constant memory.

    Parameters
    ----------
    parts
        What to read, in order.
    bad
        Counts the malformed lines, which are left out.
    lines
        Stop after so many well-formed lines.
    progress
        Takes the number of bytes read since the last call.

    Raises
    ------
    UserError
        No such file, or no line of the first block has 40 columns.
    """
    left = lines
    for part in parts:
        found = False
        for block in blocks(part):
            rows = parse_criteo(block, bad)
            if not found and not len(rows.labels):
                _refuse(part, block, bad)
            found = True
            if left is not None:
                rows = CriteoRows(
                    labels=rows.labels[:left], counts=rows.counts[:left], values=rows.values[:left]
                )
                left -= len(rows.labels)
            yield rows
            if progress is not None:
                progress(len(block.bytes) - PAD)
            if left == 0:
                return
        if not found:
            raise UserError(f"{part.path}: no lines to read")


def _refuse(part: Part, block: Block, bad: BadLines) -> None:
    first = bad.examples[0] if bad.examples else f"{part.path}: empty"
    raise UserError(
        f"{first}; no line has {COLUMNS} columns with tabs between: is it Criteo's text format?"
    )


def parse_criteo(block: Block, bad: BadLines) -> CriteoRows:
    """All lines of a block."""
    buffer = block.bytes
    separators = np.flatnonzero((buffer == _TAB) | (buffer == _NEWLINE))
    separators = separators[np.searchsorted(separators, PAD) :]
    last = np.flatnonzero(buffer[separators] == _NEWLINE)  # separator that ends each line
    columns = np.diff(last, prepend=-1)
    begins = np.concatenate([[PAD], separators[last][:-1] + 1])
    good = columns == COLUMNS
    if not good.all():
        for line in np.flatnonzero(~good):
            what = f"{columns[line]} columns, must be {COLUMNS}"
            bad.add(block, int(begins[line]) - PAD, None, what)
        last, begins = last[good], begins[good]
    ends = separators[last[:, None] - np.arange(COLUMNS - 1, -1, -1)]
    starts = np.concatenate([begins[:, None], ends[:, :-1] + 1], axis=1)
    ends[:, -1] -= buffer[ends[:, -1] - 1] == _RETURN  # lines of Windows
    lengths = ends - starts
    counts, wrong_counts = _counts(buffer, starts[:, 1 : 1 + COUNTS], ends[:, 1 : 1 + COUNTS])
    values, right = hexadecimals(
        last_words(buffer, ends[:, 1 + COUNTS :], lengths[:, 1 + COUNTS :])
    )
    label = buffer[starts[:, 0]] - 48
    wrong = np.concatenate(
        [
            ((label > 1) | (lengths[:, 0] != 1))[:, None],
            wrong_counts,
            ~right | (lengths[:, 1 + COUNTS :] > 8),
        ],
        axis=1,
    )
    if wrong.any():
        keep = ~wrong.any(axis=1)
        for line in np.flatnonzero(~keep):
            column = int(wrong[line].argmax())
            text = bytes(buffer[starts[line, column] : ends[line, column]][:20])
            bad.add(block, int(begins[line]) - PAD, column + 1, _wrong(column, text))
        label, counts, values = label[keep], counts[keep], values[keep]
    return CriteoRows(labels=label, counts=counts, values=values)


def _wrong(column: int, text: bytes) -> str:
    shown = repr(text.decode("ascii", "replace"))
    if column == 0:
        return f"{shown} is no label, 0 or 1"
    if column <= COUNTS:
        return f"{shown} is no whole number below {_LARGEST_COUNT + 1}"
    return f"{shown} is no hexadecimal number of at most 8 digits"


def _counts(
    buffer: NDArray[np.uint8], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Counts, and where there is none."""
    lengths = ends - starts
    negative = (lengths > 1) & (buffer[starts] == _MINUS)
    lengths = lengths - negative
    value, right = decimals(last_words(buffer, ends, lengths))
    long = np.flatnonzero(lengths.ravel() > 8)
    if len(long):  # ten digits at most: what stands before the last eight
        last, size = ends.ravel()[long], lengths.ravel()[long]
        head, digits = decimals(last_words(buffer, last - 8, np.minimum(size - 8, 8)))
        whole = value.ravel()[long] + head * 10**8
        fits = right.ravel()[long] & digits & (size <= 10) & (whole <= _LARGEST_COUNT)
        right.ravel()[long] = fits
        value.ravel()[long] = np.where(fits, whole, 0)
    value[negative] = 0
    return value.astype(np.uint32), ~right
