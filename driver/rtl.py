"""The ``rtl`` back end: queries on the generated Verilog, compared with golden bit for bit."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.compare import Difference, compare_queries
from golden.pipeline import QueryResult
from hdl import program as fmt
from hdl.config import Config
from hdl.control.registers import COUNTERS, Register, register_table
from hdl.engine.cause import Cause
from hdl.trace import trace_ports
from sim.job import Job
from sim.runner import run_job
from sim.waves import Waves

from .cache_plan import plan_cache
from .deployment import Deployment, deploy
from .device import build_device
from .errors import UserError
from .image import MemoryImage
from .partition import Partition
from .pipelines import Pipeline
from .run import macs, quality, utilization_bound
from .traces import (
    Jobs,
    Records,
    decode_columns,
    decode_interaction,
    decode_jobs,
    decode_survivors,
    new_traces,
)
from .workload import Workload

__all__ = ["run_rtl"]

MEMORY_LIMIT = 1 << 30
"""Largest simulated device memory, bytes."""
_NO_REPORT: Callable[[str], None] = print


@dataclass(kw_only=True)
class Rings:
    """Where the host's structures lie in device memory."""

    submissions: int
    completions: int
    entries: int
    records: list[int]
    results: list[int]


def _record_bytes(
    deployment: Deployment, dense: NDArray[np.int8], ids: NDArray[np.uint32]
) -> bytes:
    """Item records of a query."""
    out = np.zeros((len(dense), deployment.pitch), np.uint8)
    out[:, : dense.shape[1]] = dense.view(np.uint8)
    start = deployment.ids_offset
    out[:, start : start + 4 * ids.shape[1]] = np.ascontiguousarray(ids.astype("<u4")).view(
        np.uint8
    )
    return out.tobytes()


def submissions(deployment: Deployment, image: MemoryImage, workload: Workload) -> Rings:
    """Put rings, records and submission entries into the image: all LOADs, then all queries."""
    loads = deployment.loads
    count = len(loads) + len(workload.queries)
    entries = 1 << count.bit_length()
    if entries > 1 << 15:
        raise UserError(f"{count} submission entries do not fit a ring of {1 << 15}")
    size = entries * fmt.SUBMISSION_BYTES
    rings = Rings(
        submissions=image.reserve(size, align=4096, what="submission ring"),
        completions=image.reserve(size, align=4096, what="completion ring"),
        entries=entries,
        records=[],
        results=[],
    )
    blobs = []
    for number, load in enumerate(loads):
        values: dict[str, Any] = {
            "opcode": fmt.Opcode.LOAD,
            "tag": number,
            "address": load.address,
            "items": load.words,
            "target": load.target,
            "unit": load.unit,
            "start": load.start,
        }
        blobs.append(_entry(values))
    stages = workload.pipeline.stages
    for number, query in enumerate(workload.queries):
        blob = _record_bytes(deployment, query.dense, query.ids)
        rings.records.append(image.put(blob, what="item records"))
        rings.results.append(image.reserve(8 * stages[-1].keep, what="results"))
        keep = [stage.keep for stage in stages] + [0] * (4 - len(stages))
        blobs.append(
            _entry(
                {
                    "opcode": fmt.Opcode.QUERY,
                    "pipeline": 0,
                    "tag": len(loads) + number,
                    "address": rings.records[-1],
                    "result": rings.results[-1],
                    "items": len(query.dense),
                    "keep": keep,
                }
            )
        )
    image.write(rings.submissions, b"".join(blobs))
    return rings


def _entry(values: dict[str, Any]) -> bytes:
    return int(fmt.SUBMISSION.const(values).as_bits()).to_bytes(fmt.SUBMISSION_BYTES, "little")


class _Registers:
    """Register writes and reads by name."""

    def __init__(self, config: Config, job: Job) -> None:
        self.table: dict[str, Register] = {r.name: r for r in register_table(config)}
        self.job = job

    def address(self, name: str, index: int = 0) -> int:
        register = self.table[name]
        return register.offset + 4 * register.words * index

    def write(self, name: str, value: int, index: int = 0) -> int:
        """Write all words of an element; returns the step of the last write."""
        step = 0
        for word in range(self.table[name].words):
            step = self.job.write(
                self.address(name, index) + 4 * word, value >> 32 * word & 0xFFFFFFFF
            )
        return step

    def read(self, name: str, index: int = 0, key: str | None = None) -> None:
        for word in range(self.table[name].words):
            self.job.read(self.address(name, index) + 4 * word, f"{key or name}.{index}.{word}")


