"""Text files in blocks of whole lines: plain or gzip, the whole file or a part of it."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError

from .words import PAD

__all__ = ["BadLines", "Block", "Part", "blocks", "time_split"]

BLOCK_BYTES = 1 << 19
"""About 2000 lines of Criteo: what is made of them stays in the processor's cache."""
LONGEST_LINE = 1 << 20
EXAMPLES = 3


@dataclass(frozen=True)
class Part:
    """Bytes of a file, moved on to the next beginning of a line at both ends."""

    path: Path
    first: int = 0
    last: int | None = None
    """None: to the end of the file."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """Whole lines."""

    path: Path
    bytes: NDArray[np.uint8]
    """`PAD` bytes that mean nothing, then lines, each with its newline."""
    first_byte: int
    """Where the first line stands in the file (in the unpacked text of a gzip file)."""


@dataclass
class BadLines:
    """Malformed lines: how many, and what is wrong with the first ones."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, block: Block, offset: int, column: int | None, what: str) -> None:
        """Count the line at `offset` of the block's lines; `column` counts from 1."""
        line = 0
        if len(self.examples) < EXAMPLES:
            line = _lines_before(block) + _newlines(block.bytes[PAD : PAD + offset]) + 1
        self.add_line(block.path, line, column, what)

    def add_line(self, path: Path, line: int, column: int | str | None, what: str) -> None:
        """Count a line by its number, from 1."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            where = f"line {line}" + (f", column {column}" if column else "")
            self.examples.append(f"{path}: {where}: {what}")

    @property
    def text(self) -> str:
        """In words; empty without malformed lines."""
        if not self.count:
            return ""
        more = f", and {self.count - len(self.examples)} more" * (self.count > len(self.examples))
        return f"{self.count} malformed lines left out: {'; '.join(self.examples)}{more}"


def _newlines(values: NDArray[np.uint8]) -> int:
    return int(np.count_nonzero(values == 10))


def _lines_before(block: Block) -> int:
    """Lines of the file in front of the block: read again, which only malformed lines cost."""
    count = 0
    with _open(block.path) as stream:
        left = block.first_byte
        while left and (data := stream.read(min(left, BLOCK_BYTES))):
            left -= len(data)
            count += data.count(b"\n")
    return count


def _open(path: Path) -> IO[bytes]:
    try:
        with open(path, "rb") as start:
            packed = start.read(2) == b"\x1f\x8b"
        return cast(IO[bytes], gzip.open(path, "rb") if packed else open(path, "rb"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None


def blocks(part: Part) -> Iterator[Block]:
    """The part's lines; a last line without newline gets one.

    Raises
    ------
    UserError
        No such file, damaged gzip file, a line of more than 1 MB.
    """
    with _open(part.path) as stream:
        try:
            yield from _blocks(part, stream)
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise UserError(f"{part.path}: damaged gzip file: {error}") from None


def _blocks(part: Part, stream: IO[bytes]) -> Iterator[Block]:
    place = _align(stream, part.first)
    last = None if part.last is None else _align(stream, part.last)
    stream.seek(place)
    rest = b""
    while True:
        size = BLOCK_BYTES if last is None else min(BLOCK_BYTES, last - place - len(rest))
        data = rest + stream.read(size)
        if len(data) == len(rest):
            if rest:
                yield _block(part, rest + b"\n", place)
            return
        end = data.rfind(b"\n") + 1
        if len(data) - end > LONGEST_LINE:
            raise UserError(
                f"{part.path}: a line at byte {place + end} has more than {LONGEST_LINE} bytes; "
                "is it text?"
            )
        if end:
            yield _block(part, data[:end], place)
        place += end
        rest = data[end:]


def _block(part: Part, lines: bytes, place: int) -> Block:
    padded = np.zeros(PAD + len(lines) + 8, np.uint8)
    padded[PAD : PAD + len(lines)] = np.frombuffer(lines, np.uint8)
    return Block(path=part.path, bytes=padded[: PAD + len(lines)], first_byte=place)


def _align(stream: IO[bytes], place: int) -> int:
    """The first beginning of a line at `place` or behind it."""
    if place <= 0:
        return 0
    stream.seek(place - 1)
    return place - 1 + len(stream.readline(LONGEST_LINE))


def time_split(paths: list[Path], share: float) -> tuple[list[Part], list[Part]]:
    """(training, evaluation) of files that are in the order of time.

    Several files: the last one is for evaluation, as days are kept. One file: its last `share`
    by bytes. No line is in both.

    Raises
    ------
    UserError
        A single gzip file, which cannot be cut without reading it.
    """
    if len(paths) > 1:
        return [Part(path) for path in paths[:-1]], [Part(paths[-1])]
    (path,) = paths
    with _open(path) as stream:
        if isinstance(stream, gzip.GzipFile):
            raise UserError(f"{path}: unpack it, or give one file a day: a gzip file is not cut")
    if not 0 < share < 1:
        raise UserError(f"the share of evaluation must be between 0 and 1, not {share}")
    cut = int(os.path.getsize(path) * (1 - share))
    return [Part(path, 0, cut)], [Part(path, cut)]
