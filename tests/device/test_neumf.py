"""NeuMF through the whole device: products, the MLP of copied vectors, the layer of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rpaccel
from driver.errors import UserError
from driver.inputs import make_workload
from driver.partition import parse_partition
from driver.pipelines import PIPELINES, pipeline
from driver.workload import Workload, load_workload
from golden.neumf import NeuMf, NeuMfShape, forward_neumf, random_neumf, table_ids
from golden.neumf_files import save_neumf
from hdl.config import preset
from tests.sim.timing.test_device import (
    check,
    check_jobs,
    check_schedules,
    run_both,
    run_workload,
)

TINY = preset("tiny")
USERS, ITEMS = 50, 90
SIZES: dict[str, tuple[int, tuple[int, ...]]] = {
    "front": (24, (20, 12, 1)),  # two pairs of 16, half a tail
    "back": (40, (40, 30, 9, 5)),  # three pairs, and a last layer of several inputs
    "wide": (128, (300, 20, 3)),
    "short": (1, (2, 1)),
}


def neumf(name: str, seed: int = 1) -> NeuMf:
    mf, mlp = SIZES[name]
    shape = NeuMfShape(name=name, mf=mf, mlp=mlp, users=USERS, items=ITEMS)
    return random_neumf(shape, seed=seed)


def pairs(seed: int, items: int) -> np.ndarray:
    """One user, items of which some come twice."""
    random = np.random.default_rng(seed)
    ids = (random.random(items) ** 2 * ITEMS).astype(np.uint32)
    return np.stack([np.full(items, random.integers(USERS)), ids], axis=1)


def workload(*names: str, items: int = 21, queries: int = 2) -> Workload:
    random = np.random.default_rng(7)
    known = np.stack([random.integers(0, n, 200) for n in (USERS, ITEMS)], axis=1)
    return make_workload(
        models=[neumf(name) for name in names],
        keep=[9, 4][: len(names)],
        queries=[(pairs(n, items),) for n in range(queries)],
        calibration=(known,),
    )


def run(made: Workload, **options: Any) -> dict[str, Any]:
    ran = rpaccel.run(preset=options.pop("preset", "tiny"), workload=made, **options)
    assert ran["bit_exact"] is True, ran["difference"]
    return ran


@pytest.mark.parametrize("names", [("front",), ("back",), ("wide",), ("short",), ("short", "back")])
def test_bits(names: tuple[str, ...]) -> None:
    """Every product, layer, lookup and survivor."""
    made = workload(*names)
    ran = run(made)
    lookups = 2 * (21 + 9 * (len(names) - 1)) * len(made.models[0].shape.embeddings)
    assert ran["embedding"]["lookups"] == lookups


@pytest.mark.parametrize("partition", ["fused", "split", "4x4:3@0,4x4:1@1"])
def test_device_and_timing_model(partition: str) -> None:
    """Schedules exactly, whole queries within the model's tolerance; engines of both sizes."""
    made = workload("front", "back", items=40, queries=1)
    check(run_workload(TINY, parse_partition(TINY, partition, stages=2), made, seed=1))


@pytest.mark.parametrize("seed", [1, 2])
def test_hostile_memory(seed: int) -> None:
    run(workload("back", "front"), dram="hostile", seed=seed)


@pytest.mark.parametrize(
    ("name", "items"), [("movielens1m-2", 16), ("movielens20m-3", 16), ("movielens1m-3", 12)]
)
def test_pipelines(name: str, items: int) -> None:
    check(run_both(preset_name="tiny", name=name, items=items, partition=None))


@pytest.mark.slow
@pytest.mark.parametrize("preset_name", ["tiny", "small"])
@pytest.mark.parametrize("name", [n for n, p in PIPELINES.items() if p.data == "movielens"])
def test_more_items(name: str, preset_name: str) -> None:
    """Bits, schedules exactly, cycles within the model's tolerance.

    How many rows are fetched ahead may differ by a few items: it hangs on which of two things comes
    first, a slot that is free or a row that is looked up, and changes no cycles here.
    """
    both = run_both(preset_name=preset_name, name=name, items=64, partition=None)
    assert both.rtl["bit_exact"] is True
    check_schedules(both)
    check_jobs(both)
    assert both.timing["cycles"] == pytest.approx(both.rtl["cycles"], rel=0.02)
    for predicted, measured in zip(both.timing["stages"], both.rtl["stages"], strict=True):
        assert predicted["busy_cycles"] == measured["busy_cycles"]
        assert predicted["cycles"] == pytest.approx(measured["cycles"], rel=0.02)
    for name in ("lookups", "static_hits"):
        assert both.timing["embedding"][name] == both.rtl["embedding"][name]


