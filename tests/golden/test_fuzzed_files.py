"""Changed model and data files: refused in one line, or what they hold is sound."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from golden import float_model, integer_model
from golden.dataset import Dataset, load_dataset, save_dataset
from golden.files import ModelFileError
from golden.model import ModelShape, random_model
from golden.model_files import (
    load_model,
    load_quantised_model,
    save_model,
    save_quantised_model,
)
from golden.neumf import NeuMfShape, forward_neumf, random_neumf
from golden.neumf_files import load_neumf, save_neumf
from golden.quantise import quantise

DENSE = np.ones((4, 3), np.float32)
IDS = np.zeros((4, 2), np.uint32)


@dataclass(frozen=True)
class Kind:
    """One kind of file: how it is written, read, and used after it was read."""

    write: Callable[[Path], None]
    check: Callable[[Path], None]


def small_model() -> Any:
    shape = ModelShape(name="m", width=4, bottom=(3, 4), top=(3, 1), rows=(5, 6))
    return random_model(shape, seed=1)


def check_model(path: Path) -> None:
    model = load_model(path)
    n, features = model.shape.dense_features, model.shape.sparse_features
    with np.errstate(all="ignore"):
        float_model.forward(model, np.ones((2, n), np.float32), np.zeros((2, features), np.uint32))


def check_quantised(path: Path) -> None:
    model = load_quantised_model(path)
    n, features = model.shape.dense_features, model.shape.sparse_features
    integer_model.forward(model, np.ones((2, n), np.int8), np.zeros((2, features), np.uint32))


def check_neumf(path: Path) -> None:
    forward_neumf(load_neumf(path), np.zeros((2, 4), np.uint32))


def check_dataset(path: Path) -> None:
    data = load_dataset(path)
    for query in data:
        assert np.isfinite(query.dense).all() and query.labels.max(initial=0) <= 1
        assert len(query.ids) == len(query.labels) == data.query_items


def write_dataset(path: Path) -> None:
    random = np.random.default_rng(1)
    save_dataset(
        path,
        Dataset(
            counts=random.integers(0, 99, (12, 3)).astype(np.uint16),
            ids=random.integers(0, 99, (12, 2)).astype(np.uint32),
            labels=random.integers(0, 2, 12).astype(np.uint8),
            query_items=4,
        ),
    )


KINDS = {
    "model": Kind(lambda path: save_model(path, small_model()), check_model),
    "quantised": Kind(
        lambda path: save_quantised_model(path, quantise(small_model(), DENSE, IDS)),
        check_quantised,
    ),
    "neumf": Kind(
        lambda path: save_neumf(
            path,
            random_neumf(NeuMfShape(name="n", mf=2, mlp=(4, 2), users=3, items=3), seed=1),
        ),
        check_neumf,
    ),
    "dataset": Kind(write_dataset, check_dataset),
}

SETTINGS: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
}
VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, -1, 0, 1, 2, 3.5, 1 << 40, "", "relu", "dot", "table", True, [], {}, [1], [[]], [-1, 4]]
)


def check(kind: Kind, path: Path) -> None:
    try:
        kind.check(path)
    except ModelFileError as error:
        assert len(str(error).splitlines()) == 1 and str(error).startswith(str(path))


def fuzz_bytes(folder: Path, name: str, examples: int) -> None:
    """Bytes of the file changed, or its end cut off."""
    kind, path = KINDS[name], folder / "f.npz"
    kind.write(path)
    source = path.read_bytes()
    edit = st.tuples(st.integers(0, len(source) - 1), st.integers(0, 255))

    @settings(max_examples=examples, **SETTINGS)
    @given(st.lists(edit, min_size=1, max_size=6), st.none() | st.integers(0, len(source)))
    def run(edits: list[tuple[int, int]], cut: int | None) -> None:
        changed = bytearray(source)
        for place, value in edits:
            changed[place] = value
        path.write_bytes(changed[:cut])
        check(kind, path)

    run()


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to every value inside a JSON value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key in value:
            found += places(value[key], (*path, key))
    if isinstance(value, list):
        for index, entry in enumerate(value):
            found += places(entry, (*path, index))
    return found


def fuzz_content(folder: Path, name: str, examples: int) -> None:
    """A value of the header changed, or an array left out or made another one, checksums right."""
    kind, path = KINDS[name], folder / "f.npz"
    kind.write(path)
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    header = json.loads(arrays.pop("header").tobytes().decode())
    ways = [way for way in places(header) if way not in (("format",), ("kind",))]

    @settings(max_examples=examples, **SETTINGS)
    @given(st.data())
    def run(data: st.DataObject) -> None:
        changed: Any = json.loads(json.dumps(header))
        members = dict(arrays)
        if data.draw(st.booleans()):
            way = data.draw(st.sampled_from(ways))
            target = changed
            for step in way[:-1]:
                target = target[step]
            target[way[-1]] = data.draw(VALUES)
        else:
            key = data.draw(st.sampled_from(sorted(members)))
            array = members[key]
            choice = data.draw(st.integers(0, 4))
            if choice == 0:
                del members[key]
            else:
                members[key] = [
                    array.ravel(), array.astype(np.float64), array[:1], array.astype("U8")
                ][choice - 1]  # fmt: skip
        members["header"] = np.frombuffer(json.dumps(changed).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **members)
        path.write_bytes(buffer.getvalue())
        check(kind, path)

    run()


@pytest.mark.parametrize("name", list(KINDS))
def test_fuzzed_files(name: str, tmp_path: Path) -> None:
    fuzz_bytes(tmp_path, name, 30)
    fuzz_content(tmp_path, name, 60)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(KINDS))
def test_many_fuzzed_files(name: str, tmp_path: Path) -> None:
    fuzz_bytes(tmp_path, name, 1000)
    fuzz_content(tmp_path, name, 1000)
