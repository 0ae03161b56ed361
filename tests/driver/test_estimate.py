"""The estimate's figures against the timing model, the configuration and formulas by hand."""

from __future__ import annotations

import pytest

from driver.errors import UserError
from driver.estimate import block_rams, dsp_blocks, estimate
from hdl.census import Census, Memory, Multiplier
from hdl.config import preset


def _silent(text: str) -> None:
    pass


def test_tiny() -> None:
    config = preset("tiny")
    result = estimate(preset_name="tiny", pipeline="demo-2", items=16, progress=_silent)
    parts = {part["part"]: part for part in result["parts"]}
    assert parts["processing elements"]["instances"] == config.pes
    assert parts["processing elements"]["dsps"] == config.pes
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


def test_bad_input() -> None:
    with pytest.raises(UserError, match="unknown pipeline"):
        estimate(preset_name="tiny", pipeline="none", progress=_silent)
