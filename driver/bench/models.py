"""Utilisation of whole models (bottom MLP, interaction, top MLP) on every engine of a partition.

The question is what array and interaction reach when nothing else is in their way: all embedding
rows are in the static cache (tables of a few rows; the run must have no miss), and each engine's
time counts from the first row that enters its array, so the dense values of a row block are there.
It ends with the last row that enters. All between counts, also the first row block's interaction,
behind which there is no other work, and every cycle in which the gather lanes are too slow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from golden.model import SHAPES, Interaction, ModelShape, named_shape, random_model
from hdl.config import Config
from hdl.engine.cause import Cause
from sim.errors import SimulationError

from ..errors import UserError
from ..host import register_value
from ..inputs import make_workload
from ..maps import EngineMap
from ..partition import Partition, legal_partitions
from ..rtl import Plan, plan_run
from ..run import golden_results
from ..workload import Workload
from .limits import layer_cycles
from .schedule import array_run, cause_counts, simulate

__all__ = [
    "MODEL_CAUSES",
    "MODEL_COLUMNS",
    "draw_models",
    "draw_partition",
    "measure_model",
    "reference_models",
]

DENSE = 13
MODEL_COLUMNS = {
    "model": "model",
    "partition": "partition",
    "row_block": "row block",
    "limit_cycles": "limit MACs/PEs [cycles]",
    "padded_cycles": "padded tiles [cycles]",
    "cycles": "RTL [cycles]",
    "plain_cycles": "plain schedule [cycles]",
    "utilization": "utilisation [%]",
    "utilization_bound": "padding allows [%]",
    "utilization_of_bound": "of that [%]",
    "steady_utilization_of_bound": "after the first block [%]",
    "plain_utilization": "plain [%]",
}
MODEL_CAUSES = {"model": "model", "partition": "partition"} | {
    f"{cause.name.lower()}_utilization": f"{cause.name.lower()} [%]"
    for cause in sorted(Cause, key=lambda cause: cause is not Cause.BUSY)
}


@dataclass(frozen=True, kw_only=True)
class _Cycles:
    """PE cycles of one engine: cycles of the array times its PEs."""

    window: int
    """From the first row to the last."""
    steady: int
    """From the first row of the first top MLP to the last row."""
    steady_rows: int
    """Of these, cycles in which a row entered."""
    macs: float
    padded: int
    plain: int
    causes: dict[Cause, int]


def reference_models() -> list[ModelShape]:
    """RMsmall, RMmed, RMlarge, with ``dot`` and with ``cat``."""
    kinds: tuple[Interaction, ...] = ("dot", "cat")
    return [named_shape(name, interaction=kind, max_rows=8) for name in SHAPES for kind in kinds]


def draw_models(count: int, seed: int) -> list[ModelShape]:
    """Random models: vectors of 4 to 32 bytes, 8 to 26 tables, two or three layers a MLP."""
    random = np.random.default_rng([seed, 77])

    def hidden() -> tuple[int, ...]:
        return tuple(int(n) for n in random.integers(16, 257, random.integers(1, 3)))

    shapes = []
    for number in range(count):
        width = int(random.choice([4, 8, 16, 32]))
        shapes.append(
            ModelShape(
                name=f"random {number}",
                width=width,
                bottom=(DENSE, *hidden(), width),
                top=(*hidden(), 1),
                rows=(8,) * int(random.integers(8, 27)),
                interaction="dot" if random.integers(2) else "cat",
            )
        )
    return shapes


def draw_partition(config: Config, number: int, seed: int) -> Partition:
    """One of the legal partitions."""
    choices = legal_partitions(config, up_to_symmetry=True)
    random = np.random.default_rng([seed, 78, number])
    return choices[int(random.integers(len(choices)))]


def _workload(shape: ModelShape, items: int, rows: int, seed: int) -> Workload:
    small = ModelShape(
        name=shape.name,
        width=shape.width,
        bottom=shape.bottom,
        top=shape.top,
        rows=tuple(min(rows, count) for count in shape.rows),
        interaction=shape.interaction,
    )
    random = np.random.default_rng(seed)
    dense = random.normal(0, 1, (items, shape.dense_features)).astype(np.float32)
    ids = np.stack([random.integers(0, count, items) for count in small.rows], axis=1)
    model = random_model(small, seed=seed)
    return make_workload(models=[model], keep=[1], queries=[(dense, ids)], name=shape.name)


def _cached_plan(
    config: Config, partition: Partition, shape: ModelShape, items: int, seed: int
) -> tuple[Plan, Workload]:
    """Tables as large as the static cache holds them whole."""
    for rows in (8, 4, 2, 1):
        workload = _workload(shape, items, rows, seed)
        plan = plan_run(config, partition, workload)
        cache = plan.deployment.cache
        if cache is not None and cache.hits(0, workload.queries[0].ids).all():
            return plan, workload
    raise UserError(f"{shape.name}: the static cache of {config.name} does not hold a row a table")


def _layers(shape: ModelShape) -> list[tuple[int, int]]:
    return [
        pair
        for sizes in (shape.bottom, shape.top_sizes)
        for pair in zip(sizes, sizes[1:], strict=False)
    ]


def _limits(
    shape: ModelShape, edge: int, blocks: Sequence[int], largest: int
) -> tuple[float, int, int]:
    """MACs / PEs, padded tiles and the plain schedule of all layers on one engine.

    The plain schedule cuts the same items into row blocks of its own: of ``largest`` items, or
    these ones where they are better.
    """
    items = sum(blocks)
    full = [min(largest, items - first) for first in range(0, items, largest)]
    own = [layer_cycles(*layer, edge=edge, blocks=blocks) for layer in _layers(shape)]
    other = [layer_cycles(*layer, edge=edge, blocks=full) for layer in _layers(shape)]
    plain = min(sum(c.plain for c in own), sum(c.plain for c in other))
    return sum(c.macs for c in own), sum(c.padded for c in own), plain


def measure_model(
    config: Config,
    partition: Partition,
    shape: ModelShape,
    *,
    items: int,
    simulator: str = "verilator",
    seed: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Run ``items`` items of a model on all engines of a partition.

    Raises
    ------
    UserError
        The model does not fit.
    SimulationError
        The device is not bit-exact, a lookup missed, or the traces contradict each other.
    """
    plan, workload = _cached_plan(config, partition, shape, items, seed)
    deployment = plan.deployment
    expected = golden_results(workload, keep_layers=True)
    records, values = simulate(plan, expected, simulator=simulator, progress=progress)
    misses = register_value(values, "MISSES")
    if misses:
        raise SimulationError(f"{misses} lookups missed the static cache that holds every row")
    jobs = records["jobs"]
    engines = []
    for engine in partition.engines:
        blocks = jobs["rows"][jobs["unit"] == engine.unit].tolist()
        if not blocks:
            continue
        mapped: EngineMap = deployment.maps[engine.unit]
        pes = mapped.edge**2
        run = array_run(config, records, engine, mapped)
        macs, padded, plain = _limits(shape, mapped.edge, blocks, deployment.most_rows[0])
        if padded != len(run.busy):
            raise SimulationError(f"{len(run.busy)} rows entered the array, {padded} were due")
        first, last = run.window
        top = mapped.stages[0].top.layers[0].parameter_base
        begin = int(run.starts[np.flatnonzero(run.parameters == top)[0]])
        causes = cause_counts(records["causes"], engine.unit, first, last)
        engines.append(
            _Cycles(
                window=pes * (last - first + 1),
                steady=pes * (last - int(run.busy[begin]) + 1),
                steady_rows=pes * (len(run.busy) - begin),
                macs=pes * macs,
                padded=pes * padded,
                plain=pes * plain,
                causes={cause: pes * count for cause, count in causes.items()},
            )
        )
    row: dict[str, Any] = {
        "model": shape.name if shape.interaction == "dot" else f"{shape.name}-cat",
        "partition": partition.text,
        "items": items,
        "row_block": deployment.rows[0],
        "engines": len(engines),
    }
    return row | _row(config, engines)


def _row(config: Config, engines: list[_Cycles]) -> dict[str, Any]:
    """All engines together; cycles are PE cycles over the device's PEs."""
    window = sum(e.window for e in engines)
    macs, padded, plain = (
        sum(getattr(e, name) for e in engines) for name in ("macs", "padded", "plain")
    )
    counts = {cause: sum(e.causes[cause] for e in engines) for cause in Cause}
    if sum(counts.values()) != window:
        raise SimulationError(f"causes account for {sum(counts.values())} of {window} PE cycles")
    return {
        "limit_cycles": macs / config.pes,
        "padded_cycles": padded / config.pes,
        "cycles": window / config.pes,
        "plain_cycles": plain / config.pes,
        "utilization": macs / window,
        "utilization_bound": macs / padded,
        "utilization_of_bound": padded / window,
        "steady_utilization_of_bound": sum(e.steady_rows for e in engines)
        / sum(e.steady for e in engines),
        "plain_utilization": macs / plain,
    } | {f"{c.name.lower()}_utilization": counts[c] / window for c in Cause}
