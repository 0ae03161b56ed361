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

    def array(self, rows: int) -> int:
        """Cycles of a row block on the array."""
        gaps = sum(max(0, self.turnaround - tiles * rows) for tiles in self.waits)
        return self.tiles * max(rows, self.interval) + gaps


@cache
def _costs(config: Config, shape: StageShape, row: int, column: int, level: int) -> _Costs:
    edge = config.sub_array << level
    tiles = 0
    waits = []
    for layers in (shape.bottom, shape.top):
        counts = [tile_count(*layer, edge) for layer in layers]
        tiles += sum(k * n for k, n in counts)
        waits += [n for _, n in counts[:-1]]
    multipliers = config.interaction_multipliers_at(row, column)
    if shape.dot:
        most = config.interaction_outputs_at(row, column)
        outputs = max(1, min(most, multipliers // shape.width, edge))
        cycles = max(1, shape.width // multipliers)
        steps = sum(-(-i // outputs) for i in range(1, shape.vectors))
        interaction = steps * cycles + -(-shape.width // _COPY_BYTES)
    else:
        interaction = -(-shape.vectors * shape.width // min(edge, _COPY_BYTES))
    return _Costs(
        tiles=tiles,
        interval=config.tile_interval,
        waits=tuple(waits),
        turnaround=turnaround(edge),
        interaction=interaction,
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
    for count in _blocks(groups, rows):
        end, index = free[0]
        cost = costs[index]
        start = max(gathered, ready[index])
        gathered += count * gather
        ready[index] = max(start + count * cost.interaction, gathered)
        streamed = max(streamed, end) + beats[index]
        end = max(max(end, ready[index]) + cost.array(count), streamed)
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
