"""Words of the command line about platforms and schedules: ``platform``, ``schedule``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_schedule_commands"]

Add = Callable[[str, Callable[[argparse.Namespace], dict[str, Any]], str], argparse.ArgumentParser]


def add_schedule_commands(add: Add, positive: Callable[[str], int]) -> None:
    """Add the words to the command line; parameters as of ``add_data_commands``."""
    _add_platform(add, positive)
    _add_schedule(add, positive)


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _add_platform(add: Add, positive: Callable[[str], int]) -> None:
    parser = add("platform", _platform, "time or measure a platform and write its profile")
    parser.add_argument("platform", metavar="PLATFORM",
        help="PRESET, PRESET/PARTITION, cpu or cuda (measured on this machine)")  # fmt: skip
    option = parser.add_argument
    option("--model", metavar="NAME", action="append",
        help="may be repeated (RMsmall, RMmed, RMlarge)")  # fmt: skip
    option("--items", metavar="N,N,..", type=_numbers, help="points of the curves")
    option("--transfer", choices=["pcie", "dma", "none"], default="dma",
        help="host costs of a device: RecPipe's, or a DMA engine's (dma)")  # fmt: skip
    option("--clock", choices=["wall", "cpu"], default="wall",
        help="of measurements: wall time or processor time (wall)")  # fmt: skip
    option("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    option("--seed", metavar="N", type=int, default=1, help="seed of models and queries (1)")
    option("--out", metavar="FILE", type=Path, help="profile to write")


def _platform(args: argparse.Namespace) -> dict[str, Any]:
    from driver.schedule.platform_command import platform_command

    return platform_command(args, _progress)


def _add_schedule(add: Add, positive: Callable[[str], int]) -> None:
    parser = add("schedule", _schedule, "search models, items and platforms for a load and an SLA")
    option = parser.add_argument
    option("--pipeline-space", metavar="SPACE", required=True,
        help="kaggle, kaggle-items, demo, or a JSON file")  # fmt: skip
    option("--load", metavar="QPS", type=float, required=True, help="queries a second")
    option("--sla-ms", metavar="MS", type=float, required=True, help="target of p99")
    option("--platform", metavar="NAME", action="append", default=[],
        help="PRESET, PRESET/PARTITION, cpu, cuda, a profile's file; repeat it")  # fmt: skip
    option("--transfer", choices=["pcie", "dma", "none"], default="dma",
        help="host costs of devices: RecPipe's, or a DMA engine's (dma)")  # fmt: skip
    option("--clock", choices=["wall", "cpu"], default="wall", help="of measurements (wall)")
    option("--arrivals", choices=["poisson", "bursty", "diurnal"], default="poisson")
    option("--quality", metavar="X", type=float,
        help="NDCG that is good enough (0.002 below the best inside the SLA)")  # fmt: skip
    option("--trials", metavar="N", type=positive,
        help="mappings that a multi-objective search looks at (all)")  # fmt: skip
    option("--queries", metavar="N", type=positive, default=20_000, help="simulated (20000)")
    option("--seed", metavar="N", type=int, default=1, help="of models, queries, search (1)")
    option("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    option("--refine", metavar="N", type=int, default=4,
        help="best mappings that are timed as a whole (4)")  # fmt: skip
    option("--workers", metavar="N", type=positive, help="processes (one a core)")
    option("--cluster", metavar="ADDRESS", help="Dask scheduler, such as tcp://host:8786")
    option("--study", metavar="FILE", type=Path, help="results, kept and taken up again")
    option("--report", metavar="FILE", type=Path, help="write a report as HTML")


def _schedule(args: argparse.Namespace) -> dict[str, Any]:
    from driver.schedule.schedule import ScheduleOptions, schedule

    options = ScheduleOptions(
        space=args.pipeline_space,
        load=args.load,
        sla_ms=args.sla_ms,
        platforms=tuple(args.platform),
        transfer=args.transfer,
        clock=args.clock,
        law=args.arrivals,
        quality=args.quality,
        trials=args.trials,
        queries=args.queries,
        seed=args.seed,
        max_rows=args.max_rows,
        refine=args.refine,
        workers=args.workers,
        cluster=args.cluster,
        study=args.study,
        report=args.report,
    )
    return schedule(options, _progress)
