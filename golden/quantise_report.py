"""What int8 costs, tensor by tensor, on items of the caller's choice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.calibrate import choose_method
from golden.embedding import Ids
from golden.model import Model
from golden.quantise import quantise_dense
from golden.quantise_search import noise_db
from golden.quantised_model import QuantisedModel

__all__ = ["TensorReport", "report"]


@dataclass(frozen=True, kw_only=True)
class TensorReport:
    """One tensor."""

    name: str
    low: float
    """Least value of the float model."""
    high: float
    """Largest value of the float model."""
    scale: float
    """Real value of one unit; of several scales the median."""
    method: str
    """Which way to choose the scale errs least here; - where none is chosen."""
    clipped: float
    """Share of the float values beyond what int8 holds at this scale."""
    snr: float
    """Signal to noise in dB of the integer model's values, all errors before included."""


def report(
    model: Model, quantised: QuantisedModel, dense: NDArray[np.float32], ids: Ids
) -> list[TensorReport]:
    """Every tensor between the layers, in order of computation; then the score.

    Parameters
    ----------
    model
        The float model that `quantised` is made of.
    dense, ids
        Items to measure on, best apart from those the ranges come from.
    """
    integers = quantise_dense(dense, quantised.dense_scale)
    wanted = float_model.forward(model, dense, ids)
    got = integer_model.forward(quantised, integers, ids)
    rows = [_row("dense", dense, integers, np.array([quantised.dense_scale]), chosen=False)]
    for name, scale in _scales(quantised).items():
        rows.append(
            _row(name, wanted[name], got[name], scale, chosen=name not in ("interaction", "score"))
        )
    return rows


def _scales(model: QuantisedModel) -> dict[str, NDArray[np.float64]]:
    """Scales of each output of `forward`, to be broadcast over its values."""
    scales = {f"bottom.{i}": np.array([one.output_scale]) for i, one in enumerate(model.bottom)}
    pooled = np.array([m != 32768 or s != 15 for m, s in _pools(model)])
    units = np.where(
        pooled & (model.pool_multiplier > 0),
        model.table_scale * 2.0**model.pool_shift / np.maximum(model.pool_multiplier, 1),
        model.table_scale,
    )
    scales["embedding"] = units[:, None]
    scales["interaction"] = model.interaction_scale
    scales |= {f"top.{i}": np.array([one.output_scale]) for i, one in enumerate(model.top[:-1])}
    return scales | {"score": np.array([model.score_scale])}


def _pools(model: QuantisedModel) -> list[tuple[int, int]]:
    pairs = zip(model.pool_multiplier, model.pool_shift, strict=True)
    return [(int(m), int(s)) for m, s in pairs]


def _row(
    name: str,
    wanted: NDArray[np.float32],
    got: NDArray[np.integer],
    scale: NDArray[np.float64],
    *,
    chosen: bool,
) -> TensorReport:
    limit = 32767 if name == "score" else 127
    exact = wanted.astype(np.float64)
    return TensorReport(
        name=name,
        low=float(exact.min()),
        high=float(exact.max()),
        scale=float(np.median(scale)),
        method=choose_method(wanted) if chosen else "-",
        clipped=float((np.abs(exact) > (limit + 0.5) * scale).mean()),
        snr=noise_db(exact, got * scale),
    )
