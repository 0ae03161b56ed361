"""The partition search: which cut of the grid ranks a pipeline's items in the fewest cycles.

Every candidate is weighed by a few additions a row block (``blocks``); the best of them and the
fused grid then go through the timing model, on a shortened query when the pipeline is long.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from golden.pipeline import run_integer
from hdl.config import Config

from .blocks import choose_rows, stage_cycles
from .errors import UserError
from .mapping import map_engine, row_blocks
from .maps import StageShape
from .partition import Partition, parse_partition
from .rtl import plan_run
from .stage_shapes import stage_shape
from .workload import Workload

__all__ = ["Candidate", "candidates", "search_facts", "search_partition"]

TRIED = 4
"""Candidates that go through the timing model, besides the fused grid."""
ITEMS = 1024
"""Items of the query that the timing model sees; a longer one is cut to these."""


@dataclass(kw_only=True)
class Candidate:
    """A cut that was looked at."""

    partition: Partition
    estimate: int | None = None
    """Cycles of all stages, weights and tables in place; None where the models do not fit."""
    cycles: int | None = None
    """What the timing model says of the (shortened) query; None where it was not asked."""
    reason: str | None = None
    """Why the models do not fit."""


def _sizes(config: Config) -> Iterator[str]:
    """Cuts into engines that serve any stage: every number of engines of every size."""
    edges = [config.sub_array << level for level in range(config.levels)]

    def fill(level: int, left: int) -> Iterator[list[str]]:
        area = 4**level
        for count in range(left // area if level else left, -1, -1):
            head = [f"{edges[level]}x{edges[level]}:{count}"] if count else []
            if level == 0:
                yield head
                return
            for tail in fill(level - 1, left - count * area):
                yield head + tail

    for parts in fill(config.levels - 1, config.sub_arrays):
        yield ",".join(parts)


def _shares(config: Config, stages: int) -> Iterator[str]:
    """Cuts that give each stage engines of one size on some quarters of the grid."""
    edges = [config.sub_array << level for level in range(config.levels - 1)]
    for quarters in itertools.product(range(1, 5), repeat=stages):
        if sum(quarters) != 4:
            continue
        for sizes in itertools.product(edges, repeat=stages):
            counts = [
                q * (config.edge // 2 // e) ** 2 for q, e in zip(quarters, sizes, strict=True)
            ]
            yield ",".join(
                f"{edge}x{edge}:{count}@{stage}"
                for stage, (edge, count) in enumerate(zip(sizes, counts, strict=True))
            )


def candidates(config: Config, stages: int) -> list[Partition]:
    """What the search looks at; the fused grid comes first."""
    texts = ["fused"]
    if config.features.fission and config.grid > 1:
        texts += list(_sizes(config))[1:]
        if stages > 1:
            texts += _shares(config, stages)
    return [parse_partition(config, text, stages=stages) for text in texts]


def _estimate(
    config: Config, partition: Partition, shapes: dict[int, StageShape], items: list[int]
) -> int:
    """Cycles of all stages by ``stage_cycles``; UserError where something does not fit."""
    most: dict[int, int] = {}
    for e in partition.engines:
        programs = {n: s for n, s in shapes.items() if e.serves(n)}
        for n, rows in row_blocks(config, programs, config.sub_array << e.level).items():
            most[n] = min(rows, most.get(n, rows))
    kinds: dict[tuple[int, int, frozenset[int] | None], Any] = {}  # equal engines are mapped once
    streamed: dict[int, dict[Any, int]] = {n: {} for n in shapes}
    for e in partition.engines:
        kind = (e.level, config.largest_level_at(e.row, e.column), e.stages)
        if kind not in kinds:
            programs = {n: s for n, s in shapes.items() if e.serves(n)}
            kinds[kind] = map_engine(
                config, row=e.row, column=e.column, level=e.level, programs=programs, rows=most
            )
        for n in kinds[kind].stages:
            streamed[n][e] = kinds[kind].streamed_tiles(n)
    total = 0
    for n, shape in shapes.items():
        rows = choose_rows(config, shape, streamed[n], [items[n]], most[n])
        total += stage_cycles(config, shape, streamed[n], [items[n]], rows)
    return total


def _shortened(workload: Workload) -> Workload:
    """The first query, cut to ``ITEMS`` items."""
    spec = workload.pipeline
    items = min(ITEMS, spec.stages[0].items)
    query = workload.queries[0]
    labels = None if query.labels is None else query.labels[:items]
    cut = replace(
        query,
        dense=query.dense[:items],
        dense_float=query.dense_float[:items],
        ids=query.ids[:items],
        labels=labels,
    )
    return replace(workload, pipeline=spec.scaled(items), queries=[cut])


def search_partition(
    config: Config, workload: Workload, progress: Callable[[str], None]
) -> tuple[Partition, list[Candidate]]:
    """Find the partition with the fewest cycles for a workload's queries.

    Returns
    -------
    The partition, and every candidate: those of the timing model first, best first, then the rest
    by estimate, then what does not fit.

    Raises
    ------
    UserError
        The models fit no candidate; the message is that of the fused grid.
    """
    from .timing import predict

    shapes = {n: stage_shape(model) for n, model in enumerate(workload.quantised)}
    items = [stage.items for stage in workload.pipeline.stages]
    found = [Candidate(partition=p) for p in candidates(config, len(shapes))]
    for candidate in found:
        try:
            candidate.estimate = _estimate(config, candidate.partition, shapes, items)
        except UserError as error:
            candidate.reason = str(error)
    fitting = [c for c in found if c.estimate is not None]
    if not fitting:
        raise UserError(found[0].reason or "no partition")
    fitting.sort(key=lambda c: c.estimate or 0)
    tried = fitting[:TRIED] + [c for c in fitting[TRIED:] if c is found[0]]
    progress(f"partition search: {len(found)} candidates, {len(tried)} by the timing model")
    short = _shortened(workload)
    keep = [stage.keep for stage in short.pipeline.stages]
    query = short.queries[0]
    expected = [run_integer(short.quantised, keep, query.dense, query.inputs, keep_layers=False)]
    for candidate in tried:
        plan = plan_run(config, candidate.partition, short)
        candidate.cycles = predict(plan, short, expected).cycles

    def rank(candidate: Candidate) -> tuple[bool, int, bool, int]:
        cycles, guess = candidate.cycles, candidate.estimate
        return cycles is None, cycles or 0, guess is None, guess or 0

    found.sort(key=rank)
    return found[0].partition, found


def search_facts(workload: Workload, found: list[Candidate]) -> dict[str, Any]:
    """The search as the result of a run carries it."""
    items = workload.pipeline.stages[0].items
    return {
        "chosen": found[0].partition.text,
        "items": min(ITEMS, items),
        "items_of_query": items,
        "candidates": [
            {
                "partition": c.partition.text,
                "cycles": c.cycles,
                "estimate": c.estimate,
                "reason": c.reason,
            }
            for c in found
        ],
    }
