"""Weight tiles: from a layer's matrix to the words of weight banks and weight streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hdl.config import Config
from hdl.program import STREAM_CHUNK_BYTES

__all__ = ["layer_tiles", "pad_stream", "resident_words", "stream_bytes", "tile_count"]

Int8 = NDArray[np.int8]


def tile_count(inputs: int, outputs: int, edge: int) -> tuple[int, int]:
    """K tiles and N tiles of a layer on an engine of ``edge`` PEs."""
    return -(-inputs // edge), -(-outputs // edge)


def layer_tiles(weight: Int8, edge: int) -> Int8:
    """Cut a layer into tiles in the order the sequencer walks them (N tile outer, K tile inner).

    Parameters
    ----------
    weight
        int8 ``[outputs, inputs]``.
    edge
        Engine edge E.

    Returns
    -------
    int8 ``[tiles, E, E]``: row = input of the K tile, column = output of the N tile, zero padded.
    """
    outputs, inputs = weight.shape
    k_tiles, n_tiles = tile_count(inputs, outputs, edge)
    padded = np.zeros((n_tiles * edge, k_tiles * edge), np.int8)
    padded[:outputs, :inputs] = weight
    tiles = padded.reshape(n_tiles, edge, k_tiles, edge).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(tiles.reshape(-1, edge, edge))


def _slices(tiles: Int8, size: int) -> Int8:
    """``[tiles, e*e, S*S]``: each sub-array's slice, row-major."""
    count, edge, _ = tiles.shape
    e = edge // size
    cut = tiles.reshape(count, e, size, e, size).transpose(0, 1, 3, 2, 4)
    return np.ascontiguousarray(cut.reshape(count, e * e, size * size))


def resident_words(config: Config, tiles: Int8) -> list[bytes]:
    """Weight bank contents of each sub-array of an engine, sub-arrays row-major."""
    slices = _slices(tiles, config.sub_array)
    return [np.ascontiguousarray(slices[:, s]).tobytes() for s in range(slices.shape[1])]


def stream_bytes(config: Config, tiles: Int8) -> bytes:
    """Weight stream of a phase: tile, then sub-array, then word; padded to whole chunks."""
    return pad_stream(_slices(tiles, config.sub_array).tobytes())


def pad_stream(blob: bytes) -> bytes:
    """Pad with zeros to a multiple of the stream's chunk."""
    return blob + bytes(-len(blob) % STREAM_CHUNK_BYTES)
