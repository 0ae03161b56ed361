"""`rpaccel profile`: counts of every kind of file, hit rates by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import rpaccel
from driver.data.profile import cache_hits, load_profile
from driver.errors import UserError
from examples.demo.evaluate import CALIBRATION_FILE, FOLDER
from golden.dataset import load_dataset
from golden.model import ModelShape, named_shape, random_model
from golden.model_files import load_model, save_model
from rpaccel import cli
from tests.driver.data.support import criteo_lines
from tests.driver.data.test_criteo import plain, write

SMALL = FOLDER / "rmsmall.npz"


def test_demo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command; the Python call gives the same."""
    out = tmp_path / "p.npz"
    words = ["profile", str(SMALL), "--data", "demo", "--out", str(out), "--json"]
    assert cli.main(words) == 0
    got = json.loads(capsys.readouterr().out)
    again = rpaccel.profile(SMALL, data="demo")
    assert again.pop("text").startswith("8192 items") and again == got
    ids = load_dataset(FOLDER / CALIBRATION_FILE).ids
    rows = load_model(SMALL).shape.rows
    counts = load_profile(out, rows)
    for feature, row in enumerate(got["features"]):
        expected = np.bincount(ids[:, feature], minlength=rows[feature])
        assert np.array_equal(counts[feature], expected)
        assert row["hottest"] == expected.max() / 8192 and row["seen"] == (expected > 0).sum()
    rates = [row["hit_rate"] for row in got["caches"]]
    assert rates == sorted(rates) and 0.5 < rates[0] < rates[-1] <= 1


def test_criteo_and_table_are_streamed(tmp_path: Path) -> None:
    shape = named_shape("RMsmall", max_rows=40)
    save_model(tmp_path / "m.npz", random_model(shape, seed=1))
    lines = criteo_lines(140)
    path = write(tmp_path / "c.txt", [*lines, "bad"])
    got = rpaccel.profile(tmp_path / "m.npz", data=path, split="none", out=tmp_path / "p.npz")
    _, _, values = plain(lines)
    counts = load_profile(tmp_path / "p.npz", shape.rows)
    for feature, rows in enumerate(shape.rows):
        expected = np.bincount([row[feature] % rows for row in values], minlength=rows)
        assert np.array_equal(counts[feature], expected)
    assert got["items"] == 140 and got["malformed"] == 2 and "line 141: 1 columns" in got["text"]

    small = ModelShape(name="m", width=4, bottom=(1, 4), top=(1,), rows=(5, 7))
    save_model(tmp_path / "t.npz", random_model(small, seed=1))
    (tmp_path / "t.csv").write_text("y,a,u,v\n" + "1,2,3,4\n0,1,9,x\n" * 20)
    schema = tmp_path / "s.json"
    schema.write_text('{"label": "y", "dense": ["a"], "sparse": ["u", "v"], "user": "u"}')
    got = rpaccel.profile(
        tmp_path / "t.npz", data=tmp_path / "t.csv", schema=schema, split="none",
        out=tmp_path / "p.npz",
    )  # fmt: skip
    assert got["items"] == 40
    assert load_profile(tmp_path / "p.npz", small.rows)[0].tolist() == [0, 0, 0, 20, 20]
    with pytest.raises(UserError, match="2 features, the model has 26"):
        rpaccel.profile(tmp_path / "m.npz", data=tmp_path / "t.csv", schema=schema, split="none")


def test_hit_rate_by_hand() -> None:
    training = [np.array([5, 0, 1]), np.array([3, 4])]
    evaluation = [np.array([2, 2, 0]), np.array([1, 5])]
    assert cache_hits(training, evaluation, 2) == (2 + 5) / 10
    assert cache_hits(training, evaluation, 100) == 8 / 10  # one id was never seen in training
    assert cache_hits(training, [np.zeros(3, int), np.zeros(2, int)], 2) == 0


def test_bad_profiles(tmp_path: Path) -> None:
    rpaccel.profile(SMALL, data="demo", out=tmp_path / "p.npz")
    with pytest.raises(UserError, match="its tables are not the model's"):
        load_profile(tmp_path / "p.npz", (3, 4))
    with pytest.raises(UserError, match="holds a model, not a profile"):
        load_profile(SMALL, (3, 4))
    with pytest.raises(UserError, match="cannot write"):
        rpaccel.profile(SMALL, data="demo", out=tmp_path / "no" / "p.npz")
