# amaranth: UnusedElaboratable=no
"""Whole way in RTL: ids of records to hashes, codes, decoder layers and vectors, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.result_plan import choose_results
from golden.encoders import random_stack
from golden.integer_model import decoder_layers
from golden.layer import Function
from golden.model import random_model
from golden.quantise import quantise
from golden.quantised_model import QuantisedModel
from golden.shape import ModelShape
from tests.hdl.dhe.decoder_bench import SEED, DecoderBench

ROWS = (5000, 60, 3000)


def model_of(decoder: tuple[int, ...], hidden: Function, last: Function) -> QuantisedModel:
    """Features 0 and 2 by DHE, the second with a prime a hash; feature 1 by a table."""
    width = decoder[-1]
    shape = ModelShape(
        name="m",
        width=width,
        bottom=(13, width),
        top=(1,),
        rows=ROWS,
        interaction="cat",
        embeddings=(("table", 1), ("dhe", 0), ("dhe", 2)),
        decoders=(decoder, (), decoder),
    )
    random = np.random.default_rng(1)
    stacks = (
        random_stack(decoder, seed=[1], hidden=hidden, last=last),
        None,
        random_stack(decoder, seed=[2], hidden=hidden, last=last, policy="per-hash"),
    )
    dense = random.random((200, 13)).astype(np.float32)
    ids = random.integers(0, ROWS, (200, 3)).astype(np.uint32)
    return quantise(replace(random_model(shape, seed=2), stacks=stacks), dense, ids)


def blocks_of(rows: list[int], largest: tuple[int, ...] = ROWS) -> list[NDArray[np.uint32]]:
    random = np.random.default_rng(8)
    return [random.integers(0, largest, (n, 3)).astype(np.uint32) for n in rows]


def check(bench: DecoderBench, model: QuantisedModel, blocks: list[NDArray[np.uint32]]) -> None:
    """Every vector of every block."""
    for ids, got in zip(blocks, bench.vectors, strict=True):
        for v, feature in enumerate((0, 2)):
            expected = decoder_layers(model, feature, ids[:, feature])[-1]
            assert expected.std() > 0
            assert (got[v, : len(ids)] == expected).all()


CASES: list[tuple[tuple[int, ...], Function, Function]] = [
    ((24, 16, 8), "relu", "sigmoid"),
    ((21, 10, 12, 16), "mish", "none"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("decoder", "hidden", "last"), CASES)
def test_vectors_are_goldens(decoder: tuple[int, ...], hidden: Function, last: Function) -> None:
    model = model_of(decoder, hidden, last)
    blocks = blocks_of([13, 5, 16])
    bench = DecoderBench(model, blocks, lanes=2)
    bench.run()
    check(bench, model, blocks)


def test_held_vectors_leave_the_array() -> None:
    """The decoder's rows are the misses; with those that are held they are all of golden's."""
    model = model_of((16, 8), "relu", "sigmoid")
    blocks = blocks_of([16, 16], (12, 60, 12))
    counts: list[Any] = [np.arange(12), None, np.arange(12)]
    plan = choose_results(
        counts, [(16, 8), (), (16, 8)], tables=(0, 1, 2), seeds=[SEED] * 3, sets=8, ways=4
    )  # fmt: skip
    held = {key: place for key, place in plan.places.items() if key[1] > 5}
    bench = DecoderBench(model, blocks, lanes=4, held=held)
    bench.run()
    rows = 0
    for number, (ids, got) in enumerate(zip(blocks, bench.vectors, strict=True)):
        at = {p[1:3]: p[3:] for p in bench.placed if p[0] == number & 1}
        for v, feature in enumerate((0, 2)):
            expected = decoder_layers(model, feature, ids[:, feature])[-1]
            for row, x in enumerate(ids[:, feature].tolist()):
                hit, place = at[v, row]
                assert hit == ((feature, x) in held)
                assert place == held[feature, x] if hit else True
                assert hit or (got[v, place] == expected[row]).all()
                rows += not hit
    # A row of the array for each miss and tile, and none for what is held.
    assert len(bench.busy) == rows * (2 * 1)
    assert 0 < rows < 2 * 2 * 16


def test_the_array_decodes_while_codes_are_made() -> None:
    """Two row blocks: with lanes enough, decoders follow each other nearly without a gap."""
    model = model_of((32, 32, 8), "relu", "sigmoid")
    blocks = blocks_of([16, 16])
    bench = DecoderBench(model, blocks, lanes=4)
    bench.run()
    check(bench, model, blocks)
    # 4 x 4 + 4 tiles of 16 rows a decoder against 128 cycles of codes; two decoders, two blocks.
    busy = 4 * 20 * 16
    assert len(bench.busy) == busy
    span = bench.busy[-1] - bench.busy[0] + 1
    assert busy / span >= 0.98
