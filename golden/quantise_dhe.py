"""Quantisation of DHE stacks: codes are exact integers, decoders are quantised as other layers.

Functions that take a table share it: one for the hidden layers and one for the last layers of all
decoders, because an engine holds few tables and a model has a decoder a feature.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.calibrate import Method, choose_scale
from golden.dhe import CODE_SCALE, DheStack, decode, float_code
from golden.embedding import Ids
from golden.layer import DenseLayer, Function
from golden.model import Model
from golden.quantise_layer import QuantiseError, hidden_layer
from golden.quantised_model import QuantisedStack

__all__ = ["quantise_stacks", "stack_scale"]

CALIBRATION_IDS = 512
"""Different ids of a feature that are looked at, in even strides."""

_TABLE_FUNCTIONS = ("sigmoid", "tanh", "mish")

_Values = list[NDArray[np.float32]]


def stack_scale(stack: QuantisedStack | None) -> float:
    """Real value of one unit of a stack's output."""
    if stack is None:
        raise ValueError("the feature has no DHE stack")
    return stack.decoder[-1].output_scale


def quantise_stacks(model: Model, ids: Ids, method: Method) -> tuple[QuantisedStack | None, ...]:
    """Quantise every stack with ranges taken from the calibration ids.

    Raises
    ------
    QuantiseError
        A transform without integer form, or a feature without calibration ids; names the feature.
    """
    values: dict[int, _Values] = {}
    for feature, stack in enumerate(model.stacks):
        if stack is not None:
            values[feature] = _layer_values(feature, stack, ids)
    tables = _table_scales(model, values, method)
    return tuple(
        None if stack is None else _quantise_stack(feature, stack, values[feature], tables, method)
        for feature, stack in enumerate(model.stacks)
    )


def _layer_values(feature: int, stack: DheStack, ids: Ids) -> _Values:
    """Code and layer outputs of some calibration ids."""
    if stack.encoder.transform != "uniform":
        raise QuantiseError(
            f"feature {feature}: the {stack.encoder.transform} transform is not supported on the "
            "device, only the uniform one"
        )
    seen = np.unique(ids[:, feature] if isinstance(ids, np.ndarray) else ids[feature].ids)
    if not len(seen):
        raise QuantiseError(f"feature {feature}: calibration has no ids of it")
    code = float_code(stack.encoder, seen[:: -(-len(seen) // CALIBRATION_IDS)])
    return [code, *decode(stack.decoder, code)]


_Key = tuple[Function, bool]


def _key(stack: DheStack, index: int) -> _Key:
    """What layers of one table have in common: the function, and whether they are the last."""
    return stack.decoder[index].function, index == len(stack.decoder) - 1


def _table_scales(
    model: Model, values: dict[int, _Values], method: Method
) -> dict[_Key, tuple[float, float]]:
    """Scales before and after each shared table."""
    before: dict[_Key, list[NDArray[Any]]] = defaultdict(list)
    after: dict[_Key, list[NDArray[Any]]] = defaultdict(list)
    for feature, outputs in values.items():
        stack = model.stacks[feature]
        assert stack is not None
        for i, layer in enumerate(stack.decoder):
            if layer.function in _TABLE_FUNCTIONS:
                before[_key(stack, i)].append(_linear(layer, outputs[i]).ravel())
                after[_key(stack, i)].append(outputs[i + 1].ravel())
    return {
        key: (
            choose_scale(np.concatenate(before[key]), method),
            choose_scale(np.concatenate(after[key]), method),
        )
        for key in before
    }


def _linear(layer: DenseLayer, values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(values @ layer.weight.T + layer.bias)


def _quantise_stack(
    feature: int,
    stack: DheStack,
    outputs: _Values,
    tables: dict[_Key, tuple[float, float]],
    method: Method,
) -> QuantisedStack:
    layers = []
    scale = np.full(stack.encoder.k, CODE_SCALE)
    for i, layer in enumerate(stack.decoder):
        name = f"decoder of feature {feature}, layer {i}"
        scales = tables.get(_key(stack, i))
        layers.append(hidden_layer(name, layer, scale, outputs[i + 1], method, table_scales=scales))
        scale = np.full(len(layer.bias), layers[-1].output_scale)
    return QuantisedStack(encoder=stack.encoder, decoder=tuple(layers))
