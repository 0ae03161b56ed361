"""Row blocks: how many items of a stage an engine takes at once.

Large blocks hide the waits between layers; small ones hide the interaction and the gathers of the
next block behind the array and give every engine a share of a short stage. A few additions a block
weigh both; ``sim/timing`` is what says how long a query takes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from hdl.array.timing import turnaround
from hdl.config import Config
from hdl.engine.interaction_steps import interaction_steps, product_lanes, step_rows

from .decoded_bags import COUNTER, sum_inputs
from .maps import StageShape
from .partition import Engine
from .tiles import tile_count

__all__ = ["choose_rows", "stage_cycles"]

_COPY_BYTES = 16
"""Bytes that the interaction copies in a cycle."""
_FEWEST = 12
"""Blocks of fewer items are held up by what the estimate leaves out: records, phases, scores."""
_NEAR = 0.01
"""Gains below this are within the estimate's error, and small blocks cost what it leaves out."""


@dataclass(frozen=True, kw_only=True)
class _Costs:
    """Cycles of one stage on an engine of one size."""

    tiles: int
    interval: int
    waits: tuple[int, ...]
    """Of each layer: output tiles of the layer before, which hide the way back to the banks."""
    turnaround: int
    interaction: int
    """Cycles of an item in the interaction."""
    decoder_tiles: int = 0
    hash_groups: int = 0
    """Words of hash constants of all decoders: each takes a cycle an item."""

    def array(self, rows: int) -> int:
        """Cycles of a row block on the array."""
        gaps = sum(max(0, self.turnaround - tiles * rows) for tiles in self.waits)
        return self.tiles * max(rows, self.interval) + gaps

    def decoding(self, rows: int) -> tuple[int, int]:
        """Cycles of a row block's decoders on the array, and of their hashes."""
        return self.decoder_tiles * max(rows, self.interval), self.hash_groups * rows


def _pair(first: tuple[int, int], second: tuple[int, int]) -> int:
    """Decoding of the row blocks of both slots, feature by feature: hashes and decoder of a block
    follow each other, and there is one array and one set of hash lanes."""
    arrays, hashes = first[0] + second[0], first[1] + second[1]
    return max(sum(first), sum(second), arrays, hashes)


@cache
def _costs(config: Config, shape: StageShape, row: int, column: int, level: int) -> _Costs:
    edge = config.sub_array << level
    tiles = 0
    waits = []
    for layers in (shape.bottom, shape.top_on(edge)):
        counts = [tile_count(*layer, edge) for layer in layers]
        tiles += sum(k * n for k, n in counts)
        waits += [n for _, n in counts[:-1]]
    multipliers = config.interaction_multipliers_at(row, column)
    lanes = max(1, config.hash_lanes_at(row, column))
    decoders = []
    for vector, (_, sizes) in enumerate(shape.decoders):
        bag = shape.bag(vector)
        decoders += [sizes] * bag
        if bag > 1:
            decoders.append((sum_inputs(shape.width, bag, edge), shape.width))
    most = config.interaction_outputs_at(row, column)
    if shape.products:
        interaction = -(-shape.product // product_lanes(multipliers, most))
        interaction += -(-shape.copied // min(edge, _COPY_BYTES))
    elif shape.dot:
        outputs = max(1, min(most, config.row_outputs, multipliers // shape.width, edge))
        cycles = max(1, shape.width // multipliers)
        rows = step_rows(shape.vectors, shape.width, outputs, multipliers, most)
        steps = len(interaction_steps(shape.vectors, shape.width, outputs, rows))
        interaction = steps * cycles + -(-shape.width // _COPY_BYTES)
    else:
        interaction = -(-shape.vectors * shape.width // min(edge, _COPY_BYTES))
    return _Costs(
        tiles=tiles,
        interval=config.tile_interval,
        waits=tuple(waits),
        turnaround=turnaround(edge),
        interaction=interaction,
        decoder_tiles=sum(
            k * n
            for sizes in decoders
            for k, n in (tile_count(*pair, edge) for pair in zip(sizes, sizes[1:], strict=False))
        ),
        hash_groups=sum(
            shape.bag(vector) * -(-sizes[0] // lanes)
            + (shape.bag(vector) > 1) * -(-COUNTER.k // lanes)
            for vector, (_, sizes) in enumerate(shape.decoders)
        ),
    )


def stage_cycles(
    config: Config,
    shape: StageShape,
    engines: Mapping[Engine, int],
    groups: Sequence[int],
    rows: int,
) -> int:
    """Estimate of a stage: blocks of ``rows`` items go to the engine that is free first.

    On an engine the interaction of a block runs beside the array's work on the one before; the
    gather lanes serve all engines in turn, and so does the weight streamer.

    Parameters
    ----------
    engines
        Those that serve the stage, each with the number of its tiles that are streamed.
    groups
        Items that the stage ranks, by sub-batch: a row block never mixes them.
    rows
        Items of a row block.
    """
    row_cycles = -(-shape.width // config.lane_bytes)
    gather = -(-(shape.vectors - 1) // config.gather_lanes) * row_cycles
    costs = [_costs(config, shape, e.row, e.column, e.level) for e in engines]
    beats = [
        tiles * (config.sub_array << e.level) ** 2 // config.axi_bytes
        for e, tiles in engines.items()
    ]
    ready = [0] * len(costs)  # the engine's interaction is free
    free = [(0, index) for index in range(len(costs))]
    gathered = streamed = 0
    alone: list[tuple[int, int] | None] = [None] * len(costs)  # decodes beside the next block
    for count in _blocks(groups, rows):
        end, index = free[0]
        cost = costs[index]
        start = max(gathered, ready[index])
        gathered += count * gather
        ready[index] = max(start + count * cost.interaction, gathered)
        streamed = max(streamed, end) + beats[index]
        mine, other = cost.decoding(count), alone[index]
        decoding = sum(mine) if other is None else max(0, _pair(other, mine) - sum(other))
        alone[index] = mine if other is None else None
        end = max(max(end, ready[index]) + decoding + cost.array(count), streamed)
        heapq.heapreplace(free, (end, index))
    return max(end for end, _ in free)


def _blocks(groups: Sequence[int], rows: int) -> Iterator[int]:
    """Items of each row block."""
    for items in groups:
        for first in range(0, items, rows):
            yield min(rows, items - first)


def choose_rows(
    config: Config,
    shape: StageShape,
    engines: Mapping[Engine, int],
    groups: Sequence[int],
    most: int,
) -> int:
    """Items of a row block: the most that come within ``_NEAR`` of the least ``stage_cycles``.

    Parameters
    ----------
    engines, groups
        As for ``stage_cycles``.
    most
        Largest row block that fits.
    """
    most = min(most, max(1, *groups))
    # A tile takes no less for fewer rows.
    least = min(most, max(config.tile_interval, _FEWEST))
    cycles = {
        rows: stage_cycles(config, shape, engines, groups, rows) for rows in range(least, most + 1)
    }
    limit = min(cycles.values()) * (1 + _NEAR)
    return max(rows for rows, count in cycles.items() if count <= limit)
