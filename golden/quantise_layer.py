"""Quantisation of one layer: weights absorb the scales of their inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.calibrate import Method, choose_scale
from golden.layer import DenseLayer, apply_function
from golden.quantised_model import IntegerFunction, QuantisedLayer
from golden.requantise import multiplier_and_shift, score_multiplier_and_shift

__all__ = ["QuantiseError", "hidden_layer", "integers", "quantise_rows", "score_layer"]

LARGEST_BIAS = 1 << 30
"""|bias| in accumulator units: half of int32, the other half is the accumulator's."""

FLAT_SCALES = (8 / 127, 1 / 127)
"""Scales around sigmoid and tanh: both are flat beyond +-8, and within +-1."""


class QuantiseError(ValueError):
    """The model cannot be brought into the device's number formats; names layer and limit."""


def quantise_rows(table: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    """Embedding rows, -127..127."""
    return np.clip(np.rint(table / scale), -127, 127).astype(np.int8)


def integers(
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


def hidden_layer(
    name: str,
    layer: DenseLayer,
    input_scale: NDArray[np.float64],
    output: NDArray[np.float32],
    method: Method,
    *,
    table_scales: tuple[float, float] | None = None,
) -> QuantisedLayer:
    """A layer with int8 outputs; `output` are its calibration values after the function.

    `table_scales`: scales before and after a function that takes a table; mish has no default.
    """
    weight, bias, weight_scale = integers(name, layer, input_scale)
    function: IntegerFunction = "relu" if layer.function == "relu" else "none"
    table = None
    before_scale = output_scale = choose_scale(output, method)
    if layer.function in ("sigmoid", "tanh", "mish"):
        if table_scales is None and layer.function == "mish":
            raise QuantiseError(f"{name}: mish is supported in decoders only")
        function = "table"
        before_scale, output_scale = table_scales or FLAT_SCALES
        values = apply_function(layer.function, np.arange(-128, 128) * before_scale)
        table = np.clip(np.rint(values / output_scale), -128, 127).astype(np.int8)
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


def score_layer(
    name: str, layer: DenseLayer, input_scale: NDArray[np.float64], input_peak: int
) -> QuantisedLayer:
    """The last layer: one int16 output that never saturates, whatever the input."""
    if layer.function != "none":
        raise QuantiseError(f"{name}: the last layer must give the logit, not {layer.function}")
    weight, bias, weight_scale = integers(name, layer, input_scale)
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
