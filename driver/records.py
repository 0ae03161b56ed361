"""Where things of an item lie: its record in device memory, its vectors in lanes and banks.

Vector v of an item (0: the dense one, 1 + f: sparse feature f) belongs to gather lane v mod G and
to the same bank of a vector buffer, as number v // G of both. In a record the id of feature f is a
word whose number says the lane: the first one is 1 modulo G. Ids of features that are decoded lie
behind the dense values, from a multiple of 16 bytes on: an engine with hash lanes keeps them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hdl.config import Config

__all__ = [
    "ID_ALIGNMENT",
    "IdPlaces",
    "RecordLayout",
    "bank_place",
    "id_places",
    "record_layout",
]

ID_ALIGNMENT = 16
"""Ids behind the dense values start at a multiple of this many bytes: chunks are never mixed."""


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Item records of a pipeline; see ``PIPELINE``."""

    dense_bytes: int
    """Dense values, and ids behind them."""
    ids_offset: int
    pitch: int
    first_id: int = 0
    """Byte of the first id behind the dense values; 0: there are none."""


@dataclass(frozen=True, kw_only=True)
class IdPlaces:
    """Where the ids of an item lie among the id words of its record.

    A lane's words are its tables' bags one after the other, so the words of one bag lie G apart.
    Lanes with fewer ids than others have words that nobody uses.
    """

    words: tuple[tuple[int, ...], ...]
    """By table: numbers of its id words; the first one of a record is 1."""
    count: int
    """Id words of a record, those that nobody uses among them."""

    @property
    def columns(self) -> list[int]:
        """Index of each place's word among the id words of a record, tables in order."""
        return [word - 1 for words in self.words for word in words]


def id_places(config: Config, bags: Sequence[int]) -> IdPlaces:
    """Places for as many ids of each table, in the order of their vectors, as ``bags`` says."""
    lanes = config.gather_lanes
    free = [1] + [0] * (lanes - 1)  # lane 0's first word would be the dense vector's
    words = []
    for table, size in enumerate(bags):
        lane, _ = bank_place(config, 1 + table)
        words.append(tuple((free[lane] + n) * lanes + lane for n in range(size)))
        free[lane] += size
    return IdPlaces(words=tuple(words), count=max((max(w) for w in words), default=0))


def bank_place(config: Config, vector: int) -> tuple[int, int]:
    """Lane of a vector, and its number there."""
    number, lane = divmod(vector, config.gather_lanes)
    return lane, number


def record_layout(config: Config, *, dense: int, ids: int, decoded: int = 0) -> RecordLayout:
    """Smallest layout of ``dense`` int8 values, ``decoded`` ids behind them, and ``ids`` words."""
    lanes = config.gather_lanes
    first_id = 0
    if decoded:
        first_id = -(-dense // ID_ALIGNMENT) * ID_ALIGNMENT
        dense = first_id + 4 * decoded
    word = -(-dense // 4)
    word += (1 - word) % lanes
    size = 4 * (word + ids)
    step = config.record_alignment
    return RecordLayout(
        dense_bytes=dense,
        ids_offset=4 * word,
        pitch=-(-size // step) * step,
        first_id=first_id,
    )
