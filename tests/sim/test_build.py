"""The store of compiled benches and kept runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from sim.bench import BenchSpec
from sim.build import build_bench, cache_folder, prune
from sim.errors import SimulatorError


def test_prune_keeps_the_newest_and_the_recent(tmp_path: Path) -> None:
    ages = {"a": 9.0, "b": 8.0, "c": 3.0, "d": 0.0}
    for name, days in ages.items():
        (tmp_path / name).mkdir()
        touched = time.time() - days * 86400
        os.utime(tmp_path / name, (touched, touched))
    prune(tmp_path.iterdir(), keep=1, days=5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]
    prune(tmp_path.iterdir(), keep=2, days=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "d"]


def test_cache_can_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder().name == "build"
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path / "my cache"))
    with pytest.raises(SimulatorError, match="has a space"):
        build_bench(BenchSpec(), [], simulator="verilator")
