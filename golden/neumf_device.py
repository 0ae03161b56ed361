"""NeuMF as the device has it: vectors of one width, by which the golden models run it, too.

Rows of all four tables are cut into vectors of one width, a power of two; a vector is a sparse
feature of its own (`ModelShape`, interaction `product`). Vectors of user and item take turns: those
of the product branch first (user, item, user, item, ...), then those of the MLP. So an id word of
a record is the user's or the item's whatever the model: models of as many vectors share records.
Padding is 0 and has weight 0; it changes no value of the MLP's outputs, nor the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from golden.layer import DenseLayer
from golden.model import Model
from golden.neumf import NeuMf, NeuMfShape
from golden.neumf_integer import QuantisedNeuMf
from golden.quantised_model import IDENTITY, QuantisedLayer, QuantisedModel
from golden.shape import TAIL_UNIT, ModelShape

__all__ = [
    "WIDTHS",
    "device_ids",
    "device_model",
    "device_shape",
    "device_widths",
    "quantised_device_model",
    "vector_count",
]

WIDTHS = (16, 32, 64, 128)
"""Widths of vectors that the device multiplies and copies, 16 values at a time."""

_Layer = TypeVar("_Layer", DenseLayer, QuantisedLayer)


def vector_count(shape: NeuMfShape, width: int) -> int:
    """Embedding vectors of an item: those of the product, then those of the MLP."""
    return 2 * (-(-shape.mf // width) + -(-(shape.mlp[0] // 2) // width))


def device_widths(shapes: Sequence[NeuMfShape]) -> list[int]:
    """Width of each model of a pipeline: all have as many vectors, the fewest that go.

    Raises
    ------
    ValueError
        No widths give all models as many vectors.
    """
    counts = [{vector_count(shape, width): width for width in WIDTHS[::-1]} for shape in shapes]
    common = set(counts[0]).intersection(*counts[1:])
    if not common:
        found = ", ".join(f"{s.name} {sorted(c)}" for s, c in zip(shapes, counts, strict=True))
        raise ValueError(f"no width of vectors gives all models as many of them: {found}")
    return [found[min(common)] for found in counts]


def device_shape(shape: NeuMfShape, width: int) -> ModelShape:
    """Sizes on the device with vectors of this width."""
    half = shape.mlp[0] // 2
    vectors = -(-half // width)
    tail = -(-(half - (vectors - 1) * width) // TAIL_UNIT) * TAIL_UNIT
    return ModelShape(
        name=shape.name,
        width=width,
        bottom=(),
        top=(*shape.mlp[1:], 1),
        rows=(shape.users, shape.items) * (vector_count(shape, width) // 2),
        interaction="product",
        products=-(-shape.mf // width),
        tail=tail,
    )


def device_ids(ids: NDArray[np.uint32], vectors: int) -> NDArray[np.uint32]:
    """Pairs (user, item) [n, 2] as an item record has them, [n, vectors]."""
    return np.tile(ids[:, :2], (1, vectors // 2))


def device_model(model: NeuMf, width: int) -> Model:
    """The float model with vectors of this width."""
    shape = device_shape(model.shape, width)
    return Model(
        shape=shape,
        bottom=(),
        tables=_vectors(model.tables, width),
        top=_layers(model.shape, shape, model.mlp, model.last),
        features=_names(shape),
    )


def quantised_device_model(model: QuantisedNeuMf, width: int) -> QuantisedModel:
    """The integer model with vectors of this width.

    Raises
    ------
    ValueError
        The product's multiplier is not the power of two, or its shift not in 15..30.
    """
    shift = model.product_shift - IDENTITY[1]
    if model.product_multiplier != IDENTITY[0] or not 0 <= shift <= 15:
        raise ValueError(
            f"{model.shape.name}: the product's multiplier and shift must be {IDENTITY[0]} and "
            f"{IDENTITY[1]}..{IDENTITY[1] + 15}, "
            f"not {model.product_multiplier} and {model.product_shift}"
        )
    shape = device_shape(model.shape, width)
    count = len(shape.embeddings)
    # Of user_mf, item_mf, user_mlp, item_mlp.
    mine = [0, 1] * shape.products + [2, 3] * (count // 2 - shape.products)
    scale = model.table_scale[mine]
    copied = np.repeat(scale[2 * shape.products :], shape.width)[: shape.copied]
    copied[shape.copied - 2 * shape.tail :] = np.repeat(scale[-2:], shape.tail)
    product = np.full(shape.product_width, model.product_scale)
    return QuantisedModel(
        shape=shape,
        dense_scale=1.0,
        bottom=(),
        tables=_vectors(model.tables, width),
        table_scale=scale,
        pool_multiplier=np.full(count, IDENTITY[0], np.uint16),
        pool_shift=np.full(count, IDENTITY[1], np.uint8),
        dot_shift=np.array([shift], np.uint8),
        interaction_scale=np.concatenate([copied, product]),
        top=_layers(model.shape, shape, model.mlp, model.last),
        features=_names(shape),
    )


def _names(shape: ModelShape) -> tuple[str, ...]:
    return tuple(f"{('user', 'item')[f % 2]}.{f // 2}" for f in range(shape.sparse_features))


def _vectors(tables: Sequence[NDArray[Any]], width: int) -> tuple[NDArray[Any], ...]:
    """Tables of the vectors: rows cut, the last part of each filled up with zeros."""
    found: list[NDArray[Any]] = []
    for pair in (tables[:2], tables[2:]):
        for first in range(0, pair[0].shape[1], width):
            for table in pair:
                part = table[:, first : first + width]
                found.append(np.pad(part, ((0, 0), (0, width - part.shape[1]))))
    return tuple(found)


def _layers(
    neumf: NeuMfShape, shape: ModelShape, mlp: Sequence[_Layer], last: _Layer
) -> tuple[_Layer, ...]:
    """The MLP and the last layer, with columns where the device has their inputs."""
    places = _copied_columns(shape, neumf.mlp[0] // 2)
    layers = list(mlp)
    layers[0] = replace(mlp[0], weight=_columns(mlp[0].weight, places, shape.copied))
    places = [*range(neumf.mf), *range(shape.product_width, shape.top_layers[-1][0])]
    layers.append(replace(last, weight=_columns(last.weight, places, shape.top_layers[-1][0])))
    return tuple(layers)


def _copied_columns(shape: ModelShape, half: int) -> list[int]:
    """Where the inputs of the MLP, user's then item's, lie among those that are copied."""
    whole = (shape.copied - 2 * shape.tail) // 2  # of the user before the last vector
    columns = []
    for side in range(2):
        for value in range(half):
            if value < whole:
                vector, place = divmod(value, shape.width)
                columns.append((2 * vector + side) * shape.width + place)
            else:
                columns.append(2 * whole + side * shape.tail + value - whole)
    return columns


def _columns(weight: NDArray[Any], places: Sequence[int], count: int) -> NDArray[Any]:
    """The weights with column n at ``places[n]``, zeros elsewhere."""
    wide = np.zeros((len(weight), count), weight.dtype)
    wide[:, places] = weight
    return wide
