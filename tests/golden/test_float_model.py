"""Float reference against outputs computed by PyTorch (tests/golden/make_vectors.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.embedding import Bags, IdRangeError, Ids, take_items
from golden.files import read_archive
from golden.float_model import apply_function, forward
from golden.model import DenseLayer, Function, Model, ModelShape, named_shape, random_model

VECTORS = Path(__file__).parent / "vectors"


def load_case(name: str) -> tuple[Model, dict[str, NDArray[Any]], list[Bags]]:
    header, arrays = read_archive(VECTORS / f"{name}.npz", "torch-vectors")
    case = header["case"]
    shape = ModelShape(
        name=name,
        width=case["width"],
        bottom=tuple(case["bottom"]),
        top=tuple(case["top"]),
        rows=tuple(case["rows"]),
        interaction=case["interaction"],
    )

    def layers(part: str, count: int, last: Function) -> tuple[DenseLayer, ...]:
        return tuple(
            DenseLayer(
                weight=arrays[f"{part}.{i}.weight"],
                bias=arrays[f"{part}.{i}.bias"],
                function=last if i == count - 1 else "relu",
            )
            for i in range(count)
        )

    model = Model(
        shape=shape,
        bottom=layers("bottom", len(shape.bottom) - 1, "relu"),
        tables=tuple(arrays[f"tables.{t}"] for t in range(len(shape.rows))),
        top=layers("top", len(shape.top), "none"),
    )
    bags = [
        Bags(ids=arrays[f"ids.{t}"].astype(np.uint32), offsets=arrays[f"offsets.{t}"])
        for t in range(len(shape.rows))
    ]
    return model, arrays, bags


@pytest.mark.parametrize("name", ["dot", "cat", "bags"])
def test_every_output_equals_pytorch(name: str) -> None:
    model, arrays, bags = load_case(name)
    inputs: list[Ids] = [bags]
    if name != "bags":
        inputs.append(np.stack([feature.ids for feature in bags], axis=1))
    for ids in inputs:
        outputs = forward(model, arrays["dense"], ids)
        assert list(outputs)[-1] == "score" and len(outputs) >= 5
        for layer, values in outputs.items():
            assert values.dtype == np.float32
            np.testing.assert_allclose(values, arrays[layer], rtol=2e-5, atol=2e-5, err_msg=layer)


def test_vectors_are_small_and_hold_empty_bags() -> None:
    assert sum(path.stat().st_size for path in VECTORS.iterdir()) < 1_000_000
    _, _, bags = load_case("bags")
    lengths = np.concatenate([np.diff(feature.offsets) for feature in bags])
    assert lengths.min() == 0 and lengths.max() >= 3


def test_items_are_independent() -> None:
    """An item's score does not depend on what it is ranked with."""
    model, arrays, bags = load_case("bags")
    whole = forward(model, arrays["dense"], bags)["score"]
    some = np.array([7, 3, 20])
    part = forward(model, arrays["dense"][some], take_items(bags, some))["score"]
    np.testing.assert_allclose(part, whole[some], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bad_dense_input_is_named(value: float) -> None:
    model, arrays, bags = load_case("bags")
    dense = arrays["dense"].copy()
    dense[4, 2] = value
    with pytest.raises(ValueError, match="item 4: dense feature 2 is (nan|inf)"):
        forward(model, dense, bags)


def test_id_out_of_range_is_named() -> None:
    shape = named_shape("RMsmall", max_rows=10)
    model = random_model(shape, seed=1)
    ids = np.zeros((3, 26), np.uint32)
    ids[2, 0] = 10
    with pytest.raises(IdRangeError, match="item 2: id 10 of table 0 must be below 10"):
        forward(model, np.zeros((3, 13), np.float32), ids)
    bags = [Bags(ids=column, offsets=np.arange(4)) for column in ids.T.copy()]
    with pytest.raises(IdRangeError, match="item 2: id 10 of table 0 must be below 10"):
        forward(model, np.zeros((3, 13), np.float32), bags)


def test_wrong_sizes_are_named() -> None:
    model = random_model(named_shape("RMsmall", max_rows=10), seed=1)
    with pytest.raises(ValueError, match=r"dense must be \[n, 13\], not \[3, 12\]"):
        forward(model, np.zeros((3, 12), np.float32), np.zeros((3, 26), np.uint32))
    with pytest.raises(ValueError, match="ids must have 26 features, not 25"):
        forward(model, np.zeros((3, 13), np.float32), np.zeros((3, 25), np.uint32))


def test_activation_functions() -> None:
    x = np.array([-1000.0, -1.0, 0.0, 1.0, 1000.0])
    np.testing.assert_allclose(apply_function("relu", x), [0, 0, 0, 1, 1000])
    np.testing.assert_allclose(apply_function("sigmoid", x), [0, 0.26894142, 0.5, 0.73105858, 1])
    np.testing.assert_allclose(apply_function("tanh", x), [-1, -0.76159416, 0, 0.76159416, 1])
    np.testing.assert_allclose(apply_function("none", x), x)


def test_header_of_the_vectors_is_plain_json() -> None:
    with np.load(VECTORS / "dot.npz", allow_pickle=False) as archive:
        header = json.loads(archive["header"].tobytes())
    assert header["format"] == "rpaccel"
