"""Post-training quantisation of a float model into integers, from calibration data."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from golden.model import Model
from golden.quantised_model import IDENTITY, QuantisedLayer, QuantisedModel

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

Method = Literal["max", "percentile", "mse"]


class QuantiseError(ValueError):
    """The model cannot be brought into the device's number formats; names layer and limit."""


def choose_dense_scale(dense: NDArray[np.float32], *, method: Method = "max") -> float:
    """Scale of the dense inputs (float, log already taken), one for all models of a pipeline."""
    raise NotImplementedError


def quantise_dense(dense: NDArray[np.float32], scale: float) -> NDArray[np.int8]:
    """Dense inputs as the item record holds them: round to nearest, clamp to -128..127.

    Raises
    ------
    ValueError
        NaN or infinity; names the first item and feature.
    """
    raise NotImplementedError


def quantise(
    model: Model,
    dense: NDArray[np.float32],
    ids: NDArray[np.uint32],
    *,
    dense_scale: float | None = None,
    method: Method = "mse",
) -> QuantisedModel:
    """Quantise with activation ranges taken from calibration items.

    Parameters
    ----------
    model : Model
    dense : float32 [n, dense_features], calibration items, log already taken
    ids : uint32 [n, tables]
    dense_scale : scale of the dense inputs, the same for all models of a pipeline
        (default: chosen from `dense`)
    method : how an activation's scale is chosen from its calibration values
    """
    raise NotImplementedError
