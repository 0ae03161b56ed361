"""Hashed and counted vocabularies against plain counting."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from driver.data.vocabulary import (
    CountedVocabulary,
    HashedVocabulary,
    count_values,
    load_vocabulary,
    save_vocabulary,
)
from driver.errors import UserError
from golden.files import write_archive


def test_hashed() -> None:
    values = np.array([[0, 7], [10, 4_294_967_295]], np.uint32)
    vocabulary = HashedVocabulary((3, 10))
    assert vocabulary.ids(values).tolist() == [[0, 7], [1, 5]]


def test_counted_is_plain_counting() -> None:
    random = np.random.default_rng(1)
    values = random.zipf(1.3, (3000, 2)).clip(0, 1 << 31).astype(np.uint32) - 1
    vocabulary = count_values(np.array_split(values, 7), max_rows=50, least=2)
    for feature in range(2):
        counts = Counter(int(v) for v in values[:, feature] if v != 0)
        ranked = sorted((-c, v) for v, c in counts.items() if c >= 2)[:49]
        assert vocabulary.values[feature].tolist() == [v for _, v in ranked]
        place = {v: i + 1 for i, (_, v) in enumerate(ranked)}
        expected = [place.get(int(v), 0) for v in values[:, feature]]
        assert vocabulary.ids(values)[:, feature].tolist() == expected
    assert vocabulary.rows == tuple(len(v) + 1 for v in vocabulary.values)


def test_memory_is_bounded_and_frequent_values_stay() -> None:
    rare = np.arange(100, 40_100, dtype=np.uint32)
    frequent = np.tile(np.arange(1, 10, dtype=np.uint32), 10)
    chunks = [np.concatenate([part, frequent])[:, None] for part in np.array_split(rare, 40)]
    vocabulary = count_values(chunks, max_rows=10)
    assert sorted(vocabulary.values[0].tolist()) == list(range(1, 10))


def test_file(tmp_path: Path) -> None:
    vocabulary = CountedVocabulary((np.array([5, 3], np.uint32), np.zeros(0, np.uint32)))
    path = tmp_path / "v.npz"
    save_vocabulary(path, vocabulary)
    again = load_vocabulary(path, ["a", "b"])
    assert [v.tolist() for v in again.values] == [[5, 3], []]
    assert again.ids(np.array([[3, 3], [9, 0]], np.uint32)).tolist() == [[2, 0], [0, 0]]
    with pytest.raises(UserError, match="2 features, the model has 1"):
        load_vocabulary(path, ["a"])
    with pytest.raises(UserError, match="no such file"):
        load_vocabulary(tmp_path / "none.npz", ["a"])
    write_archive(path, "vocabulary", {"features": 1}, {"values.0": np.array([1, 1], np.uint32)})
    with pytest.raises(UserError, match="damaged vocabulary"):
        load_vocabulary(path, ["a"])


def test_bad_input() -> None:
    with pytest.raises(UserError, match="max_rows must be at least 2, not 1"):
        count_values([], max_rows=1)
    with pytest.raises(UserError, match="no values"):
        count_values([], max_rows=9)
