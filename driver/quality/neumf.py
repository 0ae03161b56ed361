"""`rpaccel evaluate` of NeuMF pipelines on MovieLens: leave-one-out queries of single users."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.data.lines import BadLines
from driver.data.movielens import Ratings, leave_one_out, read_movielens, user_queries
from driver.errors import UserError
from driver.pipelines import PIPELINES
from golden.files import ModelFileError
from golden.neumf import NeuMf, forward_neumf, table_ids
from golden.neumf_files import load_neumf
from golden.neumf_integer import forward_neumf_integer, quantise_neumf
from golden.quantise_layer import QuantiseError

from .scores import ScoredQuery, compare_scores

__all__ = ["NEUMF_PIPELINES", "evaluate_neumf"]

NEUMF_PIPELINES = {name: p for name, p in PIPELINES.items() if p.data == "movielens"}
CALIBRATION_RATINGS = 8192


def evaluate_neumf(
    name: str,
    *,
    data: Path,
    models: Sequence[Path] | None,
    items: int | None = None,
    queries: int | None = None,
    seed: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Rank each user's held-out item among items the user never rated.

    Parameters
    ----------
    name
        In `NEUMF_PIPELINES`.
    data
        `ratings.dat` or `ratings.csv`.
    models
        NeuMF model files, one a stage, over the users and items of `data` as it numbers them.
    items
        Of a query; scales all stages.
    queries
        Users at most, the first ones; None: all.
    seed
        Of the candidates and the bootstrap.

    Returns
    -------
    As `scores.compare_scores`, and `malformed`.

    Raises
    ------
    UserError
        Bad files, models of other users or items than the data's.
    """
    spec = NEUMF_PIPELINES[name].scaled(items)
    keep, first = [stage.keep for stage in spec.stages], spec.stages[0].items
    stages = _models(name, models)
    bad = BadLines()
    progress("reading ratings")
    ratings = read_movielens(data, bad)
    for path, model in zip(models or (), stages, strict=True):
        for what in ("users", "items"):
            found = len(getattr(ratings, f"{what[:-1]}_ids"))
            if found != getattr(model.shape, what):
                raise UserError(f"{path}: {getattr(model.shape, what)} {what}, {data} has {found}")
    progress("quantisation")
    try:
        quantised = [quantise_neumf(model, _calibration(ratings)) for model in stages]
    except QuantiseError as error:
        raise UserError(str(error)) from None
    users = range(len(ratings.user_ids))[:queries]
    progress(f"{len(users)} queries of {first} items")

    def scored() -> Iterator[ScoredQuery]:
        for query in user_queries(ratings, items=first, users=users, seed=seed):
            int8 = [forward_neumf_integer(model, query.ids)["score"] for model in quantised]
            exact: list[NDArray[Any]] = [forward_neumf(m, query.ids)["score"] for m in stages]
            yield ScoredQuery(labels=query.labels, scores={"int8": int8, "float": exact})

    names = [model.shape.name for model in stages]
    result = compare_scores(name, names, keep, scored(), seed)
    if bad.text:
        result["text"] += f"\n{bad.text}"
    return result | {"malformed": bad.count}


def _models(name: str, paths: Sequence[Path] | None) -> list[NeuMf]:
    wanted = len(NEUMF_PIPELINES[name].stages)
    if paths is None or len(paths) != wanted:
        raise UserError(
            f"{name} has {wanted} stages: give --model FILE for each, not {len(paths or ())}"
        )
    try:
        return [load_neumf(path) for path in paths]
    except ModelFileError as error:
        raise UserError(str(error)) from None


def _calibration(ratings: Ratings) -> NDArray[np.uint32]:
    """Pairs of the training part, in even strides, each beside one with a random item."""
    training = np.flatnonzero(~leave_one_out(ratings))
    chosen = training[:: max(1, len(training) // CALIBRATION_RATINGS)]
    random = np.random.default_rng(0)
    users = np.concatenate([ratings.users[chosen]] * 2)
    others = random.integers(0, len(ratings.item_ids), len(chosen)).astype(np.uint32)
    items = np.concatenate([ratings.items[chosen], others])
    return table_ids(np.stack([users, items], axis=1))
