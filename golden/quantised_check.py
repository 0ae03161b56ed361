"""What every quantised model must hold for the device to compute what the integer model does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from golden.quantised_model import IntegerFunction, QuantisedLayer, QuantisedModel
from golden.requantise import MAX_SHIFT

__all__ = ["check_quantised"]

LARGEST_DOT_SHIFT = 15


def check_quantised(model: QuantisedModel) -> None:
    """Require sizes that fit the shape, and values inside the device's formats.

    Raises
    ------
    ValueError
        Names the array and the limit.
    """
    shape = model.shape
    _layers("bottom", model.bottom, shape.bottom_layers, score=False)
    _layers("top", model.top, shape.top_layers, score=True)
    if len(model.stacks) != shape.sparse_features:
        raise ValueError(f"stacks must be of {shape.sparse_features} features")
    for feature, (stack, sizes) in enumerate(zip(model.stacks, shape.decoders, strict=True)):
        if stack is not None:
            if stack.encoder.k != sizes[0]:
                raise ValueError(f"hash.{feature} must hold {sizes[0]} hashes")
            pairs = tuple(zip(sizes, sizes[1:], strict=False))
            _layers(f"decoder.{feature}", stack.decoder, pairs, score=False)
    if len(model.tables) != shape.sparse_features:
        raise ValueError(f"tables must be {shape.sparse_features} arrays, not {len(model.tables)}")
    for feature, table in enumerate(model.tables):
        rows = shape.rows[feature] if shape.has_table(feature) else 0
        _array(f"tables.{feature}", table, (rows, shape.width), -127, 127)
    count = len(shape.embeddings)
    _scales("table_scale", model.table_scale, (count,))
    _requantiser("pool", model.pool_multiplier, model.pool_shift, count)
    shifts = {"dot": shape.pairs, "cat": 0, "product": 1}[shape.interaction]
    _array("dot_shift", model.dot_shift, (shifts,), 0, LARGEST_DOT_SHIFT)
    _scales("interaction_scale", model.interaction_scale, (shape.interaction_width,))
    _scale("dense_scale", model.dense_scale)


def _layers(
    part: str,
    layers: Sequence[QuantisedLayer],
    sizes: tuple[tuple[int, int], ...],
    *,
    score: bool,
) -> None:
    if len(layers) != len(sizes):
        raise ValueError(f"{part} must have {len(sizes)} layers, not {len(layers)}")
    for i, (layer, (inputs, outputs)) in enumerate(zip(layers, sizes, strict=True)):
        name = f"{part}.{i}"
        _array(f"{name}.weight", layer.weight, (outputs, inputs), -127, 127)
        _array(f"{name}.bias", layer.bias, (outputs,), -(1 << 31), (1 << 31) - 1)
        _requantiser(name, layer.multiplier, layer.shift, outputs)
        _scales(f"{name}.weight_scale", layer.weight_scale, (outputs,))
        _scale(f"{name}.output_scale", layer.output_scale)
        reach = np.abs(layer.weight.astype(np.int64)).sum(axis=1) * 128
        if (reach + np.abs(layer.bias.astype(np.int64)) >= 1 << 31).any():
            raise ValueError(f"{name}: accumulator + bias can exceed int32")
        if layer.function not in get_args(IntegerFunction):
            raise ValueError(f"{name}: unknown function {layer.function!r}")
        if (layer.function == "table") != (layer.table is not None):
            raise ValueError(f"{name}: a table goes with function 'table'")
        if layer.table is not None:
            _array(f"{name}.table", layer.table, (256,), -128, 127)
        if layer.score is not (score and i == len(layers) - 1):
            raise ValueError(f"{name}: only the last layer of the top MLP gives the score")


def _array(name: str, values: NDArray[Any], shape: tuple[int, ...], low: int, high: int) -> None:
    if values.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, not {values.shape}")
    if values.size and not low <= int(values.min()) <= int(values.max()) <= high:
        raise ValueError(f"{name} must hold {low}..{high}")


def _requantiser(
    name: str, multiplier: NDArray[np.uint16], shift: NDArray[np.uint8], count: int
) -> None:
    _array(f"{name} multiplier", multiplier, (count,), 0, 65535)
    _array(f"{name} shift", shift, (count,), 1, MAX_SHIFT)
    if ((multiplier > 0) & (multiplier < 32768)).any():
        raise ValueError(f"{name} multiplier must be 0 or 32768..65535")


def _scales(name: str, values: NDArray[np.float64], shape: tuple[int, ...]) -> None:
    if values.shape != shape or not (np.isfinite(values).all() and (values > 0).all()):
        raise ValueError(f"{name} must hold {shape[0]} positive numbers")


def _scale(name: str, value: Any) -> None:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not math.isfinite(value) or value <= 0:
        raise ValueError(f"{name} must be a positive number, not {value!r}")
