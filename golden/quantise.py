"""Post-training quantisation of a float model into integers, from calibration data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import float_model
from golden.calibrate import Method, choose_scale, choose_shifts
from golden.embedding import Ids
from golden.float_model import apply_function, lower_triangle
from golden.model import DenseLayer, Model
from golden.quantised_model import IDENTITY, IntegerFunction, QuantisedLayer, QuantisedModel
from golden.requantise import multiplier_and_shift, score_multiplier_and_shift

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

LARGEST_BIAS = 1 << 30
"""|bias| in accumulator units: half of int32, the other half is the accumulator's."""


class QuantiseError(ValueError):
    """The model cannot be brought into the device's number formats; names layer and limit."""


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
    ids : uint32 [n, tables], or one `Bags` per table
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
        bottom.append(_hidden_layer(f"bottom.{i}", layer, scale, outputs[f"bottom.{i}"], method))
        scale = np.full(len(layer.bias), bottom[-1].output_scale)

    table_scale = np.array([choose_scale(table, method) for table in model.tables])
    tables = tuple(
        np.clip(np.rint(table / scale), -127, 127).astype(np.int8)
        for table, scale in zip(model.tables, table_scale, strict=True)
    )
    pool, vector_scale = _pooling(ids, outputs["embedding"], table_scale, method)

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
        top.append(_hidden_layer(f"top.{i}", layer, scale, outputs[f"top.{i}"], method))
        scale = np.full(len(layer.bias), top[-1].output_scale)
    rectified = bool(top) and top[-1].function == "relu"
    top.append(_score_layer(f"top.{len(top)}", model.top[-1], scale, 127 if rectified else 128))

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
    )


def _pooling(
    ids: Ids, pooled: NDArray[np.float32], table_scale: NDArray[np.float64], method: Method
) -> tuple[list[tuple[int, int]], NDArray[np.float64]]:
    """(multiplier, shift) of each table's bag sums, and the scale of the resulting vectors."""
    if isinstance(ids, np.ndarray):
        return [IDENTITY] * len(table_scale), table_scale
    pairs, scales = [], []
    for t, scale in enumerate(table_scale):
        m, s = multiplier_and_shift(scale / choose_scale(pooled[:, t], method))
        pairs.append((m, s))
        scales.append(scale * 2.0**s / m if m else 1.0)
    return pairs, np.array(scales)


def _integers(
    name: str, layer: DenseLayer, input_scale: NDArray[np.float64]
) -> tuple[NDArray[np.int8], NDArray[np.int32], NDArray[np.float64]]:
    """Weights and bias in integers, and the scale of their accumulator, per output channel."""
    weight = layer.weight.astype(np.float64) * input_scale
    bias = layer.bias.astype(np.float64)
    scale = np.abs(weight).max(axis=1, initial=0) / 127
    scale = np.maximum(scale, np.abs(bias) / LARGEST_BIAS)
    scale[scale == 0] = 1.0  # a channel of zeros
    q_weight = np.rint(weight / scale[:, None]).astype(np.int8)
    q_bias = np.rint(bias / scale).astype(np.int64)
    largest = np.abs(q_weight.astype(np.int64)).sum(axis=1) * 128 + np.abs(q_bias)
    if largest.max() >= 1 << 31:
        channel = int(largest.argmax())
        raise QuantiseError(
            f"{name} channel {channel}: accumulator + bias can reach {largest[channel]}, "
            f"the limit is {(1 << 31) - 1}"
        )
    return q_weight, q_bias.astype(np.int32), scale


def _hidden_layer(
    name: str,
    layer: DenseLayer,
    input_scale: NDArray[np.float64],
    output: NDArray[np.float32],
    method: Method,
) -> QuantisedLayer:
    """A layer with int8 outputs; `output` are its calibration values after the function."""
    weight, bias, weight_scale = _integers(name, layer, input_scale)
    function: IntegerFunction = "relu" if layer.function == "relu" else "none"
    table = None
    before_scale = output_scale = choose_scale(output, method)
    if layer.function in ("sigmoid", "tanh"):
        # Both are flat beyond +-8: the table's input covers that range, its output the range of 1.
        function, before_scale, output_scale = "table", 8 / 127, 1 / 127
        values = apply_function(layer.function, np.arange(-128, 128) * before_scale)
        table = np.rint(values / output_scale).astype(np.int8)
    pairs = [multiplier_and_shift(ratio) for ratio in weight_scale / before_scale]
    return QuantisedLayer(
        weight=weight,
        bias=bias,
        multiplier=np.array([m for m, _ in pairs], np.uint16),
        shift=np.array([s for _, s in pairs], np.uint8),
        function=function,
        table=table,
        weight_scale=weight_scale,
        output_scale=output_scale,
    )


def _score_layer(
    name: str, layer: DenseLayer, input_scale: NDArray[np.float64], input_peak: int
) -> QuantisedLayer:
    """The last layer: one int16 output that never saturates, whatever the input."""
    if layer.function != "none":
        raise QuantiseError(f"{name}: the last layer must give the logit, not {layer.function}")
    weight, bias, weight_scale = _integers(name, layer, input_scale)
    total: Any = np.abs(weight.astype(np.int64)).sum() * input_peak + abs(int(bias[0]))
    m, s = score_multiplier_and_shift(int(total))
    return QuantisedLayer(
        weight=weight,
        bias=bias,
        multiplier=np.array([m], np.uint16),
        shift=np.array([s], np.uint8),
        function="none",
        score=True,
        weight_scale=weight_scale,
        output_scale=float(weight_scale[0]) * 2.0**s / m,
    )
