"""`rpaccel evaluate`: quality of a pipeline on labelled queries, in int8 and in float."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from driver.data.lines import BadLines
from driver.data.source import DataOptions, load_items
from driver.errors import UserError
from driver.files import read_model
from driver.pipelines import Pipeline, pipeline
from golden import float_model, integer_model
from golden.dataset import Dataset
from golden.filter import top_k
from golden.model import Model
from golden.pipeline import run_float, run_integer
from golden.quality import auc
from golden.quantise import QuantiseError, choose_dense_scale, quantise, quantise_dense
from golden.quantise_search import search
from golden.quantised_model import QuantisedModel

from .metrics import Estimate, QueryMetrics, bootstrap, of_query
from .quantize import check_data

__all__ = ["Quantisation", "evaluate", "evaluate_models"]

Quantisation = Literal["run", "search"]
CALIBRATION_ITEMS = 8192
RUN_ITEMS = 4096
"""Items that `rpaccel run` takes its ranges from."""
METRICS = ("ndcg", "ndcg_all_positive", "hit_rate", "auc", "recall")
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
        Pipeline; its item counts are used, its models unless `models` are given.
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
    What `--json` writes: `pipeline`, `queries`, `items`, `k`, `models` (AUC of each over all items,
    int8 and float), `metrics` (each metric `int8`, `float` and their paired `difference`, with
    95 % intervals), and `text` for people.

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
    keep = [stage.keep for stage in spec.stages]
    kinds: dict[str, list[QueryMetrics]] = {"int8": [], "float": []}
    scores: dict[str, list[list[NDArray[Any]]]] = {kind: [[] for _ in models] for kind in kinds}
    for query in data:
        integers = quantise_dense(query.dense, scale)
        alone = {
            "int8": [_integer_scores(m, integers, query.ids) for m in quantised],
            "float": [float_model.forward(m, query.dense, query.ids)["score"] for m in models],
        }
        returned = {
            "int8": run_integer(quantised, keep, integers, query.ids).items,
            "float": run_float(models, keep, query.dense, query.ids).items,
        }
        for kind, metrics in kinds.items():
            last = alone[kind][-1]
            best = top_k(last, keep[-1]).astype(np.uint32)
            metrics.append(of_query(query.labels, returned[kind], last, best))
            for stage, values in enumerate(alone[kind]):
                scores[kind][stage].append(values)
    labels = data.labels[: len(data) * data.query_items]
    model_rows = [
        {"name": model.shape.name}
        | {f"auc_{kind}": _auc(scores[kind][stage], labels) for kind in kinds}
        for stage, model in enumerate(models)
    ]
    table = {metric: _compare(kinds, metric, seed) for metric in METRICS}
    result = {
        "pipeline": spec.name,
        "queries": len(data),
        "items": data.query_items,
        "k": keep[-1],
        "models": model_rows,
        "metrics": table,
    }
    return result | {"text": _text(result)}


def _quantise(
    model: Model, calibration: Dataset, scale: float, quantisation: Quantisation
) -> QuantisedModel:
    dense, ids = calibration.dense, calibration.ids
    if quantisation == "search":
        return search(model, dense, ids, dense_scale=scale).quantised
    return quantise(model, dense[:RUN_ITEMS], ids[:RUN_ITEMS], dense_scale=scale)


def _integer_scores(
    model: QuantisedModel, dense: NDArray[np.int8], ids: NDArray[np.uint32]
) -> NDArray[Any]:
    return integer_model.forward(model, dense, ids)["score"]


def _auc(scores: Sequence[NDArray[Any]], labels: NDArray[np.uint8]) -> float | None:
    """Over all items of all queries together; None when all labels are equal."""
    if labels.min() == labels.max():
        return None
    return auc(np.concatenate(scores), labels)


def _compare(
    kinds: dict[str, list[QueryMetrics]], metric: str, seed: int
) -> dict[str, dict[str, float] | None]:
    values = {kind: [getattr(m, metric) for m in rows] for kind, rows in kinds.items()}
    values["difference"] = list(np.subtract(values["int8"], values["float"]))
    found = {kind: bootstrap(numbers, seed=seed) for kind, numbers in values.items()}
    return {kind: _json(estimate) for kind, estimate in found.items()}


def _json(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate.json()


_WORDS = {
    "ndcg": "NDCG@{k}",
    "ndcg_all_positive": "NDCG@{k}, all positive",
    "hit_rate": "hit rate@{k}",
    "auc": "AUC of the last stage",
    "recall": "recall of the funnel",
}


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['pipeline']}: {result['queries']} queries of {result['items']} items, "
        f"{result['k']} returned; mean and 95 % interval over queries",
        f"{'':<24} {'int8':>24} {'float':>24} {'int8 - float':>26}",
    ]
    for metric, row in result["metrics"].items():
        cells = [_cell(row[kind]) for kind in ("int8", "float")]
        difference = _cell(row["difference"], sign="+")
        name = _WORDS[metric].format(k=result["k"])
        lines.append(f"{name:<24} {cells[0]:>24} {cells[1]:>24} {difference:>26}")
    for model in result["models"]:
        if model["auc_int8"] is not None:
            loss = 1 - model["auc_int8"] / model["auc_float"]
            lines.append(
                f"{model['name']}: AUC {model['auc_int8']:.5f} int8, {model['auc_float']:.5f} "
                f"float, relative loss {loss:.4%}"
            )
    return "\n".join(lines)


def _cell(row: dict[str, float] | None, sign: str = "") -> str:
    if row is None:
        return "-"
    return f"{row['mean']:{sign}.4f} [{row['low']:{sign}.4f}, {row['high']:{sign}.4f}]"
