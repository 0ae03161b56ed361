"""What figures are held against: the bare arithmetic, and a schedule that overlaps nothing."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from ..deployment import Deployment
from ..tiles import tile_count

__all__ = ["LayerCycles", "layer_cycles", "plain_query_cycles"]


@dataclass(frozen=True, kw_only=True)
class LayerCycles:
    """Cycles of one layer over all items on one engine, three ways."""

    macs: float
    """MACs / PEs: every PE multiplies in every cycle."""
    padded: int
    """A row a cycle through every tile: what padding to whole tiles allows."""
    plain: int
    """Weight stationary without overlap: fill, stream and drain in turn for each tile."""


def _plain_tile(edge: int, rows: int) -> int:
    """Cycles of a tile that is filled (E), streamed (R) and drained (E - 2 more) on its own."""
    return 2 * edge + rows - 2


def layer_cycles(inputs: int, outputs: int, *, edge: int, blocks: Sequence[int]) -> LayerCycles:
    """Cycles of an ``inputs`` x ``outputs`` layer on an engine of ``edge``.

    Parameters
    ----------
    blocks
        Items of each row block.
    """
    k_tiles, n_tiles = tile_count(inputs, outputs, edge)
    tiles = k_tiles * n_tiles
    items = sum(blocks)
    return LayerCycles(
        macs=inputs * outputs * items / edge**2,
        padded=tiles * items,
        plain=tiles * sum(_plain_tile(edge, rows) for rows in blocks),
    )


def plain_query_cycles(deployment: Deployment, items: Sequence[int]) -> int:
    """Cycles of all layers of a query without any overlap inside an engine.

    Stage after stage; the row blocks of a stage go to the engine that is free first. Interaction,
    gathers and transfers cost nothing here: the array alone. Row blocks are those of the deployment
    or the largest that fit, whichever is faster.

    Parameters
    ----------
    items
        Items of each stage.
    """
    total = 0
    for number, count in enumerate(items):
        engines = [
            (unit, m.edge, m.stages[number].bottom.tiles + m.stages[number].top.tiles)
            for unit, m in deployment.maps.items()
            if number in m.stages
        ]
        # The plain schedule's blocks are its own choice.
        sizes = {deployment.rows[number], deployment.most_rows[number]}
        total += min(_plain_stage(engines, count, rows) for rows in sizes)
    return total


def _plain_stage(engines: Sequence[tuple[int, int, int]], items: int, rows: int) -> int:
    """A stage in blocks of ``rows``; engines as (anchor, edge, tiles)."""
    heap = [(0, *engine) for engine in engines]
    heapq.heapify(heap)
    for first in range(0, items, rows):
        busy, unit, edge, tiles = heapq.heappop(heap)
        end = busy + tiles * _plain_tile(edge, min(rows, items - first))
        heapq.heappush(heap, (end, unit, edge, tiles))
    return max(end for end, *_ in heap)
