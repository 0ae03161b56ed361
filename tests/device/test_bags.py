"""Multi-hot bags through the whole device: records, sums, requantising, lookups, cycles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import rpaccel
from driver.errors import UserError
from driver.inputs import make_workload
from driver.partition import parse_partition
from driver.pipelines import pipeline
from driver.records import id_places
from driver.workload import Workload, load_workload
from golden.embedding import EMPTY_ID
from golden.model import ModelShape, random_model
from golden.model_files import load_model, save_model
from hdl.config import preset
from tests.sim.timing.test_device import check, run_both, run_workload

TINY = preset("tiny")
ROWS = (40, 7, 90, 3, 50)
BAGS = (1, 3, 5, 1, 2)


def _places(rng: np.random.Generator, items: int) -> np.ndarray:
    """Ids with empty places anywhere in a bag, and bags with none and with all."""
    tables = np.repeat(np.arange(len(ROWS)), BAGS)
    ids = (rng.random((items, len(tables))) ** 2 * np.array(ROWS)[tables]).astype(np.uint32)
    many = np.array(BAGS)[tables] > 1
    ids[(rng.random(ids.shape) < 0.4) & many] = EMPTY_ID
    ids[0, many] = EMPTY_ID
    return ids


def _workload(bags: tuple[int, ...] = BAGS, widths: tuple[int, int] = (8, 32)) -> Workload:
    """Two stages; rows of the second one take two words of a lane."""
    rng = np.random.default_rng(3)
    shapes = [
        ModelShape(name="front", width=widths[0], bottom=(5, 8, widths[0]), top=(6, 1), rows=ROWS),
        ModelShape(
            name="back", width=widths[1], bottom=(5, widths[1]), top=(4, 1), rows=ROWS,
            interaction="cat",
        ),
    ]  # fmt: skip
    shapes = [replace(shape, bags=bags) for shape in shapes]
    dense = rng.normal(0, 1, (20, 5)).astype(np.float32)
    return make_workload(
        models=[random_model(shape, seed=n) for n, shape in enumerate(shapes)],
        keep=[6, 3],
        queries=[(dense, _places(rng, 20))],
    )


def test_bags_on_the_device_and_in_the_timing_model() -> None:
    workload = _workload()
    both = run_workload(TINY, parse_partition(TINY, None, stages=2), workload, seed=1)
    check(both)
    ids = workload.queries[0].ids
    assert both.rtl["embedding"]["lookups"] > 0.5 * ids.size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("widths", "partition"), [((4, 128), "4x4:4"), ((16, 4), "4x4:3@0,4x4:1@1"), ((64, 8), None)]
)
def test_bags_of_any_rows(widths: tuple[int, int], partition: str | None) -> None:
    cut = parse_partition(TINY, partition, stages=2)
    check(run_workload(TINY, cut, _workload(widths=widths), seed=1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset_name", "name", "items", "sub_batches"),
    [("tiny", "kaggle-2-bags", 24, 1), ("small", "kaggle-2-bags", 128, 4)],
)
def test_pipelines(preset_name: str, name: str, items: int, sub_batches: int) -> None:
    check(
        run_both(
            preset_name=preset_name, name=name, items=items, partition=None, policy="quota",
            sub_batches=sub_batches,
        )
    )  # fmt: skip


@pytest.mark.parametrize("config", [TINY, preset("small"), preset("medium")])
def test_places(config: object) -> None:
    """A bag's words lie in one lane, one behind the other; no word has two ids."""
    places = id_places(config, pipeline("kaggle-2-bags").bags)  # type: ignore[arg-type]
    lanes = config.gather_lanes  # type: ignore[attr-defined]
    assert places.count <= config.max_features  # type: ignore[attr-defined]
    used = [word for words in places.words for word in words]
    assert len(used) == len(set(used)) and min(used) >= 1 and max(used) == places.count
    for table, words in enumerate(places.words):
        assert [word % lanes for word in words] == [(1 + table) % lanes] * len(words)
        assert np.diff(words).tolist() == [lanes] * (len(words) - 1)
    one = id_places(config, (1,) * 26)  # type: ignore[arg-type]
    assert one.columns == list(range(26)) and one.count == 26


def test_model_file_and_golden(tmp_path: Path) -> None:
    """A model with bags through a file; the golden back end sums what the places hold."""
    workload = load_workload(pipeline("kaggle-1-bags").scaled(8), queries=1, max_rows=9, seed=2)
    path = tmp_path / "model.npz"
    save_model(path, workload.models[0])
    again = load_model(path)
    assert again.shape == workload.models[0].shape and again.shape.id_places == 41
    query = workload.queries[0]
    made = make_workload(models=[again], keep=[2], queries=[(query.dense_float, query.ids)])
    result = rpaccel.run(preset="tiny", workload=made, backend="golden")
    assert len(result["top"]) == 2


def test_bags_that_do_not_fit() -> None:
    with pytest.raises(UserError, match=r"ids must be numbers of shape \[items, 12\]"):
        make_workload(
            models=_workload().models, keep=[1, 1],
            queries=[(np.zeros((2, 5), np.float32), np.zeros((2, 5), np.uint32))],
        )  # fmt: skip
    front, back = _workload().models
    other = replace(back, shape=replace(back.shape, bags=(1, 1, 5, 1, 2)))
    with pytest.raises(UserError, match="model 1 has .* bags, model 0 has"):
        make_workload(models=[front, other], keep=[1, 1], queries=[])
    ids = np.zeros((2, 12), np.uint32)
    ids[1, 0] = EMPTY_ID  # table 0 has no bag
    with pytest.raises(UserError, match="item 1: id 4294967295 is outside table 0 of 40 rows"):
        make_workload(
            models=[front, back], keep=[1, 1], queries=[(np.zeros((2, 5), np.float32), ids)]
        )
    with pytest.raises(ValueError, match="bag of feature 2 of front must be at least 1, not 0"):
        replace(front.shape, bags=(1, 1, 0, 1, 1))
    with pytest.raises(ValueError, match="bags of front must be of 5 features, not 2"):
        replace(front.shape, bags=(1, 1))


def test_more_id_words_than_a_record_holds() -> None:
    shape = ModelShape(
        name="deep", width=4, bottom=(2, 4), top=(1,), rows=(3, 3), interaction="cat", bags=(1, 40)
    )
    query = (np.zeros((2, 2), np.float32), np.zeros((2, 41), np.uint32))
    workload = make_workload(models=[random_model(shape, seed=1)], keep=[1], queries=[query])
    with pytest.raises(UserError, match="bags of 41 ids take 80 id words .* tiny holds 64"):
        rpaccel.run(preset="tiny", workload=workload)
