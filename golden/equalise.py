"""Cross-layer equalisation: channels between two layers are scaled so that all fill int8 alike.

An int8 tensor has one scale, so a channel that is small beside the largest one keeps few of its
bits. After ReLU (or no function) a channel can be divided by a positive number if the next layer's
weights of it are multiplied by the same; weights have a scale per output channel, so the layer
before loses nothing. The float model computes the same as before, to rounding.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from golden.layer import DenseLayer
from golden.model import Model

__all__ = ["Part", "equalise"]

Part = Literal["bottom", "top"]

LARGEST_FACTOR = 1024.0
"""Channels differ by more only where one is all but dead."""


def equalise(model: Model, part: Part, outputs: dict[str, NDArray[np.float32]]) -> Model:
    """The same model with the channels inside `part` equalised.

    Parameters
    ----------
    outputs
        Of `float_model.forward` on calibration items.
    """
    layers = list(getattr(model, part))
    for i in range(len(layers) - 1):
        if layers[i].function in ("relu", "none"):
            reach = np.abs(outputs[f"{part}.{i}"]).max(axis=0)
            layers[i], layers[i + 1] = _balance(layers[i], layers[i + 1], reach)
    changed: dict[str, Any] = {part: tuple(layers)}
    return replace(model, **changed)


def _balance(
    one: DenseLayer, two: DenseLayer, reach: NDArray[np.float32]
) -> tuple[DenseLayer, DenseLayer]:
    """Divide each channel by the root of its range over its largest weight."""
    weight = np.abs(two.weight).max(axis=0)
    alive = (reach > 0) & (weight > 0)
    factor = np.ones(len(reach))
    if alive.any():
        factor[alive] = np.sqrt(reach[alive].astype(np.float64) / weight[alive])
        factor[alive] /= np.exp(np.log(factor[alive]).mean())
        factor = np.clip(factor, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return (
        replace(
            one,
            weight=(one.weight / factor[:, None]).astype(np.float32),
            bias=(one.bias / factor).astype(np.float32),
        ),
        replace(two, weight=(two.weight * factor).astype(np.float32)),
    )
