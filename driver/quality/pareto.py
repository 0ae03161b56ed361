"""Quality against work: all funnels of some models on one data set, scored once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import integer_model
from golden.dataset import Dataset
from golden.model import Model
from golden.pipeline import run_scores
from golden.quality import ndcg
from golden.quantise import choose_dense_scale, quantise, quantise_dense

__all__ = ["Funnel", "pareto", "pareto_text"]

CALIBRATION_ITEMS = 4096
MOST_STAGES = 3


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """One funnel and what it gives."""

    models: tuple[str, ...]
    items: tuple[int, ...]
    """Items that each stage ranks."""
    ndcg: float
    """Mean over queries of NDCG at the number of items returned, from int8 scores."""
    macs: int
    """MLP MACs of a query."""
    embedding_bytes: int
    """Bytes of int8 rows that a query looks up."""
    best: bool = False
    """No other funnel is at least as good with fewer MACs."""


def pareto(
    models: Sequence[Model],
    data: Dataset,
    calibration: Dataset,
    *,
    returned: int,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Funnel]:
    """Every funnel of 1 to 3 stages, smaller models first, halves and eighths of the items between.

    Parameters
    ----------
    models
        From the smallest to the largest.
    data
        Held-out queries.
    calibration
        Items that number ranges come from.
    returned
        Items of a result.
    """
    scale = choose_dense_scale(calibration.dense)
    part = slice(0, CALIBRATION_ITEMS)
    scores: list[list[NDArray[Any]]] = []
    for model in models:
        progress(f"{model.shape.name}: scores of all items")
        quantised = quantise(model, calibration.inputs(part), calibration.ids[part],
                             dense_scale=scale)  # fmt: skip
        scores.append(
            [
                integer_model.forward(quantised, quantise_dense(q.dense, scale), q.ids)["score"]
                for q in data
            ]
        )
    labels = [query.labels for query in data]
    funnels = []
    for chosen, items in _funnels(len(models), data.query_items, returned):
        keep = [*items[1:], returned]
        quality = [
            ndcg(label[run_scores([scores[m][q] for m in chosen], keep).items], label)
            for q, label in enumerate(labels)
        ]
        shapes = [models[m].shape for m in chosen]
        work = list(zip(shapes, items, strict=True))
        funnels.append(
            Funnel(
                models=tuple(shape.name for shape in shapes),
                items=items,
                ndcg=float(np.mean(quality)),
                macs=sum(shape.macs * count for shape, count in work),
                embedding_bytes=sum(
                    shape.width * shape.sparse_features * count for shape, count in work
                ),
            )
        )
    return _marked(funnels)


def _funnels(
    models: int, items: int, returned: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Models and items of each stage."""
    for stages in range(1, min(models, MOST_STAGES) + 1):
        for chosen in combinations(range(models), stages):
            for shrink in _shrinks(stages - 1):
                counts = [items]
                for factor in shrink:
                    counts.append(counts[-1] // factor)
                if counts[-1] >= returned:
                    yield chosen, tuple(counts)


def _shrinks(steps: int) -> list[tuple[int, ...]]:
    factors = (2, 4, 8, 16)
    if steps == 0:
        return [()]
    return [(factor, *rest) for factor in factors for rest in _shrinks(steps - 1)]


def _marked(funnels: list[Funnel]) -> list[Funnel]:
    """Sorted by MACs, the frontier marked."""
    ordered = sorted(funnels, key=lambda f: (f.macs, -f.ndcg))
    result, top = [], -1.0
    for funnel in ordered:
        result.append(replace(funnel, best=funnel.ndcg > top))
        top = max(top, funnel.ndcg)
    return result


def pareto_text(funnels: Sequence[Funnel], *, returned: int) -> str:
    """The frontier as a table."""
    lines = [f"{'stages':<52} {f'NDCG@{returned}':>8} {'MACs/query':>14} {'row bytes':>12}"]
    for funnel in funnels:
        if funnel.best:
            pairs = zip(funnel.models, funnel.items, strict=True)
            stages = " -> ".join(f"{model} {count}" for model, count in pairs)
            lines.append(
                f"{stages:<52} {funnel.ndcg:>8.4f} {funnel.macs:>14} {funnel.embedding_bytes:>12}"
            )
    lines.append(f"{len(funnels)} funnels; those that no other beats with fewer MACs are listed")
    return "\n".join(lines)


def as_json(funnels: Sequence[Funnel]) -> list[dict[str, Any]]:
    """For `--json`."""
    return [asdict(funnel) for funnel in funnels]
