"""The layer that adds a bag is golden's sum; records, and bags that do not fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from driver.decoded_bags import COUNTER, DecodedIds, member_number, sum_stack
from driver.decoders import map_decoders, rows_of_decoders
from driver.errors import UserError
from driver.inputs import make_workload
from driver.options import RunOptions
from driver.run import run
from driver.stage_shapes import records_of, stage_shape
from golden.dhe import integer_code
from golden.embedding import EMPTY_ID, split_places
from golden.integer_model import decoder_layers, pooled_rows, run_layer
from golden.model import random_model
from golden.quantise import quantise
from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape
from hdl.config import preset

ROWS = (50, 60, 70)
BAGS = (5, 1, 3)


def model_of(width: int = 8, bags: tuple[int, ...] = BAGS) -> QuantisedModel:
    shape = ModelShape(
        name="m",
        width=width,
        bottom=(13, width),
        top=(1,),
        rows=ROWS,
        interaction="cat",
        embeddings=(("table", 1), ("dhe", 0), ("dhe", 2)),
        decoders=((20, 9, width), (), (11, width)),
        bags=bags,
    )
    random = np.random.default_rng(1)
    dense = random.random((40, 13)).astype(np.float32)
    return quantise(random_model(shape, seed=2), dense, split_places(places(40, bags), bags))


def places(items: int, bags: tuple[int, ...] = BAGS) -> np.ndarray:
    random = np.random.default_rng(items)
    features = np.repeat(np.arange(3), bags)
    ids = random.integers(0, np.array(ROWS)[features], (items, sum(bags))).astype(np.uint32)
    ids[(random.random(ids.shape) < 0.5) & (np.array(bags)[features] > 1)] = EMPTY_ID
    return ids


def test_a_number_is_its_own_hash() -> None:
    numbers = np.arange(255, dtype=np.uint32)
    assert (integer_code(COUNTER, numbers) == numbers.astype(int)[:, None] - 127).all()


@pytest.mark.parametrize(("width", "edge"), [(8, 8), (4, 8), (16, 4), (64, 16)])
def test_the_layer_is_the_sum(width: int, edge: int) -> None:
    """Vectors of all places in whole pages, and the code of the empty places' number."""
    model = model_of(width)
    ids = places(60)
    decoded = DecodedIds(bags=((0, 5), (6, 3)))
    words = decoded.words(ids)
    assert words.shape == (60, decoded.count) == (60, 2 + 8)
    expected = pooled_rows(model, split_places(ids, BAGS))
    for vector, feature in enumerate((0, 2)):
        size = BAGS[feature]
        first = member_number((5, 3), vector, 0)
        members = words[:, first : first + size]
        vectors = decoder_layers(model, feature, members.ravel())[-1]
        pages = np.full((60, size, -(-width // edge) * edge), 99, np.int8)
        pages[:, :, :width] = vectors.reshape(60, size, width)
        code = integer_code(COUNTER, words[:, vector])
        x = np.concatenate([pages.reshape(60, -1), code], axis=1)
        (layer,) = sum_stack(model, feature, edge).decoder
        assert (run_layer(layer, x) == expected[:, 1 + vector]).all()


def test_an_empty_vector_of_the_least_value() -> None:
    """128 does not fit a weight, two halves do."""
    model = model_of()
    stacks = list(model.stacks)
    stack = stacks[0]
    assert stack is not None
    last = stack.decoder[-1]
    bias = np.where(np.arange(8) % 2, -(2**20), 2**20).astype(np.int32)
    last = replace(last, weight=np.zeros_like(last.weight), bias=bias)
    stacks[0] = replace(stack, decoder=(*stack.decoder[:-1], replace(last, function="none")))
    model = replace(model, stacks=tuple(stacks))
    assert -128 in decoder_layers(model, 0, np.array([EMPTY_ID], np.uint32))[-1]
    (layer,) = sum_stack(model, 0, 8).decoder
    words = DecodedIds(bags=((0, 5),)).words(np.full((1, 9), EMPTY_ID, np.uint32))
    vectors = decoder_layers(model, 0, words[0, 1:])[-1].reshape(1, -1)
    x = np.concatenate([vectors, integer_code(COUNTER, words[:, 0])], axis=1)
    assert not run_layer(layer, x).any()


def test_ids_come_before_empty_places() -> None:
    ids = np.array([[EMPTY_ID, 7, EMPTY_ID, 3, 9]], np.uint32)
    words = DecodedIds(bags=((4, 1), (0, 4))).words(ids)
    assert words.tolist() == [[9, 2, 7, 3, EMPTY_ID, EMPTY_ID]]


def test_places() -> None:
    """Vectors of a bag end where the codes begin; its members share their parameters."""
    shape = stage_shape(model_of(16))
    maps, end = map_decoders(preset("tiny"), shape, edge=8, rows=14, parameter=3)
    names = [place.name for place in maps]
    assert names == [
        *(f"decoder.0[{n}]" for n in range(5)), "sum.0",
        *(f"decoder.2[{n}]" for n in range(3)), "sum.2",
    ]  # fmt: skip
    assert [place.number for place in maps] == [2, 3, 4, 5, 6, 0, 7, 8, 9, 1]
    base = 5 * 2 * 14
    for place in maps:
        last = place.layers[-1]
        if place.member is None:
            assert last.input_base + (last.input_tiles - 1) * 14 == base
            assert last.output_base == (1 + place.vector) * 2 * 14
        else:
            first = maps[0] if place.vector == 0 else maps[6]
            assert place.layers[0].input_base == base
            assert last.output_base + (BAGS[place.feature] - place.member) * 2 * 14 == base
            assert place.layers[0].parameter_base == first.layers[0].parameter_base
    assert end == 3 + (2 + 2) + 2 + 2 + 2


@pytest.mark.parametrize(
    ("bags", "message"),
    [
        ((70, 1, 3), "75 id words with those of their bags, tiny takes at most 64; .* feature 0"),
        ((40, 1, 30), "72 id words with those of their bags, .*, 40 ids"),
    ],
)
def test_large_bags(bags: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        records_of(preset("tiny"), [model_of(8, bags).shape])


def test_bags_beyond_the_banks() -> None:
    shape = stage_shape(model_of(64, (60, 1, 1)))
    config = replace(preset("tiny"), activation_bytes=2048)
    with pytest.raises(UserError, match="feature 0: decoder 20-9-64 needs 485 pages"):
        rows_of_decoders(config, shape, 8)


def test_an_id_beyond_32_bits() -> None:
    """Never cut down to another id."""
    shape = model_of(8, (1, 1, 1)).shape
    ids = np.array([[3, 4, (1 << 32) + 5]])
    with pytest.raises(UserError, match="item 0: id 4294967301 is outside table 2"):
        make_workload(
            models=[random_model(shape, seed=1)],
            keep=[1],
            queries=[(np.zeros((1, 13), np.float32), ids)],
        )


def test_one_id_is_no_sum() -> None:
    """The device does not requantise a vector of one id: said, not done otherwise."""
    model = model_of(8, (5, 1, 1))
    assert model.pool_multiplier[2] == 32768 and model.pool_shift[2] == 15
    with pytest.raises(UserError, match=r"feature 2 is decoded and has one id.*\(40000, 15\)"):
        stage_shape(replace(model, pool_multiplier=np.array([32768, 32768, 40000], np.uint16)))


@pytest.mark.parametrize("representation", ["select", "dhe", "hybrid"])
def test_pipelines(representation: str) -> None:
    options: dict[str, Any] = {"preset": "tiny", "items": 24, "max_rows": 200}
    name = f"mprec-kaggle-{representation}-bags:64-8-16"
    ran = run(RunOptions(pipeline=name, backend="timing", **options))
    assert ran["cycles"] > 0
    assert "bags of up to 4 ids in 5 tables" in ran["notes"]
