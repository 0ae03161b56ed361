"""Embedding rows of every size, through the driver onto the device: results and every lookup."""

from __future__ import annotations

import numpy as np
import pytest

import rpaccel
from driver.errors import UserError
from driver.inputs import make_workload
from driver.workload import Workload
from golden.model import ModelShape, random_model

ROWS = (40, 7, 90, 3)


def _workload(front: int, back: int) -> Workload:
    """Two stages whose vectors have different widths; ids with hot and cold rows."""
    rng = np.random.default_rng(front * 1000 + back)
    shapes = [
        ModelShape(name="front", width=front, bottom=(5, 8, front), top=(6, 1), rows=ROWS),
        ModelShape(
            name="back", width=back, bottom=(5, back), top=(4, 1), rows=ROWS, interaction="cat"
        ),
    ]
    dense = rng.normal(0, 1, (20, 5)).astype(np.float32)
    ids = (rng.random((20, len(ROWS))) ** 2 * np.array(ROWS)).astype(np.uint32)
    return make_workload(
        models=[random_model(shape, seed=n) for n, shape in enumerate(shapes)],
        keep=[6, 3],
        queries=[(dense, ids)],
    )


@pytest.mark.parametrize(
    ("front", "back"),
    [(4, 128), (64, 8), *(pytest.param(*p, marks=pytest.mark.slow) for p in [(16, 32), (128, 4)])],
)
def test_rows_of_any_size(front: int, back: int) -> None:
    result = rpaccel.run(preset="tiny", workload=_workload(front, back))
    assert result["bit_exact"] is True
    embedding = result["embedding"]
    outcomes = ("static_hits", "lookahead_hits", "misses")
    assert embedding["lookups"] == 26 * len(ROWS) == sum(embedding[name] for name in outcomes)


@pytest.mark.parametrize("width", [6, 12, 256])
def test_row_sizes_that_do_not_divide(width: int) -> None:
    with pytest.raises(UserError, match=f"vector width must be 4, 8, .. 128, not {width}"):
        rpaccel.run(preset="tiny", workload=_workload(width, 8))


def test_more_tables_than_descriptors() -> None:
    rows = (2,) * 65
    shape = ModelShape(name="wide", width=4, bottom=(2, 4), top=(1,), rows=rows, interaction="cat")
    query = (np.zeros((2, 2), np.float32), np.zeros((2, 65), np.uint32))
    workload = make_workload(models=[random_model(shape, seed=1)], keep=[1], queries=[query])
    with pytest.raises(UserError, match="65 embedding tables, tiny takes at most 64"):
        rpaccel.run(preset="tiny", workload=workload)
