"""Timing model of whole queries against the generated Verilog.

The array's schedules must agree cycle for cycle, whole queries within 2 %.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import driver.rtl
from driver.check import read_records
from driver.options import RunOptions
from driver.partition import parse_partition
from driver.pipelines import pipeline
from driver.rtl import Plan, plan_run, run_rtl
from driver.run import golden_results
from driver.timing import predict, run_timing
from driver.traces import Records
from driver.workload import load_workload
from hdl.config import preset
from sim.runner import Outcome
from sim.timing import Prediction

TOLERANCE = 0.02
SLACK = 16
"""Cycles that short spans may differ by: where a request meets another one's open row."""


@dataclass(kw_only=True)
class Both:
    """One run on both back ends."""

    plan: Plan
    rtl: dict[str, Any]
    timing: dict[str, Any]
    prediction: Prediction
    columns: Records


def run_both(
    *, preset_name: str, name: str, items: int | None, partition: str | None, seed: int = 1
) -> Both:
    config = preset(preset_name)
    spec = pipeline(name).scaled(items)
    workload = load_workload(spec, queries=1, max_rows=10_000, seed=seed)
    cut = parse_partition(config, partition, stages=len(spec.stages))
    plan = plan_run(config, cut, workload)
    expected = golden_results(workload, keep_layers=True)
    options = RunOptions(preset=preset_name, pipeline=name, items=items, seed=seed)
    outcomes: list[Outcome] = []
    play: Callable[..., Outcome] = driver.rtl.run_job

    def keep_traces(*args: Any, **words: Any) -> Outcome:
        outcomes.append(play(*args, **words))
        return outcomes[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(driver.rtl, "run_job", keep_traces)
        rtl = run_rtl(plan, workload, expected, options, lambda text: None)
    return Both(
        plan=plan,
        rtl=rtl,
        timing=run_timing(plan, workload, expected, options),
        prediction=predict(plan, workload, expected),
        columns=read_records(config, outcomes[0].traces)["columns"],
    )


def close(predicted: int, measured: int, of: int | None = None) -> bool:
    """Equal within the tolerance, of ``of`` where the figure is a part of something."""
    return abs(predicted - measured) <= max(SLACK, TOLERANCE * (measured if of is None else of))


def check_schedules(both: Both) -> None:
    """Within a phase whose weights are resident, rows leave the columns as predicted."""
    deployment = both.plan.deployment
    config = deployment.config
    checked = 0
    for engine in deployment.partition.engines:
        e = 1 << engine.level
        strip = (engine.row + e - 1) * config.grid + engine.column
        mine = both.columns.where(both.columns.source == strip * config.sub_array)
        measured: NDArray[np.int64] = mine.cycle
        at = 0
        for phase in both.prediction.phases[engine.unit]:
            rows = np.concatenate(
                [np.arange(start, start + phase.rows) for start in phase.output_tiles]
            )
            part = measured[at : at + len(rows)]
            at += len(rows)
            stage = deployment.maps[engine.unit].stages[phase.stage]
            if not (stage.top if phase.top else stage.bottom).streamed:
                np.testing.assert_array_equal(np.diff(part), np.diff(rows), str(phase))
                checked += 1
        assert at == len(measured), f"engine {engine.unit}"
    assert checked or all(
        (s.bottom.streamed and s.top.streamed)
        for m in deployment.maps.values()
        for s in m.stages.values()
    )


def check(both: Both) -> None:
    rtl, timing = both.rtl, both.timing
    assert rtl["bit_exact"] is True
    check_schedules(both)
    assert close(timing["cycles"], rtl["cycles"])
    engines = len(both.plan.deployment.partition.engines)
    for predicted, measured in zip(timing["stages"], rtl["stages"], strict=True):
        assert predicted["busy_cycles"] == measured["busy_cycles"]
        assert close(predicted["cycles"], measured["cycles"]), (predicted, measured)
        for cause, cycles in measured["stall_cycles"].items():
            said = predicted["stall_cycles"][cause]
            assert close(said, cycles, of=measured["cycles"] * engines), cause
    assert timing["embedding"] == rtl["embedding"]


@pytest.mark.parametrize(
    ("items", "partition"),
    [(64, None), (24, "4x4:4"), (21, "4x4:3@0,4x4:1@1")],
)
def test_tiny(items: int, partition: str | None) -> None:
    check(run_both(preset_name="tiny", name="demo-2", items=items, partition=partition))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["kaggle-1", "kaggle-2", "kaggle-2-cat", "kaggle-3"])
@pytest.mark.parametrize(("preset_name", "items"), [("tiny", 96), ("small", 512)])
def test_pipelines(preset_name: str, name: str, items: int) -> None:
    check(run_both(preset_name=preset_name, name=name, items=items, partition=None))


@pytest.mark.slow
@pytest.mark.parametrize(
    "partition", ["8x8:4", "4x4:16", "8x8:2@1,4x4:8@0", "8x8:1@1,8x8:1@0,4x4:8@0"]
)
def test_small_partitions(partition: str) -> None:
    check(run_both(preset_name="small", name="demo-2", items=256, partition=partition))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    items=st.integers(1, 200),
    partition=st.sampled_from(["fused", "split", "4x4:2@0,4x4:2@1", "4x4:1@0,4x4:3@1"]),
    name=st.sampled_from(["demo-2", "kaggle-2", "kaggle-2-cat", "kaggle-3"]),
    seed=st.integers(1, 30),
)
def test_drawn(items: int, partition: str, name: str, seed: int) -> None:
    check(run_both(preset_name="tiny", name=name, items=items, partition=partition, seed=seed))
