"""``rpaccel bench array``: utilisation of one dense layer on one engine, from the device's traces.

The layer is the first one of a small model's bottom MLP, and nothing else of the device is taken
away: rows come from device memory, the other layers run in between. What is measured is the span
of the layer's own row blocks, with every gap before each of them but the first.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.model import ModelShape, random_model
from hdl.config import Config, preset
from hdl.engine.cause import Cause
from sim.errors import SimulationError
from sim.runner import run_job

from ..check import compare_traces, read_records
from ..device import build_device
from ..errors import UserError
from ..host import results
from ..inputs import make_workload
from ..partition import parse_partition
from ..rtl import Plan, plan_run
from ..run import golden_results
from ..traces import Records
from ..workload import Workload
from .limits import layer_cycles
from .table import table_text

__all__ = ["LayerShape", "bench_array", "busy_cycles", "draw_shapes", "layer_spans", "measure"]

_DENSE_LIMIT = 255
"""Most dense inputs of an item (8 bits in the pipeline table)."""
_WIDTH = 4
_LARGEST = 10
"""Largest drawn size in engine edges; the smallest is 4, as in the budget."""
COLUMNS = {
    "engine": "engine",
    "layer": "layer",
    "macs": "MACs",
    "limit_cycles": "limit MACs/PEs [cycles]",
    "padded_cycles": "padded tiles [cycles]",
    "cycles": "RTL [cycles]",
    "plain_cycles": "plain schedule [cycles]",
    "utilization": "utilisation [%]",
    "utilization_bound": "padding allows [%]",
    "utilization_of_bound": "of that [%]",
    "plain_utilization": "plain [%]",
}


@dataclass(frozen=True, kw_only=True)
class LayerShape:
    """A dense layer on an engine."""

    edge: int
    inputs: int
    outputs: int


def draw_shapes(config: Config, edge: int, count: int, seed: int) -> list[LayerShape]:
    """The layer of 4 x 4 tiles, then random ones of 4 to 10 edges that fit full row blocks."""
    random = np.random.default_rng([seed, edge])
    shapes = [LayerShape(edge=edge, inputs=4 * edge, outputs=4 * edge)]
    pages = config.activation_bytes // 2 // config.rows
    for _ in range(count):
        inputs = int(random.integers(4 * edge, min(_LARGEST * edge, _DENSE_LIMIT) + 1))
        room = min(_LARGEST, pages - -(-inputs // edge)) * edge
        outputs = int(random.integers(4 * edge, room + 1))
        shapes.append(LayerShape(edge=edge, inputs=inputs, outputs=outputs))
    return shapes


def _workload(shape: LayerShape, items: int, seed: int) -> Workload:
    model = ModelShape(
        name="layer", width=_WIDTH, bottom=(shape.inputs, shape.outputs, _WIDTH), top=(1,),
        rows=(8,), interaction="cat",
    )  # fmt: skip
    random = np.random.default_rng(seed)
    dense = random.normal(0, 1, (items, shape.inputs)).astype(np.float32)
    ids = random.integers(0, 8, (items, 1))
    return make_workload(
        models=[random_model(model, seed=seed)], keep=[1], queries=[(dense, ids)], name="layer"
    )


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


def layer_spans(
    busy: NDArray[np.int64],
    parameters: NDArray[np.int64],
    input_tiles: NDArray[np.int64],
    rows: int,
    layer: range,
) -> list[tuple[int, int]]:
    """First and last cycle of each run of a layer, gaps before it included.

    Parameters
    ----------
    busy
        Cycles of all rows.
    parameters
        Output tile (place in the parameter memory) of each tile that left the engine, in order.
    input_tiles
        Input tiles by output tile.
    rows
        Items of every row block.
    layer
        The output tiles of the layer.
    """
    ends = np.cumsum(input_tiles[parameters]) * rows
    if len(ends) == 0 or ends[-1] != len(busy):
        raise SimulationError(
            f"{len(busy)} rows entered the array, its output tiles account for "
            f"{int(ends[-1]) if len(ends) else 0}"
        )
    starts = np.concatenate([[0], ends[:-1]])
    firsts = np.flatnonzero(parameters == layer.start)
    lasts = np.flatnonzero(parameters == layer.stop - 1)
    return [
        (int(busy[max(0, starts[a] - 1)]) + int(starts[a] > 0), int(busy[ends[b] - 1]))
        for a, b in zip(firsts, lasts, strict=True)
    ]


def _simulate(
    plan: Plan, workload: Workload, simulator: str, progress: Callable[[str], None]
) -> dict[str, Records]:
    """Run the query, check it, and give its traces."""
    host, config = plan.host, plan.deployment.config
    host.open()
    host.ring(host.loads)
    host.wait(host.loads)
    host.ring()
    host.wait()
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
    expected = golden_results(workload, keep_layers=True)
    difference = compare_traces(plan.deployment, records, expected, found)
    if difference is not None:
        raise SimulationError(f"not bit-exact: {difference}")
    return records


def measure(
    config: Config,
    shape: LayerShape,
    *,
    items: int,
    simulator: str = "verilator",
    seed: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure a layer on the one engine of ``shape.edge`` at the grid's corner.

    Raises
    ------
    UserError
        ``items`` are no whole row blocks.
    SimulationError
        The device is not bit-exact, or its traces contradict each other.
    """
    partition = parse_partition(config, f"{shape.edge}x{shape.edge}:1", stages=1)
    workload = _workload(shape, items, seed)
    plan = plan_run(config, partition, workload)
    (mapped,) = plan.deployment.maps.values()
    stage = mapped.stages[0]
    rows = plan.deployment.rows[0]
    if items % rows:
        raise UserError(f"items must be whole row blocks of {rows}, not {items}")
    records = _simulate(plan, workload, simulator, progress)
    layers = [*stage.bottom.layers, *stage.top.layers]
    input_tiles = np.zeros(mapped.parameter_tiles, np.int64)
    for place in layers:
        end = place.parameter_base + place.output_tiles
        input_tiles[place.parameter_base : end] = place.input_tiles
    # Column 0 of the engine's first strip writes every output tile, row by row.
    strip = partition.engines[0].unit + ((1 << partition.engines[0].level) - 1) * config.grid
    columns = records["columns"]
    mine = columns.where(columns.source == strip * config.sub_array)
    first = layers[0]
    spans = layer_spans(
        busy_cycles(records["causes"], partition.engines[0].unit),
        mine["parameter"][::rows],
        input_tiles,
        rows,
        range(first.parameter_base, first.parameter_base + first.output_tiles),
    )
    cycles = sum(last - begin + 1 for begin, last in spans)
    limit = layer_cycles(
        shape.inputs, shape.outputs, edge=shape.edge, blocks=[rows] * (items // rows)
    )
    return asdict(shape) | {
        "engine": f"{shape.edge}x{shape.edge}",
        "layer": f"{shape.inputs}x{shape.outputs}",
        "items": items,
        "row_block": rows,
        "macs": shape.inputs * shape.outputs * items,
        "limit_cycles": limit.macs,
        "padded_cycles": limit.padded,
        "cycles": cycles,
        "plain_cycles": limit.plain,
        "utilization": limit.macs / cycles,
        "utilization_bound": limit.macs / limit.padded,
        "utilization_of_bound": limit.padded / cycles,
        "plain_utilization": limit.macs / limit.plain,
    }


def bench_array(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Every engine size: the layer of 4 x 4 tiles and ``args.random`` random ones."""
    config = preset(args.preset)
    sizes = range(config.levels) if config.features.fission else [config.levels - 1]
    rows = []
    for level in sizes:
        for shape in draw_shapes(config, config.sub_array << level, args.random, args.seed):
            progress(f"{config.name}: {shape.inputs}x{shape.outputs} on {shape.edge}x{shape.edge}")
            rows.append(
                measure(
                    config,
                    shape,
                    items=args.items,
                    simulator=args.simulator,
                    seed=args.seed,
                    progress=progress,
                )
            )
    worst = min(rows, key=lambda row: row["utilization_of_bound"])
    text = (
        f"preset {config.name}, {args.items} items, simulated Verilog, bit-exact\n"
        f"{table_text(COLUMNS, rows)}\n"
        f"worst: {worst['layer']} on {worst['engine']}, "
        f"{100 * worst['utilization_of_bound']:.2f} % of what padding allows"
    )
    return {"bench": "array", "preset": config.name, "rows": rows, "text": text}
