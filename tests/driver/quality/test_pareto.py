"""Funnels of the Pareto table: counts, work by hand, quality as the funnel itself gives it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from examples.demo.evaluate import FOLDER
from golden.dataset import load_dataset
from golden.model_files import load_model
from golden.pipeline import run_integer
from golden.quality import ndcg
from golden.quantise import choose_dense_scale, quantise, quantise_dense
from rpaccel import cli


def test_bench_pareto(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "pareto", "--queries", "4", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    funnels = {tuple(f["models"]) + tuple(f["items"]): f for f in got["funnels"]}
    assert len(funnels) == len(got["funnels"]) == 25
    two = funnels["RMsmall", "RMlarge", 512, 64]
    models = [load_model(FOLDER / f"{name}.npz") for name in ("rmsmall", "rmlarge")]
    assert two["macs"] == 512 * models[0].shape.macs + 64 * models[1].shape.macs
    assert two["embedding_bytes"] == 26 * (512 * 4 + 64 * 32)
    calibration = load_dataset(FOLDER / "calibration.npz")
    scale = choose_dense_scale(calibration.dense)
    dense, ids = calibration.dense[:4096], calibration.ids[:4096]
    quantised = [quantise(model, dense, ids, dense_scale=scale) for model in models]
    data = load_dataset(FOLDER / "queries.npz")
    values = []
    for number in range(4):
        query = data.query(number)
        integers = quantise_dense(query.dense, scale)
        items = run_integer(quantised, [64, 16], integers, query.ids).items
        values.append(ndcg(query.labels[items], query.labels))
    assert two["ndcg"] == pytest.approx(np.mean(values))
    best = [f for f in got["funnels"] if f["best"]]
    assert [f["macs"] for f in best] == sorted(f["macs"] for f in best)
    for funnel in got["funnels"]:
        beaten = [f for f in best if f["macs"] <= funnel["macs"] and f["ndcg"] >= funnel["ndcg"]]
        assert beaten
