"""A whole device whose memories return unknown data in the cycle of a write to the same place.

Icarus carries unknown bits on: where one decides anything, the run ends or differs.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import hdl.emit
from hdl.collisions import with_open_collisions
from rpaccel.cli import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed"),
]


@pytest.mark.parametrize("policy", ["exact", "quota"])
def test_results_do_not_depend_on_collisions(
    policy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    convert, texts = hdl.emit.to_verilog, []

    def to_verilog(rtlil: str) -> str:
        texts.append(convert(with_open_collisions(rtlil)))
        return texts[-1]

    monkeypatch.setattr(hdl.emit, "to_verilog", to_verilog)
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path))
    words = "run --preset tiny --simulator icarus --pipeline demo-2 --items 16 --max-rows 50"
    options = ["--queries", "2", "--policy", policy, "--sub-batches", "2"]
    assert main([*words.split(), *options]) == 0
    assert "bit-exact: yes" in capsys.readouterr().out
    assert texts[0].count("'hxx") > 50
