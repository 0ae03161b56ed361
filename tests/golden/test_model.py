"""Shapes and the random builder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from golden.criteo import CRITEO_KAGGLE_ROWS
from golden.model import Model, ModelShape, named_shape, random_model, with_rows


@pytest.mark.parametrize(
    ("name", "interaction", "width", "macs"),
    [
        ("RMsmall", "dot", 355, 23_872),
        ("RMmed", "dot", 367, 25_408),
        ("RMlarge", "dot", 383, 217_600),
        ("RMsmall", "cat", 108, 8_064),
        ("RMmed", "cat", 432, 29_568),
        ("RMlarge", "cat", 864, 263_776),
    ],
)
def test_reference_shapes(name: str, interaction: Any, width: int, macs: int) -> None:
    """Top inputs and MACs as published for these models."""
    shape = named_shape(name, interaction=interaction)
    assert (shape.interaction_width, shape.macs) == (width, macs)
    assert sum(CRITEO_KAGGLE_ROWS) == 33_762_577 and len(shape.rows) == 26


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'RMhuge'; known models: RMsmall, RMmed, RMlarge"):
        named_shape("RMhuge")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 8}, "bottom of m must end in the vector width 8"),
        ({"top": (64, 2)}, "top of m must end in 1"),
        ({"rows": ()}, "at least one table"),
        ({"rows": (4, 0)}, "rows of m must be positive"),
        ({"interaction": "sum"}, "one of dot, cat, product, not 'sum'"),
    ],
)
def test_bad_shapes_are_rejected(change: dict[str, Any], message: str) -> None:
    shape = ModelShape(name="m", width=4, bottom=(13, 4), top=(8, 1), rows=(3, 5))
    with pytest.raises(ValueError, match=message):
        replace(shape, **change)


def test_random_model_depends_on_its_seed_only() -> None:
    shape = named_shape("RMsmall", max_rows=20)
    one, same, other = (random_model(shape, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.tables[3], same.tables[3])
    assert not np.array_equal(one.top[0].weight, other.top[0].weight)


def test_model_rejects_wrong_arrays() -> None:
    model = random_model(named_shape("RMsmall", max_rows=20), seed=1)
    with pytest.raises(ValueError, match="tables must be 26 arrays, not 25"):
        replace(model, tables=model.tables[:-1])
    bad = replace(model.top[0], bias=np.full(64, np.nan, np.float32))
    with pytest.raises(ValueError, match="top.0.bias holds NaN"):
        Model(shape=model.shape, bottom=model.bottom, tables=model.tables, top=(bad, model.top[1]))


def test_with_rows_repeats_and_cuts() -> None:
    model = random_model(named_shape("RMsmall", max_rows=20), seed=1)
    other = with_rows(model, [45] + [2] * 25)
    assert other.shape.rows[:2] == (45, 2)
    assert np.array_equal(other.tables[0][44], model.tables[0][4])
    with pytest.raises(ValueError, match="must name 26 tables, not 3"):
        with_rows(model, [1, 2, 3])
