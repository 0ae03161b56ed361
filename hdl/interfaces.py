"""Shapes and signatures shared between units: the contract at unit edges, in one place.

``u`` numbers sub-arrays row-major: ``u = row * grid + column``. An engine of level l covers
``2**l x 2**l`` sub-arrays and is named by its anchor, the upper left one.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Value, signed, unsigned
from amaranth.lib import data, stream
from amaranth.lib.wiring import In, Out, Signature

from .config import Config
from .program import ALL_UNITS, MANY_UNITS

__all__ = [
    "QUERY_BITS",
    "bank_write_layout",
    "bank_write_signature",
    "chunk_event_layout",
    "chunk_layout",
    "config_write_layout",
    "control_word_layout",
    "job_layout",
    "lane_id_layout",
    "load_reaches",
    "lookup_event_layout",
    "phase_layout",
    "position_score_layout",
    "query_done_layout",
    "query_event_layout",
    "query_layout",
    "read_port_signature",
    "read_request_layout",
    "read_response_layout",
    "result_layout",
    "row_write_layout",
    "score_layout",
    "stream_state_layout",
    "walked_layout",
    "weight_write_layout",
]


QUERY_BITS = 4
"""Number of a query in flight."""


def config_write_layout(config: Config) -> data.StructLayout:
    """Broadcast of LOAD: never refused, one word a cycle at most. See ``load_reaches``.

    ``data`` holds D bytes for ``Target.WEIGHTS``; other targets use its low 64 bits.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "target": unsigned(8),
            "unit": unsigned(8),
            "units": unsigned(config.sub_arrays),  # with unit MANY_UNITS: a bit a sub-array
            "address": unsigned(24),
            "data": unsigned(config.axi_data_bits),
        }
    )


def load_reaches(word: Any, unit: int) -> Value:
    """Is a word of ``config_write_layout`` for a sub-array? Its target has sub-arrays as units."""
    named = (word.unit == unit) | (word.unit == ALL_UNITS)
    return named | ((word.unit == MANY_UNITS) & word.units[unit])


def control_word_layout(config: Config) -> data.StructLayout:
    """What a sequencer sends down its engine every cycle; skewed by the grid, see Grid."""
    return data.StructLayout(
        {
            "valid": unsigned(1),  # a row enters the array
            "row": unsigned(config.row_bits),
            "input_address": unsigned(config.activation_address_bits),
            "swap": unsigned(1),  # after this cycle's row the loaded weights become the active ones
            "load": unsigned(1),  # start loading a tile into the shadow weights
            "load_address": unsigned(config.weight_address_bits),
            "first": unsigned(1),  # first K tile: the accumulator starts at this sum
            "last": unsigned(1),  # last K tile: the sum goes to the requantiser
            "tile_end": unsigned(1),  # last row of the last K tile
            "parameter": unsigned(config.parameter_address_bits),
            "output_address": unsigned(config.activation_address_bits),
            "function": unsigned(2),
            "table": unsigned(2),
            "destination": unsigned(2),
            "slot": unsigned(1),
        }
    )


def weight_write_layout(config: Config) -> data.StructLayout:
    """Write of one weight word into the banks of the sub-arrays in ``mask``."""
    return data.StructLayout(
        {
            "mask": unsigned(config.sub_arrays),
            "address": unsigned(config.weight_address_bits),
            "data": unsigned(config.axi_data_bits),
        }
    )


def bank_write_layout(config: Config, lanes: int) -> data.StructLayout:
    """Write of up to E lanes of an engine's activation banks (its left column) in one cycle.

    ``lanes`` is the largest E at the engine's anchor (``config.largest_edge_at``). Lane
    ``j * S + i`` is lane i of bank ``(row0 + j, column0)``. A lane is written at ``address``,
    or at ``wrapped_address`` where ``wrapped`` is set (the chunk ran over the page's end).
    """
    return data.StructLayout(
        {
            "enable": unsigned(lanes),
            "wrapped": unsigned(lanes),
            "address": unsigned(config.activation_address_bits),
            "wrapped_address": unsigned(config.activation_address_bits),
            "data": data.ArrayLayout(signed(8), lanes),
        }
    )


def bank_write_signature(config: Config, lanes: int) -> Signature:
    """Stream of bank writes; refused in cycles in which write-back uses one of the lanes."""
    return stream.Signature(bank_write_layout(config, lanes))


