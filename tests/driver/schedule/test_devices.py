"""Profiles of devices from the timing model, kept on disk; measured profiles of this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.load.profile import PlatformProfile, read_profile, write_profile
from driver.load.queue import compiled
from driver.pipelines import pipeline
from driver.schedule import timed as timed_module
from driver.schedule.choose import choose, segment_curve
from driver.schedule.devices import Device, device_profile, pipeline_curve, stage_pipeline
from driver.schedule.explore import Load, evaluate
from driver.schedule.host_models import known_models, scorer
from driver.schedule.mapping import Mapping, Placed
from driver.schedule.measure import measured_profile
from driver.schedule.platforms import host_transfer, platform, with_selection
from driver.schedule.timed import Case, interval_cycles, time_all, timed
from hdl.config import ConfigError, preset

ROWS = 60


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    compiled()  # once, into the usual cache
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path))
    return tmp_path


def case(items: int = 16, **words: object) -> Case:
    given = {"config": preset("tiny"), "pipeline": pipeline("demo-2").scaled(items)}
    return Case(**(given | {"max_rows": ROWS} | words))  # type: ignore[arg-type]


def test_names_of_devices() -> None:
    split = Device.parse("paper/32x32:8@0,64x64:2@1")
    assert (split.name, split.stages, split.dedicated) == ("paper/32x32:8@0,64x64:2@1", 2, True)
    assert [split.part_of(n) for n in (0, 1)] == ["32x32:8", "64x64:2"]
    mixed = Device.parse("paper/16x16:16@0,32x32:12")
    assert mixed.part_of(0) == "16x16:16,32x32:12"
    whole = Device.parse("tiny")
    assert (whole.partition, whole.stages, whole.dedicated, whole.part_of(0)) == (
        None,
        1,
        False,
        None,
    )
    with pytest.raises(ConfigError, match="unknown preset"):
        Device.parse("huge/4x4")


def test_an_answer_is_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = timed(case())
    assert first.cycles > 0 and len(first.stage_cycles) == 2 and first.lookups == 26 * 18
    assert len(list((kept / "timings").glob("*.json"))) == 1
    with monkeypatch.context() as patch:
        patch.setattr(timed_module, "_time", lambda case: pytest.fail("timed again"))
        assert timed(case()) == first
    (file,) = (kept / "timings").glob("*.json")
    file.write_text("half a fi")
    assert timed(case()) == first
    keys = {c.key() for c in (case(), case(seed=2), case(partition="split"), case(queries=2))}
    assert len(keys) == 4


def test_cases_are_timed_side_by_side_and_kept(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes as in this one; what does not fit is left for whoever asks."""
    wanted = [case(), case(queries=2), case(), case(partition="5x5:1")]
    monkeypatch.setattr(timed_module, "_FEW", 0)
    said: list[str] = []
    time_all(wanted, workers=2, progress=said.append)
    assert said[0] == "timing model: 3 runs, 0 known" and len(said) == 4
    with monkeypatch.context() as patch:
        patch.setattr(timed_module, "_time", lambda case: pytest.fail("timed again"))
        found = [timed(case()), timed(case(queries=2))]
    with pytest.raises(UserError, match="5x5"):
        timed(wanted[-1])
    said.clear()
    time_all(wanted[:2], workers=2, progress=said.append)
    assert said == []
    monkeypatch.setenv("RPACCEL_CACHE", str(kept / "again"))
    assert [timed(case()), timed(case(queries=2))] == found


