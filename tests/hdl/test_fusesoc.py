"""The core file's targets, run by FuseSoC where it is installed (extra ``fusesoc``)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hdl.config import preset
from hdl.emit import emit
from hdl.top import Accelerator
from sim import toolchain

pytest.importorskip("fusesoc")


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a generated device in ``ip``."""
    folder = tmp_path_factory.mktemp("fusesoc")
    emit(preset("tiny"), folder / "ip", lambda config: Accelerator(config=config))
    return folder


def _run(folder: Path, target: str) -> str:
    """What FuseSoC prints; it must succeed."""
    call = "from fusesoc.main import main; main()"
    words = ["--cores-root", "ip", "run", "--target", target, "rpaccel-tiny"]
    with toolchain.environment("verilator"):
        done = subprocess.run(
            [sys.executable, "-c", call, *words],
            cwd=folder,
            env=os.environ | {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_lint(core: Path) -> None:
    text = _run(core, "lint")
    assert "%Warning" not in text and "%Error" not in text


@pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus Verilog is not installed")
def test_sim(core: Path) -> None:
    _run(core, "sim")
    assert list((core / "build").glob("*/sim-icarus/rpaccel-tiny*"))


def _yosys_has_tcl() -> bool:
    """FuseSoC's flow is a Tcl script; the Yosys of the extra ``synth`` has no Tcl."""
    if shutil.which("yosys") is None:
        return False
    done = subprocess.run(["yosys", "-Q", "-T", "-p", "help tcl"], capture_output=True, text=True)
    return done.returncode == 0 and "No such command" not in done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not _yosys_has_tcl(), reason="no Yosys with Tcl on PATH")
def test_synth(core: Path) -> None:
    _run(core, "synth")
    netlists = list((core / "build").glob("*/synth-yosys/*.json"))
    assert netlists and netlists[0].stat().st_size > 1_000_000
