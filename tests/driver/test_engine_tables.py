"""Tables of one engine: where parameters, layers and activation tables go, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from driver.engine_tables import EngineTables
from driver.engine_words import parameter_words
from driver.errors import UserError
from driver.mapping import map_engine, row_blocks
from driver.maps import EngineMap
from driver.partition import Engine
from driver.stage_shapes import stage_shape
from golden.model import random_model
from golden.quantise import quantise
from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape
from hdl.config import preset
from hdl.program import DOT_SHIFT_WORDS, Destination

CONFIG = preset("tiny")
ENGINE = Engine(row=0, column=0, level=1, unit=0, stages=None)


def _model() -> QuantisedModel:
    shape = ModelShape(
        name="m", width=4, bottom=(13, 21, 4), top=(9, 1), rows=(50, 60), interaction="dot"
    )
    random = np.random.default_rng(1)
    dense = random.random((40, 13)).astype(np.float32)
    ids = random.integers(0, shape.rows, (40, 2)).astype(np.uint32)
    return quantise(random_model(shape, seed=2), dense, ids)


def _mapped(model: QuantisedModel) -> EngineMap:
    programs = {0: stage_shape(model)}
    edge = CONFIG.sub_array << ENGINE.level
    rows = row_blocks(CONFIG, programs, edge)
    return map_engine(
        CONFIG, row=ENGINE.row, column=ENGINE.column, level=ENGINE.level, programs=programs,
        rows=rows,
    )  # fmt: skip


def test_a_column_of_sub_arrays_gets_the_parameters_of_its_channels() -> None:
    model = _model()
    mapped = _mapped(model)
    tables = EngineTables(CONFIG, mapped)
    stage = mapped.stages[0]
    assert tables.add(model.bottom, stage.bottom, Destination.DENSE) == 0
    assert tables.add(model.top, stage.top, Destination.SCORE) == len(model.bottom)
    assert len(tables.layers) == len(model.bottom) + len(model.top)
    size = CONFIG.sub_array
    columns = [np.frombuffer(part, np.uint8).reshape(-1, 8) for part in tables.column_parameters()]
    assert len(columns) == mapped.edge // size > 1
    for layer, place in zip(model.bottom, stage.bottom.layers, strict=True):
        for channel, word in enumerate(parameter_words(layer)):
            tile, lane = divmod(channel, mapped.edge)
            column, within = divmod(lane, size)
            row = (place.parameter_base + tile) * size + within
            assert (columns[column][row] == word).all()


def test_equal_activation_tables_are_one_and_too_many_are_refused() -> None:
    model = _model()
    mapped = _mapped(model)
    tables = EngineTables(CONFIG, mapped)
    for number in range(CONFIG.activation_tables + 1):
        tables.check(ENGINE)
        table = np.full(256, number, np.int8)
        layers = [replace(layer, function="table", table=table) for layer in model.bottom]
        tables.add(layers, mapped.stages[0].bottom, Destination.DENSE)
        assert len(tables.activations) == number + 1
    with pytest.raises(UserError, match="m: 5 different activation tables, .* tiny holds 4"):
        tables.check(ENGINE)


def test_too_many_interaction_steps_are_refused() -> None:
    model = _model()
    mapped = _mapped(model)
    tables = EngineTables(CONFIG, mapped)
    stage = mapped.stages[0]
    most = DOT_SHIFT_WORDS // stage.shift_words
    while len(tables.shifts) <= most:
        tables.check(ENGINE)
        assert tables.add_shifts(model, stage) < len(tables.shifts)
    found = f"m: {len(tables.shifts)} interaction steps .* edge 8 .* the shifts of {most}"
    with pytest.raises(UserError, match=found):
        tables.check(ENGINE)
