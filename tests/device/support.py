"""A tiny device with small models, driven entry by entry; all cases share one compiled bench."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver import host as host_side
from driver.cache_plan import plan_cache
from driver.check import compare_traces, read_records
from driver.deploy import deploy
from driver.device import build_device
from driver.host import Host, PlacedQuery
from driver.image import MEMORY_LIMIT, MemoryImage
from driver.inputs import make_workload
from driver.partition import parse_partition
from driver.result_plan import plan_results
from driver.traces import Records
from driver.workload import Workload
from golden.filter import FunnelRules
from golden.model import ModelShape, random_model
from golden.pipeline import WHOLE, QueryResult, run_integer
from hdl import program as fmt
from hdl.config import preset
from sim.runner import Build, Memory, Outcome, run_job

__all__ = [
    "Case",
    "Played",
    "device",
    "small_workload",
    "smallest_workload",
    "three_stage_workload",
]

CONFIG = preset("tiny")
ROWS = (3, 60, 17, 40, 9)
"""Rows of the embedding tables."""
ITEMS, KEEP = 24, (7, 3)


@cache
def device(simulator: str = "verilator") -> Build:
    """The tiny device; the same build that ``rpaccel run`` uses."""
    return build_device(
        CONFIG,
        simulator=simulator,
        memory_bytes=0,
        waves=None,
        waves_depth=None,
        progress=lambda text: None,
    )


def _workload(
    shapes: Sequence[ModelShape], *, items: int, keep: Sequence[int], queries: int
) -> Workload:
    """Random models and inputs."""
    rng = np.random.default_rng(11)
    rows = np.array(shapes[0].rows)

    def inputs(count: int) -> tuple[NDArray[Any], NDArray[Any]]:
        dense = rng.normal(0, 1, (count, shapes[0].dense_features)).astype(np.float32)
        # Squares of uniform numbers: low ids are frequent, so the static cache has hits and misses.
        return dense, (rng.random((count, len(rows))) ** 2 * rows).astype(np.uint32)

    return make_workload(
        models=[random_model(shape, seed=n) for n, shape in enumerate(shapes)],
        keep=keep,
        queries=[inputs(items) for _ in range(queries)],
        calibration=inputs(200),
    )


@cache
def small_workload() -> Workload:
    """Two stages (``dot``, then ``cat``); the second one's weights do not fit a single engine."""
    shapes = (
        ModelShape(name="front", width=4, bottom=(6, 12, 4), top=(10, 1), rows=ROWS),
        ModelShape(
            name="back", width=8, bottom=(6, 72, 40, 8), top=(20, 1), rows=ROWS, interaction="cat"
        ),
    )
    return _workload(shapes, items=ITEMS, keep=KEEP, queries=3)


@cache
def three_stage_workload() -> Workload:
    """Three small stages."""
    shapes = (
        ModelShape(name="front", width=4, bottom=(6, 12, 4), top=(10, 1), rows=ROWS),
        ModelShape(name="middle", width=4, bottom=(6, 20, 4), top=(9, 1), rows=ROWS),
        ModelShape(
            name="back", width=8, bottom=(6, 24, 8), top=(12, 1), rows=ROWS, interaction="cat"
        ),
    )
    return _workload(shapes, items=ITEMS, keep=(11, 6, 4), queries=3)


@cache
def smallest_workload() -> Workload:
    """For Icarus, which simulates a few hundred cycles a second."""
    rows = ROWS[:2]
    shapes = (
        ModelShape(name="front", width=4, bottom=(3, 4), top=(3, 1), rows=rows),
        ModelShape(name="back", width=8, bottom=(3, 6, 8), top=(1,), rows=rows, interaction="cat"),
    )
    return _workload(shapes, items=6, keep=(3, 2), queries=1)


@dataclass(frozen=True, kw_only=True)
class Played:
    """What a simulation brought back."""

    outcome: Outcome
    completions: list[Any]
    records: dict[str, Records]

    @property
    def values(self) -> dict[str, int]:
        return self.outcome.result.values

    def register(self, name: str, index: int = 0) -> int:
        return host_side.register_value(self.values, name, index)

    def results(self, query: PlacedQuery) -> NDArray[np.int32]:
        return host_side.results(self.outcome.result, query, f"results.{query.entry}")

    def status(self, entry: int) -> fmt.Status:
        return fmt.Status(self.completions[entry].status)

    def since(self, cycle: int) -> dict[str, Records]:
        """The events from a cycle on."""
        return {name: r.where(r.cycle >= cycle) for name, r in self.records.items()}


