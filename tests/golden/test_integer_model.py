"""Integer model against plain Python arithmetic on one item."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.embedding import IdRangeError
from golden.integer_model import dot_interaction, exact_matmul, forward, run_layer
from golden.model import ModelShape, random_model
from golden.quantise import quantise
from golden.quantised_model import QuantisedLayer, QuantisedModel


def small(interaction: Any) -> QuantisedModel:
    shape = ModelShape(
        name="m",
        width=4,
        bottom=(3, 9, 4),
        top=(11, 1),
        rows=(5, 7, 2),
        interaction=interaction,
    )
    random = np.random.default_rng(1)
    dense = random.random((50, 3)).astype(np.float32)
    ids = np.stack([random.integers(0, rows, 50) for rows in shape.rows], axis=1).astype(np.uint32)
    return quantise(random_model(shape, seed=9), dense, ids)


def plain_layer(layer: QuantisedLayer, x: list[int]) -> list[int]:
    low, high = (-32768, 32767) if layer.score else (-128, 127)
    out = []
    for n, row in enumerate(layer.weight.tolist()):
        total = sum(a * b for a, b in zip(row, x, strict=True)) + int(layer.bias[n])
        m, s = int(layer.multiplier[n]), int(layer.shift[n])
        q = min(max((total * m + (1 << (s - 1))) >> s, low), high)
        out.append(max(q, 0) if layer.function == "relu" else q)
    return out


def plain_forward(model: QuantisedModel, dense: list[int], ids: list[int]) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    x = dense
    for i, layer in enumerate(model.bottom):
        x = outputs[f"bottom.{i}"] = plain_layer(layer, x)
    vectors = [x] + [model.tables[t][row].tolist() for t, row in enumerate(ids)]
    outputs["embedding"] = vectors[1:]
    if model.shape.interaction == "dot":
        x = list(x)
        pair = 0
        for i in range(len(vectors)):
            for j in range(i):
                dot = sum(a * b for a, b in zip(vectors[i], vectors[j], strict=True))
                sh = int(model.dot_shift[pair])
                x.append(min(max((dot + ((1 << sh) >> 1)) >> sh, -128), 127))
                pair += 1
    else:
        x = [value for vector in vectors for value in vector]
    outputs["interaction"] = x
    for i, layer in enumerate(model.top):
        x = outputs[f"top.{i}"] = plain_layer(layer, x)
    outputs["score"] = outputs.pop(f"top.{len(model.top) - 1}")[0]
    return outputs


@pytest.mark.parametrize("interaction", ["dot", "cat"])
def test_every_output_equals_plain_python(interaction: Any) -> None:
    model = small(interaction)
    random = np.random.default_rng(2)
    dense = random.integers(-128, 128, (30, 3)).astype(np.int8)
    ids = np.stack([random.integers(0, rows, 30) for rows in (5, 7, 2)], axis=1).astype(np.uint32)
    outputs = forward(model, dense, ids)
    assert outputs["score"].dtype == np.int16
    assert len(np.unique(outputs["score"])) > 10
    for item in range(30):
        expected = plain_forward(model, dense[item].tolist(), ids[item].tolist())
        assert list(expected) == list(outputs)
        for name, values in expected.items():
            assert outputs[name][item].tolist() == values, name


def test_matmul_is_exact_at_the_extremes() -> None:
    for inputs in (1000, 1040, 4096):
        x = np.full((2, inputs), -128, np.int8)
        x[1] = np.arange(inputs) % 256 - 128
        weight = np.full((3, inputs), 127, np.int8)
        weight[1] = -127
        weight[2, ::3] = -5
        expected = x.astype(np.int64) @ weight.astype(np.int64).T
        assert np.array_equal(exact_matmul(x, weight), expected)


@pytest.mark.parametrize(("shift", "expected"), [(0, 127), (1, 127), (8, 127), (9, 64), (15, 1)])
def test_dot_shift_and_clamp(shift: int, expected: int) -> None:
    vectors = np.full((1, 2, 2), -128, np.int8)  # 2 * 2 ** 14
    got = dot_interaction(vectors, np.array([shift], np.uint8))
    assert got.tolist() == [[expected]]


def test_dot_order_is_lower_triangle_by_rows() -> None:
    vectors = np.array([[[1], [2], [3], [5]]], np.int8)
    got = dot_interaction(vectors, np.zeros(6, np.uint8))
    assert got.tolist() == [[2, 3, 6, 5, 10, 15]]


def test_table_comes_after_the_clamp() -> None:
    layer = QuantisedLayer(
        weight=np.array([[127]], np.int8),
        bias=np.array([0], np.int32),
        multiplier=np.array([32768], np.uint16),
        shift=np.array([15], np.uint8),
        function="table",
        table=(np.arange(256) - 128)[::-1].astype(np.int8),
        weight_scale=np.ones(1),
        output_scale=1.0,
    )
    x = np.array([[100], [0], [-100]], np.int8)
    assert run_layer(layer, x).ravel().tolist() == [-128, -1, 127]


def test_bad_ids() -> None:
    model = small("dot")
    dense = np.zeros((2, 3), np.int8)
    ids = np.array([[0, 0, 0], [0, 0, 2]], np.uint32)
    with pytest.raises(IdRangeError, match="item 1: id 2 of table 2 must be below 2"):
        forward(model, dense, ids)
    outputs = forward(model, dense, ids, bad_ids_as_zero=True)
    assert not outputs["embedding"][1, 2].any() and outputs["embedding"][0, 2].any()


def test_dense_must_be_int8() -> None:
    dense: NDArray[Any] = np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="dense must be int8"):
        forward(small("dot"), dense, np.zeros((2, 3), np.uint32))


def test_one_weight_bit_changes_the_result() -> None:
    """The comparison is only worth something if single bits show."""
    model = small("dot")
    weight = model.top[0].weight.copy()
    weight[:, 4] ^= 64  # whichever output is alive
    other = replace(model, top=(replace(model.top[0], weight=weight), model.top[1]))
    dense = np.full((1, 3), 100, np.int8)
    ids = np.zeros((1, 3), np.uint32)
    before, after = forward(model, dense, ids), forward(other, dense, ids)
    assert np.array_equal(before["interaction"], after["interaction"])
    assert before["interaction"][0, 4] != 0
    assert not np.array_equal(before["top.0"], after["top.0"])
