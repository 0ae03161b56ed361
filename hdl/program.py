"""The program format: every word that the driver writes and the device reads, defined once.

RTL takes the layouts as shapes, the driver packs them with ``hdl.words``.
All words are little endian in device memory. Bases and addresses inside an engine leave the slot
out: hardware puts the slot in as the top address bit.
"""

from __future__ import annotations

import enum as py_enum

from amaranth.hdl import signed, unsigned
from amaranth.lib import data

__all__ = [
    "COMPLETION",
    "COMPLETION_BYTES",
    "CACHE_REGION",
    "CACHE_TAG",
    "DOT_SHIFT_WORDS",
    "Destination",
    "EMPTY_ID",
    "FEATURE",
    "FEATURE_WORDS",
    "Function",
    "InteractionMode",
    "LAYER",
    "LAYER_WORDS",
    "Opcode",
    "PARAMETER",
    "PIPELINE",
    "QUERY_FLAGS",
    "PIPELINE_STAGE",
    "PIPELINE_WORDS",
    "STAGE",
    "STAGE_WORDS",
    "STREAM_CHUNK_BYTES",
    "SUBMISSION",
    "SUBMISSION_BYTES",
    "Status",
    "Target",
    "dot_shift_words",
    "ALL_UNITS",
    "MANY_UNITS",
]


class Opcode(py_enum.IntEnum):
    """Submission ring entry kinds."""

    NOP = 0
    QUERY = 1
    LOAD = 2


class Status(py_enum.IntEnum):
    """Completion status. Anything but OK leaves the next entry unharmed."""

    OK = 0
    BAD_OPCODE = 1
    BAD_PIPELINE = 2
    """Pipeline id without stages, or a stage without an engine in the partition."""
    BAD_SIZE = 3
    """n = 0, n above max_items, k = 0, k above the stage's n, or a LOAD of no or too many words."""
    BAD_ADDRESS = 4
    """Outside the windows the host opened, or not aligned."""
    BAD_ID = 5
    """An embedding id at or above its table's row count; the row was taken as zeros."""
    BUS_ERROR = 6
    """SLVERR or DECERR on any beat."""
    BAD_TARGET = 7
    """LOAD of an unknown target or unit."""
    BAD_PARTITION = 8
    """QUERY after a partition that is none was asked for; see PARTITION_STATUS."""
    BAD_PROGRAM = 9
    """Met while the query ran, which was given up: what LOADs wrote contradicts itself (numbers of
    vectors, tiles, layers), or a layer goes beyond the buffers of its engine."""
    CANCELLED = 10
    """QUERY that the host cancelled; see CANCEL. Its results, if any were written, are not all."""


class Target(py_enum.IntEnum):
    """On-chip memories that LOAD writes. ``unit`` picks one of several, ``ALL_UNITS`` all;
    ``MANY_UNITS`` those sub-arrays whose bits are set in the entry's ``units``."""

    WEIGHTS = 0
    """Wide: one beat of D bytes a word. unit: sub-array; address: word of the weight bank."""
    PARAMETERS = 1
    """unit: sub-array; address: output tile * S + column; word: PARAMETER."""
    ACTIVATION_TABLE = 2
    """unit: sub-array; address: table * 32 + entry // 8; word: 8 int8 entries, index q + 128."""
    LAYERS = 3
    """unit: sub-array of the engine's anchor; address: layer * LAYER_WORDS + word."""
    STAGES = 4
    """unit: anchor; address: program * STAGE_WORDS + word."""
    DOT_SHIFTS = 5
    """unit: anchor; address: interaction step * words + word, one word for 16 outputs of the unit;
    word: 16 shifts of 4 bits. Steps are those of dot products, or of products."""
    FEATURES = 6
    """unit: gather lane; address: (program * lane_words + k) * FEATURE_WORDS + word, k counting the
    id words of an item that belong to the lane."""
    CACHE_TAGS = 7
    """unit: gather lane; address: set * ways + way; word: CACHE_TAG."""
    CACHE_DATA = 8
    """unit: gather lane; address: 8-byte word of the lane's row data."""
    CACHE_REGIONS = 9
    """unit: gather lane; address: region 0..3; word: CACHE_REGION."""
    PIPELINES = 10
    """unit 0; address: pipeline * PIPELINE_WORDS + word."""
    QUOTAS = 11
    """unit 0; address: (pipeline * 4 + stage) * 16 + sub-batch; word: 16 bits, the share of k, in
    1 / 65536, that policy EXACT may forward once this sub-batch is complete."""
    DECODERS = 12
    """unit: anchor that has hash lanes; address: decoder * DECODER_WORDS + word; word: DECODER."""
    HELD_TAGS = 13
    """unit: anchor that has hash lanes; address: set * 4 + way; word: RESULT_TAG."""
    HELD_VECTORS = 14
    """unit: the same; address: 8-byte word; a vector has 16 bytes or its width, whichever is more,
    shorter ones are repeated."""