@pytest.mark.filterwarnings("ignore")
def test_a_cluster_times_the_same(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(timed_module, "_FEW", 0)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        time_all([case()], cluster=cluster.scheduler_address)
    with monkeypatch.context() as patch:
        patch.setattr(timed_module, "_time", lambda case: pytest.fail("timed again"))
        found = timed(case())
    monkeypatch.setenv("RPACCEL_CACHE", str(kept / "here"))
    assert timed(case()) == found


def test_interval_is_what_one_more_query_costs(kept: Path) -> None:
    alone, each = interval_cycles(case(), queries=3)
    assert alone == timed(case()).cycles
    assert each == (timed(case(queries=3)).cycles - alone) / 2
    assert 0 < each < 1.2 * alone


def test_a_profile_of_a_device(kept: Path) -> None:
    device = Device.parse("tiny/4x4:2@0,4x4:2@1")
    said: list[str] = []
    profile = device_profile(
        device, ["RMsmall"], items=(4, 16, 100_000), host=host_transfer("dma"), max_rows=ROWS,
        progress=said.append,
    )  # fmt: skip
    assert [curve.model for curve in profile.curves] == ["RMsmall@0", "RMsmall@1"]
    assert profile.curves[0].items == (4, 16)
    # Both stages have the same engines: each run of the timing model is told of once.
    assert said[0] == "timing model: 4 runs, 0 known" and len(said) == 5
    assert profile.kind == "rpaccel" and profile.host.model == "dma"
    assert profile.curves[0].latency_s == profile.curves[1].latency_s
    file = kept / "profile.json"
    write_profile(file, profile)
    assert read_profile(file) == profile
    assert platform(str(file), ["RMsmall"], transfer="none").curves == profile.curves
    with pytest.raises(UserError, match="unknown model 'RMhuge'; known models: RMsmall"):
        device_profile(device, ["RMhuge"], items=(4,))


def test_a_baseline_selects_on_the_host(kept: Path) -> None:
    found = platform("tiny-baseline", ["RMsmall"], transfer="pcie", items=(16,), max_rows=ROWS)
    assert found.kind == "baseline" and found.host.model == "pcie"
    assert found.curve("top-k").seconds(4096) == pytest.approx(0.35e-3)
    assert found.conditions["selection on the host"] == "as published"
    with pytest.raises(UserError, match="unknown platform 'none'"):
        platform("none", ["RMsmall"], transfer="pcie")
    with pytest.raises(UserError, match="unknown transfer 'usb'"):
        host_transfer("usb")


def test_whole_segments_and_whole_pipelines(kept: Path) -> None:
    device = Device.parse("tiny/split")
    spec = stage_pipeline([("RMsmall", 16), ("RMmed", 4)], returned=2)
    assert [stage.keep for stage in spec.stages] == [4, 2]
    mapping = Mapping((Placed("RMsmall", 16, device.name), Placed("RMmed", 4, device.name)), 2)
    curve = segment_curve(device, mapping.segments[0], sub_batches=1, max_rows=ROWS, seed=1)
    assert curve.model == "RMsmall:16+RMmed:4>2" and curve.items == (16,)
    whole = pipeline_curve(device, replace(spec, name="two"), (16,), max_rows=ROWS)
    assert whole.latency_s == curve.latency_s and whole.memory_bytes > 0


def test_choosing_times_what_shares_a_device(kept: Path) -> None:
    device = Device.parse("tiny/split")
    profile = device_profile(device, ["RMsmall", "RMmed"], items=(4, 16), max_rows=ROWS)
    profiles = {device.name: profile}
    mapping = Mapping((Placed("RMsmall", 16, device.name), Placed("RMmed", 4, device.name)), 2)
    load = Load(rate=100.0, queries=200)
    composed = evaluate(mapping, profiles, 0.7, load)
    found = choose([composed], profiles, load, sla_s=1.0, max_rows=ROWS)
    assert found.outcome.timed and found.outcome.mapping == mapping
    (deviation,) = found.deviations.values()
    # Stages put together from single ones: hand-over and prefetches are missing, no more.
    assert 0.8 < deviation < 1.25
    assert choose([composed], profiles, load, sla_s=1.0, refine=0).outcome is composed


def test_measured_models_score_items() -> None:
    assert {"RMlarge", "movielens1m-small", "mprec-kaggle-dhe", "top-k"} <= set(known_models())
    for name in ("RMsmall", "movielens1m-small"):
        score = scorer(name, max_rows=ROWS)
        assert [len(part) for part in score(4100)] == [4096, 4]
    best = scorer("top-k", max_rows=ROWS)(100)
    assert len(best) == 64 and len(set(best.tolist())) == 64
    with pytest.raises(UserError, match="unknown model 'mprec-kaggle-all'"):
        scorer("mprec-kaggle-all", max_rows=ROWS)


def test_this_machine_is_a_profile(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.schedule.measure._ask", _quick)
    found = measured_profile(["RMsmall"], items=(8, 32), servers=3, clock="cpu")
    (curve,) = found.curves
    assert found.servers == 3 and found.kind == "cpu" and curve.items == (8, 32)
    assert curve.latency_s == (2.0, 4.0) and len(curve.factors) == 64
    assert sum(curve.factors) / 64 == pytest.approx(1, abs=0.02)
    assert PlatformProfile.from_json(found.as_json()) == found


def _quick(words: dict[str, object]) -> dict[str, object]:
    assert words["clock"] == "cpu" and words["device"] == "cpu"
    return {"times": {"RMsmall": [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]]}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"models": []}, "at least one model"),
        ({"items": ()}, "at least one model and one number of items"),
        ({"models": ["RMhuge"]}, "unknown model 'RMhuge'"),
        ({"clock": "sun"}, "unknown clock 'sun'"),
    ],
)
def test_bad_measurements_are_said(words: dict[str, object], message: str) -> None:
    given = {"models": ["RMsmall"], "items": (8,)} | words
    models = given.pop("models")
    with pytest.raises(UserError, match=message):
        measured_profile(models, **given)  # type: ignore[arg-type]


def test_the_measuring_process_and_its_errors() -> None:
    found = measured_profile(["top-k"], items=(64,), clock="cpu")
    assert found.curve("top-k").seconds(64) > 0
    with pytest.raises(UserError, match="PyTorch|measured on the CPU only"):
        measured_profile(["movielens1m-small"], items=(4,), device="cuda")


def test_selection_is_measured_with_other_links(kept: Path) -> None:
    found = with_selection(
        PlatformProfile(name="b", kind="baseline", memory_bytes=1, bytes_per_s=1.0), "dma", "cpu"
    )
    assert found.curve("top-k").seconds(4096) > 0
