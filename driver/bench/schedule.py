"""What an engine's array did in a simulated run: rows and output tiles, from the traces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.pipeline import QueryResult
from hdl.config import Config
from hdl.engine.cause import Cause
from sim.errors import SimulationError
from sim.runner import run_job

from ..check import compare_traces, read_records
from ..device import build_device
from ..host import results
from ..maps import EngineMap
from ..partition import Engine
from ..rtl import Plan
from ..traces import Records

__all__ = [
    "ArrayRun",
    "array_run",
    "busy_cycles",
    "cause_counts",
    "layer_spans",
    "simulate",
    "tile_runs",
]


@dataclass(frozen=True, kw_only=True, eq=False)
class ArrayRun:
    """All rows of an engine, and the output tiles they belong to, in order."""

    busy: NDArray[np.int64]
    """Cycle of each row."""
    parameters: NDArray[np.int64]
    """Place of each output tile in the parameter memory: names the layer."""
    rows: NDArray[np.int64]
    """Items of each output tile."""
    ends: NDArray[np.int64]
    """Index into ``busy`` after each output tile's last row."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """Index into ``busy`` of each output tile's first row."""
        return np.concatenate([[0], self.ends[:-1]])

    @property
    def window(self) -> tuple[int, int]:
        """Cycles of the first and the last row."""
        return int(self.busy[0]), int(self.busy[-1])


def simulate(
    plan: Plan,
    expected: list[QueryResult],
    *,
    simulator: str,
    progress: Callable[[str], None],
) -> tuple[dict[str, Records], dict[str, int]]:
    """Run a plan's first query, check it; returns its traces and the registers read after it.

    Raises
    ------
    SimulationError
        The run failed or is not bit-exact.
    """
    host, config = plan.host, plan.deployment.config
    host.open()
    host.ring(host.loads)
    host.wait(host.loads)
    host.ring()
    host.wait()
    host.read_counters()
    host.dump_results(plan.queries[0], "results")
    build = build_device(
        config,
        simulator=simulator,
        memory_bytes=plan.image.size,
        waves=None,
        waves_depth=None,
        progress=progress,
    )
    outcome = run_job(build, host.job, image=plan.image.to_bytes())
    records = read_records(config, outcome.traces)
    found = [results(outcome.result, plan.queries[0], "results")]
    difference = compare_traces(plan.deployment, records, expected, found)
    if difference is not None:
        raise SimulationError(f"not bit-exact: {difference}")
    return records, outcome.result.values


def busy_cycles(causes: Records, unit: int) -> NDArray[np.int64]:
    """Every cycle in which a row entered the engine anchored at ``unit``."""
    mine = causes.where(causes.source == unit)
    ends = np.append(mine.cycle[1:], mine.cycle[-1:])
    runs = [
        np.arange(begin, end)
        for begin, end, cause in zip(mine.cycle, ends, mine["cause"], strict=True)
        if cause == Cause.BUSY.value
    ]
    return np.concatenate(runs) if runs else np.zeros(0, np.int64)


def cause_counts(causes: Records, unit: int, first: int, last: int) -> dict[Cause, int]:
    """Cycles of the engine anchored at ``unit`` by cause, from ``first`` to ``last``."""
    mine = causes.where(causes.source == unit)
    times = np.concatenate([mine.cycle, [last + 1]])
    spans = np.minimum(times[1:], last + 1) - np.maximum(times[:-1], first)
    counts = np.zeros(len(Cause), np.int64)
    np.add.at(counts, mine["cause"], np.maximum(spans, 0))
    return {cause: int(counts[cause.value]) for cause in Cause}


def array_run(
    config: Config, records: Mapping[str, Records], engine: Engine, mapped: EngineMap
) -> ArrayRun:
    """Rows and output tiles of an engine.

    Raises
    ------
    SimulationError
        The traces contradict each other.
    """
    input_tiles = np.zeros(mapped.parameter_tiles, np.int64)
    for stage in mapped.stages.values():
        for place in (*stage.bottom.layers, *stage.top.layers):
            end = place.parameter_base + place.output_tiles
            input_tiles[place.parameter_base : end] = place.input_tiles
    # Column 0 of the engine's first strip writes every output tile, row by row.
    strip = engine.unit + ((1 << engine.level) - 1) * config.grid
    columns = records["columns"]
    mine = columns.where(columns.source == strip * config.sub_array)
    firsts = np.flatnonzero(mine["row"] == 0)
    rows = np.diff(np.append(firsts, len(mine)))
    busy = busy_cycles(records["causes"], engine.unit)
    return tile_runs(busy, mine["parameter"][firsts], rows, input_tiles)


def tile_runs(
    busy: NDArray[np.int64],
    parameters: NDArray[np.int64],
    rows: NDArray[np.int64],
    input_tiles: NDArray[np.int64],
) -> ArrayRun:
    """Give every row its output tile.

    Parameters
    ----------
    busy
        Cycles of all rows.
    parameters, rows
        Place in the parameter memory and items of each output tile that left, in order.
    input_tiles
        Input tiles by place in the parameter memory.
    """
    ends = np.cumsum(input_tiles[parameters] * rows)
    if len(ends) == 0 or ends[-1] != len(busy):
        raise SimulationError(
            f"{len(busy)} rows entered the array, its output tiles account for "
            f"{int(ends[-1]) if len(ends) else 0}"
        )
    return ArrayRun(busy=busy, parameters=parameters, rows=rows, ends=ends)


def layer_spans(run: ArrayRun, layer: range) -> list[tuple[int, int]]:
    """First and last cycle of each run of a layer, gaps before it included.

    Parameters
    ----------
    layer
        The output tiles of the layer.
    """
    busy, starts = run.busy, run.starts
    firsts = np.flatnonzero(run.parameters == layer.start)
    lasts = np.flatnonzero(run.parameters == layer.stop - 1)
    return [
        (int(busy[max(0, starts[a] - 1)]) + int(starts[a] > 0), int(busy[run.ends[b] - 1]))
        for a, b in zip(firsts, lasts, strict=True)
    ]
