"""`rpaccel evaluate`: quality of a pipeline on labelled queries, in int8 and in float."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from driver.data.lines import BadLines
from driver.data.source import DataOptions, load_items
from driver.errors import UserError
from driver.files import read_model
from driver.pipelines import Pipeline, pipeline
from golden import float_model, integer_model
from golden.dataset import Dataset
from golden.model import Model
from golden.quantise import QuantiseError, choose_dense_scale, quantise, quantise_dense
from golden.quantise_search import search
from golden.quantised_model import QuantisedModel

from .neumf import NEUMF_PIPELINES, evaluate_neumf
from .quantize import check_data
from .scores import ScoredQuery, compare_scores

__all__ = ["Quantisation", "evaluate", "evaluate_models"]

Quantisation = Literal["run", "search"]
CALIBRATION_ITEMS = 8192
RUN_ITEMS = 4096
"""Items that `rpaccel run` takes its ranges from."""
_ALL_ITEMS = 1 << 62
_DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"


def evaluate(
    name: str,
    *,
    data: DataOptions,
    models: Sequence[Path] | None = None,
    items: int | None = None,
    queries: int | None = None,
    seed: int = 1,
    quantisation: Quantisation = "run",
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Rank the data's held-out queries.

    Parameters
    ----------
    name
        Pipeline; its item counts are used, its models unless `models` are given. One of NeuMF
        takes a file of MovieLens' ratings.
    data
        Queries are consecutive items of the evaluation part, calibration items are the first ones
        of the other part.
    models
        Model files, one a stage.
    items
        Of the first stage; scales all stages.
    queries
        At most so many.
    seed
        Of the bootstrap.
    quantisation
        How the models are quantised: ``run`` as for the device, ``search`` as `rpaccel quantize`.

    Returns
    -------
    As `evaluate_models`, and `malformed`.

    Raises
    ------
    UserError
        Unknown pipeline, bad files, data that do not fit the models, no shipped models.
    """
    if name in NEUMF_PIPELINES:
        if len(data.paths) != 1:
            raise UserError(f"{name} takes one file of ratings, not {len(data.paths)}")
        return evaluate_neumf(
            name, data=Path(data.paths[0]), models=models, items=items, queries=queries, seed=seed,
            progress=progress,
        )  # fmt: skip
    spec = pipeline(name).scaled(items)
    stages = _models(spec, models)
    rows = tuple(int(n) for n in np.min([m.shape.rows for m in stages], axis=0))
    features = stages[0].features
    bad = BadLines()
    query_items = spec.stages[0].items
    limit = _ALL_ITEMS if queries is None else queries * query_items
    progress("reading queries")
    held_out = load_items(
        data, evaluation=True, rows=rows, features=features, query_items=query_items, lines=limit,
        bad=bad,
    )  # fmt: skip
    calibration = load_items(
        data, evaluation=False, rows=rows, features=features, query_items=1,
        lines=CALIBRATION_ITEMS, bad=bad,
    )  # fmt: skip
    check_data(stages[0], held_out)
    result = evaluate_models(
        spec, stages, held_out, calibration, seed=seed,
        quantisation=quantisation, progress=progress,
    )  # fmt: skip
    if bad.text:
        result["text"] += f"\n{bad.text}"
    return result | {"malformed": bad.count}


def _models(spec: Pipeline, paths: Sequence[Path] | None) -> list[Model]:
    if paths is None:
        shipped = [_DEMO / f"{stage.model.lower()}.npz" for stage in spec.stages]
        if spec.data != "demo" or not all(path.is_file() for path in shipped):
            raise UserError(
                f"{spec.name} has no trained models: give --model FILE for each of its "
                f"{len(spec.stages)} stages"
            )
        paths = shipped
    if len(paths) != len(spec.stages):
        raise UserError(f"{spec.name} has {len(spec.stages)} stages, {len(paths)} models given")
    models = [read_model(path) for path in paths]
    for path, model in zip(paths, models, strict=True):
        for field in ("dense_features", "sparse_features"):
            found, wanted = getattr(model.shape, field), getattr(models[0].shape, field)
            if found != wanted:
                what = field.replace("_", " ")
                raise UserError(f"{path}: {found} {what}, the first stage has {wanted}")
    return models


def evaluate_models(
    spec: Pipeline,
    models: Sequence[Model],
    data: Dataset,
    calibration: Dataset,
    *,
    seed: int = 1,
    quantisation: Quantisation = "run",
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Quality of models on a data set.

    Returns
    -------
    As `scores.compare_scores`.

    Raises
    ------
    UserError
        A model that cannot be quantised.
    """
    scale = choose_dense_scale(calibration.dense)
    quantised = []
    for model in models:
        progress(f"{model.shape.name}: quantisation")
        try:
            quantised.append(_quantise(model, calibration, scale, quantisation))
        except QuantiseError as error:
            raise UserError(f"{model.shape.name}: {error}") from None
    progress(f"{len(data)} queries of {data.query_items} items")

    def scored() -> Iterator[ScoredQuery]:
        for query in data:
            integers = quantise_dense(query.dense, scale)
            int8 = [integer_model.forward(m, integers, query.ids)["score"] for m in quantised]
            exact = [float_model.forward(m, query.dense, query.ids)["score"] for m in models]
            yield ScoredQuery(labels=query.labels, scores={"int8": int8, "float": list(exact)})

    names = [model.shape.name for model in models]
    keep = [stage.keep for stage in spec.stages]
    return compare_scores(spec.name, names, keep, scored(), seed)


def _quantise(
    model: Model, calibration: Dataset, scale: float, quantisation: Quantisation
) -> QuantisedModel:
    dense, ids = calibration.dense, calibration.ids
    if quantisation == "search":
        return search(model, dense, ids, dense_scale=scale).quantised
    return quantise(model, dense[:RUN_ITEMS], ids[:RUN_ITEMS], dense_scale=scale)
