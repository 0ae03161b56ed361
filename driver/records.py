"""Where things of an item lie: its record in device memory, its vectors in lanes and banks.

Vector v of an item (0: the dense one, 1 + f: sparse feature f) belongs to gather lane v mod G and
to the same bank of a vector buffer, as number v // G of both. In a record the id of feature f is a
word whose number says the lane: the first one is 1 modulo G.
"""

from __future__ import annotations

from dataclasses import dataclass

from hdl.config import Config

__all__ = ["RecordLayout", "bank_place", "record_layout"]


@dataclass(frozen=True, kw_only=True)
class RecordLayout:
    """Item records of a pipeline; see ``PIPELINE``."""

    dense_bytes: int
    ids_offset: int
    pitch: int


def bank_place(config: Config, vector: int) -> tuple[int, int]:
    """Lane of a vector, and its number there."""
    number, lane = divmod(vector, config.gather_lanes)
    return lane, number


def record_layout(config: Config, *, dense: int, ids: int) -> RecordLayout:
    """Smallest layout of ``dense`` int8 values and ``ids`` id words."""
    lanes = config.gather_lanes
    word = -(-dense // 4)
    word += (1 - word) % lanes
    size = 4 * (word + ids)
    step = config.record_alignment
    return RecordLayout(dense_bytes=dense, ids_offset=4 * word, pitch=-(-size // step) * step)
