"""RecPipe's figures of models and units: work saved (1c), quality (3), utilisation (10a), filter
(10b), cache split (10c)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from golden.model import named_shape

from ..cache_split import split_curve
from ..pipelines import pipeline
from ..schedule.devices import stage_pipeline
from ..schedule.funnel_quality import shipped_items
from ..schedule.timed import Case, timed
from ..workload import load_workload
from . import papers_published as published
from .funnel_quality import all_scores, policy_rows
from .papers_devices import padded_cycles
from .papers_serving import devices
from .table import table_text

__all__ = ["figure_1c", "figure_3", "figure_10a", "figure_10b", "figure_10c",
           "utilization_cases"]  # fmt: skip

Progress = Callable[[str], None]
_POLICY_QUERIES = 10


def figure_1c(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """MACs and embedding bytes of one stage over those of two, by survivors of the first."""
    del progress
    small, large = named_shape("RMsmall"), named_shape("RMlarge")
    items = args.items or 4096
    rows = []
    for survivors in (256, 512, 1024):
        kept = round(survivors * items / 4096)
        two = small.macs * items + large.macs * kept
        bytes_two = (small.width * items + large.width * kept) * small.sparse_features
        rows.append(
            {
                "survivors": kept,
                "compute": f"{large.macs * items / two:.2f}",
                "memory": f"{large.width * small.sparse_features * items / bytes_two:.2f}",
                "bound_compute": f"{large.macs / small.macs:.2f}",
                "bound_memory": f"{large.width / small.width:.2f}",
                "published": f"{published.WORK_SAVED['compute']} and "
                f"{published.WORK_SAVED['memory']}" if survivors == 512 else None,
            }
        )  # fmt: skip
    columns = {
        "survivors": "survivors", "compute": "MACs saved", "memory": "bytes saved",
        "bound_compute": "no survivors: MACs", "bound_memory": "bytes", "published": "published",
    }  # fmt: skip
    words = (
        "Not confirmed: 7.5 times less compute at 512 survivors comes out only without the first "
        "layer of the top MLP and the interaction. Confirmed: 4.0 times fewer bytes."
    )
    return {"rows": rows, "text": f"{table_text(columns, rows)}\n{words}"}


def figure_3(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Quality by funnel on the shipped held-out items: int8 scores, two ideals."""
    del args
    items = shipped_items(progress)
    funnels = [(("RMsmall", n),) for n in (256, 512, 1024, 2048, 4096)]
    funnels += [(("RMmed", 4096),)]
    funnels += [(("RMlarge", n),) for n in (256, 1024, 2048, 4096)]
    longer: list[tuple[tuple[str, int], ...]] = [
        *funnels,
        (("RMsmall", 4096), ("RMlarge", 128)),
        (("RMsmall", 4096), ("RMlarge", 512)),
        (("RMsmall", 4096), ("RMmed", 512), ("RMlarge", 128)),
    ]
    rows = []
    for funnel in longer:
        first, rest = funnel[0], funnel[1:]
        name = " > ".join([first[0], *(f"{model}:{n}" for model, n in rest)])
        theirs = published.NDCG.get(name, {}).get(first[1])
        rows.append(
            {
                "funnel": name,
                "items": first[1],
                "ndcg": f"{100 * items.quality(funnel, 64):.2f}",
                "all_positive": f"{100 * items.quality(funnel, 64, all_positive=True):.2f}",
                "published": None if theirs is None else f"{theirs:.2f}",
            }
        )
    columns = {
        "funnel": "funnel", "items": "items", "ndcg": "NDCG@64 [%]",
        "all_positive": "ideal of 64 positives [%]", "published": "published [%]",
    }  # fmt: skip
    words = (
        "Shipped data and models, not Criteo; the published items were very likely training data. "
        "What carries over is the shape: quality rises with the items ranked, and a funnel keeps "
        "that of its last model."
    )
    return {"rows": rows, "text": f"{table_text(columns, rows)}\n{words}"}


def utilization_cases(args: argparse.Namespace) -> dict[tuple[int, str], Case]:
    """By engine edge and model: the model alone on the grid cut into engines of one size."""
    config, _ = devices(args)
    found = {}
    for level in range(config.levels - 1, -1, -1):
        edge = config.sub_array << level
        for model in ("RMsmall", "RMmed", "RMlarge"):
            spec = stage_pipeline([(model, args.items or 4096)], interaction="cat")
            found[edge, model] = Case(
                config=config, pipeline=spec, partition=f"{edge}x{edge}:{(config.edge // edge)**2}",
                max_rows=args.max_rows, seed=args.seed,
            )  # fmt: skip
    return found


