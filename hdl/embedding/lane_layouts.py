"""Shapes that travel between the units of a gather lane."""

from __future__ import annotations

import enum as py_enum

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..config import Config
from ..interfaces import QUERY_BITS
from .line_geometry import LineGeometry

__all__ = [
    "POOL_FIELDS",
    "Source",
    "checked_id_layout",
    "filled_layout",
    "line_request_layout",
    "line_write_layout",
    "piece_layout",
    "queue_entry_layout",
    "tag_step_layout",
    "tagged_id_layout",
]

STATIC_ADDRESS_BITS = 20
"""Byte address in the row data of a lane's static cache."""


class Source(py_enum.IntEnum):
    """Where the bytes of a row come from."""

    ZERO = 0
    STATIC = 1
    LINE = 2


_POOL = {
    "loader": unsigned(2),  # its bags are summed apart from other loaders'
    "pooled": unsigned(1),  # part of a bag; else a row that is handed over as it is
    "pool_first": unsigned(1),
    "pool_last": unsigned(1),
    "multiplier": unsigned(16),
    "shift": unsigned(6),
}
POOL_FIELDS = tuple(_POOL)
"""What a row's way through the sums of bags depends on."""


def checked_id_layout(config: Config) -> data.StructLayout:
    """An id with what its descriptor says."""
    return data.StructLayout(
        {
            "unit": unsigned(8),
            "target": unsigned(13),  # byte address in the lane's bank
            "address": unsigned(config.address_bits),  # of the row in device memory
            "log2_row_bytes": unsigned(4),
            "cached": unsigned(1),
            "zero": unsigned(1),  # nothing is looked up: bad or empty
            "bad": unsigned(1),  # out of range
            "table": unsigned(9),
            "id": unsigned(32),
            "seed": unsigned(16),
            "region": unsigned(2),
            **_POOL,
            "item_last": unsigned(1),
            "query": unsigned(QUERY_BITS),
            "prefetch": unsigned(1),
        }
    )


def tagged_id_layout(config: Config) -> data.StructLayout:
    """A lookup after the tags of the static cache were compared."""
    return data.StructLayout(
        {
            "lookup": checked_id_layout(config),
            "hit": unsigned(1),
            "address": unsigned(STATIC_ADDRESS_BITS),  # hit: byte address in the lane's row data
        }
    )


def queue_entry_layout(config: Config) -> data.StructLayout:
    """A row, or half of one of 128 bytes, whose place is known; its data may still be coming."""
    line_bytes_bits = LineGeometry(config).line_bits + 6
    return data.StructLayout(
        {
            "unit": unsigned(8),
            "target": unsigned(13),  # byte address in the lane's bank
            "log2_bytes": unsigned(3),  # 2..7
            "source": unsigned(2),  # Source
            "address": unsigned(max(STATIC_ADDRESS_BITS, line_bytes_bits)),  # byte, in the source
            "half": unsigned(1),  # bytes 64.. of a row
            **_POOL,
            "item_last": unsigned(1),
            "query": unsigned(QUERY_BITS),
        }
    )


def line_request_layout(config: Config) -> data.StructLayout:
    """A line to be fetched."""
    geometry = LineGeometry(config)
    return data.StructLayout(
        {"address": unsigned(geometry.address_bits), "line": unsigned(geometry.line_bits)}
    )


def line_write_layout(config: Config) -> data.StructLayout:
    """A beat of a line on its way into the line memory."""
    geometry = LineGeometry(config)
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "line": unsigned(geometry.line_bits),
            "beat": unsigned(3),
            "data": unsigned(config.axi_data_bits),
        }
    )


def filled_layout(config: Config) -> data.StructLayout:
    """Event: the last beat of a line is written in this cycle. ``error``: of any of its beats."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "line": unsigned(LineGeometry(config).line_bits),
            "error": unsigned(1),
        }
    )


def piece_layout(config: Config) -> data.StructLayout:
    """A lane's word of a row, placed."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "unit": unsigned(8),
            "address": unsigned(13),  # byte address in the lane's bank, aligned to lane_bytes
            "enable": unsigned(config.lane_bytes // 4),
            "data": unsigned(8 * config.lane_bytes),
            "word": unsigned(3),  # of the row
            "last": unsigned(1),  # of the row
            **_POOL,
            "item_last": unsigned(1),
        }
    )


def tag_step_layout(config: Config) -> data.StructLayout:
    """Event for traces: what the tags decided, with all that a model needs to decide the same.

    A row of 128 bytes takes two steps when it is not in the static cache. ``empty``: no lookup, but
    an entry of the queue. ``fresh``: all lines were invalidated since the step before.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "static_hit": unsigned(1),
            "hit": unsigned(1),
            "merged": unsigned(1),
            "miss": unsigned(1),
            "dropped": unsigned(1),
            "bad": unsigned(1),
            "empty": unsigned(1),
            "prefetch": unsigned(1),
            "half": unsigned(1),
            "fresh": unsigned(1),
            "table": unsigned(9),
            "id": unsigned(32),
            "query": unsigned(QUERY_BITS),
            "live": unsigned(1 << QUERY_BITS),  # queries whose claims count
            "pending": unsigned((config.lookup_queue + 1).bit_length()),  # entries not read yet
        }
    )
