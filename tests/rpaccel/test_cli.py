"""The command line's frame: words, exit status, JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from driver.pipelines import PIPELINES
from hdl.config import PRESETS
from rpaccel import cli
from sim.errors import SimulationError


def test_presets_text_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(PRESETS)
    target = tmp_path / "presets.json"
    assert cli.main(["presets", "--json", str(target)]) == 0
    presets = json.loads(target.read_text())["presets"]
    assert presets["paper"]["pes"] == 16384
    assert presets["tiny"]["config_hash"] == f"{PRESETS['tiny'].hash:08x}"


def test_json_on_stdout_leaves_text_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["pipelines", "--json"]) == 0
    captured = capsys.readouterr()
    assert set(json.loads(captured.out)["pipelines"]) == set(PIPELINES)
    assert "kaggle-2" in captured.err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["no-such-word"],
        ["run", "--preset", "tiny"],
        ["run", "--preset", "tiny", "--pipeline", "demo-2", "--items", "0"],
        ["run", "--preset", "tiny", "--pipeline", "demo-2", "--items", "many"],
        ["run", "--preset", "tiny", "--pipeline", "demo-2", "--backend", "paper"],
        ["presets", "--json", "/no/such/folder/file.json"],
    ],
)
def test_bad_words_are_one_line_and_status_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith("rpaccel: ") and error.splitlines()[-1].startswith("rpaccel: ")


@pytest.mark.parametrize(
    ("outcome", "status"),
    [({"text": "fine"}, 0), ({"status": 1}, 1), (SimulationError("it died"), 1)],
)
def test_status_of_a_command(
    outcome: Any, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: object) -> dict[str, Any]:
        if isinstance(outcome, Exception):
            raise outcome
        return dict(outcome)

    monkeypatch.setattr(cli, "_demo", command)
    assert cli.main(["demo"]) == status
    captured = capsys.readouterr()
    assert captured.out == ("fine\n" if "text" in str(outcome) else "")
    assert captured.err == ("rpaccel: it died\n" if isinstance(outcome, Exception) else "")
