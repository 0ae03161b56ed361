"""Constants of hash lanes: what is refused, what is only warned about, and the packed words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from driver.errors import UserError
from driver.hash_words import check_encoder, hash_constants, hash_stream
from golden.dhe import HashEncoder
from golden.encoders import random_encoder
from hdl.dhe.layouts import HASH_BYTES, hash_layout
from hdl.words import unpack


def test_stream_holds_every_hash() -> None:
    encoder = random_encoder(5, seed=[1], policy="per-hash")
    stream = hash_stream(encoder)
    assert len(stream) == 5 * HASH_BYTES
    for i in range(5):
        word = unpack(hash_layout(), stream[i * HASH_BYTES : (i + 1) * HASH_BYTES])
        a, b, p = (int(values[i]) for values in (encoder.a, encoder.b, encoder.p))
        assert {name: word[name] for name in hash_constants(a, b, p)} == hash_constants(a, b, p)
        assert word["p"] >> word["scale"] == p and word["p"] >= 1 << 23


def with_prime(p: int, m: int) -> HashEncoder:
    one = np.ones(2, np.int64)
    return HashEncoder(a=one, b=one, p=p * one, m=m)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (with_prime(131, 128), "feature 7: m must be at least 129, not 128"),
        (with_prime(1_000_004, 10**6), "feature 7: p must be odd, not 1000004"),
        (
            replace(random_encoder(4, seed=[1]), transform="gaussian"),
            "feature 7: the gaussian transform is not supported",
        ),
    ],
)
def test_refused(encoder: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_encoder(7, encoder)


def test_composite_numbers_are_warned_about() -> None:
    assert check_encoder(7, random_encoder(4, seed=[1])) == []
    assert check_encoder(7, with_prime(1_000_005, 10**6)) == [
        "feature 7: p = 1000005 is not a prime"
    ]
