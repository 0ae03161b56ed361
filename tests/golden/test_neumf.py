"""NeuMF: float against the formula written out, integers against float and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from golden.embedding import IdRangeError
from golden.neumf import (
    NEUMF_SHAPES,
    NeuMf,
    NeuMfShape,
    forward_neumf,
    named_neumf_shape,
    random_neumf,
    table_ids,
)
from golden.neumf_integer import forward_neumf_integer, quantise_neumf
from golden.quantise import QuantiseError


def pairs(model: NeuMf, count: int) -> np.ndarray:
    random = np.random.default_rng(3)
    users = random.integers(0, model.shape.users, count)
    items = random.integers(0, model.shape.items, count)
    return table_ids(np.stack([users, items], axis=1).astype(np.uint32))


def test_float_is_the_formula() -> None:
    model = random_neumf(NeuMfShape(name="m", mf=3, mlp=(8, 5, 2), users=7, items=9), seed=1)
    ids = pairs(model, 20)
    outputs = forward_neumf(model, ids)
    assert list(outputs) == ["product", "interaction", "mlp.0", "mlp.1", "score"]
    for n, (user, item, _, _) in enumerate(ids):
        x = [*model.tables[2][user], *model.tables[3][item]]
        for layer in model.mlp:
            x = [max(0.0, float(row @ x + b)) for row, b in zip(layer.weight, layer.bias)]  # noqa: B905
        joined = [*(model.tables[0][user] * model.tables[1][item]), *x]
        expected = float(model.last.weight[0] @ joined + model.last.bias[0])
        assert outputs["score"][n] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", list(NEUMF_SHAPES))
def test_integer_scores_follow_float(name: str) -> None:
    model = random_neumf(named_neumf_shape(name, users=40, items=60), seed=2)
    ids = pairs(model, 300)
    quantised = quantise_neumf(model, ids[:150])
    got, expected = forward_neumf_integer(quantised, ids), forward_neumf(model, ids)
    assert list(got) == list(expected)
    assert {key: value.shape for key, value in got.items()} == {
        key: value.shape for key, value in expected.items()
    }
    assert got["score"].dtype == np.int16
    correlation = np.corrcoef(got["score"] * quantised.score_scale, expected["score"])[0, 1]
    assert correlation > 0.99


def test_product_by_hand() -> None:
    model = random_neumf(NeuMfShape(name="m", mf=4, mlp=(8, 2), users=5, items=5), seed=1)
    ids = pairs(model, 50)
    quantised = quantise_neumf(model, ids, method="max")
    m, s = quantised.product_multiplier, quantised.product_shift
    assert m == 32768 and 15 <= s <= 30
    got = forward_neumf_integer(quantised, ids)["product"]
    for n, (user, item, _, _) in enumerate(ids):
        raw = quantised.tables[0][user].astype(int) * quantised.tables[1][item].astype(int)
        by_hand = [min(max((int(v) * m + (1 << (s - 1))) >> s, -128), 127) for v in raw]
        assert got[n].tolist() == by_hand


def test_zero_tables_are_no_trouble() -> None:
    model = random_neumf(NeuMfShape(name="m", mf=4, mlp=(8, 2), users=5, items=5), seed=1)
    zero = np.zeros_like(model.tables[0])
    model = replace(model, tables=(zero, *model.tables[1:]))
    ids = pairs(model, 10)
    assert not forward_neumf_integer(quantise_neumf(model, ids), ids)["product"].any()


def test_reference_shapes() -> None:
    shape = named_neumf_shape("movielens1m-large")
    assert shape.rows == (6040, 3706, 6040, 3706) and shape.widths == (128, 128, 512, 512)
    assert shape.last_width == 129
    assert named_neumf_shape("movielens20m-small").macs == 32 + 2


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="unknown model 'ml'; known models: movielens1m-small"):
        named_neumf_shape("ml")
    with pytest.raises(ValueError, match="the first one even, not"):
        NeuMfShape(name="m", mf=1, mlp=(7, 1), users=1, items=1)
    with pytest.raises(ValueError, match="users of m must be positive, not 0"):
        NeuMfShape(name="m", mf=1, mlp=(8, 1), users=0, items=1)
    model = random_neumf(NeuMfShape(name="m", mf=4, mlp=(8, 2), users=5, items=6), seed=1)
    with pytest.raises(ValueError, match="tables.item_mf must be float32 of shape"):
        replace(model, tables=model.tables[:1] * 4)
    with pytest.raises(IdRangeError, match="id 6 of table 1 must be below 6"):
        forward_neumf(model, table_ids(np.array([[0, 6]], np.uint32)))
    with pytest.raises(QuantiseError, match="at least one item"):
        quantise_neumf(model, np.zeros((0, 4), np.uint32))
