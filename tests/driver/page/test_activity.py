from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from driver.page.activity import _lane, cause_shares, from_traces
from driver.partition import parse_partition
from driver.traces import Records, decode_jobs
from hdl.engine.cause import Cause

from .support import CONFIG, CYCLES, PARTITION, random_activity

ENGINE = PARTITION.engines[0]


@pytest.mark.parametrize("bins", [1, 7, 472, 20_000])
def test_short_spans_share_a_part_and_none_is_lost(bins: int) -> None:
    for lane in random_activity(3).lanes:
        shares = cause_shares(lane, bins)
        assert shares.sum() == pytest.approx(CYCLES)
        assert np.allclose(shares.sum(axis=0), CYCLES / bins)
        by_cause = {cause: shares[cause.value].sum() for cause in Cause}
        assert by_cause == pytest.approx({c: float(n) for c, n in lane.cycles().items()})


def test_shares_are_exact_inside_a_part() -> None:
    lane = _lane(ENGINE, np.array([2, 5]), np.array([1, 6]), 8)
    assert cause_shares(lane, 2)[:, 0].tolist() == [2, 2, 0, 0, 0, 0, 0, 0]
    assert cause_shares(lane, 2)[:, 1].tolist() == [0, 1, 0, 0, 0, 0, 3, 0]


def test_lane_covers_the_run_from_the_doorbell() -> None:
    # Busy since before the doorbell; two changes in cycle 4: the last one holds; one at the end.
    cycle = np.array([-20, -3, 4, 4, 9, 12])
    lane = _lane(ENGINE, cycle, np.array([2, 1, 3, 6, 0, 1]), 12)
    assert lane.edges.tolist() == [0, 4, 9, 12]
    assert lane.causes.tolist() == [1, 6, 0]
    assert sum(lane.cycles().values()) == 12


def test_lane_without_changes_is_idle() -> None:
    lane = _lane(ENGINE, np.array([], np.int64), np.array([], np.int64), 30)
    assert lane.cycles()[Cause.IDLE] == 30


def test_stages_follow_each_other_to_the_end() -> None:
    spans = random_activity(1).spans
    assert [(s.query, s.stage) for s in spans] == [(0, 0), (0, 1)]
    assert spans[0].start == 10
    assert spans[0].end == spans[1].start == CYCLES // 2
    assert spans[1].end == CYCLES


def records(cycle: list[int], source: int, **fields: list[int]) -> Records:
    return Records(
        cycle=np.array(cycle),
        source=np.full(len(cycle), source),
        fields={name: np.array(values) for name, values in fields.items()},
    )


def test_row_blocks_end_with_their_last_score() -> None:
    last = SimpleNamespace(parameter_base=9)
    stage = SimpleNamespace(top=SimpleNamespace(layers=[SimpleNamespace(parameter_base=4), last]))
    deployment = SimpleNamespace(
        config=CONFIG,
        partition=parse_partition(CONFIG, "16x16:1", stages=1),
        maps={0: SimpleNamespace(stages={0: stage})},
    )
    jobs = decode_jobs(
        records(
            [110, 112, 114], 0,
            unit=[0, 0, 0], slot=[0, 1, 0], program=[0, 0, 0], rows=[2, 1, 1], position=[0, 2, 3],
            first=[1, 1, 1], query=[0, 0, 0], stride=[1, 1, 1],
        )
    )  # fmt: skip
    # Bottom row of the engine: sub-array 12, its first column. Parameters 4 are another layer's.
    columns = records(
        [120, 130, 140, 150, 160], 12 * CONFIG.sub_array,
        parameter=[4, 9, 9, 9, 9], slot=[0, 0, 0, 1, 0],
    )  # fmt: skip
    causes = records([105, 170], 0, cause=[1, 0])
    made = from_traces(cast(Any, deployment), jobs, causes, columns, 100, 180)
    assert [(b.position, b.start, b.end) for b in made.blocks] == [
        (0, 10, 40),
        (2, 12, 50),
        (3, 14, 60),
    ]
    assert made.cycles == 80
    assert made.lanes[0].cycles()[Cause.BUSY] == 65
    assert made.lanes[0].cycles()[Cause.IDLE] == 15
