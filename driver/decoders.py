"""Decoders of a model on an engine: addresses, weight streams, hash constants, descriptors.

A row block's codes and hidden tensors lie in the activation banks from page 0 on, behind the
vectors of a bag where there is one: by then the bottom MLP is done, and the next job's inputs do
not land before the top MLP is queued. The vector of DHE vector v goes behind the dense one, to page
(1 + v) * ceil(d / E) of the dense memory.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from golden.dhe import HashEncoder
from golden.quantised_model import QuantisedLayer, QuantisedModel, QuantisedStack
from hdl.config import Config
from hdl.dhe.layouts import DECODER, HASH_CHUNK_BYTES
from hdl.words import pack_bytes

from .decoded_bags import COUNTER, member_number, sum_inputs, sum_stack
from .errors import UserError
from .hash_words import bucket_constants, hash_stream
from .layer_maps import layer_maps
from .maps import DecoderMap, LayerMap, StageShape
from .tiles import layer_tiles, stream_bytes, tile_count

__all__ = [
    "bag_pages",
    "decoder_stream",
    "decoder_word",
    "encoder_of",
    "hash_bytes",
    "map_decoders",
    "phase_layers",
    "rows_of_decoders",
]

LEAST_ROWS = 4
"""Fewest items of a row block worth mapping, as for the MLPs."""


def _code_and_buffers(sizes: Sequence[int], edge: int) -> tuple[int, int, int]:
    """First pages of the two buffers, and pages in all.

    Codes lie at page 0. Outputs of layers 0, 2, .. go behind them, those of layers 1, 3, .. over
    them: a layer never writes over what it reads. The last layer writes no bank.
    """
    pages = [-(-size // edge) for size in sizes[:-1]]
    low = max(pages[0::2])
    high = max(pages[1::2], default=0)
    return low, 0, low + high


def bag_pages(shape: StageShape, edge: int) -> int:
    """Pages of the vectors of the largest bag; codes lie behind them."""
    largest = max((size for size in shape.bags if size > 1), default=0)
    return largest * -(-shape.width // edge)


def rows_of_decoders(config: Config, shape: StageShape, edge: int) -> int:
    """Largest row block whose codes, hidden tensors and vectors fit a slot.

    Raises
    ------
    UserError
        Fewer than a few rows fit; names the feature.
    """
    rows = config.rows
    slot = config.activation_bytes // 2
    bags = bag_pages(shape, edge)
    for feature, sizes in shape.decoders:
        _, _, pages = _code_and_buffers(sizes, edge)
        pages += bags
        rows = min(rows, slot // pages)
        if rows < LEAST_ROWS:
            raise UserError(
                f"{shape.name}, feature {feature}: decoder {'-'.join(map(str, sizes))} needs "
                f"{pages} pages of an engine of edge {edge}, a lane holds {slot} bytes a slot: at "
                f"most {slot // LEAST_ROWS} pages"
            )
    if not shape.decoders:
        return rows
    slot = config.decoded_bytes // 2
    pages = (1 + len(shape.decoders)) * -(-shape.width // edge)
    rows = min(rows, slot // pages)
    if rows < LEAST_ROWS:
        raise UserError(
            f"{shape.name}: the dense vector and {len(shape.decoders)} decoded ones of "
            f"{shape.width} values need {pages} pages of an engine of edge {edge}, a lane holds "
            f"{slot} bytes a slot: at most {slot // LEAST_ROWS} pages"
        )
    return rows


def map_decoders(
    config: Config, shape: StageShape, *, edge: int, rows: int, parameter: int
) -> tuple[tuple[DecoderMap, ...], int]:
    """Addresses of every decoder; also the first output tile of parameters behind them.

    All are streamed, until the mapper finds room for their weights.

    Parameters
    ----------
    rows
        Rows of the largest row block: pages lie so many bytes apart.
    parameter
        First free output tile of the parameter memory.

    Raises
    ------
    UserError
        Parameters do not fit; names the feature.
    """
    maps: list[DecoderMap] = []
    base = bag_pages(shape, edge)
    sizes_of_bags = [shape.bag(vector) for vector in range(len(shape.decoders))]
    for vector, (feature, sizes) in enumerate(shape.decoders):
        pages = -(-shape.width // edge)
        end = (1 + vector) * pages * rows  # in the dense memory
        bag = sizes_of_bags[vector]
        if bag == 1:
            outputs = [end]
        else:  # the vectors of a bag end where the code of its sum begins
            outputs = [(base - (bag - place) * pages) * rows for place in range(bag)]
        for place, output in enumerate(outputs):
            layers, tiles, after = _layers(sizes, edge, rows, base, output, parameter)
            maps.append(
                DecoderMap(
                    feature=feature,
                    vector=vector,
                    layers=layers,
                    tiles=tiles,
                    streamed=True,
                    weights=0,
                    pages=-(-sizes[0] // edge),
                    number=vector if bag == 1 else member_number(sizes_of_bags, vector, place),
                    member=None if bag == 1 else place,
                )
            )
        parameter = after
        if bag > 1:
            maps.append(_sum(shape, feature, vector, edge, rows, base, parameter))
            parameter += pages
        if parameter > config.parameter_tiles:
            raise UserError(
                f"{shape.name}, feature {feature}: decoders need {parameter} output tiles of "
                f"parameters on an engine of edge {edge}, {config.name} holds "
                f"{config.parameter_tiles}"
            )
    return tuple(maps), parameter


def _layers(
    sizes: Sequence[int], edge: int, rows: int, base: int, output: int, parameter: int
) -> tuple[tuple[LayerMap, ...], int, int]:
    """Layers of a decoder whose code lies at page ``base`` and whose vectors go to ``output``;
    also its tiles, and the parameters used with it."""
    high, low, _ = _code_and_buffers(sizes, edge)
    layers = list(zip(sizes, sizes[1:], strict=False))
    outputs = [(base + (high, low)[i % 2]) * rows for i in range(len(layers) - 1)] + [output]
    return layer_maps(layers, edge, [base * rows, *outputs[:-1]], outputs, parameter)


def _sum(
    shape: StageShape, feature: int, vector: int, edge: int, rows: int, base: int, parameter: int
) -> DecoderMap:
    """The layer that adds a bag: reads its vectors, and the code behind them."""
    bag = shape.bag(vector)
    pages = -(-shape.width // edge)
    k_tiles, n_tiles = tile_count(sum_inputs(shape.width, bag, edge), shape.width, edge)
    layer = LayerMap(
        input_tiles=k_tiles,
        output_tiles=n_tiles,
        input_base=(base - bag * pages) * rows,
        output_base=(1 + vector) * pages * rows,
        parameter_base=parameter,
    )
    return DecoderMap(
        feature=feature,
        vector=vector,
        layers=(layer,),
        tiles=k_tiles * n_tiles,
        streamed=True,
        weights=0,
        pages=1,
        number=vector,
        sums=True,
    )


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


def phase_layers(model: QuantisedModel, place: DecoderMap, edge: int) -> tuple[QuantisedLayer, ...]:
    """Layers of a decoder, or of the sum of a bag, on an engine of ``edge`` PEs."""
    stack = sum_stack(model, place.feature, edge) if place.sums else _stack(model, place.feature)
    return stack.decoder


def encoder_of(model: QuantisedModel, place: DecoderMap) -> HashEncoder:
    """What makes its codes."""
    return COUNTER if place.sums else _stack(model, place.feature).encoder


def hash_bytes(encoder: HashEncoder) -> bytes:
    """Hash constants, padded to whole chunks with hashes that are all zero."""
    stream = hash_stream(encoder)
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
    table: int = 0,
    seed: int = 0,
    log2_sets: int | None = None,
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
        Device memory addresses of constants, and of weights that are streamed.
    table, seed, log2_sets
        Of the tags of finished vectors; no sets: none of its vectors is held.
    """
    encoder = encoder_of(model, place)
    return pack_bytes(
        DECODER,
        {
            "layer": layer,
            "layers": len(place.layers),
            "tiles": place.tiles,
            "groups": -(-encoder.k // lanes),
            "pages": place.pages,
            "stream": stream,
            "weights": place.weights,
            "streamed": place.streamed,
            "feature": id_number,
            "hashes": hashes,
            "table": table,
            "seed": seed,
            "log2_sets": log2_sets or 0,
            "held": log2_sets is not None,
            "buckets": bucket_constants(encoder.m),
        },
    )
