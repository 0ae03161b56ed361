"""Figures of a run that need no device: work, padding bound, quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from golden.pipeline import run_float
from golden.quality import ndcg

from .maps import EngineMap
from .workload import Workload

__all__ = ["macs", "quality", "utilization_bound"]


def macs(workload: Workload) -> int:
    """Unpadded MLP MACs of all queries."""
    stages = zip(workload.pipeline.stages, workload.quantised, strict=True)
    return len(workload.queries) * sum(stage.items * model.shape.macs for stage, model in stages)


def utilization_bound(workload: Workload, maps: dict[int, EngineMap]) -> float:
    """Share of MACs that tile padding leaves, each stage on the engine that pads it least."""
    useful = padded = 0
    stages = zip(workload.pipeline.stages, workload.quantised, strict=True)
    for number, (stage, model) in enumerate(stages):
        useful += stage.items * model.shape.macs
        padded += stage.items * min(
            (m.stages[number].bottom.tiles + m.stages[number].top.tiles) * m.edge**2
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
        exact = run_float(workload.models, keep, query.dense_float, query.ids)
        mine.append(ndcg(query.labels[items], query.labels))
        reference.append(ndcg(query.labels[exact.items], query.labels))
    return {
        "ndcg_at_k": float(np.mean(mine)),
        "ndcg_at_k_float": float(np.mean(reference)),
        "k": keep[-1],
    }
