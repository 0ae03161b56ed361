"""What the preset ``ecp5`` promises of its part, by place and route: more than an hour."""

from __future__ import annotations

from pathlib import Path

import pytest

from hdl.config import PRESETS
from synth.cells import resources
from synth.devices import device
from synth.flow import Synthesis, synthesise
from synth.units import unit

ECP5 = PRESETS["ecp5"]
PART = device("lfe5um5g-85f")
SEEDS = range(1, 6)


def _synthesise(name: str, folder: Path, target_mhz: float) -> Synthesis:
    result = synthesise(
        ECP5, unit(name), PART, folder, target_mhz=target_mhz, seeds=SEEDS, progress=print
    )
    assert not result.excess
    assert not result.exploded
    assert len(result.routed) == len(SEEDS)
    return result


@pytest.mark.slow
def test_array_is_faster_than_the_device(tmp_path: Path) -> None:
    result = _synthesise("array", tmp_path, 170.0)
    elements = [area for area in result.areas if area.path.split(".")[-1].startswith("pe_")]
    assert len(elements) == ECP5.sub_array**2
    assert all(resources(area.cells, PART.family)["dsps"] == 1 for area in elements)
    assert result.fmax_mhz is not None and result.fmax_mhz >= 170


@pytest.mark.slow
def test_whole_device_reaches_its_clock(tmp_path: Path) -> None:
    result = _synthesise("device", tmp_path, ECP5.clock_mhz)
    assert result.totals["dsps"] <= PART.capacities["dsps"]
    assert result.fmax_mhz is not None and result.fmax_mhz >= ECP5.clock_mhz == 120
