"""The shipped demo data and models are what their description says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from examples.demo.evaluate import (
    CALIBRATION_FILE,
    FOLDER,
    PIPELINES,
    QUERIES_FILE,
    Stream,
    model_file,
    pipeline_ndcg,
    popularity_scores,
    query_ndcg,
)
from examples.demo.generate import PARAMETERS, Teacher, table_rows
from golden.dataset import Dataset, load_dataset
from golden.model import named_shape
from golden.model_files import load_model

DEMO_2 = "RMsmall 512 -> RMlarge 64"


@cache
def queries() -> Dataset:
    return load_dataset(FOLDER / QUERIES_FILE)


@cache
def quality(name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """NDCG of each query, float and int8; of the first queries only for a single large stage."""
    models, keep = PIPELINES[name]
    data = queries() if name == DEMO_2 else first_queries(40)
    return pipeline_ndcg(models, keep, data, load_dataset(FOLDER / CALIBRATION_FILE))


def first_queries(count: int) -> Dataset:
    items = count * queries().query_items
    return Dataset(
        counts=queries().counts[:items],
        ids=queries().ids[:items],
        labels=queries().labels[:items],
        query_items=queries().query_items,
    )


def test_files_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.glob("*.npz")) < 5_000_000


@pytest.mark.parametrize("name", ["RMsmall", "RMmed", "RMlarge"])
def test_models_have_the_reference_shapes(name: str) -> None:
    assert load_model(FOLDER / model_file(name)).shape == named_shape(name, rows=table_rows())


def test_shipped_queries_are_the_generator_s() -> None:
    items = len(queries()) * PARAMETERS.query_items
    assert len(queries()) == 128 and queries().query_items == 512
    fresh, probability = Teacher().items(items, stream=Stream.CALIBRATION)
    assert fresh.counts.shape == queries().counts.shape
    assert abs(fresh.labels.mean() - queries().labels.mean()) < 0.02
    assert abs(probability.mean() - fresh.labels.mean()) < 0.02
    # Another stream, so other items.
    assert not np.array_equal(fresh.ids[:100], queries().ids[:100])


def test_generator_is_reproducible() -> None:
    one, p = Teacher().items(500, stream=Stream.VALIDATION)
    two, q = Teacher().items(500, stream=Stream.VALIDATION)
    assert np.array_equal(one.ids, two.ids) and np.array_equal(one.counts, two.counts)
    assert np.array_equal(one.labels, two.labels) and np.array_equal(p, q)


def test_int8_is_within_half_a_point_of_float() -> None:
    as_float, as_int8 = quality(DEMO_2)
    assert abs(as_int8.mean() - as_float.mean()) < 0.005


def test_larger_model_ranks_better() -> None:
    """By more than two standard errors over queries, in integers."""
    gain = quality("RMlarge")[1] - quality("RMsmall")[1]
    assert gain.mean() > 2 * gain.std(ddof=1) / np.sqrt(len(gain)) > 0


def test_every_model_beats_popularity_and_random_order() -> None:
    train, _ = Teacher().items(100_000, stream=Stream.TRAIN)
    popularity = query_ndcg(popularity_scores(train, queries()), queries()).mean()
    random = query_ndcg(np.random.default_rng(0).random(len(queries().labels)), queries()).mean()
    for name in ("RMsmall", "RMlarge", DEMO_2):
        assert quality(name)[1].mean() > max(popularity, random) + 0.2
