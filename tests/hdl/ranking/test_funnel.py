"""The funnel against the golden model: any policy, any order of scores, several queries at once."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from hdl.config import preset
from tests.hdl.ranking.funnel_bench import FunnelBench, Query, expected

LOW, HIGH = -32768, 32767
WIDE = replace(preset("tiny"), name="wide", filter_lanes=4, filter_survivors=2, rows=4)
CONFIGS = {"tiny": preset("tiny"), "wide": WIDE}
SHAPES = (
    "random", "few values", "constant", "sorted", "reversed", "extreme", "one high byte",
    "rising by sub-batch", "falling by sub-batch", "late surprise",
)  # fmt: skip


@cache
def bench(name: str) -> FunnelBench:
    """Building one takes longer than most runs: all tests share them."""
    return FunnelBench(CONFIGS[name])


def shaped(shape: str, n: int, parts: int, rng: np.random.Generator) -> np.ndarray:
    """A score for each item."""
    spread = rng.integers(LOW, HIGH + 1, n)
    sub_batch = np.arange(n) % parts
    if shape == "few values":
        return rng.integers(-2, 3, n)
    if shape == "constant":
        return np.full(n, -7)
    if shape == "sorted":
        return np.sort(spread)
    if shape == "reversed":
        return np.sort(spread)[::-1].copy()
    if shape == "extreme":
        return rng.choice([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH], n)
    if shape == "one high byte":
        return rng.integers(256, 512, n)
    if shape == "rising by sub-batch":
        return 1000 * sub_batch + rng.integers(0, 500, n)
    if shape == "falling by sub-batch":
        return -1000 * sub_batch + rng.integers(0, 500, n)
    if shape == "late surprise":  # what was forwarded early is worthless in the end
        return np.where(sub_batch == parts - 1, 20_000, 0) + rng.integers(-50, 50, n)
    return spread


@st.composite
def queries(draw: Any, *, stages: int, largest: int) -> Query:
    n = draw(st.integers(1, largest))
    parts = draw(st.integers(1, min(16, n)))
    policy = draw(st.sampled_from(["exact", "exact", "quota", "binned"]))
    keep: list[int] = []
    for _ in range(stages):
        keep.append(draw(st.integers(1, keep[-1] if keep else n)))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    scores = [shaped(draw(st.sampled_from(SHAPES)), n, parts, rng) for _ in keep]
    fraction = st.sampled_from([0, 0, 8000, 20000, 40000, 60000, 65535])
    fractions = [[draw(fraction) for _ in range(parts)] for _ in keep]
    if draw(st.booleans()):  # as the driver would choose them
        fractions = [[65536 * part // parts for part in range(1, parts + 1)] for _ in keep]
        fractions = [[min(value, 65535) for value in row] for row in fractions]
    bins = draw(st.integers(0, 3))
    return Query(scores, keep, parts, policy, fractions, bins)


@st.composite
def batches(draw: Any, *, largest: int) -> list[Query]:
    """Queries that fit into four contexts together."""
    shape = draw(st.sampled_from([(1,), (2,), (3,), (4,), (2, 2), (1, 2), (3, 1), (1, 1, 1, 1)]))
    return [draw(queries(stages=stages, largest=largest)) for stages in shape]


def check_any(name: str, examples: int, largest: int, part: int = 0) -> None:
    @hypothesis_seed(part)
    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=False,  # the part's number is the seed
        database=None,
    )
    @given(batches(largest=largest), st.sampled_from([0.0, 0.0, 0.3, 0.7]), st.integers(0, 1 << 20))
    def compare(batch: list[Query], stall: float, seed: int) -> None:
        bench(name).check(batch, stall=stall, seed=seed)

    try:
        compare()
    finally:
        bench.cache_clear()


@pytest.mark.parametrize("name", CONFIGS)
def test_some_queries(name: str) -> None:
    check_any(name, 8, 20)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(10))
@pytest.mark.parametrize("name", CONFIGS)
def test_many_queries(name: str, part: int) -> None:
    """2000 cases, in parts that end within minutes."""
    check_any(name, 100, 20, part)


@pytest.mark.parametrize("policy", ["exact", "quota", "binned"])
def test_every_shape_of_scores(policy: str) -> None:
    rng = np.random.default_rng(1)
    batch = []
    for shape in SHAPES:
        scores = [shaped(shape, 24, 4, rng) for _ in range(2)]
        batch.append(Query(scores, [10, 5], 4, policy, [[14000, 30000, 46000], []], 2))
    for index in range(0, len(batch), 2):  # four contexts
        bench("wide").check(batch[index : index + 2])


def test_forwarding_in_vain_stops() -> None:
    """Every sub-batch is better than all before: no more than k items are forwarded too many."""
    rng = np.random.default_rng(2)
    n, k, parts = 160, 32, 16
    scores = shaped("rising by sub-batch", n, parts, rng)
    rows = [[65536 * (part + 1) // parts for part in range(parts - 1)], []]
    query = Query([scores, scores], [k, 4], parts, "exact", rows)
    bench("wide").check([query])
    forwarded = expected(query).lists[0]
    assert k < sum(len(group) for group in forwarded) <= 2 * k
    assert not any(forwarded[3:-1])


def test_largest_size() -> None:
    config = CONFIGS["tiny"]
    rng = np.random.default_rng(3)
    n = config.max_items
    bench("tiny").check([Query([shaped("few values", n, 3, rng)] * 2, [n, 5], 3, "quota")])


def test_cancelled_queries_end_and_harm_nobody() -> None:
    rng = np.random.default_rng(4)
    for after in (1, 10, 60, 75):
        batch = [
            Query([shaped("random", 60, 3, rng)] * 2, [20, 4], 3, "quota", cancel_after=after),
            Query([shaped("random", 50, 5, rng)] * 2, [16, 4], 5, "quota"),
        ]
        got = bench("wide").run(batch, seed=after)
        want = expected(batch[1])
        assert got[1].lists == want.lists and got[1].results == want.results
    # Contexts and counts are as new afterwards.
    bench("wide").check([Query([shaped("random", 30, 3, rng)] * 2, [9, 4], 3, "exact")])
