"""Cycles of a pipeline on a device by the timing model, kept on disk.

A run of `paper` takes seconds, a search asks for hundreds: every answer is stored under a hash of
all that it depends on, the sources of the models included, so a sweep goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from hdl.config import Config, ConfigError
from sim.build import cache_folder

from ..errors import UserError
from ..options import RunOptions
from ..partition import parse_partition
from ..pipelines import Pipeline
from ..workload import Workload, load_workload
from .pool import sweep

__all__ = [
    "Case", "Timing", "interval_cases", "interval_cycles", "sources_key", "time_all", "timed",
]  # fmt: skip

_SOURCES = ("golden", "hdl", "sim/timing")
_FEW = 4096
"""Items in all below which starting processes takes longer than timing them."""
INTERVAL_QUERIES = 4
"""Queries of a run that tells what one more costs."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is timed; all of it and the sources' hash are the key of the stored answer."""

    config: Config
    pipeline: Pipeline
    partition: str | None = None
    queries: int = 1
    in_flight: int | None = None
    sub_batches: int = 1
    max_rows: int = 10_000
    seed: int = 1
    table_dram: int | None = None
    """Bytes of device memory for tables, larger tables on an SSD; None: all in device memory."""
    drawn_items: int | None = None
    """Items that queries are drawn with before they are cut to the pipeline's; None: as many."""

    def key(self) -> str:
        """Name of the stored answer."""
        words = asdict(self) | {"sources": sources_key()}
        return hashlib.sha256(json.dumps(words, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What the timing model says."""

    cycles: int
    """First doorbell to last interrupt."""
    query_cycles: tuple[int, ...]
    stage_cycles: tuple[int, ...]
    """Of the first query."""
    busy_cycles: tuple[int, ...]
    """Engine cycles of all queries by stage."""
    mac_utilization: float
    mac_utilization_bound: float
    dram_bytes: int
    lookups: int
    static_hits: int
    look_ahead_hits: int
    load_cycles: int


@cache
def sources_key() -> str:
    """Hash of the sources that decide cycles."""
    root = Path(__file__).resolve().parents[2]
    paths = sorted((root / "driver").glob("*.py"))
    for folder in _SOURCES:
        paths += sorted((root / folder).rglob("*.py"))
    key = hashlib.sha256()
    for path in paths:
        key.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return key.hexdigest()[:20]


@lru_cache(maxsize=2)
def _drawn(spec: Pipeline, queries: int, max_rows: int, seed: int) -> Workload:
    return load_workload(spec, queries=queries, max_rows=max_rows, seed=seed)


def _workload(case: Case) -> Workload:
    """The case's queries, cut from longer ones where it says so."""
    spec, items = case.pipeline, case.pipeline.stages[0].items
    long = case.drawn_items or items
    if long < items:
        raise UserError(f"drawn_items must be at least the {items} items of a query, not {long}")
    # The shape of the funnel does not change what is drawn, the number of items does.
    stages = [replace(stage, items=long, keep=long) for stage in spec.stages]
    # As many queries as any case of an interval asks for: one after the other, so the first ones
    # are the same, and drawn once for both of its cases.
    count = max(case.queries, INTERVAL_QUERIES)
    drawn = _drawn(replace(spec, stages=tuple(stages)), count, case.max_rows, case.seed)
    queries = [
        replace(
            query,
            dense=query.dense[:items],
            dense_float=query.dense_float[:items],
            ids=query.ids[:items],
            labels=None if query.labels is None else query.labels[:items],
        )
        for query in drawn.queries[: case.queries]
    ]
    return replace(drawn, pipeline=spec, queries=queries)


def _folder() -> Path:
    return cache_folder() / "timings"


def timed(case: Case) -> Timing:
    """Time a case, or find it timed.

    Raises
    ------
    UserError
        The pipeline does not fit the device or the partition.
    """
    found = _stored(case)
    if found is None:
        found = _time(case)
        _store(case, found)
    return found


def _place(case: Case) -> Path:
    return _folder() / f"{case.key()}.json"


def _stored(case: Case) -> Timing | None:
    try:
        plain = json.loads(_place(case).read_text())
    except (OSError, ValueError):
        return None
    words: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in plain.items()}
    return Timing(**words)


def _store(case: Case, found: Timing) -> None:
    path = _place(case)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may time the same case at once.
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_text(json.dumps(asdict(found)))
    part.replace(path)


def time_all(
    cases: Iterable[Case],
    *,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> None:
    """Time cases side by side, so that `timed` finds them; each is kept as soon as it is known.

    A case that does not fit its device is passed over: `timed` says so when it is asked for.

    Parameters
    ----------
    workers, cluster
        As of `sweep`.
    progress
        Told of each case.
    """
    missing = {case.key(): case for case in cases}
    tasks = [case for case in missing.values() if _stored(case) is None]
    # The longest first, so that no process is left with one of them at the end.
    tasks.sort(key=_work, reverse=True)
    if sum(map(_work, tasks)) < _FEW:
        workers, cluster = 1, None
    if tasks:
        progress(f"timing model: {len(tasks)} runs, {len(missing) - len(tasks)} known")
    for done, (place, found) in enumerate(
        sweep(_answer, tasks, workers=workers, cluster=cluster), 1
    ):
        case = tasks[place]
        if found is not None and _stored(case) is None:  # a cluster's workers keep their own
            _store(case, found)
        words = f"{case.pipeline.name}, {case.pipeline.stages[0].items} items x {case.queries}"
        where = f"{case.config.name}/{case.partition or 'fused'}"
        progress(f"timed {done} of {len(tasks)}: {words} on {where}")


def _work(case: Case) -> int:
    return case.queries * sum(stage.items for stage in case.pipeline.stages)


def _answer(case: Case) -> Timing | None:
    try:
        return timed(case)
    except (UserError, ConfigError):
        return None


def _time(case: Case) -> Timing:
    from ..rtl import plan_run
    from ..rules import funnel_rules
    from ..run import check_size, golden_results
    from ..timing import run_timing

    config, spec = case.config, case.pipeline
    check_size(config, spec)
    options = RunOptions(
        preset=config.name,
        pipeline=spec.name,
        queries=case.queries,
        in_flight=case.in_flight,
        sub_batches=case.sub_batches,
        max_rows=case.max_rows,
        seed=case.seed,
        backend="timing",
        table_dram=case.table_dram,
    )
    partition = parse_partition(config, case.partition, stages=len(spec.stages))
    rules = funnel_rules(config, spec, options)
    workload = _workload(case)
    plan = plan_run(config, partition, workload, rules)
    expected = golden_results(workload, rules, keep_layers=False)
    found = run_timing(plan, workload, expected, options)
    stages: Sequence[dict[str, Any]] = found["stages"]
    embedding = found["embedding"]
    return Timing(
        cycles=found["cycles"],
        query_cycles=tuple(map(int, found["query_cycles"])),
        stage_cycles=tuple(int(stage["cycles"]) for stage in stages),
        busy_cycles=tuple(int(stage["busy_cycles"]) for stage in stages),
        mac_utilization=float(found["mac_utilization"]),
        mac_utilization_bound=float(found["mac_utilization_bound"]),
        dram_bytes=int(embedding["dram_bytes"]),
        lookups=int(embedding["lookups"]),
        static_hits=int(embedding["static_hits"]),
        look_ahead_hits=int(embedding["lookahead_hits"]),
        load_cycles=int(found["load_cycles"]),
    )


def interval_cases(case: Case, queries: int = INTERVAL_QUERIES) -> list[Case]:
    """What `interval_cycles` times."""
    return [replace(case, queries=1), replace(case, queries=queries)]


def interval_cycles(case: Case, queries: int = INTERVAL_QUERIES) -> tuple[float, float]:
    """Cycles of one query alone, and of each further one when they follow without a gap."""
    alone, together = (timed(each).cycles for each in interval_cases(case, queries))
    return float(alone), (together - alone) / (queries - 1)
