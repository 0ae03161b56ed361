"""Decoders of a model on an engine: addresses, weight streams, hash constants, descriptors.

A row block's codes and hidden tensors lie in the activation banks from page 0 on: by then the
bottom MLP is done, and the next job's inputs do not land before the top MLP is queued. The vector
of DHE vector v goes behind the dense one, to page (1 + v) * ceil(d / E) of the dense memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from golden.quantised_model import QuantisedModel, QuantisedStack
from hdl.config import Config
from hdl.dhe.layouts import DECODER, HASH_CHUNK_BYTES
from hdl.words import pack_bytes

from .errors import UserError
from .hash_words import bucket_constants, check_encoder, hash_stream
from .maps import LayerMap
from .tiles import layer_tiles, stream_bytes, tile_count

__all__ = [
    "DecoderMap",
    "decoder_stream",
    "decoder_word",
    "hash_bytes",
    "map_decoders",
    "rows_of_decoders",
]

LEAST_ROWS = 4
"""Fewest items of a row block worth mapping, as for the MLPs."""


@dataclass(frozen=True, kw_only=True)
class DecoderMap:
    """One decoder on one engine."""

    feature: int
    vector: int
    """Number among the DHE vectors."""
    layers: tuple[LayerMap, ...]
    tiles: int
    pages: int
    """Of codes, from address 0 of the slot on."""


def _code_and_buffers(sizes: Sequence[int], edge: int) -> tuple[int, int, int]:
    """First pages of the two buffers, and pages in all.

    Codes lie at page 0. Outputs of layers 0, 2, .. go behind them, those of layers 1, 3, .. over
    them: a layer never writes over what it reads. The last layer writes no bank.
    """
    pages = [-(-size // edge) for size in sizes[:-1]]
    low = max(pages[0::2])
    high = max(pages[1::2], default=0)
    return low, 0, low + high


def rows_of_decoders(config: Config, decoders: Sequence[Sequence[int]], edge: int) -> int:
    """Largest row block whose codes and hidden tensors fit a slot of the activation banks.

    Parameters
    ----------
    decoders
        Sizes by feature, () for none, as `ModelShape.decoders`.

    Raises
    ------
    UserError
        Fewer than a few rows fit; names the feature.
    """
    rows = config.rows
    slot = config.activation_bytes // 2
    for feature, sizes in enumerate(decoders):
        if not sizes:
            continue
        _, _, pages = _code_and_buffers(sizes, edge)
        rows = min(rows, slot // pages)
        if rows < LEAST_ROWS:
            raise UserError(
                f"feature {feature}: decoder {'-'.join(map(str, sizes))} needs {pages} pages of an "
                f"engine of edge {edge}, a lane holds {slot} bytes a slot: at most "
                f"{slot // LEAST_ROWS} pages"
            )
    return rows


def map_decoders(
    config: Config, model: QuantisedModel, *, edge: int, rows: int, parameter: int
) -> tuple[tuple[DecoderMap, ...], int]:
    """Addresses of every decoder; also the first output tile of parameters behind them.

    Parameters
    ----------
    rows
        Rows of the largest row block: pages lie so many bytes apart.
    parameter
        First free output tile of the parameter memory.

    Raises
    ------
    UserError
        Hash lanes cannot compute an encoder, parameters or vectors do not fit; names the feature.
    """
    width = model.shape.width
    vector_pages = -(-width // edge)
    features = [f for source, f in model.shape.embeddings if source == "dhe"]
    need = (1 + len(features)) * vector_pages * rows
    if features and need > config.dense_bytes // 2:
        raise UserError(
            f"{model.shape.name}: {len(features)} DHE vectors of {width} values and {rows} rows "
            f"need {need} bytes of a lane's dense memory, {config.name} has "
            f"{config.dense_bytes // 2} a slot"
        )
    maps = []
    for vector, feature in enumerate(features):
        stack = _stack(model, feature)
        check_encoder(feature, stack.encoder)
        sizes = model.shape.decoders[feature]
        high, low, _ = _code_and_buffers(sizes, edge)
        layers = []
        base = 0
        tiles = 0
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
            k_tiles, n_tiles = tile_count(inputs, outputs, edge)
            out = (high, low)[i % 2] * rows
            if i == len(sizes) - 2:
                out = (1 + vector) * vector_pages * rows
            layers.append(
                LayerMap(
                    input_tiles=k_tiles,
                    output_tiles=n_tiles,
                    input_base=base,
                    output_base=out,
                    parameter_base=parameter,
                )
            )
            base = out
            tiles += k_tiles * n_tiles
            parameter += n_tiles
        if parameter > config.parameter_tiles:
            raise UserError(
                f"feature {feature}: decoders need {parameter} output tiles of parameters on an "
                f"engine of edge {edge}, {config.name} holds {config.parameter_tiles}"
            )
        maps.append(
            DecoderMap(
                feature=feature,
                vector=vector,
                layers=tuple(layers),
                tiles=tiles,
                pages=-(-sizes[0] // edge),
            )
        )
    return tuple(maps), parameter


def _stack(model: QuantisedModel, feature: int) -> QuantisedStack:
    stack = model.stacks[feature]
    if stack is None:
        raise UserError(f"feature {feature} of {model.shape.name} has no decoder")
    return stack


def decoder_stream(config: Config, model: QuantisedModel, feature: int, edge: int) -> bytes:
    """Weight stream of a decoder, as those of the MLPs."""
    layers = _stack(model, feature).decoder
    tiles = np.concatenate([layer_tiles(layer.weight, edge) for layer in layers])
    return stream_bytes(config, tiles)


def hash_bytes(model: QuantisedModel, feature: int) -> bytes:
    """Hash constants of a feature, padded to whole chunks with hashes that are all zero."""
    stream = hash_stream(_stack(model, feature).encoder)
    return stream + bytes(-len(stream) % HASH_CHUNK_BYTES)


def decoder_word(
    model: QuantisedModel,
    place: DecoderMap,
    *,
    lanes: int,
    layer: int,
    id_number: int,
    hashes: int,
    stream: int = 0,
    weights: int | None = None,
    table: int = 0,
    seed: int = 0,
) -> bytes:
    """The DECODER words of one decoder.

    Parameters
    ----------
    lanes
        Hash lanes of the engine.
    layer
        First entry in the layer table.
    id_number
        Number of the feature's id among the ids of the record's dense part.
    hashes, stream
        Device memory addresses of constants and weights.
    weights
        First word in the weight banks, when the weights are resident.
    table, seed
        Of the tags of finished vectors.
    """
    encoder = _stack(model, place.feature).encoder
    return pack_bytes(
        DECODER,
        {
            "layer": layer,
            "layers": len(place.layers),
            "tiles": place.tiles,
            "groups": -(-encoder.k // lanes),
            "pages": place.pages,
            "stream": stream,
            "weights": weights or 0,
            "streamed": weights is None,
            "feature": id_number,
            "hashes": hashes,
            "table": table,
            "seed": seed,
            "buckets": bucket_constants(encoder.m),
        },
    )
