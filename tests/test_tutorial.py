"""The tutorial's commands, run as they stand in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from examples.tutorial import write_log
from rpaccel import cli

ROOT = Path(__file__).resolve().parent.parent


def blocks(kind: str) -> list[str]:
    """Fenced blocks of one kind, in order."""
    text = (ROOT / "docs" / "tutorial.md").read_text()
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run_line(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "./rp":
        assert cli.main(words[1:]) == 0, line
    else:
        assert words[:3] == ["python", "-m", "examples.tutorial.write_log"], line
        write_log.main(words[3:])


def test_commands_and_rtl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) == 5
    for line in lines:
        run_line(line)
    said = capsys.readouterr().out
    assert "DLRM" in said and "SNR [dB]" in said and "hottest rows on chip" in said
    assert re.search(r"demo-2: 16 queries of 128 items, 4 returned", said)
    assert "malformed" not in said
    assert (tmp_path / "small.html").stat().st_size > 1000
    (code,) = blocks("python")
    names: dict[str, Any] = {}
    exec(compile(code, "docs/tutorial.md", "exec"), names)
    assert names["result"]["bit_exact"] is True and names["result"]["backend"] == "rtl"
    assert names["result"]["quality"]["ndcg_at_k"] > 0
