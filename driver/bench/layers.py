"""Utilisation of one dense layer on one engine, from the device's traces.

The layer is the first one of a small model's bottom MLP, and nothing else of the device is taken
away: rows come from device memory, the other layers run in between. What is measured is the span
of the layer's own row blocks, with every gap before each of them but the first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from golden.model import ModelShape, random_model
from hdl.config import Config

from ..inputs import make_workload
from ..partition import parse_partition
from ..rtl import plan_run
from ..run import golden_results
from ..workload import Workload
from .limits import layer_cycles
from .schedule import array_run, layer_spans, simulate

__all__ = ["LAYER_COLUMNS", "LayerShape", "draw_shapes", "measure_layer"]

_DENSE_LIMIT = 255
"""Most dense inputs of an item (8 bits in the pipeline table)."""
_WIDTH = 4
_LARGEST = 10
"""Largest drawn size in engine edges; the smallest is 4, as in the budget."""
LAYER_COLUMNS = {
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


def measure_layer(
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
    SimulationError
        The device is not bit-exact, or its traces contradict each other.
    """
    partition = parse_partition(config, f"{shape.edge}x{shape.edge}:1", stages=1)
    workload = _workload(shape, items, seed)
    plan = plan_run(config, partition, workload)
    (mapped,) = plan.deployment.maps.values()
    stage = mapped.stages[0]
    rows = plan.deployment.rows[0]
    records, _ = simulate(
        plan, golden_results(workload, keep_layers=True), simulator=simulator, progress=progress
    )
    run = array_run(config, records, partition.engines[0], mapped)
    first = stage.bottom.layers[0]
    spans = layer_spans(run, range(first.parameter_base, first.parameter_base + first.output_tiles))
    cycles = sum(last - begin + 1 for begin, last in spans)
    blocks = [min(rows, items - first) for first in range(0, items, rows)]
    limit = layer_cycles(shape.inputs, shape.outputs, edge=shape.edge, blocks=blocks)
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
