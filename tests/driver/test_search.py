from __future__ import annotations

import pytest

from driver.options import RunOptions
from driver.partition import legal_partitions
from driver.pipelines import pipeline
from driver.run import run
from driver.search import candidates, search_partition
from driver.workload import load_workload
from hdl.config import PRESETS, preset


def test_candidates_hold_every_number_of_engines_of_every_size() -> None:
    config = preset("small")
    levels = {
        tuple(sorted(e.level for e in p.engines if e.stages is None)) for p in candidates(config, 1)
    }
    assert levels == {tuple(sorted(e.level for e in p.engines)) for p in legal_partitions(config)}


@pytest.mark.parametrize("config", PRESETS.values(), ids=lambda c: c.name)
def test_candidates_fill_the_grid_and_differ(config: object) -> None:
    for stages in (1, 2, 3, 4):
        found = candidates(config, stages)  # type: ignore[arg-type]
        texts = [p.text for p in found]
        assert len(set(texts)) == len(texts)
        for partition in found:
            assert sum(4**e.level for e in partition.engines) == config.sub_arrays  # type: ignore[attr-defined]
            assert all(any(e.serves(s) for e in partition.engines) for s in range(stages))


def test_the_search_says_what_it_chose_and_what_the_others_give() -> None:
    options = RunOptions(
        preset="tiny",
        pipeline="demo-2",
        items=64,
        partition="search",
        backend="timing",
    )
    result = run(options)
    search = result["partition_search"]
    assert result["partition"] == search["chosen"]
    assert (search["items"], search["items_of_query"]) == (64, 64)
    by_text = {c["partition"]: c for c in search["candidates"]}
    assert len(by_text) == len(search["candidates"]) > 3
    predicted = [c["cycles"] for c in search["candidates"] if c["cycles"] is not None]
    assert predicted == sorted(predicted)
    assert by_text[search["chosen"]]["cycles"] == predicted[0] == result["cycles"]
    assert by_text["8x8:1"]["cycles"] is not None
    assert f"partition search chose {search['chosen']}" in result["text"]


def test_a_long_query_is_shortened_for_the_timing_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.search.ITEMS", 24)
    monkeypatch.setattr("driver.search.TRIED", 1)
    workload = load_workload(pipeline("kaggle-1").scaled(100), queries=2, max_rows=40, seed=1)
    partition, found = search_partition(preset("tiny"), workload, lambda text: None)
    assert found[0].partition is partition
    assert len(workload.queries) == 2 and len(workload.queries[0].ids) == 100
    estimate, cycles = found[0].estimate, found[0].cycles
    assert estimate is not None and cycles is not None and cycles < estimate / 2


def test_a_device_without_fission_has_one_candidate() -> None:
    assert [p.text for p in candidates(preset("small-baseline"), 1)] == ["16x16:1"]
