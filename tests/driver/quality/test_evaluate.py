"""`rpaccel evaluate` and `rpaccel quantize` as commands: figures, files, bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import rpaccel
from examples.demo.evaluate import CALIBRATION_FILE, FOLDER, QUERIES_FILE
from golden import float_model, integer_model
from golden.dataset import Dataset, load_dataset, save_dataset
from golden.model import named_shape, random_model
from golden.model_files import load_model, load_quantised_model, save_model
from golden.pipeline import run_float
from golden.quality import auc, ndcg
from golden.quantise import quantise_dense
from rpaccel import cli

SMALL = str(FOLDER / "rmsmall.npz")


def call(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main([*words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def refuse(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(list(words)) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_evaluate_demo(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--pipeline", "demo-2", "--data", "demo", "--items", "128"]
    got = call(capsys, *words, "--queries", "5")
    again = rpaccel.evaluate("demo-2", data="demo", items=128, queries=5)
    assert again.pop("text") and again == got
    assert (got["queries"], got["items"], got["k"]) == (5, 128, 4)
    data = load_dataset(FOLDER / QUERIES_FILE)
    models = [load_model(FOLDER / f"{name}.npz") for name in ("rmsmall", "rmlarge")]
    values, scores = [], []
    for query in range(5):
        part = slice(128 * query, 128 * (query + 1))
        dense, ids, labels = data.dense[part], data.ids[part], data.labels[part]
        best = run_float(models, [16, 4], dense, ids).items
        values.append(ndcg(labels[best], labels))
        scores.append(float_model.forward(models[1], dense, ids)["score"])
    row = got["metrics"]["ndcg"]
    assert row["float"]["mean"] == pytest.approx(np.mean(values))
    assert row["float"]["low"] <= row["float"]["mean"] <= row["float"]["high"]
    assert got["models"][1]["auc_float"] == pytest.approx(
        auc(np.concatenate(scores), data.labels[: 5 * 128])
    )
    assert abs(row["difference"]["mean"]) < 0.2
    assert 0 < got["metrics"]["recall"]["int8"]["mean"] <= 1


def test_evaluate_own_models_on_own_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A model that knows the label from a feature is found to be perfect; int8 loses nothing."""
    shape = named_shape("RMsmall", max_rows=4)
    random = np.random.default_rng(1)
    ids = np.zeros((200, 26), np.uint32)
    counts = random.integers(0, 9, (200, 13)).astype(np.uint16)
    model = random_model(shape, seed=3)
    score = float_model.forward(model, np.log1p(counts.astype(np.float32)), ids)["score"]
    labels = np.zeros(200, np.uint8)
    labels[np.argsort(-score)[:64]] = 1
    save_dataset(
        tmp_path / "d.npz", Dataset(counts=counts, ids=ids, labels=labels, query_items=200)
    )
    save_model(tmp_path / "m.npz", model)
    got = call(
        capsys, "evaluate", "--pipeline", "kaggle-1", "--items", "200",
        "--model", str(tmp_path / "m.npz"), "--data", str(tmp_path / "d.npz"),
    )  # fmt: skip
    assert got["models"][0]["auc_float"] == 1.0
    assert got["metrics"]["ndcg"]["float"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    assert got["metrics"]["recall"]["int8"]["mean"] == 1.0
    assert got["models"][0]["auc_int8"] > 0.98


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pipeline", "kaggle-2", "--data", "demo"], "no trained models: give --model FILE"),
        (["--pipeline", "demo-2", "--data", "demo", "--model", SMALL], "2 stages, 1 models given"),
        (["--pipeline", "nothing", "--data", "demo"], "unknown pipeline 'nothing'"),
        (["--pipeline", "demo-2", "--data", "none.txt"], "none.txt: no such file"),
        (["--pipeline", "demo-2", "--data", "d.csv"], "--schema must say which columns"),
        (["--pipeline", "demo-2", "--data", "demo", "--share", "2"], "share must be between"),
        (["--pipeline", "demo-2", "--data", SMALL], "holds a model, not a dataset"),
    ],
)
def test_bad_input(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in refuse(capsys, "evaluate", *words)


def test_data_of_another_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = load_dataset(FOLDER / CALIBRATION_FILE)

    def check(message: str, **changes: Any) -> None:
        fields = {"counts": data.counts[:64], "ids": data.ids[:64], "labels": data.labels[:64]}
        save_dataset(tmp_path / "d.npz", Dataset(**(fields | changes), query_items=64))
        path = str(tmp_path / "d.npz")
        assert message in refuse(capsys, "quantize", SMALL, "--data", path)

    ids = data.ids[:64].copy()
    ids[5, 3] = 4_000_000
    check("item 5: id 4000000 is outside table 3 of", ids=ids)
    check("25 features, the model has 26", ids=data.ids[:64, :25])
    check("12 dense features, RMsmall takes 13", counts=data.counts[:64, :12])


def test_quantize(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command; the Python call gives the same."""
    out, page = tmp_path / "q.npz", tmp_path / "q.html"
    got = call(
        capsys, "quantize", SMALL, "--data", "demo", "--items", "600", "--bias-correction",
        "--out", str(out), "--report", str(page),
    )  # fmt: skip
    again = rpaccel.quantize(SMALL, data="demo", items=600, bias_correction=True)
    assert again.pop("text") and again == got
    names = [row["name"] for row in got["layers"]]
    assert names[0] == "dense" and names[-1] == "score" and "bottom.1" in names
    assert got["score_snr_db"] == got["layers"][-1]["snr"] > 20
    assert got["trials"][0] == {"what": "as it is", "kept": True} | got["trials"][0]
    model = load_quantised_model(out)
    data = load_dataset(FOLDER / QUERIES_FILE)
    dense = quantise_dense(data.dense[:600], model.dense_scale)
    score = integer_model.forward(model, dense, data.ids[:600])["score"] * model.score_scale
    exact = float_model.forward(load_model(SMALL), data.dense[:600], data.ids[:600])["score"]
    snr = 10 * np.log10(exact.var() / ((score - exact) ** 2).mean())
    assert snr == pytest.approx(got["score_snr_db"], abs=0.01)
    text = page.read_text()
    svg = ElementTree.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    bars = [element for element in svg if element.tag.endswith("rect")]
    assert len(bars) == len(names)


def test_outputs_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--out", "--report"):
        words = ["quantize", SMALL, "--data", "demo", option, "/no/such/folder/x"]
        assert "cannot write" in refuse(capsys, *words)
