"""Quantised models: formats, bounds, and closeness to float."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.calibrate import choose_scale, choose_shifts
from golden.embedding import Bags
from golden.model import ModelShape, named_shape, random_model
from golden.quantise import QuantiseError, choose_dense_scale, quantise, quantise_dense


def inputs(rows: tuple[int, ...], items: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    random = np.random.default_rng(5)
    dense = np.log1p(random.integers(0, 200, (items, 13))).astype(np.float32)
    ids = np.stack([random.integers(0, count, items) for count in rows], axis=1)
    return dense, ids.astype(np.uint32)


@pytest.mark.parametrize("interaction", ["dot", "cat"])
@pytest.mark.parametrize("name", ["RMsmall", "RMmed", "RMlarge"])
@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
def test_integer_scores_follow_float(name: str, interaction: Any, method: Any) -> None:
    model = random_model(named_shape(name, max_rows=50, interaction=interaction), seed=3)
    dense, ids = inputs(model.shape.rows, 400)
    quantised = quantise(model, dense[:200], ids[:200], method=method)
    expected = float_model.forward(model, dense, ids)
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), ids)
    assert list(expected) == list(got)
    score = got["score"] * quantised.score_scale
    spread = expected["score"].std()
    assert np.abs(score - expected["score"]).max() < 0.6 * spread
    assert np.corrcoef(score, expected["score"])[0, 1] > 0.99
    # Every layer of its own, by its stated scale, on average.
    scales: dict[str, Any] = {
        **{f"bottom.{i}": layer.output_scale for i, layer in enumerate(quantised.bottom)},
        "embedding": quantised.table_scale[:, None],
        "interaction": quantised.interaction_scale,
        "top.0": quantised.top[0].output_scale,
    }
    for layer, scale in scales.items():
        error = np.abs(got[layer] * scale - expected[layer]).mean()
        assert error < 0.05 * np.abs(expected[layer]).mean(), layer


@pytest.mark.parametrize("interaction", ["dot", "cat"])
def test_formats(interaction: Any) -> None:
    model = random_model(named_shape("RMmed", max_rows=50, interaction=interaction), seed=4)
    quantised = quantise(model, *inputs(model.shape.rows, 100), dense_scale=0.05)
    assert quantised.dense_scale == 0.05
    for layer in (*quantised.bottom, *quantised.top):
        assert layer.weight.dtype == np.int8 and layer.weight.min() >= -127
        assert layer.bias.dtype == np.int32
        assert layer.multiplier.dtype == np.uint16 and layer.shift.dtype == np.uint8
        assert ((layer.multiplier == 0) | (layer.multiplier >= 32768)).all()
        assert ((layer.shift >= 1) & (layer.shift <= 47)).all()
    assert [layer.function for layer in quantised.top] == ["relu", "none"]
    assert [layer.score for layer in quantised.top] == [False, True]
    assert all(table.dtype == np.int8 and table.min() >= -127 for table in quantised.tables)
    assert (quantised.pool_multiplier == 32768).all() and (quantised.pool_shift == 15).all()
    pairs = model.shape.pairs if interaction == "dot" else 0
    assert quantised.dot_shift.shape == (pairs,) and quantised.dot_shift.dtype == np.uint8
    assert len(quantised.interaction_scale) == model.shape.interaction_width


def test_score_cannot_saturate_at_its_worst_input() -> None:
    model = random_model(named_shape("RMsmall", max_rows=50), seed=4)
    quantised = quantise(model, *inputs(model.shape.rows, 100))
    layer = quantised.top[-1]
    for sign in (1, -1):
        worst = np.where(sign * layer.weight > 0, 127, 0).astype(np.int8)  # inputs are rectified
        score = integer_model.run_layer(layer, worst)
        assert abs(int(score[0, 0])) < 32767


def test_dead_channels_and_tables() -> None:
    """Zero weights, zero tables and constant outputs neither divide by zero nor overflow."""
    model = random_model(named_shape("RMsmall", max_rows=9), seed=4)
    first = model.top[0]
    weight, bias = first.weight.copy(), first.bias.copy()
    weight[:3] = 0
    bias[:3] = [0, 2, -2]
    weight[3] *= 1e-30
    weight[4] *= 1e4
    model = replace(
        model,
        top=(replace(first, weight=weight, bias=bias), model.top[1]),
        tables=(np.zeros_like(model.tables[0]), *model.tables[1:]),
    )
    dense, ids = inputs(model.shape.rows, 100)
    quantised = quantise(model, dense, ids, method="max")
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), ids)
    expected = float_model.forward(model, dense, ids)
    assert not got["embedding"][:, 0].any()
    assert not got["top.0"][:, 0].any()
    scale = quantised.top[0].output_scale
    assert np.abs(got["top.0"][:, 1] * scale - expected["top.0"][:, 1]).max() <= scale


def test_bags_are_pooled_and_requantised() -> None:
    shape = ModelShape(name="m", width=4, bottom=(13, 8, 4), top=(16, 1), rows=(30, 12))
    model = random_model(shape, seed=6)
    random = np.random.default_rng(7)
    dense, _ = inputs(shape.rows, 60)
    bags = []
    for rows in shape.rows:
        lengths = random.integers(0, 9, 60)
        lengths[5] = 0
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        ids = random.integers(0, rows, offsets[-1]).astype(np.uint32)
        bags.append(Bags(ids=ids, offsets=offsets))
    quantised = quantise(model, dense, bags)
    assert (quantised.pool_multiplier >= 32768).all()
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), bags)
    expected = float_model.forward(model, dense, bags)
    assert not got["embedding"][5].any()
    score = got["score"] * quantised.score_scale
    assert np.corrcoef(score, expected["score"])[0, 1] > 0.99
    # One bag by hand.
    t, item = 1, int(np.argmax(np.diff(bags[1].offsets)))
    rows_of = bags[t].ids[bags[t].offsets[item] : bags[t].offsets[item + 1]]
    sums = quantised.tables[t][rows_of].astype(int).sum(axis=0)
    m, s = int(quantised.pool_multiplier[t]), int(quantised.pool_shift[t])
    by_hand = [min(max((int(v) * m + (1 << (s - 1))) >> s, -128), 127) for v in sums]
    assert got["embedding"][item, t].tolist() == by_hand


@pytest.mark.parametrize("function", ["sigmoid", "tanh"])
def test_activation_tables(function: Any) -> None:
    model = random_model(named_shape("RMsmall", max_rows=9), seed=8)
    model = replace(model, top=(replace(model.top[0], function=function), model.top[1]))
    dense, ids = inputs(model.shape.rows, 100)
    quantised = quantise(model, dense, ids)
    layer = quantised.top[0]
    assert layer.function == "table" and layer.table is not None and layer.table.shape == (256,)
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), ids)
    expected = float_model.forward(model, dense, ids)["top.0"]
    assert np.abs(got["top.0"] / 127 - expected).mean() < 0.03


def test_last_layer_must_be_the_logit() -> None:
    model = random_model(named_shape("RMsmall", max_rows=9), seed=8)
    last = replace(model.top[1], function="sigmoid")
    with pytest.raises(QuantiseError, match="top.1: the last layer must give the logit"):
        quantise(replace(model, top=(model.top[0], last)), *inputs(model.shape.rows, 10))


def test_calibration_needs_items() -> None:
    model = random_model(named_shape("RMsmall", max_rows=9), seed=8)
    with pytest.raises(QuantiseError, match="at least one item"):
        quantise(model, np.zeros((0, 13), np.float32), np.zeros((0, 26), np.uint32))


def test_dense_rounding_and_errors() -> None:
    dense = np.array([[0.0, 0.26, -0.24, 99.0, -99.0]], np.float32)
    assert quantise_dense(dense, 0.5).tolist() == [[0, 1, 0, 127, -128]]
    dense[0, 3] = np.inf
    with pytest.raises(ValueError, match="item 0: dense feature 3 is inf"):
        quantise_dense(dense, 0.5)
    assert choose_dense_scale(np.array([[0.0, 12.7]], np.float32)) == pytest.approx(0.1)


def test_scale_methods() -> None:
    values = np.concatenate([np.linspace(-1, 1, 100_001), [100.0]])
    assert choose_scale(values, "max") == pytest.approx(100 / 127)
    assert choose_scale(values, "percentile") == pytest.approx(1 / 127, rel=0.01)
    assert choose_scale(np.zeros(4), "mse") == 1.0
    random = np.random.default_rng(1)
    heavy = random.laplace(size=20_000)

    def error(scale: float) -> float:
        return float(((np.clip(np.rint(heavy / scale), -127, 127) * scale - heavy) ** 2).sum())

    assert error(choose_scale(heavy, "mse")) < error(choose_scale(heavy, "max"))


def test_mse_looks_at_every_channel() -> None:
    """Only one channel of 512 is alive; sampling in steps of a power of two would miss it."""
    values = np.zeros((8192, 512), np.float32)
    values[:, 13] = np.linspace(-3, 3, 8192)
    assert choose_scale(values, "mse") == pytest.approx(3 / 127, rel=0.1)


def test_shift_is_the_least_that_fits() -> None:
    peaks = np.array([[100.0, 127.0, 128.0, 1000.0, 16129.0 * 128, 1e9]])
    assert choose_shifts(peaks, "max").tolist() == [0, 0, 1, 3, 14, 15]


def test_narrow_one_layer_top() -> None:
    """The score layer may follow the interaction at once: its inputs can be -128 then."""
    shape = ModelShape(name="m", width=4, bottom=(13, 4), top=(1,), rows=(5, 6))
    model = random_model(shape, seed=2)
    dense, ids = inputs(shape.rows, 40)
    quantised = quantise(model, dense, ids)
    layer = quantised.top[0]
    worst = np.where(layer.weight > 0, -128, 127).astype(np.int8)
    assert -32768 < int(integer_model.run_layer(layer, worst)[0, 0])
