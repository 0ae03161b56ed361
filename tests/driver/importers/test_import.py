"""Committed checkpoints of PyTorch: the imported model computes what PyTorch did."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rpaccel
from golden import float_model
from golden.model import Model
from golden.model_files import load_model
from golden.neumf import NeuMf, forward_neumf
from golden.neumf_files import load_neumf
from rpaccel import cli

CHECKPOINTS = Path(__file__).parent / "checkpoints"
NAMES = sorted(path.stem for path in CHECKPOINTS.glob("*.pt"))


def logits(model: Model | NeuMf, vectors: Any) -> np.ndarray:
    if isinstance(model, NeuMf):
        return forward_neumf(model, vectors["ids"])["score"]
    return float_model.forward(model, vectors["dense"], vectors["ids"])["score"]


@pytest.mark.parametrize("name", NAMES)
def test_import_equals_pytorch(name: str) -> None:
    with np.load(CHECKPOINTS / f"{name}.npz") as vectors:
        model = rpaccel.import_checkpoint(CHECKPOINTS / f"{name}.pt")
        assert model.shape.name == name
        np.testing.assert_allclose(logits(model, vectors), vectors["logits"], rtol=0, atol=1e-5)


def test_every_case_is_committed() -> None:
    assert len(NAMES) == 8 and {"torchrec", "neumf-affine", "rmsmall-training"} <= set(NAMES)


@pytest.mark.parametrize("name", ["rmsmall-training", "torchrec", "neumf-mlperf"])
def test_command_writes_a_model_file(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.npz"
    words = ["import", str(CHECKPOINTS / f"{name}.pt"), "--out", str(out), "--name", "mine"]
    assert cli.main([*words, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    model = load_neumf(out) if name.startswith("neumf") else load_model(out)
    assert result["model"] == model.shape.name == "mine" and result["macs"] == model.shape.macs
    with np.load(CHECKPOINTS / f"{name}.npz") as vectors:
        np.testing.assert_allclose(logits(model, vectors), vectors["logits"], rtol=0, atol=1e-5)
    if name == "torchrec":
        assert result["features"] == ["t_cat_0", "t_cat_1", "t_cat_2", "t_cat_3"]
        assert isinstance(model, Model) and model.features[1] == "t_cat_1"


def test_join_can_be_given() -> None:
    """The same file read in the other order gives another model, and its own logits no more."""
    path = CHECKPOINTS / "neumf-embed.pt"
    with np.load(path.with_suffix(".npz")) as vectors:
        other = rpaccel.import_checkpoint(path, join="mlp-mf")
        assert np.abs(logits(other, vectors) - vectors["logits"]).max() > 1e-3


@pytest.mark.torch
def test_checkpoints_are_current(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from tests.driver.importers import make_checkpoints

    monkeypatch.setattr(sys, "argv", ["make_checkpoints", "--check"])
    assert make_checkpoints.main() == 0


@pytest.mark.torch
@pytest.mark.parametrize("storage", ["float32", "float16", "bfloat16"])
def test_kaggle_shapes_from_torch_save(storage: str, tmp_path: Path) -> None:
    """RMlarge with Kaggle's 26 tables (rows capped), saved anew by this PyTorch."""
    torch = pytest.importorskip("torch")
    from golden.model import named_shape
    from tests.driver.importers.make_checkpoints import Reference

    shape = named_shape("RMlarge", max_rows=500)
    torch.manual_seed(1)
    module = Reference(list(shape.rows), list(shape.bottom), list(shape.top), "dot")
    saved = {key: value.to(getattr(torch, storage)) for key, value in module.state_dict().items()}
    torch.save(saved, tmp_path / "m.pt")
    module.load_state_dict({key: value.float() for key, value in saved.items()})
    dense = torch.log1p(torch.randint(0, 1000, (1000, 13)).float())
    ids = torch.stack([torch.randint(0, n, (1000,)) for n in shape.rows], dim=1)
    with torch.no_grad():
        expected = module(dense, ids).numpy()
    model = rpaccel.import_checkpoint(tmp_path / "m.pt", name="RMlarge")
    assert isinstance(model, Model) and model.shape == shape
    vectors = {"dense": dense.numpy(), "ids": ids.numpy().astype(np.uint32)}
    np.testing.assert_allclose(logits(model, vectors), expected, rtol=0, atol=1e-5)