def score_layout(config: Config) -> data.StructLayout:
    return data.StructLayout(
        {"valid": unsigned(1), "row": unsigned(config.row_bits), "value": signed(16)}
    )


def phase_layout(config: Config) -> data.StructLayout:
    """One pass of a row block through one MLP."""
    return data.StructLayout(
        {
            "layer": unsigned((config.max_layers - 1).bit_length()),
            "layers": unsigned(5),
            "tiles": unsigned(24),
            "weights": unsigned(16),
            "streamed": unsigned(1),
            "stream": unsigned(40),
            "slot": unsigned(1),
            "rows": unsigned(config.row_bits + 1),
            "row_pitch": unsigned(9),
            "top": unsigned(1),
            "ring_base": unsigned(16),  # streamed: ring in the weight bank
            "ring_log2_words": unsigned(5),
        }
    )


def stream_state_layout(config: Config) -> data.StructLayout:
    """Request of a weight stream: sent once per streamed phase, in the order of execution."""
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),
            "tiles": unsigned(24),
            "ring_base": unsigned(16),
            "ring_log2_words": unsigned(5),
            "query": unsigned(QUERY_BITS),  # that runs on these weights, for errors
        }
    )


def chunk_layout(config: Config, values: int = 16) -> data.StructLayout:
    """Up to 16, or ``values``, consecutive values k .. k + count - 1 of one row of a tensor."""
    return data.StructLayout(
        {
            "slot": unsigned(1),
            "row": unsigned(config.row_bits),
            "k": unsigned(13),
            "count": unsigned(values.bit_length()),  # 1..values
            "last": unsigned(1),  # last chunk of the row
            "data": data.ArrayLayout(signed(8), values),
        }
    )


def chunk_event_layout(config: Config, values: int) -> data.StructLayout:
    """Event for traces: a chunk of up to so many values is handed over."""
    chunk = chunk_layout(config, values)
    return data.StructLayout({"valid": unsigned(1), "chunk": chunk})


def row_write_layout(config: Config) -> data.StructLayout:
    """Embedding bytes of one lane on their way to its bank of an engine's vector buffer.

    Never refused (space was allocated). One such broadcast a gather lane.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "unit": unsigned(8),  # anchor of the engine
            "address": unsigned(13),  # byte address in the lane's bank, aligned to lane_bytes
            "enable": unsigned(config.lane_bytes // 4),  # 4-byte granules
            "data": unsigned(config.lane_bytes * 8),
            "item_last": unsigned(1),  # the lane's last word of the item
        }
    )


def job_layout(config: Config) -> data.StructLayout:
    """A row block for one engine and for its record loader; carries all that these need.

    Row r is position ``position + r * stride`` of the context's list of items. ``prefetch``: for a
    record loader only; rows of the ids are fetched ahead, and ``unit``, ``slot``, dense fields mean
    nothing.
    """
    return data.StructLayout(
        {
            "unit": unsigned(8),  # anchor of the engine
            "slot": unsigned(1),
            "program": unsigned(4),
            "features": unsigned(7),  # id words of a record
            "rows": unsigned(config.row_bits + 1),
            "position": unsigned(config.item_bits),  # of row 0 in the context's list of items
            "stride": unsigned(5),
            "context": unsigned(4),  # query and stage: goes with the scores
            "sub_batch": unsigned(4),  # goes with the scores, too
            "query": unsigned(QUERY_BITS),  # goes with the lookups, for errors and counts
            "first": unsigned(1),  # the item is the position itself; else the list tells
            "list_base": unsigned(config.candidate_bits),  # list address of position 0
            "records": unsigned(config.address_bits),  # item records in device memory
            "pitch": unsigned(16),  # bytes between records
            "dense_bytes": unsigned(8),  # dense values at offset 0 of a record
            "ids_offset": unsigned(12),  # of the first id word
            "prefetch": unsigned(1),
        }
    )


def lane_id_layout(config: Config) -> data.StructLayout:
    """An id for a gather lane."""
    return data.StructLayout(
        {
            "unit": unsigned(8),  # anchor of the engine
            "index": unsigned(4),  # vector slot
            "base": unsigned(13),  # byte address of the vector slot in every bank
            "program": unsigned(4),
            "k": unsigned(7),  # number of the id word among the lane's words of the item
            "id": unsigned(32),
            "query": unsigned(QUERY_BITS),
            "prefetch": unsigned(1),  # fetch ahead: no vector slot, nothing is handed over
            "loader": unsigned(2),  # ids of different loaders come mixed, each one's bags whole
        }
    )


def lookup_event_layout(config: Config) -> data.StructLayout:
    """Event: a lookup's outcome is decided. Exactly one of the outcomes is set.

    ``merged`` comes with ``look_ahead_hit`` when the line's data is still on its way.
    """
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "static_hit": unsigned(1),
            "look_ahead_hit": unsigned(1),
            "miss": unsigned(1),
            "bad": unsigned(1),  # id out of range
            "dropped": unsigned(1),  # prefetch without a way to take
            "merged": unsigned(1),
            "prefetch": unsigned(1),
            "table": unsigned(9),
            "id": unsigned(32),
            "query": unsigned(QUERY_BITS),
        }
    )


def query_event_layout() -> data.StructLayout:
    """Event that concerns one query: a bad id, a beat with an error."""
    return data.StructLayout({"valid": unsigned(1), "query": unsigned(QUERY_BITS)})


def walked_layout() -> data.StructLayout:
    """Event: a row of a context's list is about to be looked up."""
    return data.StructLayout({"valid": unsigned(1), "context": unsigned(4)})


