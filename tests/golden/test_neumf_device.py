"""NeuMF as the device has it: the same outputs as the plain models, whatever the width."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from golden import float_model, integer_model
from golden.model_files import load_model, load_quantised_model, save_model, save_quantised_model
from golden.neumf import (
    NEUMF_SHAPES,
    NeuMfShape,
    forward_neumf,
    named_neumf_shape,
    random_neumf,
    table_ids,
)
from golden.neumf_device import (
    WIDTHS,
    device_ids,
    device_model,
    device_shape,
    device_widths,
    quantised_device_model,
    vector_count,
)
from golden.neumf_integer import forward_neumf_integer, quantise_neumf
from golden.requantise import requantise
from golden.shape import ModelShape

SHAPES = [
    NeuMfShape(name="odd", mf=37, mlp=(50, 9, 3), users=20, items=30),
    NeuMfShape(name="short", mf=1, mlp=(2, 1), users=20, items=30),
    *(named_neumf_shape(name, users=20, items=30) for name in NEUMF_SHAPES),
]


def pairs(shape: NeuMfShape, count: int) -> np.ndarray:
    random = np.random.default_rng(5)
    users, items = (random.integers(0, n, count) for n in (shape.users, shape.items))
    return np.stack([users, items], axis=1).astype(np.uint32)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_same_outputs(shape: NeuMfShape, width: int) -> None:
    """Products, every layer of the MLP and the score, in integers bit for bit."""
    model = random_neumf(shape, seed=4)
    ids = pairs(shape, 40)
    quantised = quantise_neumf(model, table_ids(ids))
    placed = quantised_device_model(quantised, width)
    wide = device_ids(ids, len(placed.shape.embeddings))
    dense = np.zeros((40, 0), np.int8)
    got = integer_model.forward(placed, dense, wide)
    expected = forward_neumf_integer(quantised, table_ids(ids))
    assert got["interaction"].shape == (40, placed.shape.interaction_width)
    product = got["interaction"][:, placed.shape.copied :]
    np.testing.assert_array_equal(product[:, : shape.mf], expected["product"])
    assert not product[:, shape.mf :].any()
    for i in range(len(shape.mlp) - 1):
        np.testing.assert_array_equal(got[f"top.{i}"], expected[f"mlp.{i}"])
    np.testing.assert_array_equal(got["score"], expected["score"])
    assert placed.score_scale == quantised.score_scale
    exact = float_model.forward(device_model(model, width), dense.astype(np.float32), wide)
    np.testing.assert_allclose(
        exact["score"], forward_neumf(model, table_ids(ids))["score"], rtol=1e-4, atol=1e-4
    )


def test_product_rounds_as_requantise() -> None:
    values = np.arange(-16384, 16385, dtype=np.int32)[:, None]
    for shift in range(16):
        np.testing.assert_array_equal(
            integer_model.shift_down(values, np.array([shift], np.uint8)),
            requantise(values, 0, 32768, 15 + shift),
        )


def test_copied_values_are_the_vectors() -> None:
    """What the MLP reads: vectors of user and item in turns, the last ones without padding."""
    shape = NeuMfShape(name="m", mf=20, mlp=(100, 4), users=5, items=6)
    placed = quantised_device_model(quantise_neumf(random_neumf(shape, seed=1), TEN), 16)
    assert placed.shape.products == 2 and placed.shape.tail == 16
    assert len(placed.shape.embeddings) == 12 and placed.shape.copied == 128
    assert placed.shape.top_layers == ((128, 4), (36, 1))
    wide = device_ids(np.array([[3, 4]], np.uint32), 12)
    got = integer_model.forward(placed, np.zeros((1, 0), np.int8), wide)["interaction"][0]
    rows = [placed.tables[f][(3, 4)[f % 2]] for f in range(12)]
    np.testing.assert_array_equal(got[:128], np.concatenate(rows[4:]))


TEN = table_ids(np.stack([np.arange(10) % 5, np.arange(10) % 6], axis=1).astype(np.uint32))


def test_models_of_a_pipeline_have_as_many_vectors() -> None:
    for data, vectors in (("movielens1m", 10), ("movielens20m", 4)):
        shapes = [named_neumf_shape(f"{data}-{size}") for size in ("small", "medium", "large")]
        widths = device_widths(shapes)
        counts = [vector_count(s, w) for s, w in zip(shapes, widths, strict=True)]
        assert counts == [vectors] * 3
    assert device_widths([named_neumf_shape("movielens1m-small")]) == [128]
    far = NeuMfShape(name="far", mf=1, mlp=(2048, 1), users=5, items=6)
    with pytest.raises(ValueError, match="no width of vectors gives all models as many of them"):
        device_widths([SHAPES[1], far])


def test_files(tmp_path: Path) -> None:
    """Model files carry the shape."""
    model = random_neumf(SHAPES[0], seed=4)
    save_model(tmp_path / "float.npz", device_model(model, 32))
    assert load_model(tmp_path / "float.npz").shape == device_shape(SHAPES[0], 32)
    placed = quantised_device_model(quantise_neumf(model, table_ids(pairs(SHAPES[0], 9))), 32)
    save_quantised_model(tmp_path / "integer.npz", placed)
    loaded = load_quantised_model(tmp_path / "integer.npz")
    assert loaded.shape == placed.shape and loaded.dot_shift == placed.dot_shift


def test_bad_input() -> None:
    quantised = quantise_neumf(random_neumf(SHAPES[0], seed=1), table_ids(pairs(SHAPES[0], 9)))
    with pytest.raises(ValueError, match="multiplier and shift must be 32768 and 15..30"):
        quantised_device_model(replace(quantised, product_multiplier=40000), 16)
    shape = device_shape(SHAPES[0], 32)
    fields = {"name": "m", "width": 32, "rows": (4,) * 4, "interaction": "product"}
    for wrong, message in (
        (
            {"bottom": (1, 32), "top": (2, 1), "products": 1, "tail": 16},
            "bottom of m must be empty",
        ),
        ({"bottom": (), "top": (1,), "products": 1, "tail": 16}, "top of m must have two layers"),
        ({"bottom": (), "top": (2, 1), "products": 2, "tail": 16}, "must leave a pair of its 4"),
        ({"bottom": (), "top": (2, 1), "products": 1, "tail": 48}, "up to the width 32, not 48"),
        ({"bottom": (), "top": (2, 1), "products": 1, "tail": 8}, "a multiple of 16 up to"),
    ):
        with pytest.raises(ValueError, match=message):
            ModelShape(**fields, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="go with the interaction 'product'"):
        replace(shape, interaction="cat", bottom=(1, 32))
    with pytest.raises(ValueError, match="tail of odd must be a multiple"):
        replace(shape, tail=0)
