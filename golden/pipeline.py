"""A funnel of ranking stages over one query, in float or in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.embedding import Ids, take_items
from golden.filter import top_k
from golden.model import Model
from golden.quantised_model import QuantisedModel

__all__ = ["QueryResult", "StageResult", "run_float", "run_integer"]


@dataclass(frozen=True, kw_only=True, eq=False)
class StageResult:
    """One stage of one query."""

    items: NDArray[np.uint32]
    """[n], ascending: index in the query of each item that the stage ranked."""
    scores: NDArray[Any]
    """[n], int16 or float32, in the order of `items`."""
    survivors: NDArray[np.uint32]
    """[k], ascending: index in the query of each item kept."""
    layers: dict[str, NDArray[Any]] | None
    """Every output as `forward` names them, when asked for; row m belongs to `items[m]`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class QueryResult:
    """Result of one query."""

    items: NDArray[np.uint32]
    """[k] index in the query, best first."""
    scores: NDArray[Any]
    """[k], int16 or float32, in the order of `items`."""
    stages: tuple[StageResult, ...]


def run_integer(
    models: Sequence[QuantisedModel],
    keep: Sequence[int],
    dense: NDArray[np.int8],
    ids: Ids,
    *,
    keep_layers: bool = False,
    bad_ids_as_zero: bool = False,
) -> QueryResult:
    """Rank a query through all stages in integers, as the device does.

    Parameters
    ----------
    models : one per stage
    keep : items each stage keeps; the last one is the length of the result
    dense, ids : inputs of all items, as `integer_model.forward` takes them
    keep_layers : return every layer's output of every stage
    """

    def forward(stage: int, items: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        return integer_model.forward(
            models[stage], dense[items], take_items(ids, items), bad_ids_as_zero=bad_ids_as_zero
        )

    return _run(forward, len(models), keep, len(dense), keep_layers)


def run_float(
    models: Sequence[Model],
    keep: Sequence[int],
    dense: NDArray[np.float32],
    ids: Ids,
    *,
    keep_layers: bool = False,
) -> QueryResult:
    """Rank a query through all stages in float32; arguments as `run_integer`."""

    def forward(stage: int, items: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        return dict(float_model.forward(models[stage], dense[items], take_items(ids, items)))

    return _run(forward, len(models), keep, len(dense), keep_layers)


def _run(
    forward: Callable[[int, NDArray[np.uint32]], dict[str, NDArray[Any]]],
    stages: int,
    keep: Sequence[int],
    count: int,
    keep_layers: bool,
) -> QueryResult:
    if stages < 1 or len(keep) != stages:
        raise ValueError(f"keep must have one number per stage ({stages}), not {list(keep)}")
    if count < 1:
        raise ValueError("a query must have at least one item")
    items = np.arange(count, dtype=np.uint32)
    results = []
    for stage, k in enumerate(keep):
        if not 1 <= k <= len(items):
            raise ValueError(f"keep of stage {stage} must be in 1..{len(items)}, not {k}")
        layers = forward(stage, items)
        scores = layers["score"]
        best = top_k(scores, k)
        kept = items[np.sort(best)]
        results.append(
            StageResult(
                items=items,
                scores=scores,
                survivors=kept,
                layers=layers if keep_layers else None,
            )
        )
        ordered, ordered_scores = items[best], scores[best]
        items = kept
    return QueryResult(items=ordered, scores=ordered_scores, stages=tuple(results))
