"""`rpaccel evaluate` of NeuMF pipelines: figures against plain loops, bad input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from driver.data.lines import BadLines
from driver.data.movielens import read_movielens, user_queries
from driver.pipelines import pipeline
from driver.quality.neumf import NEUMF_PIPELINES
from examples.train.synthetic_ratings import write_ratings
from golden.neumf import NeuMfShape, forward_neumf, random_neumf
from golden.neumf_files import save_neumf
from rpaccel import cli

USERS, ITEMS = 12, 90


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ratings and two models of different sizes."""
    write_ratings(tmp_path / "ratings.dat", users=USERS, items=ITEMS)
    items = len(read_movielens(tmp_path / "ratings.dat", BadLines()).item_ids)
    for name, mf, mlp in (("small", 4, (8, 4)), ("large", 8, (16, 8, 4))):
        shape = NeuMfShape(name=name, mf=mf, mlp=mlp, users=USERS, items=items)
        save_neumf(tmp_path / f"{name}.npz", random_neumf(shape, seed=1))
    return tmp_path


def words(folder: Path, *models: str, pipeline: str = "movielens1m-2") -> list[str]:
    options = [word for name in models for word in ("--model", str(folder / f"{name}.npz"))]
    data = str(folder / "ratings.dat")
    return ["evaluate", "--pipeline", pipeline, "--data", data, *options, "--items", "40"]


def test_evaluate(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words(folder, "small", "large"), "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["queries"], got["items"], got["k"]) == (USERS, 40, 3)
    from golden.neumf_files import load_neumf

    models = [load_neumf(folder / f"{name}.npz") for name in ("small", "large")]
    ratings = read_movielens(folder / "ratings.dat", BadLines())
    hits = []
    for query in user_queries(ratings, items=40):
        first = np.sort(np.argsort(-forward_neumf(models[0], query.ids)["score"])[:16])
        last = forward_neumf(models[1], query.ids[first])["score"]
        best = first[np.argsort(-last)[:3]]
        hits.append(float(query.labels[best].any()))
    assert got["metrics"]["hit_rate"]["float"]["mean"] == pytest.approx(np.mean(hits))
    assert got["metrics"]["recall"]["int8"]["mean"] > 0.2
    assert [model["name"] for model in got["models"]] == ["small", "large"]


def test_counts_are_those_of_the_paper_and_scale() -> None:
    def counts(name: str, items: int | None) -> tuple[list[int], int]:
        stages = pipeline(name).scaled(items).stages
        return [stage.keep for stage in stages], stages[0].items

    assert counts("movielens1m-3", None) == ([400, 256, 64], 1000)
    assert counts("movielens20m-2", 400) == ([100, 7], 400)
    assert counts("movielens1m-1", 1) == ([1], 1)
    assert len(NEUMF_PIPELINES) == 6


def test_bad_input(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(message: str, line: list[str]) -> None:
        assert cli.main(line) == 2
        assert message in capsys.readouterr().err.splitlines()[-1]

    refuse("movielens1m-2 has 2 stages: give --model FILE for each, not 1", words(folder, "small"))
    refuse("other.npz: no such file", words(folder, "large", "other"))
    shape = NeuMfShape(name="other", mf=4, mlp=(8, 4), users=USERS + 1, items=ITEMS)
    save_neumf(folder / "other.npz", random_neumf(shape, seed=1))
    refuse("other.npz: 13 users,", words(folder, "large", "other"))
    refuse("takes one file of ratings", [*words(folder, "large"), "--data", "a", "b"])


@pytest.mark.torch
def test_trained_models_beat_random_order(tmp_path: Path) -> None:
    """Ratings, training, import, evaluation; a training that was interrupted ends up the same."""
    torch = pytest.importorskip("torch")
    import rpaccel
    from examples.train import neumf

    ratings = tmp_path / "ratings.dat"
    write_ratings(ratings, users=120, items=100)
    line = ["--data", str(ratings), "--model", "movielens20m-medium", "--passes", "8"]
    neumf.main([*line, "--out", str(tmp_path / "whole.pt")])
    neumf.main([*line, "--out", str(tmp_path / "parts.pt")], stop_after=4)
    neumf.main([*line, "--out", str(tmp_path / "parts.pt"), "--resume"])
    whole, parts = (torch.load(tmp_path / f"{n}.pt")["state_dict"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    model = tmp_path / "model.npz"
    assert cli.main(["import", str(tmp_path / "whole.pt"), "--out", str(model)]) == 0
    got = rpaccel.evaluate("movielens20m-1", data=ratings, models=[model], items=50)
    assert got["models"][0]["auc_int8"] > 0.6
