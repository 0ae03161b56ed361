"""Numbers out of text, all fields of a column at once: eight characters in one 64-bit word.

A field's last eight bytes are loaded as one little-endian word, its first character in the lowest
byte; shorter fields are filled up with the character 0 in front. Arithmetic inside the word then
decodes eight digits in a dozen operations, whatever the number of fields.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["PAD", "decimals", "hexadecimals", "last_words"]

Words = NDArray[np.uint64]

PAD = 8
"""Bytes that must stand before the first field of a buffer."""


def _word(byte: int) -> np.uint64:
    return np.uint64(byte * 0x0101010101010101)


_ZEROS = _word(0x30)
_KEEP = np.array([0] + [~((1 << 8 * (8 - n)) - 1) % (1 << 64) for n in range(1, 9)], np.uint64)
"""Mask of the bytes that belong to a field, by its length."""
_FILL = _ZEROS & ~_KEEP


def _u(value: int) -> np.uint64:
    return np.uint64(value)


def last_words(
    buffer: NDArray[np.uint8], ends: NDArray[np.int64], lengths: NDArray[np.int64]
) -> Words:
    """The last eight characters of fields of at most eight, which end before `ends`."""
    every = np.lib.stride_tricks.as_strided(
        buffer[: len(buffer) // 8 * 8].view(np.uint64), (len(buffer) - 7,), (1,), writeable=False
    )
    clipped = np.minimum(lengths, 8)
    return (every[ends - 8] & _KEEP[clipped]) | _FILL[clipped]


def decimals(words: Words) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Values of eight decimal digits, and which fields are nothing but digits."""
    digits = words ^ _ZEROS
    # A byte above 9 shows in its top bit, its own or after adding 118; only valid words need not
    # carry into the next byte.
    valid = ((digits + _word(0x76)) | digits) & _word(0x80) == 0
    pairs = (digits & _word(0x0F)) * _u(10 << 8 | 1) >> _u(8)
    fours = (pairs & _u(0x00FF00FF00FF00FF)) * _u(100 << 16 | 1) >> _u(16)
    value = (fours & _u(0x0000FFFF0000FFFF)) * _u(10000 << 32 | 1) >> _u(32)
    return value.astype(np.int64), valid


def hexadecimals(words: Words) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Values of eight hexadecimal digits of either case, and which fields are nothing else."""
    letter = words >> _u(6) & _word(0x01)
    nibbles = (words & _word(0x0F)) + letter * _u(9)
    # Written again in lower case, the digits must be what was read.
    above = (nibbles + _word(0x06)) >> _u(4) & _word(0x01)
    again = nibbles + _ZEROS + above * _u(0x27)
    valid = (again == words | letter << _u(5)) & (nibbles & _word(0xF0) == 0)
    value = (nibbles << _u(4) | nibbles >> _u(8)) & _u(0x00FF00FF00FF00FF)
    value = (value << _u(8) | value >> _u(16)) & _u(0x0000FFFF0000FFFF)
    value = value << _u(16) | value >> _u(32)
    return (value & _u(0xFFFFFFFF)).astype(np.uint32), valid
