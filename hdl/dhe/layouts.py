"""Constants of the hash lanes, as the driver prepares them and the lanes take them."""

from __future__ import annotations

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = [
    "DECODER",
    "DECODER_WORDS",
    "HASH_BYTES",
    "HASH_CHUNK_BYTES",
    "ID_BITS",
    "MIN_BUCKETS",
    "PRIME_BITS",
    "RECIPROCAL_BITS",
    "RESULT_TAG",
    "buckets_layout",
    "hash_layout",
]

PRIME_BITS = 24
"""Primes are below 2**24."""
ID_BITS = 32
RECIPROCAL_BITS = 17
"""Width of the reciprocal of m."""
MIN_BUCKETS = 1 + (1 << (PRIME_BITS - RECIPROCAL_BITS))
"""Least m whose reciprocal fits."""
HASH_BYTES = 16
"""A hash's constants in device memory: `hash_layout`, padded."""


def hash_layout(prime_bits: int = PRIME_BITS, id_bits: int = ID_BITS) -> data.StructLayout:
    """Constants of one hash, all multiplied by ``2**scale`` so that p fills ``prime_bits`` bits.

    ``a``, ``b``, ``p``: of the hash. ``c``: (a * 2**(id_bits / 2)) mod p. ``reciprocal``:
    floor(2**(prime_bits + id_bits / 2 + 1) / scaled p), which is below 2**(id_bits / 2 + 2)
    because an odd p is not a power of two.
    """
    return data.StructLayout(
        {
            "a": unsigned(prime_bits),
            "c": unsigned(prime_bits),
            "b": unsigned(prime_bits),
            "p": unsigned(prime_bits),
            "reciprocal": unsigned(id_bits // 2 + 2),
            "scale": unsigned((prime_bits - 1).bit_length()),
        }
    )


def buckets_layout(
    prime_bits: int = PRIME_BITS, reciprocal_bits: int = RECIPROCAL_BITS
) -> data.StructLayout:
    """Constants of a feature: ``m``, ``reciprocal`` = floor(2**prime_bits / m), and the pair
    that requantises 2 h - (m - 1) to the code, nearest to 127 / (m - 1); ``shift`` 9 .. 33."""
    return data.StructLayout(
        {
            "m": unsigned(prime_bits),
            "reciprocal": unsigned(reciprocal_bits),
            "multiplier": unsigned(16),
            "shift": unsigned(6),
        }
    )


DECODER = data.StructLayout(
    {
        # word 0
        "layer": unsigned(7),  # first entry in the layer table
        "layers": unsigned(5),
        "tiles": unsigned(24),  # weight tiles of all layers
        "groups": unsigned(12),  # of hashes: ceil(k / hash lanes of an engine)
        "pages": unsigned(12),  # of codes: ceil(k / E)
        "log2_sets": unsigned(4),  # of the tags of finished vectors, as far as they are used
        # word 1
        "stream": unsigned(40),  # device memory address of the weight stream
        "weights": unsigned(16),  # first word in the weight bank (resident)
        "streamed": unsigned(1),
        "feature": unsigned(7),  # number of its id among the ids of an item
        # word 2
        "hashes": unsigned(40),  # device memory address of the hashes, aligned to HASH_CHUNK_BYTES
        "table": unsigned(9),  # of the tags of finished vectors: program * 64 + feature
        "seed": unsigned(15),  # their set = (id ^ seed) mod sets
        # word 3
        "buckets": buckets_layout(),
        "held": unsigned(1),  # some of its finished vectors may be held
    }
)
"""Descriptor of the decoder of one feature on one engine."""

RESULT_TAG = data.StructLayout({"valid": unsigned(1), "table": unsigned(9), "id": unsigned(32)})
"""Tag of a finished vector that is held."""
DECODER_WORDS = 4
HASH_CHUNK_BYTES = 256
"""Hashes come in chunks of this many bytes, aligned to it; the last one is padded."""

if DECODER.size != 64 * DECODER_WORDS:
    raise AssertionError(f"{DECODER!r} has {DECODER.size} bits, not {64 * DECODER_WORDS}")
