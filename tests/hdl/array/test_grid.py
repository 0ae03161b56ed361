"""Grid against NumPy: engines of every size, driven by a reference sequencer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.back import verilog

from hdl.array.grid import Grid
from hdl.config import preset
from tests.hdl.array.grid_bench import (
    Bench,
    make_job,
    make_short_job,
    make_tables,
    run_partitions,
)
from tests.hdl.array.sequencer_model import Engine
from tests.hdl.support import simulate

TINY = preset("tiny")
SMALL = replace(
    preset("small"),
    weight_bytes=4096,
    activation_bytes=1024,
    decoded_bytes=1024,
    parameter_tiles=64,
)


def test_fused_and_split_in_turn() -> None:
    """Fused with full tiles, split, fused with one row (the closest turn-around), fused again."""
    split = [(0, 0, 16, 0), (1, 0, 12, 5), (2, 0, 3, 40), (3, 0, 13, 11)]
    run_partitions(TINY, [[(0, 1, 16, 0)], split, [(0, 1, 1, 0)], [(0, 1, 7, 0)]], seed=5)


def test_two_macs_a_multiplier() -> None:
    config = replace(TINY, macs_per_dsp=2)
    split = [(0, 0, 16, 0), (1, 0, 12, 5), (2, 0, 3, 40), (3, 0, 13, 11)]
    run_partitions(config, [[(0, 1, 16, 0)], split], seed=5)


def test_mixed_partition_then_the_whole_grid() -> None:
    """A 4 x 4 grid: two 2 x 2 engines, single ones beside them; then one of 4 x 4."""
    pairs = [(0, 1, 12, 0), (10, 1, 5, 9)]
    single = [(2, 0, 13, 3), (7, 0, 12, 0), (8, 0, 2, 17), (13, 0, 9, 4)]
    run_partitions(SMALL, [pairs + single, [(0, 2, 12, 0)]], seed=6, job=make_short_job)


@pytest.mark.parametrize("level", [0, 1])
def test_bank_writes_give_way_to_write_back(level: int) -> None:
    """The second job's inputs land in the other slot while the first job runs."""
    rng = np.random.default_rng(8 + level)
    tables = make_tables(rng)
    grid = Grid(config=TINY, trace=True)
    edge = TINY.sub_array << level
    jobs = [
        make_job(rng, tables, edge, 16),
        make_job(rng, tables, edge, 15, slot=1, wait=900),
    ]
    engine = Engine(grid=grid, config=TINY, anchor=0, level=level, jobs=jobs)
    bench = Bench(grid, TINY, [engine], tables)
    landed = []

    async def main(ctx: Any) -> None:
        await bench.run(ctx)
        bench.check()
        for job in jobs:
            await bench.check_dense(ctx, engine, job)

    async def second(ctx: Any) -> None:
        while not engine.words:
            await ctx.tick()
        await bench.send_inputs(ctx, engine, 1)
        landed.append(bench.cycle)

    simulate(grid, main, second)
    assert landed[0] < 900 and bench.refused > 0


def test_without_fission_only_the_whole_grid_exists() -> None:
    config = preset("tiny-baseline")
    grid = run_partitions(config, [[(0, 1, 12, 0)]], seed=10)
    assert grid.bank_units == [0, 2] and grid.strip_units == [2, 3]


def test_verilog_converts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMARANTH_USE_YOSYS", "builtin")
    config = replace(
        TINY,
        activation_bytes=64,
        weight_bytes=64,
        parameter_tiles=16,
        dense_bytes=16,
        decoded_bytes=64,
    )
    text = verilog.convert(Grid(config=config), emit_src=False)
    assert text.count("endmodule") > config.pes and "bank_write_3__ready" in text