@pytest.mark.slow
@pytest.mark.parametrize("preset_name", ["ecp5", "tiny-baseline"])
def test_other_devices(preset_name: str) -> None:
    run(workload("back"), preset=preset_name)


def test_pipelines_are_the_reference_ones() -> None:
    stages = {n: [(s.model, s.items, s.keep) for s in PIPELINES[n].stages] for n in PIPELINES}
    assert stages["movielens1m-2"] == [
        ("movielens1m-small", 1000, 400), ("movielens1m-large", 400, 64),
    ]  # fmt: skip
    assert [s[1] for s in stages["movielens20m-3"]] == [4000, 1000, 256]
    made = load_workload(pipeline("movielens1m-1").scaled(30), queries=2, max_rows=100, seed=3)
    for query in made.queries:  # one user, different items
        assert len(np.unique(query.ids[:, 0])) == 1 and len(np.unique(query.ids[:, 1])) == 30
    assert made.models[0].shape.rows == (100, 100) * 5


def test_model_files_and_labels(tmp_path: Path) -> None:
    """Files of NeuMF and labels: quality by golden, the same items as the plain model ranks."""
    path = tmp_path / "front.npz"
    save_neumf(path, neumf("front"))
    ids = pairs(4, 30)
    labels = (np.arange(30) % 7 == 0).astype(np.uint8)
    made = rpaccel.workload(models=[path], keep=[5], queries=[(ids, labels)])
    ran = rpaccel.run(preset="tiny", workload=made, backend="golden")
    exact = forward_neumf(neumf("front"), table_ids(ids.astype(np.uint32)))["score"]
    order = np.argsort(-exact, kind="stable")[:12]
    assert {best["item"] for best in ran["top"]} <= set(order.tolist())
    assert 0 <= ran["quality"]["ndcg_at_k"] <= 1


def test_what_does_not_fit() -> None:
    deep = NeuMfShape(name="deep", mf=8, mlp=(16, 2000, 2000, 1), users=USERS, items=ITEMS)
    made = make_workload(models=[random_neumf(deep, seed=1)], keep=[1], queries=[(pairs(0, 4),)])
    with pytest.raises(UserError, match="deep: activations need 1005 pages of an engine of edge 4"):
        rpaccel.run(preset="tiny", workload=made, partition="4x4:4")
    with pytest.raises(UserError, match="ranks 4000 items, tiny takes at most 1024; see --items"):
        rpaccel.run(preset="tiny", pipeline="movielens20m-2")
    with pytest.raises(UserError, match="unknown pipeline 'movielens1m-4'"):
        rpaccel.run(preset="tiny", pipeline="movielens1m-4")


def test_bad_input() -> None:
    front, back, wide = (neumf(name) for name in ("front", "back", "wide"))
    good = (pairs(0, 4),)
    for models, keep, query, message in (
        (
            [front],
            [1],
            (np.zeros((4, 3), np.uint32),),
            r"pairs must be numbers of shape \[items, 2",
        ),
        ([front], [1], (np.array([[50, 1]]),), "query 0, item 0: user 50 must be below 50"),
        ([front], [1], (np.array([[1, 1], [1, 90]]),), "item 1: item 90 must be below 90"),
        ([front], [1], (np.zeros((0, 2), np.uint32),), "query 0 is empty"),
        ([front], [1], (np.zeros((2, 2)),), "pairs must be integers, not float64"),
        ([front], [1], (pairs(0, 4), np.zeros(3)), r"labels must be of shape \[4\]"),
        ([front], [1], (pairs(0, 4), np.zeros(4), 1), r"must be \(pairs,\) or \(pairs, labels\)"),
        ([front], [1, 1], good, "keep must have one number for each of 1 models"),
        ([front], [9], good, "keep of stage 0 must be in 1..4, not 9"),
        ([neumf("short"), wide], [2, 1], good, "no width of vectors gives all models as many"),
    ):
        with pytest.raises(UserError, match=message):
            make_workload(models=models, keep=keep, queries=[query])
    other = NeuMfShape(name="other", mf=4, mlp=(8, 2), users=USERS, items=ITEMS + 1)
    with pytest.raises(UserError, match="model 1 has 91 items, model 0 has 90"):
        make_workload(models=[back, random_neumf(other, seed=1)], keep=[2, 1], queries=[good])
    dlrm = load_workload(pipeline("kaggle-1").scaled(2), queries=1, max_rows=3, seed=1).models[0]
    with pytest.raises(UserError, match="RMlarge is no NeuMF, front is one"):
        make_workload(models=[front, dlrm], keep=[1, 1], queries=[good])
