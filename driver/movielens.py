"""Models and queries of the MovieLens pipelines: NeuMF with random weights, synthetic items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from golden.model import Model
from golden.neumf import NeuMf, named_neumf_shape, random_neumf, table_ids
from golden.neumf_device import (
    device_ids,
    device_model,
    device_widths,
    quantised_device_model,
    vector_count,
)
from golden.neumf_integer import quantise_neumf
from golden.quantised_model import QuantisedModel

from .errors import UserError
from .pipelines import Pipeline
from .synthetic_ids import ZIPF, different_ids, zipf_ids

__all__ = ["MovieLensInputs", "movielens_inputs", "placed_models"]

_CALIBRATION_ITEMS = 1024
_TRAIN_ITEMS = 16384


@dataclass(frozen=True, kw_only=True, eq=False)
class MovieLensInputs:
    """What a run needs, ids as item records have them."""

    models: list[Model]
    quantised: list[QuantisedModel]
    queries: list[NDArray[np.uint32]]
    """[items, vectors] each."""
    train: NDArray[np.uint32]
    """Ids apart from the queries."""
    notes: list[str]


def placed_models(
    models: Sequence[NeuMf], calibration: NDArray[np.uint32]
) -> tuple[list[Model], list[QuantisedModel]]:
    """Models of a pipeline as the device has them, float and integer.

    Parameters
    ----------
    calibration : pairs (user, item) [n, 2]

    Raises
    ------
    UserError
        They cannot be quantised, or not be cut into as many vectors each.
    """
    try:
        widths = device_widths([model.shape for model in models])
        pairs = list(zip(models, widths, strict=True))
        return [device_model(model, width) for model, width in pairs], [
            quantised_device_model(quantise_neumf(model, table_ids(calibration)), width)
            for model, width in pairs
        ]
    except ValueError as error:
        raise UserError(str(error)) from None


def movielens_inputs(
    pipeline: Pipeline, *, queries: int, max_rows: int, seed: int
) -> MovieLensInputs:
    """Make them: a query ranks different items, drawn by popularity, for one user."""
    whole = [named_neumf_shape(stage.model) for stage in pipeline.stages]
    users, items = min(whole[0].users, max_rows), min(whole[0].items, max_rows)
    shapes = [replace(shape, users=users, items=items) for shape in whole]
    widths = device_widths(shapes)
    vectors = vector_count(shapes[0], widths[0])
    random = np.random.default_rng(seed)
    rows = (users, items)
    order = [np.random.default_rng(f + 7).permutation(count) for f, count in enumerate(rows)]
    train = zipf_ids(random, rows, _TRAIN_ITEMS, order)
    ranked = []
    for _ in range(queries):
        user = zipf_ids(random, (users,), 1, order[:1])[0, 0]
        mine = different_ids(random, items, pipeline.stages[0].items, order[1])
        pairs = np.stack([np.full(len(mine), user, np.uint32), mine], axis=1)
        ranked.append(device_ids(pairs, vectors))
    neumfs = [random_neumf(shape, seed=seed * 100 + n) for n, shape in enumerate(shapes)]
    models, quantised = placed_models(neumfs, train[:_CALIBRATION_ITEMS])
    return MovieLensInputs(
        models=models,
        quantised=quantised,
        queries=ranked,
        train=device_ids(train, vectors),
        notes=[
            *(f"{shape.name}: random weights" for shape in shapes),
            f"synthetic items, Zipf {ZIPF}, one user a query; {users} of {whole[0].users} users, "
            f"{items} of {whole[0].items} items",
            f"rows cut into {vectors} vectors an item, by stage of "
            f"{', '.join(map(str, widths))} values",
        ],
    )
