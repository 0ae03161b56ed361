"""The search: all of a small space, a part of a large one, the same on any pool, taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from driver.errors import UserError
from driver.schedule.choose import best
from driver.schedule.explore import Load, Outcome, explore, pareto_front
from driver.schedule.pareto import front
from driver.schedule.pool import sweep
from driver.schedule.study import Study
from tests.driver.schedule.support import baseline, device, host, quality, space

PROFILES = {"paper/32x32:16": device(), "cpu": host(), "baseline": baseline()}
SPACE = space(*PROFILES)
LOAD = Load(rate=200.0, queries=500)


def look(study: Study | None = None, trials: int | None = None, **words: object) -> list[Outcome]:
    return explore(
        SPACE, PROFILES, quality(SPACE), LOAD, study or Study(None, {}), trials=trials,
        **({"workers": 1} | words),  # type: ignore[arg-type]
    )  # fmt: skip


def test_front_is_what_nothing_dominates() -> None:
    random = np.random.default_rng(1)
    values = random.integers(0, 6, (60, 3)).astype(float)
    larger = [True, False, True]
    signed = np.where(larger, values, -values)
    kept = front(values, larger)
    for place, row in enumerate(signed):
        beaten = any((other >= row).all() and (other > row).any() for other in signed)
        first = not any((other == row).all() for other in signed[:place])
        assert (place in kept) == (not beaten and first)
    assert front(np.zeros((0, 2)), [True, True]) == []


def test_all_of_a_small_space() -> None:
    outcomes = look()
    assert len({o.mapping for o in outcomes}) == len(outcomes)
    on_front = pareto_front(outcomes)
    assert 0 < len(on_front) < len(outcomes)
    chosen = best(outcomes, 25e-3, None, LOAD)
    assert chosen in on_front and chosen.mapping.stages[0].platform == "paper/32x32:16"
    assert Outcome.from_json(json.loads(json.dumps(chosen.as_json()))) == chosen


def test_above_saturation_there_is_no_p99() -> None:
    slow = {"cpu": host(servers=1, item_s=1e-5)}
    only = space("cpu", stages=(1,), models=("RMlarge",))
    (found,) = explore(only, slow, quality(only), LOAD, Study(None, {}), workers=1)
    assert found.saturation < LOAD.rate and np.isinf(found.p99_s)
    assert Outcome.from_json(found.as_json()) == found
    with pytest.raises(UserError, match="no mapping meets .* the nearest is .* queries/s"):
        best([found], 25e-3, None, LOAD)


def test_a_target_that_nothing_meets_names_the_nearest() -> None:
    outcomes = look()
    nearest = min(outcomes, key=lambda o: o.p99_s)
    with pytest.raises(UserError) as error:
        best(outcomes, 1e-9, None, LOAD)
    assert nearest.mapping.label in str(error.value) and "\n" not in str(error.value)
    with pytest.raises(UserError, match="no mapping inside .* quality of 0.99"):
        best(outcomes, 1.0, 0.99, LOAD)


def test_processes_give_the_same_study() -> None:
    assert look(workers=2) == look()


def test_an_interrupted_study_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "study.jsonl"
    whole = look(Study(file, {"a": 1}))
    lines = file.read_text().splitlines()
    # The process died in the middle of a line.
    file.write_text("\n".join(lines[:20]) + "\n" + lines[20][:30])
    study = Study(file, {"a": 1})
    assert study.resumed == 19
    assert look(study) == whole
    assert sorted(file.read_text().splitlines()) == sorted(lines)
    again = Study(file, {"a": 1})
    monkeypatch.setattr("driver.schedule.explore.sweep", _nothing_to_do)
    assert look(again) == whole


def _nothing_to_do(function: object, tasks: list[object], **words: object) -> list[object]:
    assert not tasks
    return []


def test_a_study_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "study.jsonl"
    Study(file, {"a": 1}).add("x", 1)
    with pytest.raises(UserError, match="is of another space"):
        Study(file, {"a": 2})
    file.write_text("no study\n")
    with pytest.raises(UserError, match="not a study file"):
        Study(file, {"a": 1})
    Study(other := tmp_path / "other.jsonl", {}).add("x", 1)
    other.write_text(other.read_text().replace('"key"', "key") + '{"key": "y", "result": 2}\n')
    with pytest.raises(UserError, match="line 2 is damaged"):
        Study(other, {})
    with pytest.raises(UserError, match="study"):
        Study(tmp_path / "no" / "folder", {})


def test_empty_and_large_spaces_are_said() -> None:
    only = space("paper/8x8@0", stages=(2,))
    profiles = {"paper/8x8@0": device("paper/8x8@0")}
    with pytest.raises(UserError, match="no mapping is legal"):
        explore(only, profiles, quality(only), LOAD, Study(None, {}), workers=1)
    large = space("cpu", items=tuple(range(1024, 1024 + 3000)))
    with pytest.raises(UserError, match="give --trials"):
        explore(large, PROFILES, {}, LOAD, Study(None, {}), workers=1)


def test_search_finds_the_front_and_goes_on_where_it_was(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    every = {o.mapping: o for o in look()}
    trials = SPACE.size() - 1
    file = tmp_path / "study.jsonl"
    found = look(Study(file, {}), trials=trials)
    assert all(every[o.mapping] == o for o in found) and len(found) < len(every)
    values = {o.mapping for o in pareto_front(found)}
    assert len(values & {o.mapping for o in pareto_front(list(every.values()))}) >= 3
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:10]) + "\n")
    assert look(Study(file, {}), trials=trials) == found


def _double(number: int) -> int:
    return 2 * number


def test_results_come_with_their_places() -> None:
    assert dict(sweep(_double, [3, 1, 2], workers=1)) == {0: 6, 1: 2, 2: 4}
    assert list(sweep(_double, [])) == []


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_gives_the_same_study() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        assert look(cluster=cluster.scheduler_address) == look()


@pytest.mark.filterwarnings("ignore")
def test_an_absent_cluster_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("driver.schedule.pool.CLUSTER_TIMEOUT_S", 1)
    file = tmp_path / "study.jsonl"
    Study(file, {}).add("kept", 1)
    with pytest.raises(UserError, match="cluster tcp://127.0.0.1:9 does not answer"):
        look(Study(file, {}), cluster="tcp://127.0.0.1:9")
    assert Study(file, {}).results == {"kept": 1}
    with pytest.raises(UserError, match="cluster nonsense://x does not answer"):
        look(cluster="nonsense://x")
