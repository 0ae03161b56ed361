"""RecPipe's figures across platforms: CPU mappings (7, 8), data sets by load (14)."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import UserError
from ..load.profile import PlatformProfile
from ..pipelines import PIPELINES, pipeline
from ..schedule.devices import Device
from ..schedule.mapping import Mapping, Placed, stations
from ..schedule.platforms import machine_profile, platform
from . import papers_published as published
from .papers_devices import Served, on_device, tail_ms, time_pipeline
from .papers_serving import devices, reference_partition
from .table import table_text

__all__ = ["figure_7", "figure_14"]

Progress = Callable[[str], None]
Stages = Sequence[tuple[str, int]]


def kaggle_stages(name: str, items: int | None) -> list[tuple[str, int]]:
    """Models and items of a pipeline of Criteo's."""
    return [(stage.model, stage.items) for stage in pipeline(name).scaled(items).stages]


def neumf_stages(name: str, items: int | None) -> list[tuple[str, int]]:
    """Models and items of one of MovieLens'."""
    stages = pipeline(name).stages
    # ``items`` is of Criteo's 4096: the others shrink as much.
    counts = [stage.items for stage in stages]
    scaled = [n if items is None else max(1, round(n * items / 4096)) for n in counts]
    return [(stage.model, n) for stage, n in zip(stages, scaled, strict=True)]


def cpu_profile(args: argparse.Namespace, stages: Sequence[Stages], progress: Progress) -> Any:
    """This machine's CPU for these models and items, measured once and kept."""
    models = list(dict.fromkeys(model for part in stages for model, _ in part))
    items = sorted({n for part in stages for _, n in part})
    return machine_profile(
        "cpu", models, items=items, max_rows=args.max_rows, clock="cpu", progress=progress
    )


def on_host(name: str, stages: Stages, profile: PlatformProfile) -> Served:
    """All stages on the cores of a host."""
    placed = tuple(Placed(model, items, profile.name) for model, items in stages)
    mapping = Mapping(placed, min(64, stages[-1][1]))
    return Served(name, stations(mapping, {profile.name: profile}), stages[0][1])


def figure_7(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """One, two and three stages on this machine's CPU; a GPU where there is one or a profile."""
    funnels = [kaggle_stages(f"kaggle-{n}", args.items) for n in (1, 2, 3)]
    profile = cpu_profile(args, funnels, progress)
    served = [on_host(f"{n} stages", f, profile) for n, f in zip((1, 2, 3), funnels, strict=True)]
    one = served[0]
    rate = 0.8 * one.most[0]
    rows = []
    for number, each in zip((1, 2, 3), served, strict=True):
        theirs = published.CPU_TAIL_MS[number]
        rows.append(
            {
                "stages": number,
                "alone": f"{1e3 * each.alone:.2f}",
                "p99": tail_ms(each.run(rate)),
                "most": f"{each.most[0]:.1f}",
                "gain": f"{each.most[0] / one.most[0]:.2f}",
                "published": ", ".join(f"{r}: {v}" for r, v in theirs.items()),
            }
        )
    columns = {
        "stages": "stages", "alone": "alone [ms]", "p99": f"p99 at {rate:.1f}/s [ms]",
        "most": "most/s", "gain": "of one stage", "published": "published p99, 64 cores [ms]",
    }  # fmt: skip
    words = [
        f"{profile.conditions['machine']}, {profile.servers} servers, one pinned thread each, "
        "processor time; compared at 80 % of what one stage can do here. Published: two stages "
        "4.0 times below one at 500/s, three no better than two.",
    ]
    words += _gpu(args, funnels, progress)
    return {"rows": rows, "text": "\n".join([table_text(columns, rows), *words])}


def _gpu(args: argparse.Namespace, funnels: Sequence[Stages], progress: Progress) -> list[str]:
    """Fig. 8, where a GPU can be had."""
    source = args.gpu or "cuda"
    models = ["RMsmall", "RMmed", "RMlarge"]
    items = sorted({n for part in funnels for _, n in part})
    try:
        gpu = platform(source, models, transfer="pcie", items=items, progress=progress)
    except UserError as error:
        return [f"Fig. 8 (CPU + GPU) is not reproduced: {error}. See --gpu FILE."]
    lines = ["GPU alone:"]
    for number, funnel in zip((1, 2, 3), funnels, strict=True):
        each = on_host(f"{number} stages", funnel, gpu)
        lines.append(f"  {number} stages: {1e3 * each.alone:.3f} ms, at most {each.most[0]:.0f}/s")
    return lines


def figure_14(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Three data sets, three loads, one to three stages, CPU and device."""
    sets = {
        "criteo": [kaggle_stages(f"kaggle-{n}", args.items) for n in (1, 2, 3)],
        **{
            data: [neumf_stages(f"{data}-{n}", args.items) for n in (1, 2, 3)]
            for data in ("movielens1m", "movielens20m")
        },
    }
    config, _ = devices(args)
    device = Device(config=config, partition=reference_partition(config))
    rows, notes = [], []
    for data, funnels in sets.items():
        host = cpu_profile(args, funnels, progress)
        cpu = [on_host(f"{data}-{n}", f, host) for n, f in zip((1, 2, 3), funnels, strict=True)]
        mine: list[Served | None] = []
        for number in (1, 2, 3):
            name = f"kaggle-{number}" if data == "criteo" else f"{data}-{number}"
            if name not in PIPELINES:
                notes.append(f"{name}: no pipeline of this device yet")
                mine.append(None)
                continue
            progress(f"{name} on {device.name}")
            spec = pipeline(name).scaled(args.items)
            try:
                found = time_pipeline(device, spec, max_rows=args.max_rows, seed=args.seed)
            except UserError as error:
                notes.append(f"{name}: {error}")
                mine.append(None)
                continue
            mine.append(on_device(name, found, "pcie"))
        for rate, theirs in published.DATA_SETS[data].items():
            rows.append(
                {
                    "data": data,
                    "rate": rate,
                    "cpu": " / ".join(tail_ms(each.run(rate)) for each in cpu),
                    "cpu_published": _published(theirs["cpu"]),
                    "device": " / ".join(
                        "-" if each is None else tail_ms(each.run(rate)) for each in mine
                    ),
                    "device_published": _published(theirs["rpaccel"]),
                }
            )
    columns = {
        "data": "data", "rate": "queries/s", "cpu": "CPU, 1/2/3 stages [ms]",
        "cpu_published": "published", "device": "device [ms]", "device_published": "published",
    }  # fmt: skip
    words = [
        f"p99 with exponential gaps; host transfers as published; x: load not met. CPU: "
        f"{host.servers} cores of {host.conditions['machine']}, published: 64 cores; "
        f"device {device.name}.",
        *dict.fromkeys(notes),
    ]
    return {"rows": rows, "text": "\n".join([table_text(columns, rows), *words])}


def _published(values: Sequence[float | None]) -> str:
    return " / ".join("x" if value is None else f"{value:g}" for value in values)
