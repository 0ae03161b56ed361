"""Model and data files: round trips, and every kind of bad file as one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from golden.dataset import Dataset, load_dataset, save_dataset
from golden.files import ModelFileError, read_archive, write_archive
from golden.model import Model, named_shape, random_model
from golden.model_files import (
    load_model,
    load_quantised_model,
    save_model,
    save_quantised_model,
)
from golden.quantise import quantise
from golden.quantised_model import QuantisedModel


def model() -> Model:
    return random_model(named_shape("RMsmall", max_rows=7), seed=1)


def quantised() -> QuantisedModel:
    random = np.random.default_rng(1)
    ids = np.zeros((20, 26), np.uint32)
    return quantise(model(), random.random((20, 13)).astype(np.float32), ids)


def test_float_model_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    original = model()
    save_model(path, original)
    again = load_model(path)
    assert again.shape == original.shape
    assert np.array_equal(again.tables[2], original.tables[2])
    assert [layer.function for layer in again.top] == ["relu", "none"]
    save_model(tmp_path / "half.npz", original, storage="float16")
    half = load_model(tmp_path / "half.npz")
    assert half.tables[2].dtype == np.float32
    np.testing.assert_allclose(half.top[0].weight, original.top[0].weight, rtol=1e-3, atol=1e-6)
    assert (tmp_path / "half.npz").stat().st_size < 0.6 * path.stat().st_size


def test_quantised_model_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "q.npz"
    original = quantised()
    save_quantised_model(path, original)
    again = load_quantised_model(path)
    assert again.shape == original.shape and again.dense_scale == original.dense_scale
    for field in ("table_scale", "pool_multiplier", "pool_shift", "dot_shift", "interaction_scale"):
        before, after = getattr(original, field), getattr(again, field)
        assert np.array_equal(before, after) and before.dtype == after.dtype
    for one, other in zip(
        (*original.bottom, *original.top), (*again.bottom, *again.top), strict=True
    ):
        for name in (entry.name for entry in fields(one)):
            assert np.array_equal(getattr(one, name), getattr(other, name))
    for table, other_table in zip(original.tables, again.tables, strict=True):
        assert np.array_equal(table, other_table)


def test_dataset_round_trip(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    original = Dataset(
        counts=random.integers(0, 60000, (25, 13)).astype(np.uint16),
        ids=random.integers(0, 70000, (25, 26)).astype(np.uint32),
        labels=random.integers(0, 2, 25).astype(np.uint8),
        query_items=10,
    )
    save_dataset(tmp_path / "d.npz", original)
    again = load_dataset(tmp_path / "d.npz")
    assert len(again) == 2 and len(list(again)) == 2
    assert np.array_equal(again.query(1).ids, original.ids[10:20])
    assert again.ids.dtype == np.uint32
    np.testing.assert_allclose(again.query(0).dense, np.log1p(original.counts[:10]), rtol=1e-6)
    with pytest.raises(IndexError, match="query must be in 0..1, not 2"):
        again.query(2)


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        save_model(tmp_path / name, model())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def foreign_zip(path: Path) -> None:
    np.savez(path, x=np.zeros(3))


def bare_array(path: Path) -> None:
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))


def pickled(path: Path) -> None:
    np.savez(path, header=np.array([{"format": "rpaccel"}], dtype=object))


def other_header(path: Path) -> None:
    np.savez(path, header=np.frombuffer(b'{"format": "other"}', np.uint8))


def broken_header(path: Path) -> None:
    np.savez(path, header=np.frombuffer(b"\xff{", np.uint8))


def newer_version(path: Path) -> None:
    text = json.dumps({"format": "rpaccel", "kind": "model", "version": 99}).encode()
    np.savez(path, header=np.frombuffer(text, np.uint8))


def truncated(path: Path) -> None:
    save_model(path, model())
    path.write_bytes(path.read_bytes()[:-1000])


def damaged(path: Path) -> None:
    save_model(path, model())
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 0xFF
    path.write_bytes(blob)


def missing_array(path: Path) -> None:
    save_model(path, model())
    header, arrays = read_archive(path, "model")
    del arrays["tables.3"]
    write_archive(path, "model", header, arrays)


def wrong_size(path: Path) -> None:
    save_model(path, model())
    header, arrays = read_archive(path, "model")
    arrays["top.0.bias"] = arrays["top.0.bias"][:-1]
    write_archive(path, "model", header, arrays)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.write_bytes(b""), "damaged or not an rpaccel file"),
        (lambda path: path.write_bytes(b"\x80\x04K\x01."), "damaged or not an rpaccel file"),
        (bare_array, "not an rpaccel file"),
        (foreign_zip, "no header"),
        (pickled, "damaged or not an rpaccel file"),
        (other_header, "not an rpaccel file"),
        (broken_header, "damaged header"),
        (newer_version, "file version 99, this program reads 1"),
        (truncated, "damaged or not an rpaccel file"),
        (damaged, "damaged or not an rpaccel file"),
        (missing_array, "tables.3 is missing"),
        (wrong_size, "top.0.bias must be float32 of shape"),
        (lambda path: save_quantised_model(path, quantised()), "holds a quantised-model"),
    ],
)
def test_bad_file_gives_one_clear_line(
    tmp_path: Path, make: Callable[[Path], object], message: str
) -> None:
    path = tmp_path / "m.npz"
    make(path)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model(path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        write_archive(tmp_path / "m.npz", "model", {"bad": object()}, {})
    unsaved = np.array([lambda: 0], dtype=object)  # fails half-way, as a full disk would
    with pytest.raises((AttributeError, TypeError, ValueError)):
        write_archive(tmp_path / "m.npz", "model", {}, {"zeros": np.zeros(999), "bad": unsaved})
    assert not list(tmp_path.iterdir())
