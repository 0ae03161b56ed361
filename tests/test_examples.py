"""Training scripts of DLRM: what they write is imported, and resuming changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rpaccel
from golden.quality import auc
from tests.driver.data.support import criteo_lines


@pytest.mark.torch
def test_training_on_the_demo_learns(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from examples.demo.evaluate import FOLDER
    from examples.train import dlrm
    from golden import float_model
    from golden.dataset import load_dataset
    from golden.model import Model

    line = ["--data", "demo", "--items", "140000", "--passes", "1"]
    dlrm.main([*line, "--out", str(tmp_path / "whole.pt")])
    dlrm.main([*line, "--out", str(tmp_path / "parts.pt")], stop_after=2)
    dlrm.main([*line, "--out", str(tmp_path / "parts.pt"), "--resume"])
    whole, parts = (torch.load(tmp_path / f"{n}.pt")["state_dict"] for n in ("whole", "parts"))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    model = rpaccel.import_checkpoint(tmp_path / "whole.pt")
    assert isinstance(model, Model)
    data = load_dataset(FOLDER / "queries.npz")
    score = float_model.forward(model, data.dense[:8192], data.ids[:8192])["score"]
    assert auc(score, data.labels[:8192]) > 0.62  # a guess gives 0.5; 0.657 was seen


@pytest.mark.torch
def test_training_on_criteo_text(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from examples.train import dlrm
    from golden.model import Model

    path = tmp_path / "train.txt"
    path.write_text("".join(line + "\n" for line in criteo_lines(300)))
    out = tmp_path / "m.pt"
    dlrm.main(["--data", str(path), "--max-rows", "50", "--batch", "64", "--out", str(out)])
    model = rpaccel.import_checkpoint(out)
    assert isinstance(model, Model) and max(model.shape.rows) == 50
    assert np.isfinite(model.tables[0]).all()


@pytest.mark.torch
def test_representations_are_trained_alike(tmp_path: Path) -> None:
    """Network and exported model agree; tables' gain over themselves is nothing."""
    torch = pytest.importorskip("torch")
    from examples.demo.evaluate import Stream
    from examples.demo.generate import Teacher
    from examples.train import representations as script
    from golden import float_model

    out = tmp_path / "runs.json"
    data, _ = Teacher().items(512, stream=Stream.TRAIN)
    network = script.Network(script.shape_of("hybrid", (32, 16, 16)), 1)
    with torch.no_grad():
        logits = network(
            torch.from_numpy(data.dense), torch.from_numpy(data.ids.astype(np.int64))
        ).numpy()
    score = float_model.forward(network.export(), data.dense, data.ids)["score"]
    assert np.abs(score - logits).max() < 1e-4
    found = script.measure(decoder=(32, 16, 16), seeds=1, passes=1, items=8192, queries=4, out=out)
    rows = {row["representation"]: row for row in found}
    again = script.measure(decoder=(32, 16, 16), seeds=1, passes=1, items=8192, queries=4, out=out)
    assert again == found
    assert rows["table"]["gain"] == {"mean": 0, "low": 0, "high": 0}
    assert rows["dhe"]["gain_int8"]["low"] < rows["dhe"]["gain_int8"]["high"]
    assert rows["hybrid"]["macs"] > rows["dhe"]["macs"] > rows["select"]["macs"]
