"""The ``rtl`` back end: queries on the generated Verilog, compared with golden bit for bit."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from golden.filter import FunnelRules
from golden.pipeline import WHOLE, QueryResult
from hdl import program as fmt
from hdl.config import Config
from hdl.control.registers import COUNTERS
from sim import toolchain
from sim.errors import SimulationError
from sim.runner import Outcome, run_job
from sim.waves import Waves

from .block_times import funnel_times
from .cache_plan import plan_cache
from .check import compare_traces, read_records
from .deploy import deploy
from .deployment import Deployment
from .device import build_device
from .dram import simulated_memory
from .errors import UserError
from .host import (
    Host,
    PlacedQuery,
    completions,
    engine_cycles,
    host_filter,
    register_value,
    results,
)
from .image import MEMORY_LIMIT, MemoryImage
from .lane_replay import stage_lookups
from .lookup_check import compare_lookups
from .options import RunOptions
from .page.activity import from_traces
from .partition import Partition
from .placed import compare_held
from .result_plan import ResultPlan, plan_results
from .rules import group_sizes
from .stalls import stage_rows
from .summary import macs, quality, speculative_lookups, stage_items, utilization_bound
from .traces import Records, TraceError, decode_jobs
from .workload import Workload

__all__ = [
    "BEFORE",
    "Corrupt",
    "Plan",
    "check_identity",
    "check_status",
    "embedding_counters",
    "mp_cache",
    "plan_run",
    "run_rtl",
    "write_job",
]

BEFORE = ("READ_BEATS", "READ_BURSTS")
"""Counters that loading moves and that a run's figures begin behind."""