def _value(values: dict[str, int], name: str, index: int = 0) -> int:
    low = values[f"{name}.{index}.0"]
    return low | values.get(f"{name}.{index}.1", 0) << 32


def _job(deployment: Deployment, rings: Rings, queries: int) -> tuple[Job, dict[str, int]]:
    """What the host does; returns the steps whose cycles count."""
    config = deployment.config
    job = Job()
    registers = _Registers(config, job)
    registers.read("CONFIG_HASH")
    for name, value in (
        ("SUBMISSION_BASE", rings.submissions),
        ("SUBMISSION_SIZE", rings.entries),
        ("COMPLETION_BASE", rings.completions),
        ("COMPLETION_SIZE", rings.entries),
        ("WINDOW_BASE", 0),
        ("WINDOW_LIMIT", 1 << config.address_bits - 1),
    ):
        registers.write(name, value)
    _partition(registers, deployment)
    registers.write("CONTROL", 0b10)  # irq_enable
    loads = len(deployment.loads)
    clear = (registers.address("IRQ_STATUS"), 0b11)
    tail = registers.address("COMPLETION_TAIL")
    steps = {"load": registers.write("SUBMISSION_TAIL", loads)}
    steps["loaded"] = job.wait_register(tail, loads, clear=clear)
    for name in ("READ_BEATS", "READ_BURSTS"):
        registers.read(name, key=f"before_{name}")
    job.write(*clear)
    steps["start"] = registers.write("SUBMISSION_TAIL", loads + queries)
    steps["end"] = job.wait_register(tail, loads + queries, clear=clear, timeout=1 << 30)
    for name, _ in COUNTERS:
        registers.read(name)
    for engine in deployment.partition.engines:
        registers.write("COUNTER_SELECT", engine.unit)
        for index in range(len(Cause)):
            registers.read("ENGINE_CYCLES", index, key=f"engine_{engine.unit}")
    job.dump(rings.completions, rings.entries * fmt.COMPLETION_BYTES, "completions")
    return job, steps


