"""Queries of a pipeline on a back end, compared with the golden model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from golden.filter import FunnelRules
from golden.pipeline import WHOLE, QueryResult, run_integer
from hdl.config import Config, preset
from sim import toolchain

from .cache_split import parse_split, split_curve
from .data.profile import load_profile
from .errors import UserError
from .hash_words import check_encoder
from .options import RunOptions
from .page import PageFacts, write_page
from .page.work import stage_work
from .partition import Partition, parse_partition
from .pipelines import Pipeline, fitted, pipeline
from .report import report_text
from .rules import funnel_rules
from .summary import quality, stage_items
from .workload import Workload, load_workload

if TYPE_CHECKING:
    from .rtl import Corrupt, Plan

__all__ = ["check_size", "golden_results", "run"]


def _silent(text: str) -> None:
    """Progress of a run that nobody watches."""


def golden_results(
    workload: Workload, rules: FunnelRules = WHOLE, *, keep_layers: bool
) -> list[QueryResult]:
    """Integer golden results of every query, from the original models and queries."""
    keep = [stage.keep for stage in workload.pipeline.stages]
    return [
        run_integer(
            workload.quantised,
            keep,
            query.dense,
            query.inputs,
            rules=rules,
            keep_layers=keep_layers,
        )
        for query in workload.queries
    ]


def run(
    options: RunOptions,
    *,
    workload: Workload | None = None,
    progress: Callable[[str], None] = _silent,
    corrupt: Corrupt | None = None,
) -> dict[str, Any]:
    """Run queries and compare.

    Parameters
    ----------
    options
        Preset, pipeline, back end and so on.
    workload
        The caller's own models and queries (``make_workload``), instead of a named pipeline.
    progress
        Takes a line of text now and then.
    corrupt
        Changes device memory before it is loaded: for tests of the comparison.

    Returns
    -------
    The keys of the contract, ``text`` for people and ``status``: 0 when all is equal, else 1.

    Raises
    ------
    UserError, ConfigError, SimulatorError
        Bad input.
    """
    config = preset(options.preset)
    if options.backend == "rtl":
        toolchain.check(options.simulator)
    spec = _pipeline(options, workload)
    spec, scaled = fitted(spec, config.edge)
    check_size(config, spec)
    funnel_rules(config, spec, options)  # refuses before the long work begins
    search = options.partition == "search"
    partition = parse_partition(
        config, None if search else options.partition, stages=len(spec.stages)
    )
    if workload is None:
        progress(f"{spec.name}: models and queries")
        workload = load_workload(
            spec, queries=options.queries, max_rows=options.max_rows, seed=options.seed
        )
        workload.notes += [scaled] if scaled else []
    split = None
    if options.cache_split is not None:
        split = parse_split(options.cache_split, len(spec.stages))
    if options.histogram is not None:
        workload.counts = [
            load_profile(options.histogram, model.shape.rows) for model in workload.quantised
        ]
    found = None
    if search:
        from .search import search_facts, search_partition

        partition, looked_at = search_partition(config, workload, progress)
        found = search_facts(workload, looked_at)
    rules = funnel_rules(config, spec, options, partition)
    result = _base(config, workload, partition, options) | {
        "sub_batches": rules.sub_batches,
        "partition_search": found,
    }
    plan: Plan | None = None
    expected: list[QueryResult] = []
    if options.backend == "golden":
        result |= _golden(workload, rules, progress)
    elif options.backend == "timing":
        from .rtl import plan_run
        from .timing import run_timing

        plan = plan_run(config, partition, workload, rules, split, options.mp_cache)
        expected = _expected(workload, rules, progress, keep_layers=False)
        progress(f"timing model: {len(plan.queries)} queries")
        result |= run_timing(plan, workload, expected, options)
    elif options.backend == "board":
        from .board.backend import run_board
        from .rtl import plan_run

        plan = plan_run(config, partition, workload, rules, split, options.mp_cache)
        expected = _expected(workload, rules, progress, keep_layers=False)
        result |= run_board(plan, workload, expected, options, progress)
    else:
        from .rtl import plan_run, run_rtl

        plan = plan_run(
            config, partition, workload, rules, split, options.mp_cache
        )  # refuses before the long work begins
        expected = _expected(workload, rules, progress, keep_layers=True)
        result |= run_rtl(plan, workload, expected, options, progress, corrupt)
    result["notes"] = workload.notes + (_warnings(workload) if plan else [])
    activity = result.pop("activity", None)
    if options.report is not None:
        facts = PageFacts(
            result=result,
            config=config,
            partition=partition,
            conditions=_conditions(options, rules.sub_batches),
            activity=activity,
            splits=split_curve(config, workload) if plan else (),
            work=stage_work(plan, workload, expected[0], activity) if plan and activity else (),
        )
        write_page(options.report, facts)
        progress(f"report: {options.report}")
    result["text"] = report_text(result)
    result["status"] = 0 if result["bit_exact"] in (True, None) else 1
    return result


def _warnings(workload: Workload) -> list[str]:
    """What is odd about models that the device runs all the same."""
    return [
        f"{model.shape.name}, {text}"
        for model in workload.quantised
        for feature, stack in enumerate(model.stacks)
        if stack is not None
        for text in check_encoder(feature, stack.encoder)
    ]


def _conditions(options: RunOptions, sub_batches: int) -> list[tuple[str, str]]:
    """Options that the figures depend on, in words."""
    return [
        ("seed", str(options.seed)),
        ("queries in flight", "all" if options.in_flight is None else str(options.in_flight)),
        ("policy", options.policy),
        ("sub-batches", str(sub_batches)),
        ("rows of a table", f"at most {options.max_rows}"),
        ("device memory", options.dram),
        ("loading", "counted in the cycles" if options.cold else "not counted in the cycles"),
    ]


def _pipeline(options: RunOptions, workload: Workload | None) -> Pipeline:
    if workload is not None:
        if options.pipeline is not None:
            raise UserError(f"give a workload or pipeline {options.pipeline!r}, not both")
        return workload.pipeline
    if options.pipeline is None:
        raise UserError("a pipeline or a workload is needed")
    return pipeline(options.pipeline).scaled(options.items)


def check_size(config: Config, spec: Pipeline) -> None:
    """Refuse a pipeline that the device cannot rank at all; UserError says why."""
    if spec.stages[0].items > config.max_items:
        raise UserError(
            f"{spec.name} ranks {spec.stages[0].items} items, {config.name} takes at most "
            f"{config.max_items}; see --items"
        )
    if len(spec.stages) > config.max_stages:
        raise UserError(
            f"{spec.name} has {len(spec.stages)} stages, {config.name} takes at most "
            f"{config.max_stages}"
        )
    if not config.features.on_chip_filter and len(spec.stages) > 1:
        raise UserError(
            f"{config.name} filters on the host and runs one stage; {spec.name} has "
            f"{len(spec.stages)}"
        )


def _expected(
    workload: Workload, rules: FunnelRules, progress: Callable[[str], None], *, keep_layers: bool
) -> list[QueryResult]:
    items = workload.pipeline.stages[0].items
    progress(f"golden model: {len(workload.queries)} queries of {items} items")
    return golden_results(workload, rules, keep_layers=keep_layers)


def _base(
    config: Config, workload: Workload, partition: Partition, options: RunOptions
) -> dict[str, Any]:
    spec = workload.pipeline
    return {
        "preset": config.name,
        "pipeline": spec.name,
        "partition": partition.text,
        "dram": options.dram,
        "backend": options.backend,
        "simulator": options.simulator if options.backend == "rtl" else None,
        "config_hash": f"{config.hash:08x}",
        "queries": len(workload.queries),
        "items": spec.stages[0].items,
        "policy": options.policy,
        "in_flight": options.in_flight or len(workload.queries),
        "stages": [
            {"name": stage.model, "items_in": stage.items, "items_out": stage.keep}
            for stage in spec.stages
        ],
    }


def _golden(
    workload: Workload, rules: FunnelRules, progress: Callable[[str], None]
) -> dict[str, Any]:
    started = time.perf_counter()
    expected = _expected(workload, rules, progress, keep_layers=False)
    seconds = time.perf_counter() - started
    absent = ("cycles", "cycles_per_query", "load_cycles", "mac_utilization")
    return dict.fromkeys(absent) | {
        "bit_exact": None,
        "wall_s": seconds,
        "mac_utilization_bound": None,
        "stages": stage_items(workload, expected),
        "embedding": None,
        "quality": quality(workload, [r.items for r in expected]),
        "counters": None,
        "top": [
            {"item": int(i), "score": int(s)}
            for i, s in zip(expected[0].items, expected[0].scores, strict=True)
        ],
    }
