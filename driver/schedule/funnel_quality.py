"""Quality of funnels on the shipped held-out items, from int8 scores made once and kept on disk."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden import integer_model
from golden.pipeline import run_scores
from golden.quality import ndcg, ndcg_all_positive
from golden.quantise import choose_dense_scale, quantise, quantise_dense
from sim.build import cache_folder

from ..errors import UserError
from ..files import read_dataset, read_model

__all__ = ["Funnel", "ShippedItems", "funnel_qualities", "shipped_items"]

Funnel = tuple[tuple[str, int], ...]
_DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
_CALIBRATION_ITEMS = 4096
_WINDOWS = 64
"""Queries that are cut from the shipped items; windows overlap when there are too few."""


class ShippedItems:
    """Labels of all shipped held-out items, and the shipped models' scores of them."""

    def __init__(self, labels: NDArray[np.uint8], scores: dict[str, NDArray[np.int64]]) -> None:
        self.labels = labels
        self.scores = scores

    def starts(self, items: int) -> list[int]:
        """First items of the queries of ``items``; UserError when there are not as many."""
        count = len(self.labels)
        if items > count:
            raise UserError(f"the shipped data has {count} held-out items, a query needs {items}")
        step = max(1, (count - items) // (_WINDOWS - 1))
        return list(range(0, count - items + 1, step))[:_WINDOWS]

    def quality(self, funnel: Funnel, returned: int, *, all_positive: bool = False) -> float:
        """Mean NDCG at ``returned`` over queries of consecutive items.

        Parameters
        ----------
        all_positive
            With RecPipe's ideal: as many positive items as are returned.
        """
        keep = [*(items for _, items in funnel[1:]), returned]
        found = []
        for start in self.starts(funnel[0][1]):
            part = slice(start, start + funnel[0][1])
            labels = self.labels[part]
            items = run_scores([self.scores[model][part] for model, _ in funnel], keep).items
            found.append(
                ndcg_all_positive(labels[items]) if all_positive else ndcg(labels[items], labels)
            )
        return float(np.mean(found))


@lru_cache(maxsize=1)
def shipped_items(progress: Callable[[str], None] | None = None) -> ShippedItems:
    """Scores of every shipped model for every shipped held-out item."""
    data = read_dataset(_DEMO / "queries.npz")
    scores: dict[str, NDArray[np.int64]] = {}
    for name in ("RMsmall", "RMmed", "RMlarge"):
        file = _DEMO / f"{name.lower()}.npz"
        scores[name] = _stored(file, lambda file=file: _score(file, data))  # type: ignore[misc]
        if progress is not None:
            progress(f"{name}: scores of {len(data.labels)} held-out items")
    return ShippedItems(data.labels, scores)


def _score(file: Path, data: Any) -> NDArray[np.int64]:
    calibration = read_dataset(_DEMO / "calibration.npz")
    scale = choose_dense_scale(calibration.dense)
    part = slice(0, _CALIBRATION_ITEMS)
    model = quantise(
        read_model(file), calibration.inputs(part), calibration.ids[part], dense_scale=scale
    )
    return np.concatenate(
        [
            integer_model.forward(model, quantise_dense(query.dense, scale), query.ids)["score"]
            for query in data
        ]
    ).astype(np.int64)


def _stored(file: Path, make: Callable[[], NDArray[np.int64]]) -> NDArray[np.int64]:
    key = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for path in [file, _DEMO / "queries.npz", _DEMO / "calibration.npz",
                 *sorted((root / "golden").glob("*.py"))]:  # fmt: skip
        key.update(path.read_bytes())
    stored = cache_folder() / "scores" / f"{file.stem}-{key.hexdigest()[:20]}.npy"
    try:
        return np.asarray(np.load(stored))
    except (OSError, ValueError):
        pass
    scores = make()
    stored.parent.mkdir(parents=True, exist_ok=True)
    part = stored.with_suffix(f".{os.getpid()}.part")
    content = io.BytesIO()
    np.save(content, scores)
    part.write_bytes(content.getvalue())
    part.replace(stored)
    return scores


def funnel_qualities(
    funnels: Iterable[Funnel], returned: int, progress: Callable[[str], None] | None = None
) -> dict[str, float]:
    """Quality by funnel, named as `Mapping.funnel` does.

    Raises
    ------
    UserError
        A model that is not shipped, a query longer than the shipped data.
    """
    funnels = list(funnels)
    known: Sequence[str] = ("RMsmall", "RMmed", "RMlarge")
    for funnel in funnels:
        for model, _ in funnel:
            if model not in known:
                raise UserError(
                    f"{model} has no shipped weights, so its quality is not known; "
                    f"shipped: {', '.join(known)}"
                )
    items = shipped_items(progress)
    return {
        f"{'>'.join(f'{m}:{n}' for m, n in funnel)}>{returned}": items.quality(funnel, returned)
        for funnel in funnels
    }
