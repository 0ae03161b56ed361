"""Shapes that travel between the parts of a record loader."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data

from ..config import Config
from ..interfaces import QUERY_BITS, chunk_layout

__all__ = [
    "chunk_bytes", "dense_chunk_layout", "record_layout", "record_task_layout", "step_words",
]  # fmt: skip


def dense_chunk_layout(config: Config) -> data.StructLayout:
    """Dense values of an item record for the engine anchored at ``unit``."""
    return data.StructLayout({"unit": unsigned(8), "chunk": chunk_layout(config)})


def _record_fields(config: Config) -> dict[str, object]:
    return {
        "dense": unsigned(1),  # dense pass; else id pass
        "prefetch": unsigned(1),  # id pass of a job that only fetches ahead
        "unit": unsigned(8),
        "slot": unsigned(1),  # dense pass: of the engine's banks
        "row": unsigned(config.row_bits),
        "program": unsigned(4),
        "query": unsigned(QUERY_BITS),
        "index": unsigned(4),  # id pass: vector slot
        "base": unsigned(13),  # id pass: byte address of the vector slot in every bank
    }


def record_task_layout(config: Config) -> data.StructLayout:
    """Part of an item record to be read."""
    return data.StructLayout(
        {
            **_record_fields(config),
            "bytes": unsigned(9),  # wanted bytes, 1 .. 508
            "address": unsigned(config.address_bits),
        }
    )


def record_layout(config: Config) -> data.StructLayout:
    """Part of an item record whose beats are coming.

    ``start`` is its first byte in the first beat, ``end`` its last one, counted from the beginning
    of the piece with the first one: a dense chunk, a step of ids.
    """
    start_bits = (config.axi_bytes - 1).bit_length()
    return data.StructLayout(
        {**_record_fields(config), "start": unsigned(start_bits), "end": unsigned(10)}
    )


def chunk_bytes(config: Config) -> int:
    """Bytes of a dense chunk."""
    return min(config.axi_bytes, 16)


def step_words(config: Config) -> int:
    """Ids that are handed over together."""
    return min(config.axi_bytes // 4, config.gather_lanes)