class Case:
    """Models deployed on the device; queries and steps are added by the test.

    Parameters
    ----------
    workload
        Models, and queries to choose from.
    partition
        Engines.
    cached
        False: an empty static cache, so that every lookup reads device memory.
    fractions
        What each stage of pipeline 0 may forward early.
    pipelines
        Programs of each pipeline's stages; None: one pipeline of all models.
    held
        Finished DHE vectors, at most.
    """

    def __init__(
        self,
        workload: Workload | None = None,
        *,
        partition: str = "fused",
        cached: bool = True,
        entries: int = 60,
        fractions: Sequence[Sequence[int]] = (),
        pipelines: Sequence[Sequence[int]] | None = None,
        held: int = 0,
    ) -> None:
        self.workload = workload or small_workload()
        self.keep = [stage.keep for stage in self.workload.pipeline.stages]
        self.image = MemoryImage(limit=MEMORY_LIMIT)
        models = self.workload.quantised
        counts = self.workload.counts
        if not cached:
            counts = [[np.zeros_like(c) for c in stage] for stage in counts]
        stages = max(len(programs) for programs in pipelines) if pipelines else len(models)
        self.deployment = deploy(
            CONFIG,
            partition=parse_partition(CONFIG, partition, stages=stages),
            models=models,
            cache=plan_cache(CONFIG, models, counts),
            image=self.image,
            fractions=fractions,
            pipelines=pipelines,
            results=plan_results(CONFIG, [model.shape for model in models], counts, held),
        )
        self.host = Host(self.deployment, self.image, entries=entries)
        self.placed: list[PlacedQuery] = []

    def query(
        self,
        number: int,
        *,
        ids: NDArray[np.uint32] | None = None,
        keep: Sequence[int] | None = None,
        rules: FunnelRules = WHOLE,
        **changes: Any,
    ) -> PlacedQuery:
        """Place a query of the workload, with other ids, or changed fields of its entry."""
        query = self.workload.queries[number]
        placed = self.host.put_query(
            query.dense, query.ids if ids is None else ids, keep or self.keep, rules, **changes
        )
        self.placed.append(placed)
        return placed

    def golden(
        self,
        number: int,
        *,
        ids: NDArray[np.uint32] | None = None,
        stages: int | None = None,
        items: int | None = None,
        keep: Sequence[int] | None = None,
        rules: FunnelRules = WHOLE,
        pipeline: int = 0,
    ) -> QueryResult:
        """What a query of the workload, or its first ``items`` items, must give."""
        query = self.workload.queries[number]
        return run_integer(
            [self.workload.quantised[p] for p in self.deployment.pipelines[pipeline]][:stages],
            (keep or self.keep)[:stages],
            query.dense[:items],
            (query.ids if ids is None else ids)[:items],
            rules=rules,
            keep_layers=True,
            bad_ids_as_zero=True,
        )

    def start(self) -> None:
        """Steps: set up and load everything."""
        self.host.open()
        self.host.ring(self.host.loads)
        self.host.wait(self.host.loads, timeout=200_000)

    def finish(self) -> None:
        """Steps: bring completions and results back."""
        self.host.dump_completions()
        for query in self.placed:
            self.host.dump_results(query, f"results.{query.entry}")

    def play(
        self, *, memory: Memory | None = None, simulator: str = "verilator", seed: int = 1
    ) -> Played:
        """Simulate the steps."""
        outcome = run_job(
            device(simulator),
            self.host.job,
            image=self.image.to_bytes(),
            memory=memory,
            seed=seed,
            time_limit=300,
        )
        return Played(
            outcome=outcome,
            completions=host_side.completions(outcome.result, self.host.entries),
            records=read_records(CONFIG, outcome.traces),
        )

    def run(self, **words: Any) -> Played:
        """Load, run all entries, bring everything back."""
        self.start()
        self.host.ring()
        self.host.wait(timeout=1_000_000)
        self.host.read_counters()
        self.finish()
        return self.play(**words)

    def difference(
        self,
        played: Played,
        queries: Sequence[tuple[PlacedQuery, QueryResult]],
        *,
        since: int = 0,
        stages: int | None = None,
        pipelines: Sequence[int] | None = None,
    ) -> str | None:
        """First difference of these queries, the only ones from cycle ``since`` on."""
        deployment = self.deployment
        if stages is not None:
            deployment = replace(
                deployment, models=deployment.models[:stages], pipelines=(tuple(range(stages)),)
            )
        return compare_traces(
            deployment,
            played.since(since),
            [golden for _, golden in queries],
            [played.results(placed) for placed, _ in queries],
            pipelines,
        )
