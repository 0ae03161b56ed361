"""The papers' comparisons, with a timing model and a machine that answer by formula."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver.bench import papers, papers_area, papers_devices, papers_serving, papers_work
from driver.bench.papers_devices import padded_cycles
from driver.errors import UserError
from driver.load.queue import compiled
from driver.schedule.funnel_quality import ShippedItems
from driver.schedule.timed import Case, Timing
from golden.model import SHAPES
from hdl.config import Config, preset
from rpaccel import cli
from synth.gates import Gates


def _edge(case: Case) -> int:
    match = re.match(r"(\d+)x", case.partition or "")
    return int(match[1]) if match else case.config.edge


def _time(case: Case) -> Timing:
    """MACs in whole tiles, twice for a device without fission, and a constant a query."""
    known = all(stage.model in SHAPES for stage in case.pipeline.stages)
    work = 100.0 * case.pipeline.stages[0].items
    if known:
        work = padded_cycles(case.config, case.pipeline, _edge(case))
    slow = 1.0 if case.config.features.fission else 2.0
    cycles = int(slow * work * (1 + 0.8 * (case.queries - 1))) + 500
    stages = len(case.pipeline.stages)
    return Timing(
        cycles=cycles, query_cycles=(cycles,), stage_cycles=(cycles // stages,) * stages,
        busy_cycles=(1,) * stages, mac_utilization=0.5, mac_utilization_bound=0.9,
        dram_bytes=1000, lookups=1, static_hits=1, look_ahead_hits=0, load_cycles=1,
    )  # fmt: skip


def _ask(words: dict[str, Any]) -> dict[str, Any]:
    if words["device"] != "cpu":
        raise UserError("no GPU")
    cost = {"RMsmall": 1e-6, "RMmed": 1.2e-6, "top-k": 1e-9}
    times = {m: [[n * cost.get(m, 8e-6)] for n in words["items"]] for m in words["models"]}
    return {"times": times}


def _gates(config: Config, *, workers: int, progress: object) -> dict[str, Gates]:
    """Equal arrays and rows; a device with fission has more of the rest, and a filter."""
    rich = config.features.fission
    bits = Counter({(8, 1000, 2): 5 if rich else 4})
    gates = {
        papers_area.ARRAY: Gates(Counter({"$_XOR_": 60, "$_DFF_P_": 40}), 100_000),
        papers_area.ACTIVATIONS: Gates(memories=bits),
        papers_area.CONTROL: Gates(Counter({"$_NOT_": 30 if rich else 10}), 60 if rich else 20),
    }
    return gates | ({papers_area.FILTER: Gates(Counter({"$_NOR_": 50}), 3560)} if rich else {})


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiled()  # once, into the usual cache
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path))
    monkeypatch.setattr("driver.schedule.timed._time", _time)
    monkeypatch.setattr("driver.schedule.measure._ask", _ask)
    monkeypatch.setattr(papers_devices, "QUERIES", 300)
    random = np.random.default_rng(1)
    labels = (random.random(6000) < 0.3).astype(np.uint8)
    scores = {
        model: (100 * labels + random.normal(0, spread, 6000)).astype(np.int64)
        for model, spread in (("RMsmall", 90), ("RMmed", 70), ("RMlarge", 50))
    }
    monkeypatch.setattr(papers_work, "shipped_items", lambda p: ShippedItems(labels, scores))
    monkeypatch.setattr(papers_work, "_POLICY_QUERIES", 1)
    monkeypatch.setattr("driver.bench.papers_area.gates_by_unit", _gates)
    return tmp_path


def run(quick: Path, *names: str) -> dict[str, Any]:
    out = quick / "out.json"
    words = ["bench", "papers", "--preset", "small", "--items", "512", "--max-rows", "60",
             "--path-queries", "2000", "--workers", "1", "--json", str(out)]  # fmt: skip
    for name in names:
        words += ["--only", name]
    assert cli.main(words) == 0
    found: dict[str, Any] = json.loads(out.read_text())["figures"]
    return found


def test_work_saved_is_counted_not_quoted(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run(quick, "1c")["1c"]["rows"]
    assert [row["compute"] for row in rows] == ["5.81", "4.26", "2.78"]
    assert rows[1]["memory"] == "4.00" and rows[1]["published"] == "7.5 and 4.0"
    assert "Not confirmed" in capsys.readouterr().out


def test_load_of_devices_beside_the_baseline_and_its_bound(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(quick, "12")["12"]
    facts = found["baseline"]
    assert facts["bound_cycles"] == padded_cycles(
        preset("small-baseline"), papers_devices.stage_pipeline([("RMlarge", 512)]), 16
    )
    assert facts["ratio"] == pytest.approx(2, abs=0.01) and not facts["strong"]
    text = capsys.readouterr().out
    assert "NOT within 1.2" in text and "published p99" in text
    rows = {(row["name"], row["transfer"]): row for row in found["rows"]}
    for transfer in ("pcie", "dma"):
        alone = [
            float(rows[name, transfer]["alone"])
            for name in ("baseline", "baseline at its bound", "kaggle-1", "kaggle-2")
        ]
        # A funnel takes less than the bound of one stage.
        assert alone[0] > alone[1] > alone[3]
    goals = found["goals"]
    assert len(goals) == 9 and {goal["reached"] for goal in goals} <= {True, False}
    for goal in goals:
        assert ("MISSED" in goal["text"]) != goal["reached"]


def test_parts_and_cuts(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(quick, "5", "12-partitions")
    steps = [row["step"] for row in found["5"]["rows"]]
    assert steps[0] == "baseline, one stage" and steps[-1] == "all, 4 sub-batches"
    alone = [float(row["alone"]) for row in found["5"]["rows"]]
    assert alone[0] > alone[1] > alone[2] > alone[3]
    assert found["5"]["rows"][1]["published"] == "2.58"
    assert [row["cut"] for row in found["12-partitions"]["rows"]] == ["8,2", "8,8", "shared"]
    assert "published" in capsys.readouterr().out


def test_units(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(quick, "3", "10a", "10b", "10c", "11")
    quality = {(row["funnel"], row["items"]): row for row in found["3"]["rows"]}
    assert quality["RMsmall", 4096]["published"] == "91.27"
    assert float(quality["RMlarge", 4096]["ndcg"]) > float(quality["RMsmall", 4096]["ndcg"])
    assert [row["edge"] for row in found["10a"]["rows"]] == [16, 8, 4]
    assert found["10b"]["rows"][0]["recall"] == "1.0000"
    assert any(row["loaded"] == "yes" for row in found["10c"]["rows"])
    assert "Power is not reproduced" in capsys.readouterr().out


def test_area_is_counted_by_unit_and_compared_by_what_is_added(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(quick, "11")["11"]
    rows = {row["unit"]: row for row in found["rows"]}
    assert rows["filter"]["cells_times"] is None and rows["filter"]["device_cells"] == 50
    assert rows["queries, control, registers"]["cells_times"] == "3.00"
    assert rows["whole device"]["baseline_cells"] == 110
    assert rows["whole device"]["device_cells"] == 180
    # 100 000 transistors of logic, 4000 bytes with two ports: 356 000 make up the baseline.
    shares = {row["part"]: row for row in found["shares"]}
    assert shares["activation banks"]["share"] == pytest.approx(100 * 256 / 356)
    assert shares["activation banks"]["added"] == pytest.approx(100 * 64 / 356)
    assert shares["filter"]["logic_added"] == pytest.approx(1.0)
    assert shares["filter"]["published_added"] == pytest.approx(1.75, abs=0.005)
    everything = shares["all of these"]
    assert everything["added"] == pytest.approx(1 + 100 * 64 / 356)
    assert everything["published_added"] == pytest.approx(7.67, abs=0.005)
    assert "Not confirmed: 7.7 % more area" in capsys.readouterr().out


def test_area_without_yosys_is_said_and_the_others_go_on(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("RPACCEL_CACHE", str(quick))
    monkeypatch.setattr("synth.tools.importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("driver.bench.papers_area.devices", lambda args: [preset("tiny")] * 2)
    found = run(quick, "1c", "11")
    assert "extra 'synth'" in found["11"]["error"] and found["1c"]["rows"]


def test_platforms_and_data_sets(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(quick, "7", "14", "13")
    gains = [float(row["gain"]) for row in found["7"]["rows"]]
    assert gains[0] == 1.0 and gains[1] > 3
    text = capsys.readouterr().out
    assert "Fig. 8 (CPU + GPU) is not reproduced" in text
    assert len(found["14"]["rows"]) == 9 and found["14"]["rows"][0]["data"] == "criteo"
    assert [row["scale"] for row in found["13"]["rows"]][-1] == "32/3"


def test_representations_and_paths(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(quick, "mp-rec")["mp-rec"]
    assert [row["representation"] for row in found["rows"]] == ["table", "dhe", "select", "hybrid"]
    assert len(found["multi_path"]) == 5
    tight = found["assignments"]["0.2 GB each"][0]
    assert all(size <= 200_000_000 for size in tight["bytes_used"].values())
    assert "times" in capsys.readouterr().out


def test_all_that_is_timed_is_timed_side_by_side_first(
    quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is left for the comparisons themselves, and nothing is timed that none asks for."""
    first: set[str] = set()
    later: set[str] = set()
    names = ("5", "10a", "12", "12-partitions", "13", "14", "mp-rec")
    monkeypatch.setattr(papers, "time_all", lambda cases, **_: first.update(c.key() for c in cases))

    def time(case: Case) -> Timing:
        later.add(case.key())
        return _time(case)

    monkeypatch.setattr("driver.schedule.timed._time", time)
    run(quick, *names)
    assert first and later == first


def test_unknown_comparisons_and_what_cannot_be_made(
    quick: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main(["bench", "papers", "--only", "99"]) == 2
    assert "unknown comparison '99'; known: 1c, 3" in capsys.readouterr().err
    assert cli.main(["bench", "papers", "--preset", "medium", "--only", "12"]) == 2
    assert "unknown preset 'medium-baseline'" in capsys.readouterr().err
    assert set(papers.FIGURES) >= {"1c", "3", "5", "7", "10a", "10b", "10c", "11", "12", "13", "14"}
    assert papers_serving.reference_partition(preset("tiny")) == "4x4:4"
