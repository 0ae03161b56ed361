"""The bench of the embedding path on the tiny device, and its arithmetic."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from driver.bench.dram_agent import DramChannel, sustainable_cycles
from driver.bench.gather_unit import GatherScene, run_unit
from driver.bench.hit_rates import Law, Stage, held_ranks, query_lines, splits
from driver.cache_split import access_cycles
from hdl.config import preset
from rpaccel import cli
from sim.timing.dram import Dram

TINY = preset("tiny")
PLAIN = Dram(latency=20, row_cycles=12, refresh_cycles=0)


def test_dram_gives_a_beat_a_cycle_in_open_rows() -> None:
    requests = iter(range(0, 64 * 100, 64))
    assert sustainable_cycles(PLAIN, requests, 50, beat_bytes=8, burst_bytes=64) == 400 + 12 - 1


def test_dram_of_one_bank_opens_a_row_every_12_cycles() -> None:
    """Pages 256 apart, with bits that cancel, meet in one bank."""
    channel = DramChannel(PLAIN, beat_bytes=64)
    pages = [page for page in range(4096) if (page ^ page >> 4 ^ page >> 8) % 16 == 0][:20]
    for number, page in enumerate(pages):
        channel.ask(number, page * 4096, 1)
    seen = []
    for _ in range(300):
        beat = channel.step(True)
        if beat is not None:
            seen.append(channel.cycle)
    assert np.diff(seen).tolist() == [12] * 19


@pytest.mark.parametrize("cached", [True, False])
def test_unit_hands_every_row_over(cached: bool) -> None:
    ids = np.random.default_rng(1).integers(0, 8, (12, 6)).astype(np.uint32)
    scene = GatherScene(config=TINY, rows=8, row_bytes=32, ids=ids, cached=8 if cached else 0)
    seen = run_unit(scene, PLAIN, limit=10_000)
    assert seen.lookups == ids.size
    assert seen.static_hits == (ids.size if cached else 0)
    assert sum(seen.by_lane) == 2 * ids.size


def test_wrong_row_is_found() -> None:
    ids = np.zeros((4, 3), np.uint32)
    scene = GatherScene(config=TINY, rows=8, row_bytes=16, ids=ids)
    want = scene.expected()
    other = next(iter(want))
    want[other][5] ^= 1
    scene.expected = lambda: want  # type: ignore[method-assign]
    with pytest.raises(ValueError, match="differs from the table"):
        run_unit(scene, PLAIN, limit=10_000)


def test_law_and_placement() -> None:
    """Everything is held when the cache is larger than all the rows that count."""
    stages = [Stage(name="a", items=100, row_bytes=4), Stage(name="b", items=10, row_bytes=32)]
    large = replace(TINY, static_cache_bytes=TINY.static_cache_bytes * 64)
    law = Law(1.2)
    small_hit, small_lines = query_lines(TINY, stages[0], law, held_ranks(TINY, law, 0, 32))
    large_hit, large_lines = query_lines(large, stages[0], law, held_ranks(large, law, 0, 4096))
    none_hit, none_lines = query_lines(TINY, stages[0], law, held_ranks(TINY, law, 0, 0))
    assert 0 == none_hit < small_hit < large_hit < 1
    assert none_lines >= small_lines > large_lines
    share, ids = law.hottest(0, 5000)
    assert abs(share.sum() - 1) < 1e-9 and len(np.unique(ids)) == len(ids) == 1460
    for first, second in splits(TINY, stages):
        room = TINY.cache_ways * (4 * first + 32 * second)
        assert room <= TINY.lane_cache_bytes
    dram = Dram()
    assert access_cycles(TINY, dram, 4, 1.0) == 1
    assert access_cycles(TINY, dram, 128, 0.0) == 8 + 100 + 12 + 16


def test_query_by_caches(tmp_path: Path) -> None:
    """Both caches beat either, and either beats none; lookups are the same ones."""
    out = tmp_path / "bench.json"
    words = ["bench", "embedding", "--preset", "tiny", "--only", "query", "--items", "128"]
    words += ["--backend", "timing", "--max-rows", "2000", "--json", str(out)]
    assert cli.main(words) == 0
    rows = {row["caches"]: row for row in json.loads(out.read_text())["query"]}
    assert list(rows) == ["none", "static", "look-ahead", "both"]
    access = {name: row["access_cycles"] for name, row in rows.items()}
    assert access["both"] < access["static"] < access["none"]
    assert access["both"] < access["look-ahead"] < access["none"]
    assert rows["none"]["less_utilization"] == 0 < rows["both"]["less_utilization"]
    for row in rows.values():
        stages = [stage["embedding"] for stage in row["stages"]]
        for name in ("lookups", "static_hits", "misses", "merged", "prefetches"):
            assert sum(stage[name] for stage in stages) == row["embedding"][name], name


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    words = ["bench", "embedding", "--preset", "tiny", "--lookups", "400", "--only", "hits"]
    assert cli.main([*words, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    assert len(result["hits"]) == 4
    for row in result["hits"]:
        assert row["hits"] == row["lookups"]
        assert 0.9 < row["utilization"] <= 1.0
