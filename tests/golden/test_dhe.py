"""DHE: MP-Rec's own numbers, exactness at the edges, integer codes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from golden.dhe import (
    DheStack,
    HashEncoder,
    code_constants,
    decode,
    distinct_codes,
    float_code,
    hashes,
    integer_code,
)
from golden.encoders import first_prime_above, is_prime, mprec_stacks, random_encoder
from golden.layer import apply_function


def ids_of(*values: int) -> NDArray[np.uint32]:
    return np.array(values, np.uint32)


@pytest.fixture(scope="module")
def published() -> tuple[DheStack, ...]:
    """What MP-Rec's code draws from seed 123 for two tables."""
    return mprec_stacks(2, (1024, 128, 16), seed=123)


def test_hashes_of_mprec(published: tuple[DheStack, ...]) -> None:
    encoder = published[0].encoder
    assert encoder.p[0] == 1_000_003 and encoder.shared_prime
    pairs = list(zip(encoder.a.tolist(), encoder.b.tolist(), strict=True))
    assert pairs[:3] == [(54908, 280679), (91422, 806309), (427024, 279501)]
    second = published[1].encoder
    assert second.a[:2].tolist() == [246402, 714465] and second.b[:2].tolist() == [4350, 269605]
    h = hashes(encoder, ids_of(0, 1, 999_999, 1_000_003, 10_131_226))[:, :4]
    assert h.tolist() == [
        [280679, 806309, 279501, 879234],
        [335587, 897731, 706525, 992166],
        [61047, 440621, 571411, 427506],
        [280679, 806309, 279501, 879234],  # one prime: ids equal modulo p are one
        [969038, 971039, 952136, 61455],
    ]


def test_codes_of_mprec(published: tuple[DheStack, ...]) -> None:
    encoder = published[0].encoder
    code = float_code(encoder, ids_of(0))[0, :3]
    assert code.dtype == np.float32
    expected = np.array([-0.43864143, 0.61261964, -0.44099742], np.float32)
    assert (code == expected).all()
    gaussian = float_code(replace(encoder, transform="gaussian"), ids_of(0))[0, :4]
    pairs = [0.55230135, -1.49534059, 1.15868676, -1.09860659]
    np.testing.assert_allclose(gaussian, pairs, rtol=1e-5)


def test_decoder_of_mprec(published: tuple[DheStack, ...]) -> None:
    stack = published[0]
    first = stack.decoder[0]
    np.testing.assert_allclose(
        first.weight[0, :3], [-0.04523461, 0.04155606, 0.01179077], rtol=1e-6
    )
    np.testing.assert_allclose(first.bias[:3], [0.03140917, -0.12113115, 0.08807979], rtol=1e-6)
    out = decode(stack.decoder, float_code(stack.encoder, ids_of(0)))[-1]
    np.testing.assert_allclose(out[0, :4], [0.3383592, 0.6219798, 0.42906076, 0.6478996], rtol=1e-5)


def test_hashes_are_exact_for_every_width() -> None:
    """Against Python's integers, at the largest constants and ids."""
    p = 16_777_213  # the largest prime below 2^24
    encoder = HashEncoder(
        a=np.array([p - 1, 1, p - 1]), b=np.array([p - 1, 0, 0]), p=np.full(3, p), m=p - 1
    )
    ids = ids_of(0, 1, 2147, 2148, 10_131_226, p - 1, p, 2**31 - 1, 2**31, 2**32 - 1)
    for x, row in zip(ids.tolist(), hashes(encoder, ids).tolist(), strict=True):
        constants = zip(encoder.a.tolist(), encoder.b.tolist(), strict=True)
        assert row == [(a * x + b) % p % (p - 1) for a, b in constants]


def test_float_code_is_a_division() -> None:
    """A product with the reciprocal would differ in a fifth of the values."""
    m = 1_000_000
    one = np.ones(1, np.int64)
    encoder = HashEncoder(a=one, b=0 * one, p=one * 1_000_003, m=m)
    code = float_code(encoder, np.arange(m, dtype=np.uint32))[:, 0]
    h = np.arange(m).astype(np.float32)
    assert (code == h / np.float32(m - 1) * np.float32(2) - np.float32(1)).all()
    product = h * np.float32(1 / (m - 1)) * np.float32(2) - np.float32(1)
    assert (product != code).mean() > 0.1


