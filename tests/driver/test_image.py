from __future__ import annotations

import pytest

from driver.errors import UserError
from driver.image import MemoryImage
from driver.pipelines import PIPELINES, pipeline


def test_equal_blobs_are_stored_once_and_read_back() -> None:
    image = MemoryImage(limit=4096)
    a = image.put(b"one")
    b = image.put(b"two")
    assert image.put(b"one") == a != b
    out = image.to_bytes()
    assert out[a : a + 3] == b"one" and out[b : b + 3] == b"two"


def test_a_full_memory_says_what_did_not_fit() -> None:
    image = MemoryImage(limit=100)
    image.reserve(64)
    with pytest.raises(UserError, match="table 3: 64 bytes do not fit the device memory of 100"):
        image.put(bytes(64), what="table 3")


def test_scaling_follows_the_contract() -> None:
    scaled = pipeline("kaggle-2").scaled(256)
    assert [(s.items, s.keep) for s in scaled.stages] == [(256, 32), (32, 4)]
    tiny = pipeline("kaggle-3").scaled(1)
    assert [(s.items, s.keep) for s in tiny.stages] == [(1, 1), (1, 1), (1, 1)]
    assert pipeline("demo-2").scaled(None) == PIPELINES["demo-2"]


def test_unknown_pipeline_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match="unknown pipeline 'x'; known pipelines: kaggle-1"):
        pipeline("x")
