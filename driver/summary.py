"""Figures of a run that need no device: work, padding bound, quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID
from golden.pipeline import QueryResult, run_float
from golden.quality import ndcg
from golden.shape import layer_macs

from .maps import EngineMap
from .result_plan import ResultPlan
from .workload import Workload

__all__ = [
    "macs",
    "quality",
    "ranked_items",
    "speculative_items",
    "speculative_lookups",
    "stage_items",
    "utilization_bound",
]


def ranked_items(result: QueryResult) -> list[int]:
    """Items that each stage ranks, without those that the stage before dropped again."""
    dropped = [0, *(len(stage.dropped) for stage in result.stages)]
    return [len(s.items) - out for s, out in zip(result.stages, dropped, strict=False)]


def speculative_items(results: Sequence[QueryResult]) -> list[int]:
    """Items that each stage ranked in vain, of all queries."""
    counts = [[0, *(len(s.dropped) for s in result.stages[:-1])] for result in results]
    return [sum(stage) for stage in zip(*counts, strict=True)]


def speculative_lookups(workload: Workload, results: Sequence[QueryResult]) -> int:
    """Lookups of these items."""
    looked_up = [place for _, place in workload.quantised[0].shape.table_places]
    return sum(
        int((query.ids[stage.dropped][:, looked_up] != EMPTY_ID).sum())
        for query, result in zip(workload.queries, results, strict=True)
        for stage in result.stages[:-1]
    )


def stage_items(workload: Workload, results: Sequence[QueryResult]) -> list[dict[str, Any]]:
    """Stages of the first query, and the items ranked in vain of all queries."""
    into = ranked_items(results[0])
    out = [len(stage.survivors) for stage in results[0].stages]
    return [
        {"name": stage.model, "items_in": a, "items_out": b, "speculative_items": c}
        for stage, a, b, c in zip(
            workload.pipeline.stages, into, out, speculative_items(results), strict=True
        )
    ]


def macs(workload: Workload, results: Sequence[QueryResult], held: ResultPlan | None = None) -> int:
    """Unpadded MLP MACs of all queries; items that were dropped again do not count, nor decoders
    of vectors that are ``held``, nor the sums of bags."""
    total = sum(
        items * (model.shape.macs - model.shape.decoder_macs)
        for result in results
        for items, model in zip(ranked_items(result), workload.quantised, strict=True)
    )
    return total + _decoder_macs(workload, results, held)


def _decoder_macs(
    workload: Workload, results: Sequence[QueryResult], held: ResultPlan | None
) -> int:
    """MACs of the decoders that ran for an id."""
    total = 0
    for query, result in zip(workload.queries, results, strict=True):
        dropped: NDArray[Any] = np.zeros(0, np.int64)
        for program, (stage, model) in enumerate(
            zip(result.stages, workload.quantised, strict=True)
        ):
            shape = model.shape
            items = np.setdiff1d(stage.items, dropped)
            dropped = stage.dropped
            if not shape.dhe_features:
                continue
            ids = query.ids[items]
            hits: NDArray[Any] = np.zeros(len(shape.dhe_features), np.int64)
            if held is not None:
                hits = held.hits(program, shape, ids).sum(axis=0)
            for feature, held_ids in zip(shape.dhe_features, hits, strict=True):
                first, size = shape.place_of(feature), shape.bags[feature]
                places = ids[:, first : first + size]
                there = len(ids) if size == 1 else int((places != EMPTY_ID).sum())
                total += (there - int(held_ids)) * layer_macs(shape.decoders[feature])
    return total


def utilization_bound(workload: Workload, maps: dict[int, EngineMap]) -> float:
    """Share of MACs that tile padding leaves, each stage on the engine that pads it least."""
    useful = padded = 0
    stages = zip(workload.pipeline.stages, workload.quantised, strict=True)
    for number, (stage, model) in enumerate(stages):
        shape = model.shape
        bags = sum((shape.bags[f] - 1) * layer_macs(shape.decoders[f]) for f in shape.dhe_features)
        useful += stage.items * (shape.macs + bags)
        padded += stage.items * min(
            sum(phase.tiles for phase in m.stages[number].phases) * m.edge**2
            for m in maps.values()
            if number in m.stages
        )
    return useful / padded


def quality(workload: Workload, results: Sequence[Any]) -> dict[str, Any] | None:
    """NDCG of the returned items and of the float models; None without labels.

    Parameters
    ----------
    results
        Item indices of each query, best first.
    """
    keep = [stage.keep for stage in workload.pipeline.stages]
    mine, reference = [], []
    for query, items in zip(workload.queries, results, strict=True):
        if query.labels is None:
            return None
        exact = run_float(workload.models, keep, query.dense_float, query.inputs)
        mine.append(ndcg(query.labels[items], query.labels))
        reference.append(ndcg(query.labels[exact.items], query.labels))
    return {
        "ndcg_at_k": float(np.mean(mine)),
        "ndcg_at_k_float": float(np.mean(reference)),
        "k": keep[-1],
    }