@pytest.mark.parametrize("m", [2, 3, 128, 255, 1000, 1_000_000, (1 << 24) - 4])
def test_integer_code(m: int) -> None:
    """All of [-1, 1], odd around its middle but for ties, within rounding of the float code."""
    p = first_prime_above(m)
    one = np.ones(1, np.int64)
    encoder = HashEncoder(a=one, b=0 * one, p=p * one, m=m)
    ids = np.unique(np.linspace(0, m - 1, 5000).astype(np.uint32))
    code = integer_code(encoder, ids)[:, 0].astype(int)
    assert code[0] == -127 and code[-1] == 127 and (np.diff(code) >= 0).all()
    exact = (2.0 * ids - (m - 1)) * 127 / (m - 1)
    assert np.abs(code - exact).max() <= 0.5 + 127 / 65536
    assert code_constants(m)[1] <= 47


def test_integer_code_needs_uniform() -> None:
    encoder = replace(random_encoder(4, seed=[1]), transform="gaussian")
    with pytest.raises(ValueError, match="gaussian transform has no integer form"):
        integer_code(encoder, ids_of(1))


def encoder_with(**changes: Any) -> HashEncoder:
    ones = np.ones(4, np.int64)
    fields: dict[str, Any] = {"a": ones, "b": ones, "p": 101 * ones, "m": 100, **changes}
    return HashEncoder(**fields)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"p": np.array([101, 101, 100, 101])}, "hash 2: p must be above m = 100"),
        ({"p": np.full(4, 16_777_259)}, "hash 0: p must be .* below 16777216"),
        ({"a": np.array([1, 0, 1, 1])}, "hash 1: a must be in 1..p - 1"),
        ({"a": np.array([1, 1, 1, 101])}, "hash 3: a must be in 1..p - 1"),
        ({"b": np.array([-1, 0, 1, 1])}, "hash 0: b must be in 0..p - 1"),
        ({"b": np.ones(3, np.int64)}, "b must hold 4 numbers"),
        ({"m": 1}, "m must be at least 2, not 1"),
        ({"transform": "normal"}, "transform must be"),
    ],
)
def test_bad_encoders(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encoder_with(**changes)


def test_box_muller_pairs_hashes() -> None:
    with pytest.raises(ValueError, match="k must be even, not 3"):
        random = random_encoder(3, seed=[1])
        replace(random, transform="gaussian")


def test_prime_policies() -> None:
    assert [n for n in range(60) if is_prime(n)] == [
        2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59,
    ]  # fmt: skip
    assert not is_prime(3_215_031_749 // 7 * 7) and is_prime(16_777_213)
    assert first_prime_above(1_000_000) == 1_000_003
    shared = random_encoder(64, seed=[1])
    apart = random_encoder(64, seed=[1], policy="per-hash")
    assert shared.shared_prime and not apart.shared_prime
    assert len(set(apart.p.tolist())) > 60 and all(map(is_prime, apart.p.tolist()))
    # Aliases of one prime: the codes of ids that are equal modulo p, and no others.
    ids = ids_of(5, 5 + 1_000_003)
    assert (np.diff(hashes(shared, ids), axis=0) == 0).all()
    assert (np.diff(hashes(apart, ids), axis=0) != 0).mean() > 0.9


def test_distinct_codes() -> None:
    assert distinct_codes(random_encoder(1, seed=[1]), 5000) == 255
    assert distinct_codes(random_encoder(2, seed=[1]), 10_131_227) == 255**2
    assert distinct_codes(random_encoder(1024, seed=[1]), 10_131_227) == 1_000_003
    apart = random_encoder(1024, seed=[1], policy="per-hash")
    assert distinct_codes(apart, 10_131_227) == 10_131_227


def test_mish() -> None:
    x = np.array([-1000, -1.0, 0, 1.0, 1000], np.float32)
    expected = [0, -0.30340147, 0, 0.86509839, 1000]
    np.testing.assert_allclose(apply_function("mish", x), expected, atol=1e-6)
