"""Making hash encoders and decoders: both prime policies, and MP-Rec's own draws."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from golden.dhe import MAX_PRIME_BITS, DheStack, HashEncoder, Transform
from golden.layer import DenseLayer, Function

__all__ = [
    "DEFAULT_BUCKETS",
    "PrimePolicy",
    "first_prime_above",
    "is_prime",
    "mprec_stacks",
    "random_encoder",
    "random_stack",
]

PrimePolicy = Literal["shared", "per-hash"]
"""One prime for all hashes (MP-Rec's code) or a prime of its own for each (DHE's paper)."""

DEFAULT_BUCKETS = 1_000_000


def is_prime(number: int) -> bool:
    """Whether a number below 2^32 is prime."""
    if number < 2:
        return False
    # These bases decide Miller-Rabin for all numbers below 3 215 031 751.
    bases = (2, 3, 5, 7)
    if any(number % base == 0 for base in bases):
        return number in bases
    odd = number - 1
    twos = 0
    while odd % 2 == 0:
        odd //= 2
        twos += 1
    for base in bases:
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


def first_prime_above(number: int) -> int:
    """Least prime above `number`."""
    candidate = number + 1
    while not is_prime(candidate):
        candidate += 1
    return candidate


def random_encoder(
    k: int,
    *,
    seed: Sequence[int],
    m: int = DEFAULT_BUCKETS,
    policy: PrimePolicy = "shared",
) -> HashEncoder:
    """Encoder with random constants; "per-hash" draws k primes from m + 1 .. 2^24 - 1."""
    generator = np.random.default_rng([*seed, k])
    if policy == "shared":
        p = np.full(k, first_prime_above(m), np.int64)
    else:
        # The gap between primes below 2^24 is at most 153.
        starts = generator.integers(m, (1 << MAX_PRIME_BITS) - 256, k)
        p = np.array([first_prime_above(int(start)) for start in starts], np.int64)
    return HashEncoder(a=generator.integers(1, p), b=generator.integers(0, p), p=p, m=m)


def random_stack(
    sizes: Sequence[int],
    *,
    seed: Sequence[int],
    policy: PrimePolicy = "shared",
    m: int = DEFAULT_BUCKETS,
    hidden: Function = "relu",
    last: Function = "sigmoid",
) -> DheStack:
    """Encoder and decoder with random weights; `sizes` as `ModelShape.decoders` has them."""
    generator = np.random.default_rng([*seed, 1])
    layers = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        spread = np.sqrt(2 / (inputs + outputs))
        layers.append(
            DenseLayer(
                weight=generator.normal(0, spread, (outputs, inputs)).astype(np.float32),
                bias=generator.normal(0, np.sqrt(1 / outputs), outputs).astype(np.float32),
                function=last if i == len(sizes) - 2 else hidden,
            )
        )
    encoder = random_encoder(sizes[0], seed=[*seed, 0], m=m, policy=policy)
    return DheStack(encoder=encoder, decoder=tuple(layers))


def mprec_stacks(
    features: int,
    sizes: Sequence[int],
    *,
    seed: int,
    m: int = DEFAULT_BUCKETS,
    transform: Transform = "uniform",
    last: Function = "sigmoid",
) -> tuple[DheStack, ...]:
    """The stacks that MP-Rec's code makes from a seed, number for number.

    It draws a and b of every table from Python's generator, then the decoders of every table from
    NumPy's legacy one; the global generators are left alone here.
    """
    hash_draws = random.Random(seed)
    weight_draws = np.random.RandomState(seed)
    p = first_prime_above(m)
    encoders = []
    for _ in range(features):
        pairs = [
            (hash_draws.randint(1, p - 1), hash_draws.randint(0, p - 1)) for _ in range(sizes[0])
        ]
        a, b = np.array(pairs, np.int64).T
        encoders.append(HashEncoder(a=a, b=b, p=np.full(len(a), p), m=m, transform=transform))
    stacks = []
    for encoder in encoders:
        layers = []
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
            weight = _normal(weight_draws, np.sqrt(2 / (inputs + outputs)), (outputs, inputs))
            bias = _normal(weight_draws, np.sqrt(1 / outputs), (outputs,))
            function = last if i == len(sizes) - 2 else "relu"
            layers.append(DenseLayer(weight=weight, bias=bias, function=function))
        stacks.append(DheStack(encoder=encoder, decoder=tuple(layers)))
    return tuple(stacks)


def _normal(
    draws: np.random.RandomState, spread: float, size: tuple[int, ...]
) -> NDArray[np.float32]:
    return draws.normal(0.0, spread, size).astype(np.float32)
