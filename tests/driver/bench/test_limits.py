"""Limits and the plain schedule, against numbers worked out by hand."""

from __future__ import annotations

from driver.bench.limits import layer_cycles, plain_query_cycles
from driver.bench.query import default_partitions
from driver.partition import parse_partition
from driver.pipelines import pipeline
from driver.rtl import plan_run
from driver.workload import load_workload
from hdl.config import PRESETS, preset


def test_one_tile() -> None:
    cycles = layer_cycles(8, 8, edge=8, blocks=[16])
    assert (cycles.macs, cycles.padded, cycles.plain) == (16, 16, 30)  # 8 + 16 + 6


def test_padding_and_a_short_last_block() -> None:
    cycles = layer_cycles(9, 4, edge=8, blocks=[16, 3])
    assert cycles.macs == 9 * 4 * 19 / 64
    assert cycles.padded == 2 * 19
    assert cycles.plain == 2 * (30 + 17)


def test_plain_query_shares_row_blocks_among_the_engines() -> None:
    """RMsmall on one engine, then on four: blocks of 16 rows, the last one of 4."""
    config = preset("tiny")
    workload = load_workload(pipeline("kaggle-2").scaled(52), queries=1, max_rows=40, seed=1)
    found = {}
    for text in ("fused", "split"):
        plan = plan_run(config, parse_partition(config, text, stages=2), workload)
        found[text] = plain_query_cycles(plan.deployment, [52, 0])
        assert plan.deployment.most_rows[0] == 16
    # RMsmall: 13-64-4 and 355-64-1 in tiles of the engine's edge; three full blocks and one of 4.
    tiles = {8: 2 * 8 + 8 + 45 * 8 + 8, 4: 4 * 16 + 16 + 89 * 16 + 16}
    assert found["fused"] == tiles[8] * (3 * (14 + 16) + 14 + 4)
    assert found["split"] == tiles[4] * (6 + 13)  # four equal blocks are faster


def test_default_partitions_are_legal_on_every_preset() -> None:
    for config in PRESETS.values():
        for stages in (1, 2, 3):
            for text in default_partitions(config, stages):
                parse_partition(config, text, stages=stages)
