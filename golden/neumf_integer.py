"""NeuMF in integers: quantisation from calibration items, and the bit-exact reference.

The product is requantised with bias 0, one shift and the multiplier 32768: its scale is a power of
two times those of the rows, as dot products have it, so the device multiplies once. How it lies on
the device: `neumf_device`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.calibrate import Method, choose_scale, choose_shifts
from golden.embedding import check_ids
from golden.integer_model import run_layer
from golden.neumf import NeuMf, NeuMfShape, forward_neumf
from golden.quantise_layer import QuantiseError, hidden_layer, quantise_rows, score_layer
from golden.quantised_model import IDENTITY, QuantisedLayer
from golden.requantise import requantise

__all__ = ["QuantisedNeuMf", "forward_neumf_integer", "quantise_neumf"]


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedNeuMf:
    """A NeuMF in integers; what the device stores."""

    shape: NeuMfShape
    tables: tuple[NDArray[np.int8], ...]
    """One [rows, width] array for each of `neumf.TABLES`, -127..127."""
    table_scale: NDArray[np.float64]
    """[4]: real value of one unit of a row."""
    product_multiplier: int
    """Requantise of user_mf * item_mf: 32768, the power of two."""
    product_shift: int
    """15..30"""
    product_scale: float
    """Real value of one unit of the product."""
    mlp: tuple[QuantisedLayer, ...]
    last: QuantisedLayer

    @property
    def score_scale(self) -> float:
        """Real value (logit) of one unit of the score."""
        return self.last.output_scale


def quantise_neumf(
    model: NeuMf, ids: NDArray[np.uint32], *, method: Method = "mse"
) -> QuantisedNeuMf:
    """Quantise with activation ranges taken from calibration items; arguments as `forward_neumf`.

    Raises
    ------
    QuantiseError
        No calibration items, or a layer that can not be held in the device's formats.
    """
    if len(ids) == 0:
        raise QuantiseError("calibration needs at least one item")
    outputs = forward_neumf(model, ids)
    table_scale = np.array([choose_scale(table, method) for table in model.tables])
    rows = tuple(
        quantise_rows(table, unit) for table, unit in zip(model.tables, table_scale, strict=True)
    )
    raw = rows[0][ids[:, 0]].astype(np.int32) * rows[1][ids[:, 1]]
    shift = int(choose_shifts(raw.reshape(-1, 1).astype(np.float64), method)[0])
    product_scale = float(table_scale[0] * table_scale[1] * 2.0**shift)
    scale = np.repeat(table_scale[2:], model.shape.mlp[0] // 2)
    layers = []
    for i, layer in enumerate(model.mlp):
        layers.append(hidden_layer(f"mlp.{i}", layer, scale, outputs[f"mlp.{i}"], method))
        scale = np.full(len(layer.bias), layers[-1].output_scale)
    scale = np.concatenate([np.full(model.shape.mf, product_scale), scale])
    return QuantisedNeuMf(
        shape=model.shape,
        tables=rows,
        table_scale=table_scale,
        product_multiplier=IDENTITY[0],
        product_shift=IDENTITY[1] + shift,
        product_scale=product_scale,
        mlp=tuple(layers),
        last=score_layer("last", model.last, scale, 128),
    )


def forward_neumf_integer(
    model: QuantisedNeuMf, ids: NDArray[np.uint32]
) -> dict[str, NDArray[Any]]:
    """Run the model on items; arguments and outputs as `forward_neumf`, int8 and an int16 score."""
    check_ids(ids, model.shape.rows)
    rows = [table[ids[:, t]] for t, table in enumerate(model.tables)]
    raw = rows[0].astype(np.int32) * rows[1]
    product = requantise(raw, 0, model.product_multiplier, model.product_shift).astype(np.int8)
    x = np.concatenate(rows[2:], axis=1)
    outputs: dict[str, NDArray[Any]] = {"product": product, "interaction": x}
    for i, layer in enumerate(model.mlp):
        x = outputs[f"mlp.{i}"] = run_layer(layer, x)
    outputs["score"] = run_layer(model.last, np.concatenate([product, x], axis=1))[:, 0]
    return outputs
