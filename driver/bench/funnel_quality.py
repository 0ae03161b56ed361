"""What policies keep of the exact result, and what early forwarding wastes: golden models alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import integer_model
from golden.filter import FunnelRules
from golden.pipeline import QueryResult, run_scores
from golden.quality import ndcg

from ..options import BIN_WIDTHS, DEFAULT_BINS
from ..pipelines import Pipeline
from ..rules import early_fractions
from ..workload import Workload

__all__ = ["ORDERS", "bench_rules", "order_rows", "policy_rows"]

Scores = list[NDArray[Any]]


def bench_rules(
    spec: Pipeline, policy: str, sub_batches: int, width: int = DEFAULT_BINS
) -> FunnelRules:
    """Rules as ``rpaccel run`` would choose them."""
    early = policy == "exact" and sub_batches > 1
    return FunnelRules(
        policy=policy,
        sub_batches=sub_batches,
        bins=BIN_WIDTHS.index(width) if policy == "binned" else 0,
        fractions=early_fractions(spec, sub_batches) if early else (),
    )


def all_scores(workload: Workload) -> list[Scores]:
    """What each stage gives to every item, by query."""
    return [
        [integer_model.forward(m, q.dense, q.ids)["score"] for m in workload.quantised]
        for q in workload.queries
    ]


def _recall(result: QueryResult, exact: QueryResult) -> float:
    """Share of the exact results that are returned."""
    return len(np.intersect1d(result.items, exact.items)) / len(exact.items)


def policy_rows(
    workload: Workload, scores: Sequence[Scores], sub_batches: Sequence[int]
) -> list[dict[str, Any]]:
    """Recall against the whole query's exact result, NDCG, and work of each policy.

    ``first_recall`` is of the first stage's survivors, ``recall`` of the results. ``ranked`` are
    the items that later stages score, in those of ``exact`` in one piece.
    """
    spec = workload.pipeline
    keep = [stage.keep for stage in spec.stages]
    exact = [run_scores(s, keep) for s in scores]
    least = sum(len(stage.items) for r in exact for stage in r.stages[1:])
    kinds = [("exact", 1, DEFAULT_BINS)]
    kinds += [("exact", parts, DEFAULT_BINS) for parts in sub_batches]
    kinds += [("quota", parts, DEFAULT_BINS) for parts in sub_batches]
    kinds += [("binned", parts, width) for parts in (1, *sub_batches) for width in BIN_WIDTHS]
    rows = []
    for policy, parts, width in kinds:
        rules = bench_rules(spec, policy, parts, width)
        found = [run_scores(s, keep, rules=rules) for s in scores]
        first = [
            len(np.intersect1d(a.stages[0].survivors, b.stages[0].survivors))
            / len(b.stages[0].survivors)
            for a, b in zip(found, exact, strict=True)
        ]
        ranked = sum(len(stage.items) for r in found for stage in r.stages[1:])
        labels = [query.labels for query in workload.queries]
        gains = [
            ndcg(known[r.items], known)
            for r, known in zip(found, labels, strict=True)
            if known is not None
        ]
        rows.append(
            {
                "policy": policy,
                "sub_batches": parts,
                "bins": width if policy == "binned" else None,
                "first_recall": float(np.mean(first)),
                "recall": float(
                    np.mean([_recall(a, b) for a, b in zip(found, exact, strict=True)])
                ),
                "ndcg": float(np.mean(gains)) if gains else None,
                "ranked": ranked / least if least else None,
            }
        )
    return rows


def _sorted(scores: NDArray[Any], parts: int, random: np.random.Generator) -> NDArray[np.intp]:
    return np.argsort(-scores.astype(np.int64), kind="stable")


def _rising(scores: NDArray[Any], parts: int, random: np.random.Generator) -> NDArray[np.intp]:
    return _sorted(scores, parts, random)[::-1]


def _drifting(scores: NDArray[Any], parts: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Better and better on the whole, as from a candidate generator that tires in reverse."""
    place = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return np.argsort(place + random.normal(0, len(scores) / 4, len(scores)))


def _rising_parts(
    scores: NDArray[Any], parts: int, random: np.random.Generator
) -> NDArray[np.intp]:
    """Every sub-batch is better than the one before."""
    worst = np.argsort(scores, kind="stable")
    place = np.concatenate([np.arange(part, len(scores), parts) for part in range(parts)])
    order = np.empty(len(scores), np.intp)
    order[place] = worst
    return order


def _late_best(scores: NDArray[Any], parts: int, random: np.random.Generator) -> NDArray[np.intp]:
    """The last sub-batch holds the best items; nothing before it tells."""
    worst = np.argsort(scores, kind="stable")
    last = np.arange(parts - 1, len(scores), parts)
    rest = np.setdiff1d(np.arange(len(scores)), last)
    order = np.empty(len(scores), np.intp)
    order[last] = worst[len(rest) :]
    order[rest] = random.permutation(worst[: len(rest)])
    return order


def _as_given(scores: NDArray[Any], parts: int, random: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(len(scores))


ORDERS: dict[str, Callable[[NDArray[Any], int, np.random.Generator], NDArray[np.intp]]] = {
    "as given": _as_given,
    "best first": _sorted,
    "best last": _rising,
    "drifting": _drifting,
    "rising by sub-batch": _rising_parts,
    "best in the last one": _late_best,
}


def order_rows(
    workload: Workload, scores: Sequence[Scores], sub_batches: Sequence[int]
) -> list[dict[str, Any]]:
    """Policy ``exact``: what is ranked in vain, and what only the last selection passes on.

    ``wasted`` and ``late`` are shares of the first stage's survivors. No order can waste more than
    k items (``limit``): no more are forwarded before the last selection.
    """
    spec = workload.pipeline
    keep = [stage.keep for stage in spec.stages]
    random = np.random.default_rng(1)
    rows = []
    for name, order in ORDERS.items():
        for parts in sub_batches:
            rules = bench_rules(spec, "exact", parts)
            wasted, late = [], []
            for each in scores:
                places = order(each[0], parts, random)
                first = run_scores([s[places] for s in each], keep, rules=rules).stages[0]
                wasted.append(len(first.dropped) / keep[0])
                late.append(len(first.forwarded[-1]) / keep[0])
            rows.append(
                {
                    "order": name,
                    "sub_batches": parts,
                    "wasted": float(np.mean(wasted)),
                    "most_wasted": float(np.max(wasted)),
                    "limit": 1.0,
                    "late": float(np.mean(late)),
                }
            )
    return rows
