"""Layers behind each other on an engine: tiles and parameters follow from the sizes."""

from __future__ import annotations

from collections.abc import Sequence

from .maps import LayerMap
from .tiles import tile_count

__all__ = ["layer_maps"]


def layer_maps(
    layers: Sequence[tuple[int, int]],
    edge: int,
    inputs: Sequence[int],
    outputs: Sequence[int],
    parameter: int,
) -> tuple[tuple[LayerMap, ...], int, int]:
    """Layers with their addresses; also their weight tiles, and the first parameter tile behind.

    Parameters
    ----------
    layers
        Inputs and outputs of each.
    edge
        Engine edge E.
    inputs, outputs
        Addresses in the banks that each layer reads from and writes to.
    parameter
        First free output tile of the parameter memory.
    """
    maps = []
    tiles = 0
    for (read, written), source, target in zip(layers, inputs, outputs, strict=True):
        k_tiles, n_tiles = tile_count(read, written, edge)
        maps.append(
            LayerMap(
                input_tiles=k_tiles,
                output_tiles=n_tiles,
                input_base=source,
                output_base=target,
                parameter_base=parameter,
            )
        )
        tiles += k_tiles * n_tiles
        parameter += n_tiles
    return tuple(maps), tiles, parameter
