"""Real execution: what is derived from times, refusals, and (slow) processes that rank queries."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.errors import UserError
from driver.load.execute import Place, Processes, Run, execute, places_of
from driver.load.services import Recorded
from driver.load.worker import COLUMNS, START, survivors_of
from driver.pipelines import pipeline
from driver.workload import load_workload
from golden.pipeline import run_float


def test_times_of_a_run() -> None:
    # Two queries, two places: (start, end, CPU, process).
    times = np.array(
        [
            [[1.1, 2.0, 0.9, 0], [2.2, 3.0, 0.4, 0]],
            [[2.1, 3.0, 0.9, 0], [3.1, 4.0, 0.9, 1]],
        ],
        np.float64,
    )
    run = Run(np.array([1.0, 1.5]), times, 0.0)
    assert list(run.latency) == [2.0, 2.5]
    assert list(run.come(1)) == [2.0, 3.0]
    # The second query waits for the first: what it occupies begins at 2.0.
    assert run.occupied(0) == pytest.approx([1.0, 1.0])
    # Two processes: it waits for nobody.
    assert run.occupied(1) == pytest.approx([1.0, 1.0])
    assert run.undisturbed == pytest.approx(3.1 / 3.5)


def test_places() -> None:
    three = pipeline("kaggle-3")
    assert places_of(three, "cores", 2) == (Place((0, 1, 2), 2),)
    assert places_of(three, "stages", 4) == (Place((0,), 1), Place((1,), 1), Place((2,), 1))
    with pytest.raises(UserError, match="kaggle-3 has 3 stages and needs a core for each; .* 2"):
        places_of(three, "stages", 2)
    with pytest.raises(UserError, match="unknown layout 'heap'; known: stages, cores"):
        places_of(three, "heap", 2)


def test_recorded_times_keep_their_order() -> None:
    drawn = Recorded((1.0, 2.0, 3.0)).draw(np.random.default_rng(1), np.ones(7, np.int64))
    assert set(np.diff(drawn)) == {1.0, -2.0} and len(drawn) == 7


def test_refuses() -> None:
    two = pipeline("kaggle-2").scaled(64)
    with pytest.raises(UserError, match="load must be in 0..1, not 1"):
        execute(two, load=1.0)
    with pytest.raises(UserError, match="queries must be at least 100, not 9"):
        execute(two, queries=9)


def test_needs_a_core_for_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0})
    with pytest.raises(UserError, match="kaggle-2 has 2 stages and needs a core for each; .* 1"):
        Processes(pipeline("kaggle-2"), queries=1, max_rows=10, seed=1)


def test_a_stage_ranks_as_golden_does() -> None:
    spec = pipeline("kaggle-2").scaled(64)
    workload = load_workload(spec, queries=1, max_rows=100, seed=1)
    items: NDArray[Any] = np.arange(64, dtype=np.int32)
    for stage, model in zip(spec.stages, workload.models, strict=True):
        items = survivors_of(model, workload.queries[0], items, stage.keep)
    wanted = run_float(workload.models, [s.keep for s in spec.stages],
                       workload.queries[0].dense_float, workload.queries[0].ids)  # fmt: skip
    assert list(items) == list(wanted.items)


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_processes_rank_queries_and_are_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    """The measured p99 is bounded where the processes had the machine for themselves."""
    spec = pipeline("kaggle-2").scaled(128)
    found = execute(spec, queries=1000, max_rows=1000, seed=3)
    run = found.run
    assert (run.latency >= run.service.sum(axis=1) - 1e-9).all()
    assert (run.times[:, 1, START] >= run.times[:, 0, START]).all()
    assert found.predicted_p99 >= found.predicted_p50 > 0
    assert found.predicted_p99_range[0] <= found.predicted_p99 <= found.predicted_p99_range[1]
    with capsys.disabled():
        print(f"\nmeasured p99 over predicted: {found.ratio:.3f}, CPU {found.run_undisturbed:.3f}")
    if min(found.run_undisturbed, found.calibration_undisturbed) > 0.98:
        # Single runs of this length lie as far apart as the simulation says.
        low, high = found.predicted_p99_range
        assert 0.8 * low <= found.measured.value <= 1.2 * high
    with pytest.raises(UserError, match="1e.09 queries/s are more than the processes do"):
        execute(spec, rate=1e9, queries=100, max_rows=1000)
    workload = load_workload(spec, queries=2, max_rows=1000, seed=3)
    with Processes(spec, queries=2, max_rows=1000, seed=3, pool=2, layout="cores") as processes:
        both = processes.run(np.zeros(2))
        kept = processes.board.list_array(1).copy()
    assert both.times.shape == (2, 1, len(COLUMNS))
    for number, query in enumerate(workload.queries):
        wanted = run_float(
            workload.models, [s.keep for s in spec.stages], query.dense_float, query.ids
        )
        assert list(kept[number]) == list(wanted.items)
