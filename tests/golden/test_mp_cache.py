"""MP-Cache: tier 1 changes no bit and removes the work it should; tier 2 fails as it should."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.dhe import float_code
from golden.embedding import valid_ids
from golden.encoders import random_encoder
from golden.integer_model import decoder_layers
from golden.model import random_model
from golden.mp_cache import fill_results, find_centroids, rows_left, vectors_with_results
from golden.quantise import quantise
from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape

ROWS = (2_500_000, 40, 300)


@pytest.fixture(scope="module")
def model() -> QuantisedModel:
    shape = ModelShape(
        name="m",
        width=8,
        bottom=(13, 8),
        top=(1,),
        rows=ROWS,
        interaction="cat",
        embeddings=(("table", 1), ("dhe", 0), ("dhe", 2)),
        decoders=((24, 16, 8), (), (24, 8)),
    )
    random = np.random.default_rng(1)
    dense = random.random((40, 13)).astype(np.float32)
    return quantise(random_model(shape, seed=2), dense, skewed(40, 3))


def skewed(items: int, seed: int) -> NDArray[np.uint32]:
    """Ids with a few hot ones, some of them equal modulo p = 1000003."""
    random = np.random.default_rng(seed)
    ids = (random.pareto(0.7, (items, 3)) * 4).astype(np.int64) % ROWS
    ids[:, 0] += 1_000_003 * random.integers(0, 2, items) * (ids[:, 0] < 1_400_000)
    result = ids.astype(np.uint32)
    assert valid_ids(result, ROWS).all()
    return result


def counts(ids: NDArray[np.uint32]) -> list[NDArray[np.int64]]:
    return [np.bincount(ids[:, f], minlength=n).astype(np.int64) for f, n in enumerate(ROWS)]


@pytest.mark.parametrize("residues", [False, True])
@pytest.mark.parametrize("entries", [0, 1, 50, 10_000])
def test_tier_1_changes_no_bit(model: QuantisedModel, entries: int, residues: bool) -> None:
    cache = fill_results(model, counts(skewed(3000, 5)), entries, residues=residues)
    assert cache.entries <= entries and not len(cache.keys[1])
    ids = skewed(500, 6)
    for f in (0, 2):
        got, hit = vectors_with_results(model, cache, f, ids[:, f])
        assert (got == decoder_layers(model, f, ids[:, f])[-1]).all()
        assert hit.any() == (entries > 0 and len(cache.keys[f]) > 0)
        assert entries < 10_000 or hit.mean() > 0.4


def test_residues_hit_more(model: QuantisedModel) -> None:
    ids = skewed(500, 6)[:, 0]
    hits = []
    for residues in (False, True):
        cache = fill_results(model, counts(skewed(3000, 5)), 60, residues=residues)
        hits.append(vectors_with_results(model, cache, 0, ids)[1].mean())
    assert hits[1] > hits[0] + 0.05


def test_what_saves_more_work_is_held(model: QuantisedModel) -> None:
    """Feature 0's decoder has 512 MACs, feature 2's 192."""
    seen = [np.zeros(n, np.int64) for n in ROWS]
    seen[0][[7, 8]] = [2, 1]
    seen[2][[3, 4]] = [5, 6]
    cache = fill_results(model, seen, 3)
    assert cache.keys[0].tolist() == [7] and cache.keys[2].tolist() == [3, 4]


def test_rows_left() -> None:
    hits = np.array([True, False, True, True, True, True, False, False], bool)
    assert rows_left(hits, 4, 1) == 1 + 2
    assert rows_left(hits, 4, 3) == 3 + 3
    assert rows_left(hits, 8, 3) == 3
    assert rows_left(np.ones(8, bool), 4, 3) == 0


@pytest.mark.parametrize("hit_rate", [0.25, 0.5, 0.75])
def test_tier_1_removes_the_cycles_of_its_hits(hit_rate: float) -> None:
    """At least 0.9 of the hit rate when misses of a block fill a tile: rows of 64, 12 a tile."""
    hits = np.random.default_rng(3).random(6400) < hit_rate
    removed = 1 - rows_left(hits, 64, 12) / rows_left(np.zeros(6400, bool), 64, 12)
    assert removed >= 0.9 * hits.mean()


def test_centroids_of_codes_explain_only_short_codes() -> None:
    """Codes are pseudo-random: what 64 centroids leave unexplained grows with k."""
    random = np.random.default_rng(4)
    left = []
    for k in (2, 32):
        code = float_code(random_encoder(k, seed=[1]), np.arange(2000, dtype=np.uint32))
        values = code.astype(np.float64)
        found = find_centroids(values, random.random(2000), 64)
        error = ((values - found.points[found.nearest(values)]) ** 2).sum()
        left.append(error / ((values - values.mean(axis=0)) ** 2).sum())
    assert left[0] < 0.05 and left[1] > 0.6


def test_nearest_is_the_least_distance() -> None:
    random = np.random.default_rng(4)
    values = random.normal(size=(50, 3))
    found = find_centroids(values, np.ones(50), 7)
    distance = ((values[:, None] - found.points) ** 2).sum(axis=2)
    assert (found.nearest(values) == distance.argmin(axis=1)).all()
    assert len(find_centroids(values, np.ones(50), 90).points) == 50
