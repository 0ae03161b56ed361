"""Shapes that travel between the units of the embedding unit."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..config import Config
from ..interfaces import chunk_layout, lane_request_layout

__all__ = [
    "cache_lookup_layout",
    "dense_chunk_layout",
    "id_layout",
    "lookup_layout",
    "record_layout",
    "record_task_layout",
    "routed_request_layout",
]


def dense_chunk_layout(config: Config) -> data.StructLayout:
    """Dense values of an item record for the engine anchored at ``unit``."""
    return data.StructLayout({"unit": unsigned(8), "chunk": chunk_layout(config)})


def id_layout(config: Config) -> data.StructLayout:
    """One id of an item record, and the vector slot that its row goes to."""
    return data.StructLayout(
        {
            "unit": unsigned(8),
            "index": unsigned(4),  # vector slot
            "address": unsigned(13),  # byte address of the vector slot
            "program": unsigned(4),
            "feature": unsigned(7),
            "id": unsigned(32),
        }
    )


def routed_request_layout(config: Config) -> data.StructLayout:
    """A checked lookup and the gather lane that serves it."""
    return data.StructLayout({"lane": unsigned(5), "request": lane_request_layout(config)})


def cache_lookup_layout(config: Config) -> data.StructLayout:
    """A lookup after the tags were compared."""
    return data.StructLayout(
        {
            "request": lane_request_layout(config),
            "hit": unsigned(1),
            "address": unsigned(20),  # hit: byte address of the row in the lane's row data
        }
    )


def lookup_layout(config: Config) -> data.StructLayout:
    """Event of one finished tag lookup, for counters and trace.

    A bad id has ``bad`` set and ``hit`` clear; it reads neither the cache nor device memory.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "hit": unsigned(1),
            "bad": unsigned(1),
            "table": unsigned(9),
            "id": unsigned(32),
        }
    )


def _record_fields(config: Config) -> dict[str, object]:
    return {
        "dense": unsigned(1),  # dense pass; else id pass
        "unit": unsigned(8),
        "slot": unsigned(1),  # dense pass: of the engine's banks
        "row": unsigned(config.row_bits),
        "program": unsigned(4),
        "index": unsigned(4),  # id pass: vector slot
        "vector": unsigned(13),  # id pass: byte address of the vector slot
        "bytes": unsigned(9),  # wanted bytes, 1..256
    }


def record_task_layout(config: Config) -> data.StructLayout:
    """Part of an item record to be read."""
    return data.StructLayout({**_record_fields(config), "address": unsigned(config.address_bits)})


def record_layout(config: Config) -> data.StructLayout:
    """Part of an item record whose beats are coming: the first wanted byte is ``start``."""
    start_bits = (config.axi_bytes - 1).bit_length()
    return data.StructLayout({**_record_fields(config), "start": unsigned(start_bits)})
