"""A funnel of ranking stages over one query, in float or in integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.embedding import Ids, take_items
from golden.filter import FunnelRules, select, strided, top_k
from golden.model import Model
from golden.quantised_model import QuantisedModel

__all__ = ["QueryResult", "StageResult", "run_float", "run_integer", "run_scores"]

WHOLE = FunnelRules()
"""Queries in one piece, exact."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StageResult:
    """One stage of one query; items are named by their index in the query."""

    items: NDArray[np.uint32]
    """[n]: the stage's list, every item that it scored; of later stages in the order in which the
    stage before forwarded them, ascending within a sub-batch."""
    scores: NDArray[Any]
    """[n], int16 or float32, in the order of `items`."""
    survivors: NDArray[np.uint32]
    """[k], ascending: each item kept (`binned`: at least k)."""
    forwarded: tuple[NDArray[np.uint32], ...]
    """For each sub-batch the items passed on when it was complete: together the next list."""
    dropped: NDArray[np.uint32]
    """Ascending: items that were passed on early and are not among the survivors."""
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
    rules: FunnelRules = WHOLE,
    keep_layers: bool = False,
    bad_ids_as_zero: bool = False,
) -> QueryResult:
    """Rank a query through all stages in integers, as the device does.

    Parameters
    ----------
    models : one per stage
    keep : items each stage keeps; the last one is the length of the result
    dense, ids : inputs of all items, as `integer_model.forward` takes them
    rules : sub-batches and policy
    keep_layers : return every layer's output of every stage
    """

    def forward(stage: int, items: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        return integer_model.forward(
            models[stage], dense[items], take_items(ids, items), bad_ids_as_zero=bad_ids_as_zero
        )

    return _run(forward, len(models), keep, len(dense), rules, keep_layers)


def run_float(
    models: Sequence[Model],
    keep: Sequence[int],
    dense: NDArray[np.float32],
    ids: Ids,
    *,
    rules: FunnelRules = WHOLE,
    keep_layers: bool = False,
) -> QueryResult:
    """Rank a query through all stages in float32; arguments as `run_integer`, no `binned`."""

    def forward(stage: int, items: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        return dict(float_model.forward(models[stage], dense[items], take_items(ids, items)))

    return _run(forward, len(models), keep, len(dense), rules, keep_layers)


def run_scores(
    scores: Sequence[NDArray[Any]], keep: Sequence[int], *, rules: FunnelRules = WHOLE
) -> QueryResult:
    """Rank a query whose every item is scored by every stage already; arguments as `run_integer`.

    The same as `run_integer`, because an item's score does not depend on other items; what a stage
    is not asked for is not looked at.
    """

    def forward(stage: int, items: NDArray[np.uint32]) -> dict[str, NDArray[Any]]:
        return {"score": scores[stage][items]}

    return _run(forward, len(scores), keep, len(scores[0]), rules, False)


def _run(
    forward: Callable[[int, NDArray[np.uint32]], dict[str, NDArray[Any]]],
    stages: int,
    keep: Sequence[int],
    count: int,
    rules: FunnelRules,
    keep_layers: bool,
) -> QueryResult:
    _check(stages, keep, count, rules)
    items = np.arange(count, dtype=np.uint32)
    groups = strided(count, rules.sub_batches)
    excluded = np.array([], dtype=np.intp)
    results = []
    for stage, k in enumerate(keep):
        layers = forward(stage, items)
        scores = layers["score"]
        chosen = select(
            scores,
            items,
            groups,
            k=k,
            policy=rules.policy,
            fractions=rules.fractions_of(stage),
            bins=rules.bins,
            excluded=excluded,
            final=stage + 1 == stages,
        )
        results.append(
            StageResult(
                items=items,
                scores=scores,
                survivors=np.sort(items[chosen.survivors]),
                forwarded=tuple(items[positions] for positions in chosen.forwarded),
                dropped=np.sort(items[chosen.dropped]),
                layers=layers if keep_layers else None,
            )
        )
        ends = np.cumsum([len(positions) for positions in chosen.forwarded])
        groups = [
            np.arange(end - len(positions), end)
            for end, positions in zip(ends, chosen.forwarded, strict=True)
        ]
        listed = np.concatenate(chosen.forwarded)
        excluded = np.flatnonzero(np.isin(listed, chosen.dropped))
        items, scores = items[listed], scores[listed]
    # The last stage lists its survivors in one selection: now the best first.
    by_item = np.argsort(items)
    best = by_item[top_k(scores[by_item], len(items))]
    return QueryResult(items=items[best], scores=scores[best], stages=tuple(results))


def _check(stages: int, keep: Sequence[int], count: int, rules: FunnelRules) -> None:
    if stages < 1 or len(keep) != stages:
        raise ValueError(f"keep must have one number per stage ({stages}), not {list(keep)}")
    if count < 1:
        raise ValueError("a query must have at least one item")
    if rules.sub_batches > count:
        raise ValueError(f"{count} items cannot be cut into {rules.sub_batches} sub-batches")
    most = count
    for stage, k in enumerate(keep):
        if not 1 <= k <= most:
            raise ValueError(f"keep of stage {stage} must be in 1..{most}, not {k}")
        most = k
