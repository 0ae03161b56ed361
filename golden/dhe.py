"""Deep hash embeddings (DHE): a vector is computed from hashes of the id instead of read.

An id is hashed k times, `h = ((a x + b) mod p) mod m`; the hashes become a code of k numbers, a
decoder MLP turns the code into the vector. Exact in 64-bit integers: an id has at most 32 bits, a
and b are below p, p has at most 24 bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from golden.layer import DenseLayer, apply_function
from golden.requantise import multiplier_and_shift, requantise

__all__ = [
    "CODE_SCALE",
    "DheStack",
    "HashEncoder",
    "MAX_PRIME_BITS",
    "Transform",
    "code_constants",
    "decode",
    "distinct_codes",
    "float_code",
    "hashes",
    "integer_code",
]

Transform = Literal["uniform", "gaussian"]
"""From hashes to the code: even over [-1, 1], or pairs of hashes to normal values (Box-Muller)."""

MAX_PRIME_BITS = 24
CODE_SCALE = 1 / 127
"""Real value of one unit of an integer code: -127..127 stands for [-1, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HashEncoder:
    """The k hashes of one feature.

    Raises
    ------
    ValueError
        Constants out of range, m not the same for all hashes, or an odd k with "gaussian"; names
        the first hash at fault.
    """

    a: NDArray[np.int64]
    """[k], 1 .. p - 1"""
    b: NDArray[np.int64]
    """[k], 0 .. p - 1"""
    p: NDArray[np.int64]
    """[k]: primes. One for all hashes, as MP-Rec's code has it (ids that are equal modulo p then
    have equal codes), or one each, as DHE has it."""
    m: int
    """Buckets of every hash, 2 .. p - 1."""
    transform: Transform = "uniform"

    def __post_init__(self) -> None:
        for name in ("a", "b", "p"):
            values = np.asarray(getattr(self, name), np.int64)
            object.__setattr__(self, name, values)
            if values.ndim != 1 or len(values) != len(self.a) or len(values) < 1:
                raise ValueError(f"{name} must hold {max(1, len(self.a))} numbers")
        if self.transform not in ("uniform", "gaussian"):
            raise ValueError(f"transform must be 'uniform' or 'gaussian', not {self.transform!r}")
        if self.transform == "gaussian" and self.k % 2:
            raise ValueError(f"the gaussian transform pairs hashes: k must be even, not {self.k}")
        if self.m < 2:
            raise ValueError(f"m must be at least 2, not {self.m}")
        limit = 1 << MAX_PRIME_BITS
        for wrong, what in (
            (
                (self.p <= self.m) | (self.p >= limit),
                f"p must be above m = {self.m}, below {limit}",
            ),
            ((self.a < 1) | (self.a >= self.p), "a must be in 1..p - 1"),
            ((self.b < 0) | (self.b >= self.p), "b must be in 0..p - 1"),
        ):
            if wrong.any():
                i = int(wrong.argmax())
                raise ValueError(
                    f"hash {i}: {what}; a = {self.a[i]}, b = {self.b[i]}, p = {self.p[i]}"
                )

    @property
    def k(self) -> int:
        """Number of hashes."""
        return len(self.a)

    @property
    def shared_prime(self) -> bool:
        """Whether all hashes have the same p."""
        return bool((self.p == self.p[0]).all())


@dataclass(frozen=True, kw_only=True, eq=False)
class DheStack:
    """Encoder and decoder of one feature, in float32."""

    encoder: HashEncoder
    decoder: tuple[DenseLayer, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """k, then the outputs of each layer."""
        return (self.encoder.k, *(len(layer.bias) for layer in self.decoder))


def hashes(encoder: HashEncoder, ids: NDArray[np.uint32]) -> NDArray[np.int64]:
    """[n, k]: `((a x + b) mod p) mod m`, exact for every 32-bit id."""
    # a x + b < 2^24 * 2^32 + 2^24: int64 holds it.
    product = ids.astype(np.int64)[:, None] * encoder.a + encoder.b
    return np.asarray(product % encoder.p % encoder.m)


def float_code(encoder: HashEncoder, ids: NDArray[np.uint32]) -> NDArray[np.float32]:
    """[n, k] code in float32, in MP-Rec's order of operations: equal to its code bit for bit.

    The gaussian transform is to float32 rounding only (logarithm and cosine).
    """
    h = hashes(encoder, ids)
    if encoder.transform == "uniform":
        scaled = h.astype(np.float32) / np.float32(encoder.m - 1)
        return scaled * np.float32(2) - np.float32(1)
    u = (h + 1).astype(np.float32) / np.float32(encoder.m)
    radius = np.sqrt(np.float32(-2) * np.log(u[:, 0::2]))
    angle = np.float32(2 * np.pi) * u[:, 1::2]
    code = np.empty(h.shape, np.float32)
    code[:, 0::2] = radius * np.cos(angle)
    code[:, 1::2] = radius * np.sin(angle)
    return code


def code_constants(m: int) -> tuple[int, int]:
    """(multiplier, shift) nearest to 127 / (m - 1): what requantises `2 h - (m - 1)`."""
    return multiplier_and_shift(127 / (m - 1))


def integer_code(encoder: HashEncoder, ids: NDArray[np.uint32]) -> NDArray[np.int8]:
    """[n, k]: `requantise(2 h - (m - 1))`, -127..127 for [-1, 1].

    Raises
    ------
    ValueError
        The encoder is not "uniform".
    """
    if encoder.transform != "uniform":
        raise ValueError(f"the {encoder.transform} transform has no integer form")
    h = hashes(encoder, ids)
    return requantise(2 * h, 1 - encoder.m, *code_constants(encoder.m)).astype(np.int8)


def decode(layers: tuple[DenseLayer, ...], code: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Output of each decoder layer, [n, outputs]."""
    outputs = []
    x = code
    for layer in layers:
        x = apply_function(layer.function, x @ layer.weight.T + layer.bias)
        outputs.append(x)
    return outputs


def distinct_codes(encoder: HashEncoder, rows: int) -> int:
    """Upper bound of the different integer codes that `rows` ids can have."""
    bound = rows
    if encoder.shared_prime:
        bound = min(bound, int(encoder.p[0]))
    per_hash = min(255, encoder.m)
    # 255^4 is below 2^32, 255^5 above: more hashes bound nothing.
    return min(bound, per_hash ** min(encoder.k, 5))