Corrupt = Callable[[Deployment, MemoryImage], None]
"""Changes the image before it is loaded; tests prove with it that a difference is found."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything placed in device memory, before anything is simulated."""

    deployment: Deployment
    image: MemoryImage
    host: Host
    queries: list[PlacedQuery]
    rules: FunnelRules = WHOLE


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Steps of the job whose cycles count."""

    load: int
    loaded: int
    start: int
    end: int


def plan_run(
    config: Config,
    partition: Partition,
    workload: Workload,
    rules: FunnelRules = WHOLE,
    split: Sequence[int] | None = None,
    held: int = 0,
) -> Plan:
    """Place models, tables, rings and queries; ``split``: of the static cache, see ``plan_cache``;
    ``held``: finished DHE vectors, see ``plan_results``.

    Raises
    ------
    UserError
        Something does not fit; the message names it, its size and the limit.
    """
    image = MemoryImage(limit=MEMORY_LIMIT)
    stages = workload.pipeline.stages
    cache = plan_cache(
        config,
        workload.quantised,
        workload.counts,
        [stage.items for stage in stages],
        split=split,
    )
    deployment = deploy(
        config,
        partition=partition,
        models=workload.quantised,
        cache=cache,
        image=image,
        groups=group_sizes(workload.pipeline, rules),
        fractions=rules.fractions,
        results=plan_results(
            config, [model.shape for model in workload.quantised], workload.counts, held
        ),
    )
    host = Host(deployment, image, entries=len(workload.queries))
    keep = [stage.keep for stage in stages]
    queries = [host.put_query(query.dense, query.ids, keep, rules) for query in workload.queries]
    return Plan(deployment=deployment, image=image, host=host, queries=queries, rules=rules)


def write_job(plan: Plan, in_flight: int | None, before: Sequence[str] = BEFORE) -> _Steps:
    """What the host does: load, then all queries, at most ``in_flight`` of them submitted.

    Counters ``before`` are read in between, as ``before_NAME``.
    """
    host = plan.host
    host.open()
    load = host.ring(host.loads)
    loaded = host.wait(host.loads)
    for name in before:
        host.registers.read(name, key=f"before_{name}")
    count = len(plan.queries)
    window = count if in_flight is None else min(in_flight, count)
    start = host.ring(host.loads + window)
    for done in range(1, count - window + 1):
        host.wait(host.loads + done, at_least=True)
        host.ring(host.loads + window + done)
    end = host.wait()
    host.read_counters()
    host.dump_completions()
    for number, query in enumerate(plan.queries):
        host.dump_results(query, f"results.{number}")
    return _Steps(load=load, loaded=loaded, start=start, end=end)


def run_rtl(
    plan: Plan,
    workload: Workload,
    expected: list[QueryResult],
    options: RunOptions,
    progress: Callable[[str], None],
    corrupt: Corrupt | None = None,
) -> dict[str, Any]:
    """Simulate and compare; returns the run's keys.

    Raises
    ------
    UserError
        The device is another one than the plan is for.
    SimulationError
        The simulation failed, or the device reports an error for an entry.
    """
    config = plan.deployment.config
    steps = write_job(plan, options.in_flight)
    if corrupt is not None:
        corrupt(plan.deployment, plan.image)
    waves = _waves(options, progress)
    build = build_device(
        config,
        simulator=options.simulator,
        memory_bytes=plan.image.size,
        waves=None if waves is None else waves.file.suffix,
        waves_depth=options.waves_depth,
        progress=progress,
    )
    progress(f"simulating {len(plan.queries)} queries")
    started = time.perf_counter()
    outcome = run_job(
        build,
        plan.host.job,
        image=plan.image.to_bytes(),
        memory=simulated_memory(options.dram),
        seed=options.seed,
        waves=waves,
    )
    wall = time.perf_counter() - started
    check_identity(config, outcome.result.values)
    check_status(completions(outcome.result, plan.host.entries))
    return _result(plan, workload, expected, outcome, steps, options) | {"wall_s": wall}


def _result(
    plan: Plan,
    workload: Workload,
    expected: list[QueryResult],
    outcome: Outcome,
    steps: _Steps,
    options: RunOptions,
) -> dict[str, Any]:
    """The keys of the contract."""
    deployment, spec = plan.deployment, workload.pipeline
    config = deployment.config
    values = outcome.result.values
    records = read_records(config, outcome.traces)
    found = [results(outcome.result, q, f"results.{n}") for n, q in enumerate(plan.queries)]
    if not config.features.on_chip_filter:
        found = [host_filter(part, spec.stages[-1].keep) for part in found]
    counters = {name: register_value(values, name) for name, _ in COUNTERS}
    difference = compare_traces(deployment, records, expected, found) or compare_lookups(
        deployment,
        records,
        expected,
        [query.ids for query in workload.queries],
        counters,
    )
    difference = difference or compare_held(
        deployment, records, expected, [query.ids for query in workload.queries], counters
    )
    queries = len(plan.queries)
    cycles = outcome.result.cycles
    load_cycles = cycles[steps.loaded] - cycles[steps.load]
    total = cycles[steps.end] - cycles[steps.start] + (load_cycles if options.cold else 0)
    ends = completions(outcome.result, plan.host.entries)[plan.host.loads :]
    first = ends[0]
    stage_cycles = [int(first.stage_cycles[s]) for s in range(len(spec.stages))]
    jobs = decode_jobs(records["jobs"])
    try:
        rows = stage_rows(
            deployment,
            jobs,
            records["causes"],
            stage_cycles,
            cycles[steps.end],
        )
    except TraceError as error:
        raise SimulationError(f"the device's traces contradict each other: {error}") from None
    times = funnel_times(deployment, jobs, records["columns"], records["survivors"])
    engines = deployment.partition.engines
    activity = None
    if options.report is not None:
        activity = from_traces(
            deployment,
            jobs,
            records["causes"],
            records["columns"],
            cycles[steps.start],
            cycles[steps.end],
        )
    return {
        "activity": activity,
        "bit_exact": difference is None,
        "difference": difference,
        "cycles": total,
        "cycles_per_query": total / queries,
        "clock_mhz": config.clock_mhz,
        "microseconds_per_query": total / queries / config.clock_mhz,
        "query_cycles": [int(end.cycles) for end in ends],
        "load_cycles": load_cycles,
        "mac_utilization": macs(workload, expected, deployment.results) / (config.pes * total),
        "mac_utilization_bound": utilization_bound(workload, deployment.maps),
        "stages": [
            stage | {"filter_cycles": cycles} | row | {"embedding": asked}
            for stage, cycles, row, asked in zip(
                stage_items(workload, expected),
                times.filter_cycles,
                rows,
                _stage_embedding(deployment, records),
                strict=True,
            )
        ],
        "back_end_cycles": times.back_end_cycles,
        "hidden_cycles": times.hidden_cycles,
        "embedding": embedding_counters(config, values, deployment.results)
        | {"speculative_lookups": speculative_lookups(workload, expected)},
        "interaction_multipliers": sum(
            config.interaction_multipliers_at(e.row, e.column) for e in engines
        ),
        "quality": quality(workload, [r[:, 0] for r in found]),
        "counters": {name.lower(): value for name, value in counters.items()}
        | {f"engine_{e.unit}": engine_cycles(values, e.unit) for e in engines},
        "top": [{"item": int(i), "score": int(s)} for i, s in found[0]],
    }


def _stage_embedding(
    deployment: Deployment, records: Mapping[str, Records]
) -> list[dict[str, float]]:
    """Lookups by stage, with their average wait for data."""
    stages = stage_lookups(deployment, records["tag_steps"], records["fills"])
    return [asdict(stage) | {"average_wait": stage.average_wait} for stage in stages]


def embedding_counters(
    config: Config, values: dict[str, int], held: ResultPlan | None = None
) -> dict[str, Any]:
    """Lookups of the run, reads of its queries; ``held``: finished DHE vectors."""

    def reads(name: str) -> int:
        return register_value(values, name) - register_value(values, f"before_{name}")

    return {
        "lookups": register_value(values, "LOOKUPS"),
        "static_hits": register_value(values, "HITS"),
        "lookahead_hits": register_value(values, "LOOK_AHEAD_HITS"),
        "misses": register_value(values, "MISSES"),
        "merged": register_value(values, "MERGED"),
        "prefetches": register_value(values, "PREFETCHES"),
        "dram_reads": reads("READ_BURSTS"),
        "dram_bytes": reads("READ_BEATS") * config.axi_bytes,
        "mp_cache": mp_cache(
            held, register_value(values, "HELD_HITS"), register_value(values, "HELD_MISSES")
        ),
    }


def mp_cache(held: ResultPlan | None, hits: int, misses: int) -> dict[str, int]:
    """Ids of decoded features looked up among finished vectors; ``vectors``: that an engine holds.

    A device without memory for them looks nothing up.
    """
    return {
        "vectors": 0 if held is None else len(held.places),
        "lookups": hits + misses,
        "hits": hits,
        "misses": misses,
    }


def _waves(options: RunOptions, progress: Callable[[str], None]) -> Waves | None:
    """The waves asked for, as this machine can write them."""
    if options.waves is None:
        return None
    asked = Waves(file=options.waves, depth=options.waves_depth, window=options.waves_cycles)
    toolchain.check(options.simulator)  # before its compiler is asked for headers
    made = asked.for_machine(options.simulator)
    if made.file != asked.file:
        progress(f"waves: no lz4 and zlib headers here for .fst, writing {made.file}")
    return made


def check_identity(config: Config, values: dict[str, int]) -> None:
    found = register_value(values, "CONFIG_HASH")
    if found != config.hash:
        raise UserError(
            f"the device has configuration {found:08x}, {config.name} is {config.hash:08x}"
        )


def check_status(entries: Sequence[Any]) -> None:
    """Every entry must have ended well: the driver made them all."""
    for number, completion in enumerate(entries):
        if completion.status != fmt.Status.OK:
            opcode = fmt.Opcode(completion.opcode).name
            status = fmt.Status(completion.status).name
            raise SimulationError(f"the device completed entry {number} ({opcode}) with {status}")
