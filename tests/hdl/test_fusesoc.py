"""The core file's targets, run by FuseSoC where it is installed (extra ``fusesoc``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hdl.census import count_device
from hdl.config import preset
from hdl.emit import TOP, emit
from hdl.top import Accelerator
from sim import toolchain

pytest.importorskip("fusesoc")


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a generated device in ``ip``."""
    folder = tmp_path_factory.mktemp("fusesoc")
    emit(preset("tiny"), folder / "ip", lambda config: Accelerator(config=config))
    return folder


def _run(folder: Path, target: str, *, core: str = "rpaccel-tiny") -> str:
    """What FuseSoC prints; it must succeed."""
    call = "from fusesoc.main import main; main()"
    words = ["--cores-root", "ip", "run", "--target", target, core]
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


def _leaves(modules: dict[str, Any], top: str) -> Counter[str]:
    """Cells below ``top``, all instances; modules of the library are cells."""
    cells: Counter[str] = Counter()
    for cell in modules[top]["cells"].values():
        inside = modules.get(cell["type"])
        if inside is None or _is_box(inside):
            cells[cell["type"]] += 1
        else:
            cells += _leaves(modules, cell["type"])
    return cells


def _is_box(module: dict[str, Any]) -> bool:
    return bool({"blackbox", "whitebox"} & set(module["attributes"]))


@pytest.mark.slow
@pytest.mark.skipif(not _yosys_has_tcl(), reason="no Yosys with Tcl on PATH")
def test_synth(tmp_path: Path) -> None:
    # One engine and one gather lane: the target is what is tested, and every module costs Yosys.
    config = replace(
        preset("tiny-baseline"),
        name="least", grid=1, gather_lanes=1, hash_lanes=0, decoded_bytes=0, held_bytes=0,
    )  # fmt: skip
    emit(config, tmp_path / "ip", lambda config: Accelerator(config=config))
    _run(tmp_path, "synth", core=f"rpaccel-{config.name}")
    (netlist,) = (tmp_path / "build").glob("*/synth-yosys/*.json")
    modules = json.loads(netlist.read_text())["modules"]
    assert {"pe", "gather_lane"} <= set(modules)  # equal modules once
    cells = _leaves(modules, TOP)
    assert not [kind for kind in cells if kind.startswith("$")]  # all is mapped
    element = _leaves(modules, "pe")
    assert element["MULT18X18D"] == 1
    # Registers of the description, without those that nobody reads; a few behind memories more.
    described = count_device(config, [])["device"].flip_flops
    assert 0.8 * described < cells["TRELLIS_FF"] < 1.2 * described
    assert cells["MULT18X18D"] >= config.pes and cells["DP16KD"] > 0
