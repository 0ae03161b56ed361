"""Decoder maps: a plain walk over banks, streams and parameters gives golden's vectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.decoders import (
    decoder_stream,
    decoder_word,
    encoder_of,
    hash_bytes,
    map_decoders,
    rows_of_decoders,
)
from driver.errors import UserError
from driver.maps import DecoderMap, StageShape
from driver.stage_shapes import stage_shape
from golden.integer_model import decoder_layers
from golden.model import random_model
from golden.mprec import mprec_shape
from golden.quantise import quantise
from golden.quantised_model import QuantisedLayer, QuantisedModel
from golden.requantise import requantise
from golden.shape import ModelShape
from hdl.config import Config, preset
from hdl.dhe.layouts import DECODER, HASH_BYTES, HASH_CHUNK_BYTES
from hdl.words import unpack

ROWS = (50, 60, 70)


def model_of(decoder: tuple[int, ...]) -> QuantisedModel:
    """Features 0 and 2 by DHE, feature 1 by a table."""
    shape = ModelShape(
        name="m",
        width=decoder[-1],
        bottom=(13, decoder[-1]),
        top=(1,),
        rows=ROWS,
        interaction="cat",
        embeddings=(("table", 1), ("dhe", 0), ("dhe", 2)),
        decoders=(decoder, (), (decoder[0] + 3, *decoder[1:])),
    )
    random = np.random.default_rng(1)
    dense = random.random((40, 13)).astype(np.float32)
    ids = random.integers(0, ROWS, (40, 3)).astype(np.uint32)
    return quantise(random_model(shape, seed=2), dense, ids)


def config_with(**changes: Any) -> Config:
    return replace(preset("tiny"), **changes)


def decoded(decoders: Sequence[tuple[int, ...]], width: int = 16) -> StageShape:
    """A stage with these decoders by feature."""
    return StageShape(
        name="m",
        bottom=((13, width),),
        top=((width, 1),),
        width=width,
        vectors=1 + len(decoders),
        dot=False,
        decoders=tuple((f, sizes) for f, sizes in enumerate(decoders) if sizes),
    )


def tiles_of(stream: bytes, edge: int, size: int, count: int) -> NDArray[np.int8]:
    """Tiles [count, inputs, outputs] out of a stream: sub-arrays row-major in each tile."""
    e = edge // size
    words = np.frombuffer(stream, np.int8)[: count * edge**2]
    return (
        words.reshape(count, e, e, size, size).transpose(0, 1, 3, 2, 4).reshape(count, edge, edge)
    )


def walk(
    layers: tuple[QuantisedLayer, ...],
    place: DecoderMap,
    code: NDArray[np.int8],
    stream: bytes,
    *,
    edge: int,
    size: int,
    pitch: int,
) -> NDArray[np.int8]:
    """What sequencer, array and columns do, page by page; returns the dense memory [lane, byte]."""
    rows = len(code)
    banks = np.full((edge, 4096), 99, np.int8)  # what was there before counts for nothing
    dense = np.zeros((edge, 512), np.int8)
    for k in range(code.shape[1]):
        start = k // edge * pitch
        banks[k % edge, start : start + rows] = code[:, k]
    tiles = iter(tiles_of(stream, edge, size, place.tiles))
    for layer, where in zip(layers, place.layers, strict=True):
        last = layer is layers[-1]
        before = banks.copy()
        for n in range(where.output_tiles):
            total = np.zeros((rows, edge), np.int64)
            for k in range(where.input_tiles):
                start = where.input_base + k * pitch
                total += before[:, start : start + rows].T.astype(np.int64) @ next(tiles)
            take = min(edge, len(layer.bias) - n * edge)
            part = slice(n * edge, n * edge + take)
            values = requantise(
                total[:, :take], layer.bias[part], layer.multiplier[part], layer.shift[part]
            )
            if layer.function == "relu":
                values = np.maximum(values, 0)
            elif layer.table is not None:
                values = layer.table[values + 128].astype(np.int64)
            start = where.output_base + n * pitch
            (dense if last else banks)[:take, start : start + rows] = values.T
        if not last:  # a layer does not write over what it still reads
            reads = range(where.input_base, where.input_base + where.input_tiles * pitch)
            writes = range(where.output_base, where.output_base + where.output_tiles * pitch)
            assert reads.stop <= writes.start or writes.stop <= reads.start
    return dense


@pytest.mark.parametrize("edge", [4, 8])
@pytest.mark.parametrize("decoder", [(21, 16), (21, 18, 8), (9, 30, 20, 16), (40, 6, 22, 7, 8)])
def test_walk(decoder: tuple[int, ...], edge: int) -> None:
    config = config_with()
    model = model_of(decoder)
    shape = stage_shape(model)
    rows = rows_of_decoders(config, shape, edge)
    assert rows == config.rows
    maps, end = map_decoders(config, shape, edge=edge, rows=rows, parameter=5)
    assert [(m.feature, m.vector) for m in maps] == [(0, 0), (2, 1)]
    tiles = [where.output_tiles for m in maps for where in m.layers]
    assert end == 5 + sum(tiles) and maps[1].layers[0].parameter_base == 5 + sum(tiles) // 2
    ids = np.random.default_rng(3).integers(0, 50, 11).astype(np.uint32)
    width = decoder[-1]
    for place in maps:
        stack = model.stacks[place.feature]
        assert stack is not None
        code, *_, expected = decoder_layers(model, place.feature, ids)
        stream = decoder_stream(config, model, place.feature, edge)
        dense = walk(
            stack.decoder, place, code, stream, edge=edge, size=config.sub_array, pitch=rows
        )
        pages = -(-width // edge)
        for c in range(width):
            start = ((1 + place.vector) * pages + c // edge) * rows
            assert (dense[c % edge, start : start + len(ids)] == expected[:, c]).all()


def test_descriptor_and_hashes() -> None:
    config = config_with()
    model = model_of((21, 18, 8))
    maps, _ = map_decoders(config, stage_shape(model), edge=8, rows=16, parameter=0)
    word = unpack(
        DECODER,
        decoder_word(model, maps[1], lanes=4, layer=9, id_number=1, hashes=0x3400, stream=0x1200),
    )
    assert (word.layer, word.layers, word.tiles) == (9, 2, 3 * 3 + 3)
    assert (word.groups, word.pages, word.feature) == (6, 3, 1)
    assert (word.stream, word.hashes, word.streamed) == (0x1200, 0x3400, 1)
    assert word.buckets.m == 1_000_000
    constants = hash_bytes(encoder_of(model, maps[1]))
    assert len(constants) == 2 * HASH_CHUNK_BYTES and not any(constants[24 * HASH_BYTES :])


def test_rows() -> None:
    for name, edge, decoder, rows in (
        ("tiny", 8, (1024, 128, 16), 14),
        ("tiny", 8, (2048, 512, 256, 16), 6),
        ("small", 16, (1024, 128, 16), 56),
        ("small", 16, (2048, 512, 256, 16), 25),
        ("paper", 128, (2048, 512, 256, 64), 64),
    ):
        shape = mprec_shape("terabyte" if decoder[-1] == 64 else "kaggle", "dhe", decoder=decoder)
        assert rows_of_decoders(preset(name), decoded(shape.decoders), edge) == rows


@pytest.mark.parametrize(
    ("changes", "decoder", "message"),
    [
        ({}, (21, 128), "3 decoded ones of 128 values need 64 pages of an engine of edge 8"),
        ({"parameter_tiles": 16}, (21, 60, 8), "feature 1: decoders need 18 output tiles"),
    ],
)
def test_too_much(changes: dict[str, Any], decoder: tuple[int, ...], message: str) -> None:
    config = replace(config_with(decoded_bytes=256), **changes)
    shape = decoded([decoder] * 3, width=decoder[-1])
    with pytest.raises(UserError, match=message):
        rows_of_decoders(config, shape, 8)
        map_decoders(config, shape, edge=8, rows=16, parameter=0)


def test_codes_beyond_the_banks() -> None:
    with pytest.raises(UserError, match="feature 1: decoder 6000-16 needs 750 pages"):
        rows_of_decoders(preset("tiny"), decoded([(), (6000, 16)]), 8)


def test_hashes_that_lanes_cannot_compute() -> None:
    model = model_of((21, 8))
    stack = model.stacks[2]
    assert stack is not None
    few = replace(stack, encoder=replace(stack.encoder, m=100))
    with pytest.raises(UserError, match="feature 2: m must be at least 129, not 100"):
        stage_shape(replace(model, stacks=(model.stacks[0], None, few)))
    with pytest.raises(UserError, match="feature 0 has no decoder"):
        stage_shape(replace(model, stacks=(None, None, stack)))
