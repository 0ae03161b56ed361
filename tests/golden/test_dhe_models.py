"""Models with DHE vectors: every representation, float against integers, files, bad shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from golden import float_model, integer_model
from golden.calibrate import choose_scale
from golden.dhe import (
    decode,
    float_code,
    hashes,
)
from golden.embedding import Bags
from golden.encoders import random_stack
from golden.files import ModelFileError, read_archive, write_archive
from golden.model import random_model
from golden.model_files import (
    load_model,
    load_quantised_model,
    save_model,
    save_quantised_model,
)
from golden.quantise import QuantiseError, quantise, quantise_dense
from golden.shape import ModelShape

ROWS = (40, 300, 7, 60)
KINDS: dict[str, Any] = {
    "table": tuple(("table", f) for f in range(4)),
    "dhe": tuple(("dhe", f) for f in range(4)),
    "select": (("table", 0), ("table", 2), ("dhe", 1), ("dhe", 3)),
    "hybrid": tuple((source, f) for source in ("table", "dhe") for f in range(4)),
}


def shape_of(kind: str, interaction: Any) -> ModelShape:
    with_dhe = {f for source, f in KINDS[kind] if source == "dhe"}
    return ModelShape(
        name="m",
        width=8,
        bottom=(13, 16, 8),
        top=(24, 1),
        rows=ROWS,
        interaction=interaction,
        embeddings=KINDS[kind],
        decoders=tuple((32 + f, 24, 8) if f in with_dhe else () for f in range(4)),
    )


def inputs(items: int) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    random = np.random.default_rng(5)
    dense = np.log1p(random.integers(0, 200, (items, 13))).astype(np.float32)
    return dense, random.integers(0, ROWS, (items, 4)).astype(np.uint32)


def bags_of(items: int) -> list[Bags]:
    random = np.random.default_rng(7)
    bags = []
    for rows in ROWS:
        lengths = random.integers(0, 5, items)
        lengths[3] = 0
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        bags.append(
            Bags(ids=random.integers(0, rows, offsets[-1]).astype(np.uint32), offsets=offsets)
        )
    return bags


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("interaction", ["dot", "cat"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_integer_model_follows_float(kind: str, interaction: Any, pooled: bool) -> None:
    shape = shape_of(kind, interaction)
    model = random_model(shape, seed=3)
    dense, plain = inputs(200)
    ids: Any = bags_of(200) if pooled else plain
    quantised = quantise(model, dense, ids)
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), ids)
    expected = float_model.forward(model, dense, ids)
    assert got["embedding"].shape == (200, len(KINDS[kind]), 8)
    score = got["score"] * quantised.score_scale
    assert np.corrcoef(score, expected["score"])[0, 1] > 0.98
    if not pooled:
        scaled = got["embedding"] * quantised.table_scale[:, None]
        error = np.abs(scaled - expected["embedding"]).mean()
        assert error < 0.05 * np.abs(expected["embedding"]).mean()


def test_vectors_are_in_the_stated_order() -> None:
    """Select permutes the features; hybrid has both vectors of each and adds nothing up."""
    dense, ids = inputs(30)
    for kind in ("select", "hybrid"):
        model = random_model(shape_of(kind, "cat"), seed=3)
        vectors = float_model.forward(model, dense, ids)["embedding"]
        for v, (source, f) in enumerate(KINDS[kind]):
            stack = model.stacks[f]
            if source == "table":
                expected = model.tables[f][ids[:, f]]
            else:
                assert stack is not None
                expected = decode(stack.decoder, float_code(stack.encoder, ids[:, f]))[-1]
            np.testing.assert_allclose(vectors[:, v], expected, rtol=1e-5, atol=1e-6)


def test_bags_are_decoded_then_summed() -> None:
    model = random_model(shape_of("dhe", "cat"), seed=3)
    dense, _ = inputs(40)
    bags = bags_of(40)
    quantised = quantise(model, dense, bags)
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), bags)
    assert not got["embedding"][3].any()
    f, item = 1, int(np.argmax(np.diff(bags[1].offsets)))
    bag = bags[f].ids[bags[f].offsets[item] : bags[f].offsets[item + 1]]
    total = integer_model.decoder_layers(quantised, f, bag)[-1].astype(int).sum(axis=0)
    m, s = int(quantised.pool_multiplier[f]), int(quantised.pool_shift[f])
    by_hand = [min(max((int(v) * m + (1 << (s - 1))) >> s, -128), 127) for v in total]
    assert got["embedding"][item, f].tolist() == by_hand


def test_layers_of_bags() -> None:
    """The N-th ids of all bags have layers of their own, and so has their sum."""
    shape = replace(shape_of("hybrid", "cat"), bags=(4, 4, 1, 4))
    model = random_model(shape, seed=3)
    dense, ids = inputs(40)
    bags = bags_of(40)
    bags[2] = Bags(ids=ids[:, 2].copy(), offsets=np.arange(41))
    quantised = quantise(model, dense, bags)
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), bags)
    for f in shape.dhe_features:
        stack = quantised.stacks[f]
        assert stack is not None
        last = len(stack.decoder) - 1
        vector = shape.embeddings.index(("dhe", f))
        if shape.bags[f] == 1:
            pair = quantised.pool_multiplier[vector], quantised.pool_shift[vector]
            assert pair == (32768, 15)
            assert (got[f"decoder.{f}.{last}"] == got["embedding"][:, vector]).all()
            continue
        assert (got[f"sum.{f}.0"] == got["embedding"][:, vector]).all()
        places = bags[f].places(4)
        for n in range(4):
            expected = integer_model.decoder_layers(quantised, f, places[:, n])
            assert (got[f"decoder.{f}[{n}].{last}"] == expected[-1]).all()
    with pytest.raises(ValueError, match="item .*: a bag of . ids, at most 1 fit"):
        bags[0].places(1)


def test_bad_ids_become_zero_rows() -> None:
    """Only a table has a range: the decoded vector of the id is computed."""
    model = random_model(shape_of("hybrid", "cat"), seed=3)
    dense, ids = inputs(50)
    quantised = quantise(model, dense, ids)
    ids[7, 2] = ROWS[2]
    q_dense = quantise_dense(dense, quantised.dense_scale)
    with pytest.raises(ValueError, match="item 7: id 7 of table 2"):
        integer_model.forward(quantised, q_dense, ids)
    got = integer_model.forward(quantised, q_dense, ids, bad_ids_as_zero=True)
    assert not got["embedding"][7, 2].any() and got["embedding"][7, [1, 5]].any()
    expected = integer_model.decoder_layers(quantised, 2, ids[7:8, 2])[-1][0]
    assert got["embedding"][7, 6].tolist() == expected.tolist()


@pytest.mark.parametrize("last", ["sigmoid", "mish", "none", "relu"])
@pytest.mark.parametrize("hidden", ["relu", "mish"])
def test_decoder_functions(hidden: Any, last: Any) -> None:
    shape = shape_of("dhe", "cat")
    model = random_model(shape, seed=3)
    stacks = tuple(
        random_stack(sizes, seed=[9, f], hidden=hidden, last=last, policy="per-hash")
        for f, sizes in enumerate(shape.decoders)
    )
    model = replace(model, stacks=stacks)
    dense, ids = inputs(300)
    quantised = quantise(model, dense, ids)
    tables = {
        layer.table.tobytes()
        for stack in quantised.stacks
        if stack is not None
        for layer in stack.decoder
        if layer.table is not None
    }
    assert len(tables) == (hidden == "mish") + (last in ("sigmoid", "mish"))  # shared by features
    got = integer_model.forward(quantised, quantise_dense(dense, quantised.dense_scale), ids)
    expected = float_model.forward(model, dense, ids)["embedding"]
    error = np.abs(got["embedding"] * quantised.table_scale[:, None] - expected).mean()
    assert error < 0.06 * expected.std()


def test_gaussian_is_refused_by_name() -> None:
    model = random_model(shape_of("select", "cat"), seed=3)
    stack = model.stacks[3]
    assert stack is not None
    even = random_stack((34, 24, 8), seed=[1])
    even = replace(even, encoder=replace(even.encoder, transform="gaussian"))
    decoders = (*model.shape.decoders[:3], (34, 24, 8))
    model = replace(
        model,
        shape=replace(model.shape, decoders=decoders),
        stacks=(*model.stacks[:3], even),
    )
    with pytest.raises(QuantiseError, match="feature 3: the gaussian transform is not supported"):
        quantise(model, *inputs(20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embeddings": (("table", 0), ("table", 1), ("table", 2))}, "no vector of feature 3"),
        ({"embeddings": (*KINDS["table"], ("table", 1))}, "twice"),
        ({"embeddings": (*KINDS["table"], ("dhe", 1))}, "feature 1 of m needs a decoder"),
        ({"embeddings": (*KINDS["table"], ("dhe", 4))}, "is no source and feature"),
        ({"decoders": ((), (8, 8), (), ())}, "feature 1 of m has a decoder but no DHE vector"),
        ({"decoders": ((),)}, "must be of 4 features"),
        (
            {"embeddings": (*KINDS["table"], ("dhe", 1)), "decoders": ((), (8, 4), (), ())},
            "must be sizes .* end in 8",
        ),
    ],
)
def test_shapes_that_contradict_themselves(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(shape_of("table", "cat"), **changes)


def test_stacks_must_fit_the_shape() -> None:
    model = random_model(shape_of("dhe", "cat"), seed=3)
    with pytest.raises(ValueError, match=r"stacks.2 must be of sizes \(34, 24, 8\), not \(\)"):
        replace(model, stacks=(*model.stacks[:2], None, model.stacks[3]))


def test_calibration_scale_of_shared_tables() -> None:
    """The shared table covers the pre-activations of all decoders, not of one."""
    shape = shape_of("dhe", "cat")
    model = random_model(shape, seed=3)
    quantised = quantise(model, *inputs(300), method="max")
    scales = {s.decoder[-1].output_scale for s in quantised.stacks if s is not None}
    assert len(scales) == 1
    outputs = float_model.forward(model, *inputs(300))["embedding"]
    assert scales.pop() == pytest.approx(choose_scale(outputs, "max"), rel=0.01)


def test_model_files(tmp_path: Path) -> None:
    """Half precision rounds weights, never hashes; integers come back bit for bit."""
    model = random_model(shape_of("select", "dot"), seed=3)
    dense, ids = inputs(60)
    storages: tuple[Literal["float32", "float16"], ...] = ("float32", "float16")
    for storage in storages:
        save_model(tmp_path / "m.npz", model, storage=storage)
        again = load_model(tmp_path / "m.npz")
        assert again.shape == model.shape
        for stack, other in zip(model.stacks, again.stacks, strict=True):
            assert (stack is None) == (other is None)
            if stack is not None and other is not None:
                assert (hashes(stack.encoder, ids[:, 1]) == hashes(other.encoder, ids[:, 1])).all()
    quantised = quantise(model, dense, ids)
    save_quantised_model(tmp_path / "q.npz", quantised)
    loaded = load_quantised_model(tmp_path / "q.npz")
    before, after = (integer_model.pooled_rows(m, ids) for m in (quantised, loaded))
    assert (before == after).all()
    header, arrays = read_archive(tmp_path / "m.npz", "model")
    arrays["hash.3"][5, 0] = 0
    write_archive(tmp_path / "bad.npz", "model", header, arrays)
    with pytest.raises(ModelFileError, match="hash 5: a must be in 1..p - 1"):
        load_model(tmp_path / "bad.npz")
