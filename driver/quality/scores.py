"""Quality of a funnel from the scores that its stages give every item, int8 beside float."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.filter import top_k
from golden.pipeline import run_scores
from golden.quality import auc

from .metrics import Estimate, QueryMetrics, bootstrap, of_query

__all__ = ["KINDS", "ScoredQuery", "compare_scores"]

KINDS = ("int8", "float")
METRICS = ("ndcg", "ndcg_all_positive", "hit_rate", "auc", "recall")


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredQuery:
    """One query."""

    labels: NDArray[np.uint8]
    """[items]"""
    scores: dict[str, list[NDArray[Any]]]
    """By kind (`KINDS`), of each stage: the scores of all items."""


def compare_scores(
    name: str, models: Sequence[str], keep: Sequence[int], queries: Iterable[ScoredQuery], seed: int
) -> dict[str, Any]:
    """Rank every query in both kinds of numbers.

    Parameters
    ----------
    name
        Of the pipeline.
    models
        Names of the stages' models.
    keep
        Items each stage keeps.
    queries
        At least one.
    seed
        Of the bootstrap.

    Returns
    -------
    `pipeline`, `queries`, `items`, `k`, `models` (AUC of each over all items, int8 and float),
    `metrics` (each metric `int8`, `float` and their paired `difference`, with 95 % intervals), and
    `text` for people.
    """
    metrics: dict[str, list[QueryMetrics]] = {kind: [] for kind in KINDS}
    scores: dict[str, list[list[NDArray[Any]]]] = {kind: [[] for _ in models] for kind in KINDS}
    labels = []
    for query in queries:
        labels.append(query.labels)
        for kind in KINDS:
            stages = query.scores[kind]
            returned = run_scores(stages, keep).items
            alone = top_k(stages[-1], keep[-1]).astype(np.uint32)
            metrics[kind].append(of_query(query.labels, returned, stages[-1], alone))
            for stage, values in enumerate(stages):
                scores[kind][stage].append(values)
    joined = np.concatenate(labels)
    model_rows = [
        {"name": model} | {f"auc_{kind}": _auc(scores[kind][stage], joined) for kind in KINDS}
        for stage, model in enumerate(models)
    ]
    result = {
        "pipeline": name,
        "queries": len(labels),
        "items": len(labels[0]),
        "k": keep[-1],
        "models": model_rows,
        "metrics": {metric: _compare(metrics, metric, seed) for metric in METRICS},
    }
    return result | {"text": _text(result)}


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
