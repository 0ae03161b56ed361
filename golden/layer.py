"""One dense layer and the activation functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

__all__ = ["DenseLayer", "Function", "apply_function"]

Function = Literal["none", "relu", "sigmoid", "tanh", "mish"]


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseLayer:
    """`function(x @ weight.T + bias)`."""

    weight: NDArray[np.float32]
    """[outputs, inputs]"""
    bias: NDArray[np.float32]
    """[outputs]"""
    function: Function

    def __post_init__(self) -> None:
        if self.function not in get_args(Function):
            raise ValueError(
                f"function must be one of {', '.join(get_args(Function))}, not {self.function!r}"
            )


def apply_function(function: Function, values: NDArray[Any]) -> NDArray[Any]:
    """A layer's activation function."""
    if function == "relu":
        return np.maximum(values, 0)
    if function == "sigmoid":
        return 0.5 * (1 + np.tanh(0.5 * values))  # this form never overflows
    if function == "tanh":
        return np.tanh(values)
    if function == "mish":
        return values * np.tanh(np.logaddexp(0, values))
    return values
