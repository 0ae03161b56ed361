"""The ``board`` back end: queries on an FPGA over its serial line, results compared with golden."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.pipeline import QueryResult
from hdl.control.registers import COUNTERS
from sim.job import Job

from ..errors import UserError
from ..host import Registers, completions, engine_cycles, host_filter, register_value, results
from ..options import RunOptions
from ..rtl import BEFORE, Plan, check_identity, check_status, embedding_counters, write_job
from ..summary import macs, quality, speculative_lookups, stage_items, utilization_bound
from ..workload import Workload
from .link import Link, open_port
from .player import load_image, play

__all__ = ["run_board"]

_BAUD = 3_000_000
"""Of the port; boards say theirs in docs/boards.md."""


def run_board(
    plan: Plan,
    workload: Workload,
    expected: list[QueryResult],
    options: RunOptions,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """Load, run and compare; returns the run's keys.

    What the board returns is compared: items and scores of every query, in order. Layers and cache
    events stay inside it, see ``run_rtl`` for those. ``cycles`` is the device's count of cycles in
    which an entry was being worked on.

    Raises
    ------
    UserError
        No such port, another device than the plan's, or too little memory.
    BoardError
        The line failed, or the board refused or stood still.
    SimulationError
        The device reports an error for an entry.
    """
    assert options.port is not None
    link = Link(open_port(options.port, _BAUD), timeout=options.port_timeout)
    try:
        started = time.perf_counter()
        _check_device(link, plan)
        image = plan.image.to_bytes()
        progress(f"board at {link.clock_hz / 1e6:g} MHz: loading {len(image)} bytes")
        link.reset()
        load_image(link, image, progress)
        progress(f"running {len(plan.queries)} queries")
        write_job(plan, options.in_flight, before=(*BEFORE, "BUSY_CYCLES"))
        result = play(link, plan.host.job)
        wall = time.perf_counter() - started
        check_status(completions(result, plan.host.entries))
        keys = _result(plan, workload, expected, result, options, link.clock_hz / 1e6)
        return keys | {"wall_s": wall, "line_retries": link.retries}
    finally:
        link.close()


def _check_device(link: Link, plan: Plan) -> None:
    config = plan.deployment.config
    job = Job()
    Registers(config, job).read("CONFIG_HASH")
    check_identity(config, play(link, job).values)
    if plan.image.size > link.memory_bytes:
        raise UserError(
            f"models, tables and queries take {plan.image.size} bytes, the board has "
            f"{link.memory_bytes}; see --items, --max-rows and --partition"
        )


def difference(expected: list[QueryResult], found: list[NDArray[np.int32]]) -> str | None:
    """First result that is not golden's, in words, or None."""
    for query, (golden, rows) in enumerate(zip(expected, found, strict=True)):
        wanted = np.stack([golden.items.astype(np.int64), golden.scores.astype(np.int64)], axis=1)
        if wanted.shape != rows.shape:
            return f"query {query}: {len(rows)} results, expected {len(wanted)}"
        wrong = np.flatnonzero((wanted != rows).any(axis=1))
        if wrong.size:
            place = int(wrong[0])
            item, score = (int(v) for v in rows[place])
            right, points = (int(v) for v in wanted[place])
            return (
                f"query {query}, result {place}: item {item} with score {score}, "
                f"expected item {right} with score {points}"
            )
    return None


def _result(
    plan: Plan,
    workload: Workload,
    expected: list[QueryResult],
    result: Any,
    options: RunOptions,
    clock_mhz: float,
) -> dict[str, Any]:
    """The keys of the contract; null where only a simulation sees it."""
    deployment, spec = plan.deployment, workload.pipeline
    config, values = deployment.config, result.values
    found = [results(result, q, f"results.{n}") for n, q in enumerate(plan.queries)]
    if not config.features.on_chip_filter:
        found = [host_filter(part, spec.stages[-1].keep) for part in found]
    wrong = difference(expected, found)
    queries = len(plan.queries)
    load_cycles = register_value(values, "before_BUSY_CYCLES")
    total = register_value(values, "BUSY_CYCLES") - (0 if options.cold else load_cycles)
    ends = completions(result, plan.host.entries)[plan.host.loads :]
    engines = deployment.partition.engines
    return {
        "bit_exact": wrong is None,
        "difference": wrong,
        "compared": "results",
        "cycles": total,
        "cycles_per_query": total / queries,
        "clock_mhz": clock_mhz,
        "microseconds_per_query": total / queries / clock_mhz,
        "query_cycles": [int(end.cycles) for end in ends],
        "load_cycles": load_cycles,
        "mac_utilization": macs(workload, expected, deployment.results) / (config.pes * total),
        "mac_utilization_bound": utilization_bound(workload, deployment.maps),
        "stages": [
            stage
            | {
                "cycles": int(ends[0].stage_cycles[number]),
                "busy_cycles": None,
                "stall_cycles": {},
            }
            for number, stage in enumerate(stage_items(workload, expected))
        ],
        "embedding": embedding_counters(config, values, deployment.results)
        | {"speculative_lookups": speculative_lookups(workload, expected)},
        "interaction_multipliers": sum(
            config.interaction_multipliers_at(e.row, e.column) for e in engines
        ),
        "quality": quality(workload, [r[:, 0] for r in found]),
        "counters": {name.lower(): register_value(values, name) for name, _ in COUNTERS}
        | {f"engine_{e.unit}": engine_cycles(values, e.unit) for e in engines},
        "top": [{"item": int(i), "score": int(s)} for i, s in found[0]],
    }
