"""Batch norm of an inference model: a factor and an addend a channel, folded into a layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from golden.model import DenseLayer

from .tensors import Tensors

__all__ = ["Affine", "fold_before", "fold_behind", "read_norm"]

EPSILON = 1e-5
"""Of PyTorch's batch norm; checkpoints do not hold it."""

Affine = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Factor and addend of each channel."""


def read_norm(tensors: Tensors, name: str, channels: int) -> Affine:
    """Batch norm as factor and addend."""
    values = []
    for part in ("weight", "bias", "running_mean", "running_var"):
        key = f"{name}.{part}"
        if key not in tensors or tensors[key].shape != (channels,):
            raise UserError(f"{key} must be there and of shape {[channels]}")
        values.append(tensors[key].numbers(key).astype(np.float64))
    weight, bias, mean, variance = values
    factor = weight / np.sqrt(variance + EPSILON)
    return factor, bias - mean * factor


def fold_before(layer: DenseLayer, norm: Affine) -> DenseLayer:
    """A layer with a batch norm between it and its activation."""
    factor, addend = norm
    weight = layer.weight * factor[:, None]
    bias = layer.bias * factor + addend
    return replace(layer, weight=weight.astype(np.float32), bias=bias.astype(np.float32))


def fold_behind(layer: DenseLayer, norm: Affine) -> DenseLayer:
    """A layer whose inputs come from a batch norm."""
    factor, addend = norm
    weight = layer.weight * factor
    bias = layer.bias + layer.weight.astype(np.float64) @ addend
    return replace(layer, weight=weight.astype(np.float32), bias=bias.astype(np.float32))
