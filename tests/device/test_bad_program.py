"""Tables that contradict each other or the engine: a status, and the next query is exact."""

from __future__ import annotations

from typing import Any

import pytest

from driver.loads import Load
from hdl import program as fmt
from hdl.program import Destination, Opcode, Status, Target
from hdl.words import pack_bytes, unpack

from .support import CONFIG, Case

Change = tuple[Target, int, int, dict[str, Any]]
"""Target, unit, index of the descriptor, fields to set."""
LAYOUTS = {
    Target.STAGES: (fmt.STAGE, fmt.STAGE_WORDS),
    Target.LAYERS: (fmt.LAYER, fmt.LAYER_WORDS),
    Target.FEATURES: (fmt.FEATURE, fmt.FEATURE_WORDS),
    Target.PIPELINES: (fmt.PIPELINE, fmt.PIPELINE_WORDS),
}
WORDS = CONFIG.weight_words
# Layers 0 and 1 are the first stage's bottom MLP, 2 and 3 its top MLP.
BAD: dict[str, Change] = {
    "more vectors than features": (Target.STAGES, 0, 0, {"vectors": 9}),
    "no vectors": (Target.STAGES, 0, 0, {"vectors": 0}),
    "no item slots": (Target.STAGES, 0, 0, {"slots": 0}),
    "a lane that never ends an item": (Target.FEATURES, 1, 2, {"item_last": 0}),
    "a tile too many": (Target.STAGES, 0, 0, {"bottom_tiles": 3}),
    "a tile too few": (Target.STAGES, 0, 0, {"top_tiles": 2}),
    "no layers": (Target.STAGES, 0, 0, {"top_layers": 0}),
    "weights beyond the bank": (Target.STAGES, 0, 0, {"bottom_weights": WORDS - 2}),
    "outputs beyond the bank": (Target.LAYERS, 0, 0, {"output_base": 0xFFF0}),
    "inputs beyond the bank": (Target.LAYERS, 0, 2, {"input_base": CONFIG.activation_bytes // 2}),
    "parameters beyond their memory": (
        Target.LAYERS, 0, 1, {"parameter_base": CONFIG.parameter_tiles}
    ),
    "scores that go nowhere": (Target.LAYERS, 0, 3, {"destination": Destination.BANK}),
}  # fmt: skip


class Given:
    """One simulation: each bad table with two queries, then the right one with a query."""

    def __init__(self) -> None:
        self.case = Case(entries=5 * len(BAD) + 1)
        self.bad: dict[str, list[int]] = {}
        self.good: dict[str, tuple[Any, int]] = {}
        for index, (name, change) in enumerate(BAD.items()):
            right, wrong = self._loads(*change)
            self.case.host.put(**wrong)
            self.bad[name] = [self.case.query(n).entry for n in (0, 1)]  # both are at work
            self.case.host.put(**right.fields())
            number = index % len(self.case.workload.queries)
            self.good[name] = (self.case.query(number), number)
        self.played = self.case.run()

    def _loads(
        self, target: Target, unit: int, index: int, fields: dict[str, Any]
    ) -> tuple[Load, dict[str, int]]:
        """The LOAD of the case, and one with some fields of a descriptor changed."""
        load = next(
            load for load in self.case.deployment.loads
            if load.target is target and unit in load.units
        )  # fmt: skip
        layout, words = LAYOUTS[target]
        blob = bytearray(self.case.image.to_bytes()[load.address : load.address + 8 * load.words])
        part = slice(8 * words * index, 8 * words * (index + 1))
        old = unpack(layout, bytes(blob[part]))
        values = {name: getattr(old, name) for name, _ in layout if not name.startswith("_")}
        assert all(values[name] != value for name, value in fields.items())
        blob[part] = pack_bytes(layout, values | fields)
        address = self.case.image.put(bytes(blob))
        return load, load.fields() | {"opcode": Opcode.LOAD, "address": address}


@pytest.fixture(scope="module")
def given() -> Given:
    return Given()


@pytest.mark.parametrize("name", BAD)
def test_query_is_given_up_and_the_next_one_is_exact(given: Given, name: str) -> None:
    played = given.played
    for entry in given.bad[name]:
        assert played.status(entry) == Status.BAD_PROGRAM
        assert played.completions[entry].count == 0
    placed, number = given.good[name]
    golden = given.case.golden(number)
    assert played.status(placed.entry) == Status.OK
    assert played.results(placed)[:, 0].tolist() == golden.items.tolist()
    assert played.results(placed)[:, 1].tolist() == golden.scores.tolist()