ALL_UNITS = 255
MANY_UNITS = 254
"""Targets whose units are sub-arrays: words are read once and written to several at once."""
DOT_SHIFT_WORDS = 2048
"""Words of shifts that an anchor holds, all its programs together."""


def dot_shift_words(outputs: int) -> int:
    """Words of a step's shifts at an anchor with at most so many outputs a step."""
    return -(-outputs // 16)


STREAM_CHUNK_BYTES = 256
"""Weights streamed from device memory come in chunks of this many bytes, aligned to it."""


class Function(py_enum.IntEnum):
    """Activation after requantise and clamp."""

    NONE = 0
    RELU = 1
    TABLE = 2


class Destination(py_enum.IntEnum):
    """Where an output tile goes."""

    BANK = 0
    """Activation banks: the next layer's inputs."""
    DENSE = 1
    """Dense-vector memory: vector 0 of the interaction."""
    SCORE = 2
    """Column 0 only, clamped to int16 instead of int8, to the filter."""


class InteractionMode(py_enum.IntEnum):
    DOT = 0
    CAT = 1


PARAMETER = data.StructLayout(
    {"bias": signed(32), "multiplier": unsigned(16), "shift": unsigned(6)}
)
"""Requantise of one output channel; upper bits of the 64-bit word are zero."""

LAYER = data.StructLayout(
    {
        # word 0
        "input_tiles": unsigned(11),  # K tiles: ceil(K / E)
        "output_tiles": unsigned(11),  # N tiles: ceil(N / E)
        "input_base": unsigned(16),  # bank address of page 0
        "output_base": unsigned(16),
        "function": unsigned(2),
        "table": unsigned(2),
        "destination": unsigned(2),
        "_pad0": unsigned(4),
        # word 1
        "parameter_base": unsigned(12),  # first output tile in the parameter memory
        "_pad1": unsigned(52),
    }
)
LAYER_WORDS = 2

STAGE = data.StructLayout(
    {
        # word 0
        "bottom_layer": unsigned(6),  # first entry in the layer table
        "bottom_layers": unsigned(5),  # number of layers of the bottom MLP
        "top_layer": unsigned(6),
        "top_layers": unsigned(5),
        "row_pitch": unsigned(9),  # bytes between pages in a lane; >= rows of any row block
        "mode": unsigned(1),  # InteractionMode
        "log2_width": unsigned(4),  # log2 of the vector width d
        "vectors": unsigned(7),  # the dense vector (number 0), those of tables, those of decoders
        "log2_outputs": unsigned(3),  # interaction outputs per step, P
        "shift_base": unsigned(11),  # first step in DOT_SHIFTS
        "_pad0": unsigned(7),
        # word 1
        "input_base": unsigned(16),  # bank address of the dense input, page 0
        "output_base": unsigned(16),  # bank address of the interaction's output, page 0
        "slot_bytes": unsigned(14),  # bytes of one item in each bank of the vector buffer
        "slots": unsigned(5),  # items the vector buffer holds, at most as many as it can
        "_pad1": unsigned(13),
        # word 2, 3
        "bottom_tiles": unsigned(24),  # weight tiles of the phase
        "bottom_weights": unsigned(16),  # first word in the weight bank (resident)
        "bottom_streamed": unsigned(1),
        "_pad2": unsigned(23),
        "top_tiles": unsigned(24),
        "top_weights": unsigned(16),
        "top_streamed": unsigned(1),
        "_pad3": unsigned(23),
        # word 4, 5
        "bottom_stream": unsigned(40),  # device memory address of the weight stream
        "_pad4": unsigned(24),
        "top_stream": unsigned(40),
        "_pad5": unsigned(24),
        # word 6
        "ring_base": unsigned(16),  # streamed weights: ring in the weight bank, first word
        "ring_log2_words": unsigned(5),
        # NeuMF; all 0 in other programs. There are no dense values then, nor vector number 0.
        "products": unsigned(6),  # pairs of vectors (1, 2), (3, 4), .. that are multiplied
        "product_base": unsigned(13),  # k of the first product
        "copied": unsigned(8),  # 16 bytes of the vectors behind them that CAT copies
        "tail": unsigned(4),  # 16 bytes of each of the last two vectors; the others whole
        "_pad6": unsigned(12),
        # word 7
        "decoder": unsigned(8),  # first of the program's decoders
        "decoders": unsigned(7),  # DHE vectors: the last ones of the vectors
        "_pad7": unsigned(1),
        "code_base": unsigned(16),  # bank address of a decoder's code, page 0
        "first_id": unsigned(13),  # byte of the first id in a record's dense part; 0: no ids
        "decodings": unsigned(7),  # decoders that run, one after the other: DHE vectors or more
        "_pad8": unsigned(12),
    }
)
STAGE_WORDS = 8

FEATURE = data.StructLayout(
    {
        # word 0
        "base": unsigned(40),  # device memory address of row 0
        "log2_row_bytes": unsigned(4),  # 2..7; rows are aligned to their size
        "offset": unsigned(13),  # byte offset of the vector in the item's slot of the bank
        "cached": unsigned(1),  # the table has rows in the static cache
        "_pad0": unsigned(6),
        # word 1
        "rows": unsigned(32),  # row count; ids at or above it are BAD_ID
        "seed": unsigned(16),  # set = (id ^ seed) mod sets
        "region": unsigned(2),  # CACHE_REGION
        "table": unsigned(9),  # of the tags and of events: program * 64 + feature
        "_pad1": unsigned(5),
        # word 2
        "multiplier": unsigned(16),  # requantise of a pooled sum; (32768, 15): as it is
        "shift": unsigned(6),
        "pool_first": unsigned(1),  # first id of a bag: the sum starts with it
        "pool_last": unsigned(1),  # last id of a bag: the sum is handed over; both: one id
        "item_last": unsigned(1),  # the lane's last vector of an item
        "_pad2": unsigned(39),
        # word 3
        "_pad3": unsigned(64),
    }
)
"""Descriptor of one id word of an item. An id word that no feature uses has neither pool bit."""
FEATURE_WORDS = 4
EMPTY_ID = 0xFFFF_FFFF
"""Id of a place in a bag that is not used: adds nothing."""

CACHE_TAG = data.StructLayout({"valid": unsigned(1), "table": unsigned(9), "id": unsigned(32)})
"""table: FEATURE.table."""

CACHE_REGION = data.StructLayout(
    {
        "set_base": unsigned(16),  # first set of the region in the tag memory
        "log2_sets": unsigned(5),
        "data_base": unsigned(20),  # first byte of the region in the row data
    }
)
"""One share of the static cache. Row of (set, way): data_base + (set * ways + way) * row bytes."""

PIPELINE_STAGE = data.StructLayout(
    {
        "program": unsigned(4),  # entry of the stage and feature tables
        "features": unsigned(7),
        "rows": unsigned(9),  # items of a full row block
        "ahead": unsigned(12),  # rows fetched ahead of their lookup, later stages; 0: none
    }
)
PIPELINE = data.StructLayout(
    {
        # word 0
        "stages": unsigned(3),  # 0: not loaded
        "pitch": unsigned(16),  # bytes between item records, a multiple of config.record_alignment
        "dense_bytes": unsigned(8),  # dense values at offset 0 of a record; 0: none
        "ids_offset": unsigned(12),  # first id word; ids_offset / 4 = 1 modulo gather_lanes
        "_pad": unsigned(25),
        # word 1, 2
        "stage": data.ArrayLayout(PIPELINE_STAGE, 4),
    }
)
PIPELINE_WORDS = 3

SUBMISSION_BYTES = 64
QUERY_FLAGS = data.StructLayout(
    {
        "policy": unsigned(2),  # 0 exact, 1 quota, 2 binned
        "bins": unsigned(2),  # binned: bins are 4096 >> 2 * bins wide
        "sub_batches_less_one": unsigned(4),
        "_pad": unsigned(8),
    }
)
"""How a query's stages are cut and choose; 0: exact, in one piece."""

SUBMISSION = data.StructLayout(
    {
        "opcode": unsigned(8),
        "pipeline": unsigned(8),  # QUERY
        "flags": QUERY_FLAGS,  # QUERY
        "tag": unsigned(32),  # returned in the completion
        # QUERY: item records (aligned to config.record_alignment); LOAD: source (64-byte aligned)
        "address": unsigned(64),
        "result": unsigned(64),  # QUERY: ids and scores (64-byte aligned)
        "items": unsigned(32),  # QUERY: n of stage 0; LOAD: words of the target
        "target": unsigned(8),  # LOAD
        "unit": unsigned(8),  # LOAD
        "_pad0": unsigned(16),
        "start": unsigned(32),  # LOAD: first address in the target
        "_pad1": unsigned(32),
        "keep": data.ArrayLayout(unsigned(32), 4),  # QUERY: k of each stage
        "units": unsigned(64),  # LOAD to MANY_UNITS: a bit a sub-array
    }
)
"""Words of LOAD lie packed in device memory: D bytes each for WEIGHTS, 8 bytes for the others."""

COMPLETION_BYTES = 64
COMPLETION = data.StructLayout(
    {
        "tag": unsigned(32),
        "status": unsigned(8),
        "opcode": unsigned(8),
        "phase": unsigned(1),  # flips each time the completion ring wraps; first pass 1
        "_pad0": unsigned(15),
        "count": unsigned(32),  # results written (QUERY)
        "cycles": unsigned(32),  # since the submission entry was taken from the ring
        "stage_cycles": data.ArrayLayout(unsigned(32), 4),
        "lookups": unsigned(32),
        "hits": unsigned(32),
        "misses": unsigned(32),
        "look_ahead_hits": unsigned(32),
        "merged": unsigned(32),  # of look_ahead_hits: data still on its way
        "_pad1": unsigned(96),
    }
)
"""Each result is 8 bytes: uint32 item index in the query, int32 score, best first."""

for _layout, _words in (
    (LAYER, LAYER_WORDS),
    (STAGE, STAGE_WORDS),
    (FEATURE, FEATURE_WORDS),
    (PIPELINE, PIPELINE_WORDS),
):
    if _layout.size != 64 * _words:
        raise AssertionError(f"{_layout!r} has {_layout.size} bits, not {64 * _words}")
for _layout in (SUBMISSION, COMPLETION):
    if _layout.size != 512:
        raise AssertionError(f"{_layout!r} has {_layout.size} bits, not 512")
