"""Static cache: what is chosen, where it stands, what hits."""

from __future__ import annotations

import numpy as np
import pytest

from golden.cache import CachedTable, StaticCache, choose_contents

TABLES = [
    CachedTable(table=0, lane=0, set_base=0, log2_sets=2, seed=1),
    CachedTable(table=1, lane=0, set_base=0, log2_sets=2, seed=2),  # shares its region with 0
    CachedTable(table=64, lane=1, set_base=4, log2_sets=1, seed=0x9E35),
]
WAYS = 2


def histograms() -> dict[int, np.ndarray]:
    random = np.random.default_rng(1)
    return {0: random.integers(0, 20, 30), 1: random.integers(0, 20, 9), 64: np.arange(50)}


def test_sets_are_where_the_device_looks() -> None:
    ids = np.array([0, 1, 5, 7], np.uint32)
    assert TABLES[0].sets_of(ids).tolist() == [1, 0, 0, 2]
    assert TABLES[2].sets_of(ids).tolist() == [5, 4, 4, 4]


def test_each_set_holds_its_hottest_rows() -> None:
    counts = histograms()
    contents = choose_contents(TABLES, ways=WAYS, histograms=counts)
    for lane, index in {(lane, index) for lane, index, _ in contents}:
        held = [contents[p] for p in contents if p[:2] == (lane, index)]
        rivals = [
            (-int(count), table.table, row)
            for table in TABLES
            for row, count in enumerate(counts[table.table])
            if count > 0 and (table.lane, int(table.sets_of(np.array([row]))[0])) == (lane, index)
        ]
        assert sorted(held) == sorted((t, r) for _, t, r in sorted(rivals)[:WAYS])


def test_hits_follow_from_contents() -> None:
    contents = choose_contents(TABLES, ways=WAYS, histograms=histograms())
    cache = StaticCache(TABLES, ways=WAYS, contents=contents)
    held = set(contents.values())
    for table, rows in ((0, 30), (1, 9), (64, 50)):
        ids = np.arange(rows, dtype=np.uint32)
        assert cache.hits(table, ids).tolist() == [(table, i) in held for i in range(rows)]
    ids = np.array([[0, 49], [1, 48], [2, 0]], np.uint32)
    hits, misses = cache.count([0, 64], ids)
    assert hits + misses == 6
    assert hits == sum((0, i) in held for i in ids[:, 0].tolist()) + sum(
        (64, i) in held for i in ids[:, 1].tolist()
    )
    assert not cache.hits(7, np.arange(5)).any()


def test_rows_never_looked_up_stay_out() -> None:
    none = {0: np.zeros(30, int), 1: np.zeros(9, int), 64: np.eye(1, 50, 13, dtype=int)[0]}
    assert choose_contents(TABLES, ways=WAYS, histograms=none) == {(1, 4, 0): (64, 13)}
    assert choose_contents([], ways=WAYS, histograms={}) == {}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({(0, 0, 0): (0, 0)}, "table 0 id 0 belongs to lane 0 set 1"),
        ({(1, 1, 0): (0, 0)}, "belongs to lane 0"),
        ({(0, 1, 2): (0, 0)}, "ways 0..1"),
        ({(0, 1, 0): (9, 0)}, "table 9 of way .* is not served"),
        ({(0, 1, 0): (0, 0), (0, 1, 1): (0, 0)}, "held twice"),
    ],
)
def test_rows_in_the_wrong_place_are_rejected(
    contents: dict[tuple[int, int, int], tuple[int, int]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        StaticCache(TABLES, ways=WAYS, contents=contents)
