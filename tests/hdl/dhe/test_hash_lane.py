# amaranth: UnusedElaboratable=no
"""Hash lane against Python's integers: all small cases, edges and random ones at full size."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import pytest

from driver.hash_words import bucket_constants, hash_constants
from golden.encoders import first_prime_above, is_prime
from golden.requantise import requantise
from hdl.dhe.affine_modulus import AffineModulus
from hdl.dhe.bucket_code import BucketCode
from hdl.dhe.hash_lane import HashLane
from hdl.dhe.layouts import HASH_BYTES, MIN_BUCKETS, RECIPROCAL_BITS, hash_layout
from tests.hdl.support import simulate

LARGEST = 16_777_213  # the largest prime below 2**24


def code_of(bucket: int, m: int) -> int:
    pair = bucket_constants(m)
    return int(requantise(2 * bucket, 1 - m, pair["multiplier"], pair["shift"]))


def run(dut: HashLane, m: int, cases: Iterable[tuple[int, ...]], **sizes: int) -> None:
    """One case (a, b, p, x) a cycle through the lane; every bucket and code is compared."""
    cases = list(cases)
    bits = {key: value for key, value in sizes.items() if key == "prime_bits"}
    seen: list[tuple[int, int]] = []

    async def send(ctx: Any) -> None:
        ctx.set(dut.buckets, bucket_constants(m, **bits))
        for a, b, p, x in cases:
            ctx.set(dut.id, x)
            ctx.set(dut.hash, hash_constants(a, b, p, **sizes))
            await ctx.tick()

    async def check(ctx: Any) -> None:
        buckets: list[int] = []
        for cycle in range(len(cases) + HashLane.LATENCY):
            if cycle >= HashLane.BUCKET_LATENCY:
                buckets.append(ctx.get(dut.bucket))
            if cycle >= HashLane.LATENCY:
                case = cycle - HashLane.LATENCY
                seen.append((buckets[case], ctx.get(dut.code)))
            await ctx.tick()

    simulate(dut, send, check, cycles=len(cases) + 100)
    for (a, b, p, x), got in zip(cases, seen, strict=True):
        bucket = (a * x + b) % p % m
        assert got == (bucket, code_of(bucket, m)), (a, b, p, x, m)


def small_cases(m: int) -> list[tuple[int, ...]]:
    """Every id and every hash of primes of 2 .. 5 bits, ids of 4 bits."""
    primes = [p for p in range(m + 1, 32) if is_prime(p) and p in (3, 5, 7, 13, 17, 31)]
    return [(a, b, p, x) for p in primes for a in range(1, p) for b in range(p) for x in range(16)]


SMALL = {"prime_bits": 5, "id_bits": 4}


@pytest.mark.parametrize("m", [2, 3, 5, 6])
def test_small_cases(m: int) -> None:
    """Some of the small cases; 32 / m needs 4 bits, 5 for m = 2."""
    cases = random.Random(m).sample(small_cases(m), 2500)
    run(HashLane(**SMALL, reciprocal_bits=5), m, cases, **SMALL)


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3, 4, 5, 6, 7, 12])
def test_all_small_cases(m: int) -> None:
    run(HashLane(**SMALL, reciprocal_bits=5), m, small_cases(m), **SMALL)


@pytest.mark.parametrize("m", [MIN_BUCKETS, 1000, 4097, 1_000_000, 8_388_608, LARGEST - 1])
def test_edges_at_full_size(m: int) -> None:
    """Extreme constants and ids, primes next to powers of two and to m, and remainders next to p
    and m: x is found from the remainder wanted, as a has an inverse modulo p."""
    rng = random.Random(m)
    primes = {LARGEST, first_prime_above(m), first_prime_above(1 << 23)}
    primes.add(first_prime_above(rng.randint(min(m, 1 << 22), 1 << 23)))
    primes = {p for p in primes if m < p <= LARGEST}
    cases = []
    for p in sorted(primes):
        ids = (0, 1, 65535, 65536, 65537, 2**24, 2**31, 2**32 - 65536, 2**32 - 1, p - 1, p, p + 1)
        for a in (1, 2, p // 2, p - 1):
            cases += [(a, b, p, x) for b in (0, 1, p - 1) for x in ids]
        for target in (0, 1, m - 1, m, m + 1, p // m * m - 1, p // m * m, p - 2, p - 1):
            for _ in range(12):
                a, b = rng.randint(1, p - 1), rng.randint(0, p - 1)
                x = (target - b) * pow(a, -1, p) % p
                x += rng.randint(0, (2**32 - 1 - x) // p) * p
                cases.append((a, b, p, x))
    rng.shuffle(cases)
    run(HashLane(), m, cases)


def test_random_cases() -> None:
    """A prime per hash, one case after the other without a gap."""
    rng = random.Random(5)
    m = 1_000_000
    primes = [first_prime_above(rng.randint(m, LARGEST - 1)) for _ in range(40)]
    cases = []
    for _ in range(4000):
        p = rng.choice(primes)
        x = rng.getrandbits(rng.randint(1, 32))
        cases.append((rng.randint(1, p - 1), rng.randint(0, p - 1), p, x))
    run(HashLane(), m, cases)


def test_quotient_estimate_is_at_most_two_short() -> None:
    """The bound of the description: it holds for the worst values, and is reached."""
    rng = random.Random(2)
    worst = 0
    half, bits = 16, 24
    for scale in range(22):
        for p in (first_prime_above(1 << (bits - scale - 1)), 3, 5, 1_000_003, LARGEST):
            c = hash_constants(p - 1, p - 1, p)
            top = (c["p"] - 1) * (2 ** (half + 1) - 1)
            for _ in range(300):
                value = rng.choice([top, rng.randint(0, top), rng.randint(top // 2, top)])
                value -= value % c["p"] if rng.random() < 0.5 else 0  # remainder 0: the hardest
                quotient = ((value >> (bits - 1)) * c["reciprocal"]) >> (half + 2)
                assert c["reciprocal"] < 1 << (half + 2)
                assert 0 <= value // c["p"] - quotient <= 2
                worst = max(worst, value // c["p"] - quotient)
    assert worst >= 1


def test_words_fit() -> None:
    assert hash_layout().size <= 8 * HASH_BYTES
    assert bucket_constants(MIN_BUCKETS)["reciprocal"] < 1 << RECIPROCAL_BITS
    assert bucket_constants(MIN_BUCKETS - 1)["reciprocal"] >= 1 << RECIPROCAL_BITS


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="prime_bits must be in 2..32, not 1"):
        AffineModulus(prime_bits=1)
    with pytest.raises(ValueError, match="id_bits must be even and in 2..32, not 5"):
        AffineModulus(id_bits=5)
    with pytest.raises(ValueError, match="reciprocal_bits must be in 1..24, not 25"):
        BucketCode(reciprocal_bits=25)
