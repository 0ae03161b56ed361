"""The reference pipelines with few items, through the same call that the command line makes."""

from __future__ import annotations

import pytest

import rpaccel


@pytest.mark.parametrize(
    ("pipeline", "partition", "queries"),
    [
        ("demo-2", None, 1),
        ("demo-2", "split", 2),
        ("kaggle-2", "fused", 1),
        ("kaggle-2", "4x4:2@0,4x4:2@1", 1),
        ("kaggle-2-cat", "fused", 1),
        ("kaggle-2-cat", "split", 1),
    ],
)
def test_pipeline_is_bit_exact(pipeline: str, partition: str | None, queries: int) -> None:
    result = rpaccel.run(
        preset="tiny",
        pipeline=pipeline,
        items=16,
        partition=partition,
        queries=queries,
        max_rows=40,
    )
    assert result["difference"] is None
    assert (result["bit_exact"], result["status"]) == (True, 0)
    assert result["queries"] == queries
    for stage in result["stages"]:
        assert stage["items_out"] <= stage["items_in"]
    embedding = result["embedding"]
    items = sum(stage["items_in"] for stage in result["stages"])
    assert embedding["lookups"] == queries * items * 26
    found = sum(embedding[name] for name in ("static_hits", "lookahead_hits", "misses"))
    assert found == embedding["lookups"]
    golden = rpaccel.run(
        preset="tiny", pipeline=pipeline, items=16, queries=queries, max_rows=40, backend="golden"
    )
    assert golden["top"] == result["top"]
    assert golden["quality"] == result["quality"]


@pytest.mark.slow
@pytest.mark.parametrize("pipeline", ["kaggle-2", "kaggle-2-cat", "kaggle-3", "kaggle-1"])
@pytest.mark.parametrize("partition", ["fused", "split"])
def test_more_items(pipeline: str, partition: str) -> None:
    result = rpaccel.run(
        preset="tiny", pipeline=pipeline, items=128, partition=partition, max_rows=500, queries=2
    )
    assert result["difference"] is None
