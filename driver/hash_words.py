"""Constants of a hash encoder as the hash lanes take them."""

from __future__ import annotations

from golden.dhe import HashEncoder, code_constants
from golden.encoders import is_prime
from hdl.dhe.layouts import (
    ID_BITS,
    MIN_BUCKETS,
    PRIME_BITS,
    hash_layout,
)
from hdl.words import pack_bytes

from .errors import UserError

__all__ = ["bucket_constants", "check_encoder", "hash_constants", "hash_stream"]


def hash_constants(
    a: int, b: int, p: int, *, prime_bits: int = PRIME_BITS, id_bits: int = ID_BITS
) -> dict[str, int]:
    """Fields of `hash_layout` of one hash."""
    scale = prime_bits - p.bit_length()
    half = id_bits // 2
    return {
        "a": a << scale,
        "c": (a << half) % p << scale,
        "b": b << scale,
        "p": p << scale,
        "reciprocal": (1 << (prime_bits + half + 1)) // (p << scale),
        "scale": scale,
    }


def bucket_constants(m: int, *, prime_bits: int = PRIME_BITS) -> dict[str, int]:
    """Fields of `buckets_layout` of a feature."""
    multiplier, shift = code_constants(m)
    return {
        "m": m,
        "reciprocal": (1 << prime_bits) // m,
        "multiplier": multiplier,
        "shift": shift,
    }


def check_encoder(feature: int, encoder: HashEncoder) -> list[str]:
    """Whether the hash lanes can compute an encoder; returns warnings.

    Raises
    ------
    UserError
        They cannot; names feature and limit.
    """
    if encoder.transform != "uniform":
        raise UserError(
            f"feature {feature}: the {encoder.transform} transform is not supported, only uniform"
        )
    if encoder.m < MIN_BUCKETS:
        raise UserError(f"feature {feature}: m must be at least {MIN_BUCKETS}, not {encoder.m}")
    even = [p for p in encoder.p.tolist() if p % 2 == 0]
    if even:
        raise UserError(f"feature {feature}: p must be odd, not {even[0]}")
    composite = sorted(p for p in set(encoder.p.tolist()) if not is_prime(p))
    return [f"feature {feature}: p = {composite[0]} is not a prime"] if composite else []


def hash_stream(encoder: HashEncoder) -> bytes:
    """The encoder's hashes, HASH_BYTES each, as they lie in device memory."""
    layout = hash_layout()
    return b"".join(
        pack_bytes(layout, hash_constants(a, b, p))
        for a, b, p in zip(encoder.a.tolist(), encoder.b.tolist(), encoder.p.tolist(), strict=True)
    )