def figure_10a(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """MAC utilisation of each model on the grid cut into engines of one size."""
    config, _ = devices(args)
    rows: dict[int, dict[str, Any]] = {}
    for (edge, model), case in utilization_cases(args).items():
        progress(f"{model}-cat on {case.partition}")
        found = timed(case)
        row = rows.setdefault(edge, {"edge": edge})
        theirs = published.UTILIZATION.get(edge)
        row[model] = f"{100 * found.mac_utilization:.1f}"
        row[f"{model} bound"] = f"{100 * found.mac_utilization_bound:.1f}"
        place = ("RMsmall", "RMmed", "RMlarge").index(model)
        row[f"{model} published"] = None if theirs is None else f"{theirs[place]:.1f}"
        row[f"{model} padded"] = padded_cycles(config, case.pipeline, edge)
    columns = {"edge": "engine edge"}
    for model in ("RMsmall", "RMmed", "RMlarge"):
        columns |= {model: f"{model} [%]", f"{model} bound": "padding allows",
                    f"{model} published": "published"}  # fmt: skip
    words = (
        "Ours: the whole query on the whole grid, records, gathers, interaction and results "
        "included; published: the layers' cycles on one array of that size, nothing else."
    )
    listed = list(rows.values())
    return {"rows": listed, "text": f"{table_text(columns, listed)}\n{words}"}


def figure_10b(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """What the filter keeps: exact, and the paper's bins, by sub-batches."""
    spec = pipeline("demo-2")
    progress(f"{spec.name}: {_POLICY_QUERIES} queries, golden models")
    workload = load_workload(spec, queries=_POLICY_QUERIES, max_rows=10_000, seed=args.seed)
    rows = [
        {key: f"{v:.4f}" if isinstance(v, float) else v for key, v in row.items()}
        for row in policy_rows(workload, all_scores(workload), (4,))
    ]
    columns = {
        "policy": "policy", "sub_batches": "sub-batches", "bins": "bin width",
        "first_recall": "recall of stage 0", "recall": "recall", "ndcg": "NDCG@16",
        "ranked": "items ranked later",
    }  # fmt: skip
    words = (
        "Published: 16 bins, no loss of quality, a couple of hundred cycles. Bound: recall 1, "
        "reached by policy exact, which is what this device does; bins hand more items over. "
        "Cycles of the selection: `rpaccel bench funnel`."
    )
    return {"rows": rows, "text": f"{table_text(columns, rows)}\n{words}"}


def figure_10c(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Access time by the front end's share of the static cache."""
    config, _ = devices(args)
    spec = pipeline("kaggle-2").scaled(args.items)
    progress(f"{spec.name}: every split of the static cache of {config.name}")
    workload = load_workload(spec, queries=1, max_rows=args.max_rows, seed=args.seed)
    points = split_curve(config, workload)
    widths = [model.shape.width for model in workload.quantised]
    rows = []
    for point in points:
        used = [sets * width for sets, width in zip(point.sets, widths, strict=True)]
        rows.append(
            {
                "sets": "+".join(map(str, point.sets)),
                "share": f"{used[0] / max(1, sum(used)):.2f}",
                "hits": " / ".join(f"{100 * rate:.1f}" for rate in point.hit_rates),
                "cycles": f"{point.access_cycles:.2f}",
                "loaded": "yes" if point.chosen else None,
            }
        )
    columns = {
        "sets": "sets a lane", "share": "front end's share", "hits": "hits by stage [%]",
        "cycles": "access [cycles]", "loaded": "loaded",
    }  # fmt: skip
    theirs = ", ".join(f"{share}: {value}" for share, value in published.SPLIT_ACCESS.items())
    best = min(point.access_cycles for point in points)
    words = (
        f"Published access cycles by share: {theirs}. Bound: one cycle, all hits. Ours, best "
        f"{best:.2f}: rows of their own width, packed, so the front end needs a small share "
        "(synthetic ids, Zipf 1.05)."
    )
    return {"rows": rows, "text": f"{table_text(columns, rows)}\n{words}"}
