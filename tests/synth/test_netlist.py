"""The synthesised array, with and without cuts, does what the array does.

The run that the grid's own tests check against NumPy is replayed on the netlists that
``bench fission-cost`` counts: every output of every cycle. In the quick tests banks and strips,
which the cost does not count, stay as they were before synthesis: nine tenths of the cells.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.bench.fission_cost import synthesise_grid
from hdl.config import Config, preset, without_fission
from tests.hdl.array.grid_bench import Recording, Shape, make_short_job, run_partitions
from tests.synth.replay import replay

TINY, SMALL = preset("tiny"), preset("small")
BESIDE = (
    "activation_bank",
    "activation_bank_decoded",
    "weight_bank",
    "strip",
    "column",
    "column.requantiser",
)


TINY_FUSED: list[Shape] = [(0, 1, 12, 0)]
TINY_SPLIT: list[Shape] = [(0, 0, 12, 0), (1, 0, 12, 5), (2, 0, 3, 40), (3, 0, 13, 11)]
SMALL_FUSED: list[Shape] = [(0, 2, 12, 0)]
SMALL_MIXED: list[Shape] = [
    (0, 1, 12, 0), (10, 1, 5, 9), (2, 0, 13, 3), (7, 0, 12, 0), (8, 0, 2, 17), (13, 0, 9, 4),
]  # fmt: skip


def test_netlist_with_products_in_dsp_blocks(tmp_path: Path) -> None:
    recording = Recording()
    run_partitions(TINY, [TINY_FUSED, TINY_SPLIT], 20, make_short_job, recording)
    netlist = synthesise_grid(TINY, tmp_path, dsp_registers=True)
    blocks = [
        cell["parameters"]["REG_OUTPUT_CLK"]
        for module in ("pe", "gated_pe")
        for cell in netlist[module]["cells"].values()
        if cell["type"] == "MULT18X18D"
    ]
    assert blocks == ["CLK0", "CLK0"]
    # Requantisers come as described, and their multipliers with them.
    beside = (*BESIDE, "registered_multiplier_u17_u16", "registered_multiplier_s15_u16")
    printed = replay(recording, "on", netlist, tmp_path, beside=beside)
    assert f"cycles {len(recording.cycles)}, wrong 0\n" in printed, printed


@pytest.mark.parametrize(
    ("config", "partitions", "beside"),
    [
        pytest.param(TINY, [TINY_FUSED, TINY_SPLIT, TINY_FUSED], BESIDE, id="tiny-on"),
        pytest.param(without_fission(TINY), [TINY_FUSED], BESIDE, id="tiny-off"),
        pytest.param(
            TINY, [TINY_FUSED, TINY_SPLIT], (), id="tiny-on-whole", marks=pytest.mark.slow
        ),
        pytest.param(
            without_fission(TINY), [TINY_FUSED], (), id="tiny-off-whole", marks=pytest.mark.slow
        ),
        pytest.param(
            SMALL, [SMALL_MIXED, SMALL_FUSED], BESIDE, id="small-on", marks=pytest.mark.slow
        ),
        pytest.param(
            without_fission(SMALL), [SMALL_FUSED], BESIDE, id="small-off", marks=pytest.mark.slow
        ),
    ],
)
def test_netlist(
    config: Config, partitions: list[list[Shape]], beside: tuple[str, ...], tmp_path: Path
) -> None:
    recording = Recording()
    run_partitions(config, partitions, 20, make_short_job, recording)
    netlist = synthesise_grid(config, tmp_path)
    assert "gated_adder" not in netlist, "replaced by carry cells"
    assert ("gated_pe" in netlist) == config.features.fission
    cycles = len(recording.cycles)
    assert cycles > 300
    name = "on" if config.features.fission else "off"
    printed = replay(recording, name, netlist, tmp_path, beside=beside)
    assert f"cycles {cycles}, wrong 0\n" in printed, printed