def _partition(registers: _Registers, deployment: Deployment) -> None:
    partition = deployment.partition
    for name, bits, values in (
        ("PARTITION", 2, partition.levels),
        (
            "ENGINE_STAGES",
            4,
            [
                partition.stage_mask(u, len(deployment.models))
                for u in range(deployment.config.sub_arrays)
            ],
        ),
    ):
        per_word = 32 // bits
        for word in range(-(-len(values) // per_word)):
            part = values[word * per_word : (word + 1) * per_word]
            registers.write(name, sum(v << bits * i for i, v in enumerate(part)), word)


def run_rtl(
    config: Config,
    spec: Pipeline,
    partition: Partition,
    workload: Workload,
    expected: list[QueryResult],
    args: argparse.Namespace,
    progress: Callable[[str], None] = _NO_REPORT,
) -> dict[str, Any]:
    """Simulate and compare; returns the run's keys.

    Raises
    ------
    UserError
        Something does not fit, or the simulator is missing.
    """
    image = MemoryImage(limit=MEMORY_LIMIT)
    cache = plan_cache(config, workload.quantised, workload.counts)
    deployment = deploy(
        config, partition=partition, models=workload.quantised, cache=cache, image=image
    )
    rings = submissions(deployment, image, workload)
    queries = len(workload.queries)
    job, steps = _job(deployment, rings, queries)
    for number, address in enumerate(rings.results):
        size = -(-8 * spec.stages[-1].keep // config.axi_bytes) * config.axi_bytes
        job.dump(address, size, f"results.{number}")
    waves = _waves(args)
    build = build_device(
        config,
        simulator=args.simulator,
        memory_bytes=image.size + 4096,
        waves=None if waves is None else waves.file.suffix,
        waves_depth=args.waves_depth,
        progress=progress,
    )
    progress(f"simulating {queries} queries")
    started = time.perf_counter()
    outcome = run_job(build, job, image=image.to_bytes(), seed=args.seed, waves=waves)
    wall = time.perf_counter() - started
    values = outcome.result.values
    if _value(values, "CONFIG_HASH") != config.hash:
        raise UserError(
            f"the device has configuration {_value(values, 'CONFIG_HASH'):08x}, "
            f"{config.name} is {config.hash:08x}"
        )
    completions = _completions(
        outcome.result.memory["completions"], len(deployment.loads) + queries
    )
    _check_status(completions)
    records = {name: _records(config, name, raw) for name, raw in outcome.traces.items()}
    jobs = decode_jobs(records["jobs"])
    results = [
        np.frombuffer(outcome.result.memory[f"results.{q}"], "<i4").reshape(-1, 2)[
            : spec.stages[-1].keep
        ]
        for q in range(queries)
    ]
    difference = _compare(deployment, jobs, records, expected, results)
    lookups = _lookups(deployment, workload, expected, records["lookups"], values)
    difference = difference or lookups
    cycles = outcome.result.cycles
    total = cycles[steps["end"]] - cycles[steps["start"]]
    load_cycles = cycles[steps["loaded"]] - cycles[steps["load"]]
    if args.cold:
        total += load_cycles
    useful = macs(spec, workload, queries)
    beats = _value(values, "READ_BEATS") - _value(values, "before_READ_BEATS")
    return {
        "bit_exact": difference is None,
        "difference": None if difference is None else str(difference),
        "cycles": total,
        "cycles_per_query": total / queries,
        "clock_mhz": config.clock_mhz,
        "microseconds_per_query": total / queries / config.clock_mhz,
        "load_cycles": load_cycles,
        "wall_s": wall,
        "mac_utilization": useful / (config.pes * total),
        "mac_utilization_bound": utilization_bound(config, spec, workload, deployment.maps),
        "stages": _stages(
            spec, deployment, jobs, records["causes"], completions, cycles[steps["end"]]
        ),
        "embedding": {
            "lookups": _value(values, "LOOKUPS"),
            "static_hits": _value(values, "HITS"),
            "lookahead_hits": 0,
            "misses": _value(values, "MISSES"),
            "merged": 0,
            "prefetches": 0,
            "dram_reads": _value(values, "READ_BURSTS") - _value(values, "before_READ_BURSTS"),
            "dram_bytes": beats * config.axi_bytes,
        },
        "interaction_multipliers": sum(
            config.interaction_multipliers_at(e.row, e.column) for e in partition.engines
        ),
        "quality": quality(workload, [r[:, 0] for r in results]),
        "counters": {name.lower(): _value(values, name) for name, _ in COUNTERS}
        | {
            f"engine_{e.unit}": {
                cause.name.lower(): _value(values, f"engine_{e.unit}", cause.value)
                for cause in Cause
            }
            for e in partition.engines
        },
        "top": [{"item": int(i), "score": int(s)} for i, s in results[0]],
    }


def _waves(args: argparse.Namespace) -> Waves | None:
    """The waves asked for."""
    path: Path | None = args.waves
    if path is None:
        return None
    window = None
    if args.waves_window is not None:
        try:
            first, last = (int(part) for part in args.waves_window.split(":"))
        except ValueError:
            raise UserError(f"--waves-window must be FROM:TO, not {args.waves_window!r}") from None
        window = (first, last)
    return Waves(file=path, window=window)


def _completions(blob: bytes, count: int) -> list[Any]:
    size = fmt.COMPLETION_BYTES
    return [
        fmt.COMPLETION.from_bits(int.from_bytes(blob[i * size : (i + 1) * size], "little"))
        for i in range(count)
    ]


def _check_status(completions: Sequence[Any]) -> None:
    """Every entry must have ended well: the driver made them all."""
    for number, completion in enumerate(completions):
        if completion.status != fmt.Status.OK:
            name = fmt.Status(completion.status).name
            raise UserError(f"the device completed entry {number} with status {name}")


def _records(config: Config, name: str, raw: NDArray[np.void]) -> Records:
    """Trace records with their fields taken out of the payload."""
    port = next(p for p in trace_ports(config) if p.name == name)
    payload = np.zeros((len(raw), -(-raw["payload"].shape[1] // 8) * 8), np.uint8)
    payload[:, : raw["payload"].shape[1]] = raw["payload"]
    words = payload.view("<u8")
    fields: dict[str, NDArray[Any]] = {}
    for key, field in port.payload:
        if field.width > 64:
            start = field.offset // 8
            shift = field.offset % 8
            wide = payload[:, start : start + field.width // 8 + 1].astype(np.uint16)
            low = wide[:, :-1] >> shift | wide[:, 1:] << (8 - shift)
            fields[key] = low.astype(np.uint8).view(np.int8)
            continue
        index, shift = divmod(field.offset, 64)
        value = words[:, index] >> np.uint64(shift)
        if shift + field.width > 64:
            value |= words[:, index + 1] << np.uint64(64 - shift)
        value = (value & np.uint64((1 << field.width) - 1)).astype(np.int64)
        if key == "value":  # signed
            value -= (value >> (field.width - 1) & 1) << field.width
        fields[key] = value
    return Records(
        cycle=raw["cycle"].astype(np.int64), source=raw["source"].astype(np.int64), fields=fields
    )


def _compare(
    deployment: Deployment,
    jobs: Jobs,
    records: dict[str, Records],
    expected: list[QueryResult],
    results: list[NDArray[np.int32]],
) -> Difference | None:
    """First difference of all queries, or None."""
    traces = new_traces(deployment, [[len(s.items) for s in r.stages] for r in expected])
    decode_columns(deployment, jobs, records["columns"], traces)
    decode_interaction(deployment, jobs, records["interaction"], traces)
    decode_survivors(jobs, records["survivors"], traces)
    for golden, stages, result in zip(expected, traces, results, strict=True):
        layers = []
        for number, trace in enumerate(stages):
            named = dict(trace.layers)
            last = f"top.{len(deployment.models[number].top) - 1}"
            named["score"] = named.pop(last)[:, 0]
            layers.append(named)
        # The filter speaks of positions in the stage's list of items.
        survivors = [
            stage.items[trace.survivors] for stage, trace in zip(golden.stages, stages, strict=True)
        ]
        difference = compare_queries(
            golden,
            items=result[:, 0].astype(np.uint32),
            scores=result[:, 1].astype(np.int16),
            layers=layers,
            survivors=survivors,
        )
        if difference is not None:
            return difference
    return None


def _lookups(
    deployment: Deployment,
    workload: Workload,
    expected: list[QueryResult],
    lookups: Records,
    values: dict[str, int],
) -> str | None:
    """Compare every lookup's outcome, as a multiset, and the counters with the cache model."""
    want = []
    cache = deployment.cache
    if cache is None:
        return None
    for query, result in zip(workload.queries, expected, strict=True):
        for program, stage in enumerate(result.stages):
            ids = query.ids[stage.items]
            hits = cache.hits(program, ids)
            table = program * 64 + np.arange(ids.shape[1])
            key = (np.broadcast_to(table, ids.shape).astype(np.int64) << 32 | ids) << 1 | hits
            want.append(key.ravel())
    expected_keys = np.sort(np.concatenate(want))
    got = np.sort((lookups["table"] << 32 | lookups["id"]) << 1 | lookups["hit"])
    if len(got) != len(expected_keys):
        return f"lookups: expected {len(expected_keys)}, got {len(got)}"
    wrong = np.flatnonzero(got != expected_keys)
    if len(wrong):
        key = int(expected_keys[wrong[0]])
        return (
            f"lookups: table {key >> 33}, id {key >> 1 & 0xFFFFFFFF}: expected "
            f"{'hit' if key & 1 else 'miss'}, got another outcome"
        )
    hits = int((expected_keys & 1).sum())
    counted = (_value(values, "LOOKUPS"), _value(values, "HITS"))
    if counted != (len(expected_keys), hits):
        return f"lookup counters: expected {(len(expected_keys), hits)}, got {counted}"
    return None


def _stages(
    spec: Pipeline,
    deployment: Deployment,
    jobs: Jobs,
    causes: Records,
    completions: Sequence[Any],
    end: int,
) -> list[dict[str, Any]]:
    """Per stage: cycles of the first query, and engine cycles of all queries by cause."""
    first = completions[len(deployment.loads)]
    counts = _cause_cycles(deployment, jobs, causes, end)
    out = []
    for number, stage in enumerate(spec.stages):
        by_cause = {c.name.lower(): int(counts[number, c.value]) for c in Cause}
        out.append(
            {
                "name": stage.model,
                "items_in": stage.items,
                "items_out": stage.keep,
                "cycles": int(first.stage_cycles[number]),
                "busy_cycles": by_cause.pop("busy"),
                "stall_cycles": by_cause,
            }
        )
    return out


def _cause_cycles(
    deployment: Deployment, jobs: Jobs, causes: Records, end: int
) -> NDArray[np.int64]:
    """Engine cycles by [stage, cause]: a cycle belongs to the stage whose row blocks were sent last."""
    starts = jobs.records.cycle
    change = np.flatnonzero(np.diff(jobs.query * 8 + jobs.stage, prepend=-1))
    edges = np.append(starts[change], end)
    stage_of = jobs.stage[change]
    counts = np.zeros((len(deployment.models), len(Cause)), np.int64)
    for engine in deployment.partition.engines:
        mine = causes.where(causes.source == engine.unit)
        times = np.concatenate([[0], mine.cycle])
        kinds = np.concatenate([[Cause.IDLE.value], mine["cause"]])
        grid = np.unique(np.concatenate([times, edges]))
        grid = grid[(grid >= edges[0]) & (grid <= edges[-1])]
        kind = kinds[np.searchsorted(times, grid[:-1], side="right") - 1]
        stage = stage_of[np.searchsorted(edges, grid[:-1], side="right") - 1]
        np.add.at(counts, (stage, kind), np.diff(grid))
    return counts