def result_layout(config: Config) -> data.StructLayout:
    """A survivor of the last stage, best first."""
    return data.StructLayout(
        {
            "item": unsigned(32),
            "score": signed(32),
            "last": unsigned(1),  # of the query; its results come without others between them
            "query": unsigned(QUERY_BITS),
        }
    )


def position_score_layout(config: Config) -> data.StructLayout:
    """A finished score on its way from an engine's score queue to the filter."""
    return data.StructLayout(
        {
            "context": unsigned(4),  # query and stage, as the job names it
            "sub_batch": unsigned(4),
            "position": unsigned(config.item_bits),  # in the context's list of items
            "score": signed(16),
        }
    )


def query_layout(config: Config) -> data.StructLayout:
    """A query for the dispatcher, straight from ``SUBMISSION``: the dispatcher checks it."""
    return data.StructLayout(
        {
            "pipeline": unsigned(8),
            "items": unsigned(32),  # n of stage 0
            "keep": data.ArrayLayout(unsigned(32), 4),  # k of each stage
            "records": unsigned(config.address_bits),  # item records in device memory
            "policy": unsigned(2),  # Policy
            "sub_batches": unsigned(5),  # B, 1..16
            "bins": unsigned(2),  # BINNED: width of the bins
        }
    )


def query_done_layout(config: Config) -> data.StructLayout:
    """End of a query: sent after its last result was taken."""
    return data.StructLayout(
        {
            "query": unsigned(QUERY_BITS),
            "status": unsigned(8),  # Status
            "count": unsigned(32),  # results sent
            "stage_cycles": data.ArrayLayout(unsigned(32), 4),
            # Lookups of the query, prefetches not counted; hits are those in the static cache.
            "lookups": unsigned(32),
            "hits": unsigned(32),
            "look_ahead_hits": unsigned(32),
            "misses": unsigned(32),
            "merged": unsigned(32),
        }
    )


def read_request_layout(config: Config) -> data.StructLayout:
    """An INCR burst. It must not cross a 4 KB boundary; address is aligned to D."""
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),
            "beats": unsigned(8),  # AXI ARLEN: beats - 1
            "tag": unsigned(config.tag_bits),
        }
    )


def read_response_layout(config: Config) -> data.StructLayout:
    """One beat. Beats of one tag come in order; different tags in any order."""
    return data.StructLayout(
        {
            "data": unsigned(config.axi_data_bits),
            "tag": unsigned(config.tag_bits),
            "last": unsigned(1),
            "error": unsigned(1),  # SLVERR or DECERR
        }
    )


def read_port_signature(config: Config) -> Signature:
    """A requester's view of device memory: requests out, beats in."""
    return Signature(
        {
            "request": Out(stream.Signature(read_request_layout(config))),
            "response": In(stream.Signature(read_response_layout(config))),
        }
    )
