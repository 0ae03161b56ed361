"""Quality of the shipped models on held-out queries, in float and in integers. NumPy only.

python -m examples.demo.evaluate              all 200 held-out queries, from the generator
python -m examples.demo.evaluate --shipped    the 128 of them that are shipped
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from examples.demo.generate import ITEM_TABLE, PARAMETERS, Teacher
from golden import float_model
from golden.dataset import Dataset, load_dataset
from golden.model import Model
from golden.model_files import load_model
from golden.pipeline import run_float, run_integer
from golden.quality import ndcg
from golden.quantise import choose_dense_scale, quantise, quantise_dense

__all__ = [
    "CALIBRATION_FILE",
    "FOLDER",
    "HELD_OUT_QUERIES",
    "PIPELINES",
    "QUERIES_FILE",
    "Stream",
    "model_file",
    "pipeline_ndcg",
    "popularity_scores",
    "query_ndcg",
    "score_all",
]

FOLDER = Path(__file__).parent
QUERIES_FILE = "queries.npz"
CALIBRATION_FILE = "calibration.npz"
HELD_OUT_QUERIES = 200
TOP = 16
PIPELINES: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {
    "RMsmall": (("RMsmall",), (16,)),
    "RMmed": (("RMmed",), (16,)),
    "RMlarge": (("RMlarge",), (16,)),
    "RMsmall 512 -> RMlarge 64": (("RMsmall", "RMlarge"), (64, 16)),
    "RMsmall 512 -> RMmed 128 -> RMlarge 64": (("RMsmall", "RMmed", "RMlarge"), (128, 64, 16)),
}
"""Stages and the items each one keeps."""


class Stream(IntEnum):
    """Independent streams of the generator."""

    TRAIN = 0
    HELD_OUT = 1
    CALIBRATION = 2
    VALIDATION = 3


def model_file(name: str) -> str:
    """Name of a shipped model's file."""
    return f"{name.lower()}.npz"


def query_ndcg(scores: NDArray[Any], data: Dataset) -> NDArray[np.float64]:
    """NDCG@16 of each query, items ranked by one score each."""
    shape = (len(data), data.query_items)
    count = shape[0] * shape[1]
    labels = data.labels[:count].reshape(shape)
    order = np.argsort(-scores[:count].reshape(shape), axis=1, kind="stable")[:, :TOP]
    returned = np.take_along_axis(labels, order, axis=1)
    return np.array([ndcg(best, all_) for best, all_ in zip(returned, labels, strict=True)])


def score_all(model: Model, data: Dataset) -> NDArray[np.float32]:
    """Float score of every item of the whole queries."""
    scores = [float_model.forward(model, query.dense, query.ids)["score"] for query in data]
    return np.concatenate(scores)


def popularity_scores(train: Dataset, data: Dataset) -> NDArray[np.float64]:
    """Clicks on the item's id in the training data."""
    clicked = train.ids[train.labels > 0, ITEM_TABLE]
    rows = int(max(train.ids[:, ITEM_TABLE].max(), data.ids[:, ITEM_TABLE].max())) + 1
    return np.bincount(clicked, minlength=rows)[data.ids[:, ITEM_TABLE]].astype(np.float64)


def pipeline_ndcg(
    names: Sequence[str], keep: Sequence[int], data: Dataset, calibration: Dataset
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NDCG@16 of each query through a pipeline of shipped models: (float, int8)."""
    models = [load_model(FOLDER / model_file(name)) for name in names]
    scale = choose_dense_scale(calibration.dense)
    dense, ids = calibration.dense, calibration.ids
    quantised = [quantise(model, dense, ids, dense_scale=scale) for model in models]
    values = []
    for query in data:
        best = (
            run_float(models, keep, query.dense, query.ids).items,
            run_integer(quantised, keep, quantise_dense(query.dense, scale), query.ids).items,
        )
        values.append([ndcg(query.labels[items], query.labels) for items in best])
    as_float, as_int8 = np.array(values).T
    return as_float, as_int8


def main() -> None:
    parser = argparse.ArgumentParser(description="Quality of the shipped models")
    parser.add_argument("--shipped", action="store_true", help="only the shipped queries")
    shipped = parser.parse_args().shipped
    calibration = load_dataset(FOLDER / CALIBRATION_FILE)
    teacher = Teacher()
    count = HELD_OUT_QUERIES * PARAMETERS.query_items
    data, _ = teacher.items(count, stream=Stream.HELD_OUT)
    if shipped:
        data = load_dataset(FOLDER / QUERIES_FILE)
    train, _ = teacher.items(PARAMETERS.train_items, stream=Stream.TRAIN)
    random = np.random.default_rng(0).random(len(data.labels))
    print(f"NDCG@{TOP} over {len(data)} held-out queries of {data.query_items} items\n")
    print("| ranking | float | int8 | difference, mean ± standard error |")
    print("| --- | --- | --- | --- |")
    for name, (models, keep) in PIPELINES.items():
        as_float, as_int8 = pipeline_ndcg(models, keep, data, calibration)
        change = as_int8 - as_float
        error = change.std(ddof=1) / np.sqrt(len(change))
        print(
            f"| {name} | {as_float.mean():.4f} | {as_int8.mean():.4f} | "
            f"{change.mean():+.4f} ± {error:.4f} |",
            flush=True,
        )
    popularity = query_ndcg(popularity_scores(train, data), data).mean()
    print(f"| popularity of the item id | {popularity:.4f} | | |")
    print(f"| random order | {query_ndcg(random, data).mean():.4f} | | |")


if __name__ == "__main__":
    main()
