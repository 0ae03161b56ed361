"""`rpaccel profile`: how often each id occurs, which decides what the caches should hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError
from driver.files import read_model
from golden.files import ModelFileError, read_archive, write_archive

from .lines import BadLines
from .source import DataOptions, stream_ids

__all__ = ["cache_hits", "load_profile", "profile"]

KIND = "profile"
CACHE_BYTES = (8 << 10, 64 << 10, 1 << 20, 12 << 20)
"""On-chip embedding bytes of the presets."""
Counts = list[NDArray[np.int64]]


def profile(
    model: Path,
    *,
    data: DataOptions,
    out: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Count the ids of a model's features in the training part, and what that predicts.

    Parameters
    ----------
    model
        Model file: its features, rows and vector width.
    data
        The training part is counted; hit rates are measured on the evaluation part.
    out
        File of the histograms to write.

    Returns
    -------
    What `--json` writes: `items`, `features` (a list of `name`, `rows`, `seen`, `hottest`: share of
    the most frequent id, `top_1_percent`: share of the most frequent 1 % of the rows), `caches` (a
    list of `bytes`, `rows`, `hit_rate`), `malformed`; and `text` for people.

    Raises
    ------
    UserError
        A bad model file or bad data, an unwritable file.
    """
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise UserError(f"cannot write {out}")
    shape, names = (found := read_model(model)).shape, found.features
    bad = BadLines()

    def count(evaluation: bool) -> tuple[Counts, int]:
        progress(f"counting the {'evaluation' if evaluation else 'training'} part")
        chunks = stream_ids(data, evaluation=evaluation, rows=shape.rows, features=names, bad=bad)
        return _count(chunks, shape.rows)

    training, items = count(False)
    evaluation, _ = count(True)
    if out is not None:
        save_profile(out, training, names, items)
    facts = {
        "items": items,
        "features": [_feature(*pair) for pair in zip(names, training, strict=True)],
        "caches": [
            {
                "bytes": size,
                "rows": size // shape.width,
                "hit_rate": cache_hits(training, evaluation, size // shape.width),
            }
            for size in CACHE_BYTES
        ],
        "malformed": bad.count,
    }
    return facts | {"text": _text(facts, bad)}


def _count(chunks: Iterator[NDArray[np.uint32]], rows: tuple[int, ...]) -> tuple[Counts, int]:
    counts: Counts = [np.zeros(count, np.int64) for count in rows]
    items = 0
    for ids in chunks:
        items += len(ids)
        for feature, column in enumerate(ids.T):
            seen, times = np.unique(column, return_counts=True)
            counts[feature][seen] += times
    return counts, items


def cache_hits(training: Counts, evaluation: Counts, rows: int) -> float:
    """Share of the evaluation's lookups that find their row among the hottest of the training.

    A bound for a cache of so many rows: no set is ever full, no place lost.
    """
    hot = np.concatenate(training)
    asked = np.concatenate(evaluation)
    total = int(asked.sum())
    chosen = np.argsort(-hot, kind="stable")[:rows]
    chosen = chosen[hot[chosen] > 0]
    return float(asked[chosen].sum() / total) if total else 0.0


def _feature(name: str, counts: NDArray[np.int64]) -> dict[str, Any]:
    total = max(1, int(counts.sum()))
    ordered = np.sort(counts)[::-1]
    return {
        "name": name,
        "rows": len(counts),
        "seen": int(np.count_nonzero(counts)),
        "hottest": float(ordered[0] / total),
        "top_1_percent": float(ordered[: -(-len(counts) // 100)].sum() / total),
    }


def _text(facts: dict[str, Any], bad: BadLines) -> str:
    lines = [
        f"{facts['items']} items",
        f"{'feature':<12} {'rows':>10} {'seen':>10} {'hottest id':>11} {'top 1 % of rows':>16}",
    ]
    for row in facts["features"]:
        lines.append(
            f"{row['name']:<12} {row['rows']:>10} {row['seen']:>10} {row['hottest']:>11.1%} "
            f"{row['top_1_percent']:>16.1%}"
        )
    lines.append("hottest rows on chip, lookups of the evaluation part that find theirs there:")
    for row in facts["caches"]:
        size, rows = f"{row['bytes'] >> 10} KB", f"{row['rows']} rows"
        lines.append(f"{size:>12} {rows:>14} {row['hit_rate']:>8.1%}")
    return "\n".join([*lines, bad.text] if bad.text else lines)


def save_profile(
    path: str | os.PathLike[str], counts: Counts, names: tuple[str, ...], items: int
) -> None:
    """Write histograms; raises UserError when the file cannot be written."""
    arrays = {f"counts.{feature}": values for feature, values in enumerate(counts)}
    try:
        write_archive(path, KIND, {"features": list(names), "items": items}, arrays)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def load_profile(path: str | os.PathLike[str], rows: tuple[int, ...]) -> Counts:
    """Read histograms of tables with these rows, as the cache plan takes them.

    Raises
    ------
    UserError
        Missing, damaged or foreign file, or of other tables.
    """
    try:
        header, arrays = read_archive(path, KIND)
        counts = [arrays[f"counts.{f}"] for f in range(len(header["features"]))]
    except ModelFileError as error:
        raise UserError(str(error)) from None
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: damaged profile ({error})") from None
    if tuple(len(values) for values in counts) != rows:
        raise UserError(f"{path}: its tables are not the model's")
    if any(v.dtype != np.int64 or v.ndim != 1 or v.min(initial=0) < 0 for v in counts):
        raise UserError(f"{path}: damaged profile")
    return counts
