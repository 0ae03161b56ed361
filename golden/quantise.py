"""Post-training quantisation of a float model into integers, from calibration data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden import float_model
from golden.calibrate import Method, choose_scale, choose_shifts
from golden.embedding import Ids
from golden.float_model import lower_triangle
from golden.model import Model, ModelShape
from golden.quantise_dhe import quantise_stacks, stack_scale
from golden.quantise_layer import QuantiseError, hidden_layer, quantise_rows, score_layer
from golden.quantised_model import IDENTITY, QuantisedLayer, QuantisedModel
from golden.requantise import multiplier_and_shift

__all__ = [
    "IDENTITY",
    "Method",
    "QuantiseError",
    "QuantisedLayer",
    "QuantisedModel",
    "choose_dense_scale",
    "quantise",
    "quantise_dense",
]


def choose_dense_scale(dense: NDArray[np.float32], *, method: Method = "max") -> float:
    """Scale of the dense inputs (float, log already taken), one for all models of a pipeline."""
    return choose_scale(dense, method)


def quantise_dense(dense: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    """Dense inputs as the item record holds them: round to nearest, clamp to -128..127.

    Raises
    ------
    ValueError
        NaN or infinity; names the first item and feature.
    """
    bad = np.argwhere(~np.isfinite(dense))
    if len(bad):
        item, feature = bad[0]
        raise ValueError(f"item {item}: dense feature {feature} is {dense[item, feature]}")
    return np.clip(np.rint(dense.astype(np.float64) / scale), -128, 127).astype(np.int8)


def quantise(
    model: Model,
    dense: NDArray[np.float32],
    ids: Ids,
    *,
    dense_scale: float | None = None,
    method: Method = "mse",
) -> QuantisedModel:
    """Quantise with activation ranges taken from calibration items.

    Parameters
    ----------
    model : Model
    dense : float32 [n, dense_features], calibration items, log already taken
    ids : uint32 [n, features], or one `Bags` per feature
    dense_scale : scale of the dense inputs, the same for all models of a pipeline
        (default: chosen from `dense`)
    method : how an activation's scale is chosen from its calibration values

    Raises
    ------
    QuantiseError
        No calibration items, or a layer that can not be held in the device's formats.
    """
    if len(dense) == 0:
        raise QuantiseError("calibration needs at least one item")
    shape = model.shape
    outputs = float_model.forward(model, dense, ids)
    if dense_scale is None:
        dense_scale = choose_dense_scale(dense)

    bottom = []
    scale = np.full(shape.dense_features, dense_scale)
    for i, layer in enumerate(model.bottom):
        bottom.append(hidden_layer(f"bottom.{i}", layer, scale, outputs[f"bottom.{i}"], method))
        scale = np.full(len(layer.bias), bottom[-1].output_scale)

    scales = [choose_scale(table, method) for table in model.tables]
    tables = tuple(
        quantise_rows(table, scale) for table, scale in zip(model.tables, scales, strict=True)
    )
    stacks = quantise_stacks(model, ids, method)
    table_scale = np.array(
        [
            scales[f] if source == "table" else stack_scale(stacks[f])
            for source, f in shape.embeddings
        ]
    )
    pool, vector_scale = _pooling(shape, ids, outputs["embedding"], table_scale, method)

    vector_scale = np.concatenate([[bottom[-1].output_scale], vector_scale])
    dot_shift = np.zeros(0, np.uint8)
    interaction_scale = np.repeat(vector_scale, shape.width)
    if shape.interaction == "dot":
        i_of, j_of = lower_triangle(shape.vectors)
        product_scale = vector_scale[i_of] * vector_scale[j_of]
        dots = outputs["interaction"][:, shape.width :] / product_scale
        dot_shift = choose_shifts(dots, method)
        interaction_scale = np.concatenate(
            [interaction_scale[: shape.width], product_scale * 2.0**dot_shift]
        )

    top = []
    scale = interaction_scale
    for i, layer in enumerate(model.top[:-1]):
        top.append(hidden_layer(f"top.{i}", layer, scale, outputs[f"top.{i}"], method))
        scale = np.full(len(layer.bias), top[-1].output_scale)
    rectified = bool(top) and top[-1].function == "relu"
    top.append(score_layer(f"top.{len(top)}", model.top[-1], scale, 127 if rectified else 128))

    return QuantisedModel(
        shape=shape,
        dense_scale=dense_scale,
        bottom=tuple(bottom),
        tables=tables,
        table_scale=table_scale,
        pool_multiplier=np.array([m for m, _ in pool], np.uint16),
        pool_shift=np.array([s for _, s in pool], np.uint8),
        dot_shift=dot_shift,
        interaction_scale=interaction_scale,
        top=tuple(top),
        stacks=stacks,
        features=model.features,
    )


def _pooling(
    shape: ModelShape,
    ids: Ids,
    pooled: NDArray[np.float32],
    table_scale: NDArray[np.float64],
    method: Method,
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """(multiplier, shift) of each vector's bag sums, and the scale of the resulting vectors.

    A decoded vector of one id is no sum: the scale of its decoder's output is the right one.
    """
    if isinstance(ids, np.ndarray):
        return [IDENTITY] * len(table_scale), table_scale
    pairs, scales = [], []
    for t, (scale, (source, f)) in enumerate(zip(table_scale, shape.embeddings, strict=True)):
        m, s = IDENTITY
        if source == "table" or shape.bags[f] > 1 or (np.diff(ids[f].offsets) != 1).any():
            m, s = multiplier_and_shift(scale / choose_scale(pooled[:, t], method))
        pairs.append((m, s))
        scales.append(scale * 2.0**s / m if m else 1.0)
    return pairs, np.array(scales)
