"""Moving a small aligned piece of one word to its place in another, in granules of 4 bytes."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Mux, Value

__all__ = ["GRANULE_BYTES", "granule_enable", "place_granules"]

GRANULE_BYTES = 4
"""The smallest row, and the unit of write enables of the vector buffers."""


def place_granules(word: Value, *, source: Value, log2_granules: Value, granules: int) -> Value:
    """Copy the piece of ``word`` around granule ``source`` to every aligned place of the result.

    A piece is ``2**log2_granules`` granules, aligned to its size in both words, so a target granule
    takes its low index bits from its own place and the others from ``source``: one multiplexer a
    granule, no shifter. ``granules`` is the size of the result.
    """
    index_bits = (len(word) // (8 * GRANULE_BYTES) - 1).bit_length()
    placed = []
    for target in range(granules):
        select = [
            Mux(log2_granules > bit, (target >> bit) & 1, source[bit]) for bit in range(index_bits)
        ]
        placed.append(word.word_select(Cat(*select), 8 * GRANULE_BYTES))
    return Cat(*placed)


def granule_enable(*, target: Value, log2_granules: Value, granules: int) -> Value:
    """One bit a granule of the result: those of the piece that holds granule ``target``."""
    enable = []
    for index in range(granules):
        same: Value = Const(1, 1)
        for bit in range((granules - 1).bit_length()):
            same = same & ((log2_granules > bit) | (target[bit] == ((index >> bit) & 1)))
        enable.append(same)
    return Cat(*enable)
