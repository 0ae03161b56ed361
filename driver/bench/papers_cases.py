"""What the papers' comparisons ask of the timing model, so that it is timed side by side first."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from golden.shape import REPRESENTATIONS
from hdl.config import Config

from ..errors import UserError
from ..pipelines import PIPELINES
from ..schedule.devices import Device, pipeline_cases
from ..schedule.timed import Case, interval_cases
from . import papers_published as published
from .papers_devices import pipeline_case
from .papers_mprec import points, representation
from .papers_serving import (
    cuts,
    devices,
    named,
    parts,
    reference_partition,
    scaled_case,
    single_case,
)
from .papers_work import utilization_cases

__all__ = ["paper_cases"]


def _on(args: argparse.Namespace, config: Config, cut: str | None, name: str) -> list[Case]:
    device = Device(config=config, partition=cut)
    case = pipeline_case(device, named(args, name), max_rows=args.max_rows, seed=args.seed)
    return interval_cases(case)


def _baseline(args: argparse.Namespace) -> list[Case]:
    _, config = devices(args)
    (stage,) = named(args, "kaggle-1").stages
    whole = Device(config=config, partition=None)
    return interval_cases(single_case(whole, stage.model, stage.items, args))


def _ablation(args: argparse.Namespace) -> list[Case]:
    config, base = devices(args)
    two = named(args, "kaggle-2")
    found = _baseline(args)
    for stage in two.stages:
        whole = Device(config=base, partition=None)
        found += interval_cases(single_case(whole, stage.model, stage.items, args))
    for _, changed, cut, count in parts(config):
        case = pipeline_case(
            Device(config=changed, partition=cut), two, sub_batches=count, max_rows=args.max_rows,
            seed=args.seed,
        )  # fmt: skip
        found += interval_cases(case)
    return found


def _latency(args: argparse.Namespace) -> list[Case]:
    config, _ = devices(args)
    cut = reference_partition(config)
    funnels = (_on(args, config, cut, f"kaggle-{n}") for n in (1, 2, 3))
    return _baseline(args) + [case for cases in funnels for case in cases]


def _partitions(args: argparse.Namespace) -> list[Case]:
    config, _ = devices(args)
    return [case for cut in cuts(config).values() for case in _on(args, config, cut, "kaggle-2")]


def _scaled(args: argparse.Namespace) -> list[Case]:
    found = []
    for name in published.MODEL_SCALING:
        memory, items = (float(part) for part in name.split("/"))
        for spec in ("kaggle-1", "kaggle-2"):
            try:
                found.append(scaled_case(args, spec, memory, items))
            except UserError:  # which the figure says
                continue
    return found


def _data_sets(args: argparse.Namespace) -> list[Case]:
    config, _ = devices(args)
    names = [f"{data}-{n}" for data in ("kaggle", "movielens1m", "movielens20m") for n in (1, 2, 3)]
    cut = reference_partition(config)
    return [case for name in names if name in PIPELINES for case in _on(args, config, cut, name)]


def _representations(args: argparse.Namespace) -> list[Case]:
    config, _ = devices(args)
    device = Device(config=config, partition=reference_partition(config))
    items = points(args)
    specs = (representation(name, items) for name in REPRESENTATIONS)
    return [
        case
        for spec in specs
        for case in pipeline_cases(device, spec, items, max_rows=args.max_rows, seed=args.seed)
    ]


_LISTED: dict[str, Callable[[argparse.Namespace], list[Case]]] = {
    "5": _ablation,
    "10a": lambda args: list(utilization_cases(args).values()),
    "12": _latency,
    "12-partitions": _partitions,
    "13": _scaled,
    "14": _data_sets,
    "mp-rec": _representations,
}


def paper_cases(names: Sequence[str], args: argparse.Namespace) -> list[Case]:
    """Cases of the comparisons, each once or more; those of one that cannot be made are left out.

    Raises
    ------
    ConfigError
        A preset without a baseline.
    """
    found = []
    for name in names:
        try:
            found += _LISTED[name](args) if name in _LISTED else []
        except UserError:  # which the comparison itself says
            continue
    return found
