"""Bias correction: takes the mean error of each channel out of a quantised model's biases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import integer_model
from golden.embedding import Ids
from golden.integer_model import exact_matmul
from golden.model import DenseLayer, Model
from golden.quantise_layer import LARGEST_BIAS
from golden.quantised_model import QuantisedLayer, QuantisedModel
from golden.requantise import score_multiplier_and_shift

__all__ = ["correct_biases"]


def correct_biases(
    model: Model,
    quantised: QuantisedModel,
    outputs: dict[str, NDArray[np.float32]],
    dense: NDArray[np.int8],
    ids: Ids,
) -> QuantisedModel:
    """Shift each channel's bias so that its mean before the function equals the float model's.

    Layer by layer, each with the inputs that the corrected layers before it give.

    Parameters
    ----------
    outputs
        Of `float_model.forward` on the same items.
    dense, ids
        Calibration items as `integer_model.forward` takes them.
    """
    float_input: NDArray[Any] = dense * quantised.dense_scale
    bottom: list[QuantisedLayer] = []
    x: NDArray[Any] = dense
    for i, (layer, integer) in enumerate(zip(model.bottom, quantised.bottom, strict=True)):
        bottom.append(_corrected(layer, integer, float_input, x))
        x = integer_model.run_layer(bottom[-1], x)
        float_input = outputs[f"bottom.{i}"]
    quantised = replace(quantised, bottom=tuple(bottom))
    x = integer_model.forward(quantised, dense, ids)["interaction"]
    float_input = outputs["interaction"]
    top: list[QuantisedLayer] = []
    for i, (layer, integer) in enumerate(zip(model.top, quantised.top, strict=True)):
        top.append(_corrected(layer, integer, float_input, x))
        if not integer.score:
            x = integer_model.run_layer(top[-1], x)
            float_input = outputs[f"top.{i}"]
    return replace(quantised, top=tuple(top))


def _corrected(
    layer: DenseLayer, integer: QuantisedLayer, float_input: NDArray[Any], x: NDArray[np.int8]
) -> QuantisedLayer:
    wanted = (float_input @ layer.weight.T.astype(np.float64)).mean(axis=0) + layer.bias
    found = exact_matmul(x, integer.weight).mean(axis=0) + integer.bias
    step = np.rint(wanted / integer.weight_scale - found)
    bias = np.clip(integer.bias + step, -LARGEST_BIAS, LARGEST_BIAS)
    # A correction is never worth an accumulator that could overflow.
    room = (1 << 31) - 1 - np.abs(integer.weight.astype(np.int64)).sum(axis=1) * 128
    bias = np.where(np.abs(bias) <= room, bias, integer.bias).astype(np.int32)
    if not integer.score:
        return replace(integer, bias=bias)
    peak = 127 if x.min(initial=0) >= 0 else 128
    total = int(np.abs(integer.weight.astype(np.int64)).sum()) * peak + abs(int(bias[0]))
    m, s = score_multiplier_and_shift(total)
    return replace(
        integer,
        bias=bias,
        multiplier=np.array([m], np.uint16),
        shift=np.array([s], np.uint8),
        output_scale=float(integer.weight_scale[0]) * 2.0**s / m,
    )
