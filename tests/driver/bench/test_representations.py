"""Bounds of representations and of the MP-Cache, against numbers worked out by hand."""

from __future__ import annotations

from argparse import Namespace

import numpy as np
import pytest

from driver.bench.mp_cache import centroid_error, hit_rates, most_removed
from driver.bench.representation_runs import run_representations
from driver.bench.representations import bench_representations, item_cycles, rows_of_decoder
from driver.errors import UserError
from golden.mprec import mprec_shape
from hdl.config import preset


def test_an_item_on_small() -> None:
    config = preset("small")
    table = item_cycles(config, mprec_shape("kaggle", "table"))
    # Tiles of 16 x 16: 13-512-256-64-16 and 432-512-256-1.
    bottom = 1 * 32 + 32 * 16 + 16 * 4 + 4 * 1
    top = 27 * 32 + 32 * 16 + 16 * 1
    assert (table.array, table.hash) == (bottom + top, 0)
    assert table.dram_bytes == 26 * 64 and table.bound == "array"
    dhe = item_cycles(config, mprec_shape("kaggle", "dhe"))
    assert dhe.array == bottom + top + 26 * (64 * 8 + 8 * 1)
    assert dhe.hash == 26 * 1024 / 2
    assert dhe.rows == 56  # 64 pages of codes and 8 of hidden values in 4096 bytes
    assert dhe.dram_bytes == pytest.approx(26 * (520 * 256 + 1024 * 16) / 56)
    hybrid = item_cycles(config, mprec_shape("kaggle", "hybrid"), hit_rate=0.5)
    assert hybrid.dram_bytes == pytest.approx(dhe.dram_bytes + 13 * 64)


def test_rows_of_a_decoder() -> None:
    config = preset("tiny")
    assert rows_of_decoder(config, 8, (1024, 128, 16)) == 14  # 128 + 16 pages in 2048 bytes
    assert rows_of_decoder(config, 8, (8, 2048, 8)) == 7  # 1 + 256 pages
    assert rows_of_decoder(config, 8, (24, 16, 16)) == config.rows
    shape = mprec_shape("kaggle", "dhe", decoder=(8 * 2048, 8, 16))
    with pytest.raises(UserError, match="codes of one item do not fit tiny"):
        item_cycles(config, shape)


def test_bench() -> None:
    result = bench_representations(Namespace(preset="small", only="bounds"), lambda text: None)
    rows = {(r["data"], r["representation"], r["decoder"]): r for r in result["rows"]}
    assert len(rows) == 14 and "crossover" in result["text"]
    dhe = rows["kaggle", "dhe", "1024-128-16"]
    assert dhe["macs"] == 3_968_768 and dhe["bound"] == "array"
    assert rows["kaggle", "table", "-"]["crossover"] is None
    assert 0.99 < dhe["array_utilization"] < 1


def test_hit_rates() -> None:
    rates = hit_rates([1, 4], 2, 1.0)
    assert rates == pytest.approx([1, 1 / (1 + 1 / 2 + 1 / 3 + 1 / 4)])
    assert hit_rates([3, 5], 100, 1.0) == pytest.approx([1, 1])
    rising = [np.mean(hit_rates([1000, 50], n, 1.05)) for n in (1, 10, 100, 1050)]
    assert rising == sorted(rising) and rising[-1] == pytest.approx(1)


def test_what_centroids_could_remove() -> None:
    code, hidden = most_removed((1024, 128, 16))
    assert code["break_even"] == 130 and code["removed_utilization"] == 1
    assert hidden["break_even"] == 16
    assert hidden["removed_utilization"] == pytest.approx(2048 / 133_120)


def test_what_centroids_get_wrong() -> None:
    short, _ = centroid_error(2, 16, 0, count=64)
    long, _ = centroid_error(64, 16, 0, count=64)
    assert short < 0.05 and long > 0.5


def test_queries() -> None:
    """On the timing model: held vectors leave as many decoder cycles as they miss."""
    rows = run_representations(
        [("tiny", "timing")], items=32, max_rows=100, held=[64], seed=1, progress=lambda text: None
    )
    assert [row["vectors"] for row in rows] == [0, 0, 64, 0, 0]
    table, whole, held = rows[:3]
    assert table["hash_utilization"] == 0 and table["crossover"] is None
    assert whole["left_utilization"] == 1 and whole["hit_utilization"] == 0
    # 256 hashes of 26 features an item on one lane.
    assert whole["hash_utilization"] == 32 * 26 * 256 / whole["cycles"]
    assert 0.3 < held["hit_utilization"] < 1
    assert held["hash_utilization"] * held["cycles"] == pytest.approx(
        whole["hash_utilization"] * whole["cycles"] * (1 - held["hit_utilization"])
    )
    assert held["cycles"] < whole["cycles"]
    assert 1 - held["left_utilization"] <= held["hit_utilization"]
