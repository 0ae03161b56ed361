"""RecPipe's figures of devices under load: the baseline and its bound, the ablation (5), latency
against load and partitions (12), larger models (13)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hdl.config import Config, preset

from ..errors import UserError
from ..pipelines import Pipeline, pipeline
from ..schedule.devices import Device, stage_pipeline
from ..schedule.timed import Case, interval_cycles, timed
from . import papers_published as published
from .papers_devices import (
    Served,
    Timed,
    ablation_config,
    bound_cycles,
    on_baseline,
    on_device,
    padded_cycles,
    stage_case,
    tail_ms,
    time_pipeline,
)
from .table import table_text

__all__ = [
    "cuts", "devices", "figure_5", "figure_12", "figure_12_partitions", "figure_13", "named",
    "parts", "reference_partition", "scaled_case", "single_case",
]  # fmt: skip

Progress = Callable[[str], None]
RATES = (200.0, 400.0, 1000.0, 2000.0)
SLA_OF_BASELINE = 2.0
"""SLA over the baseline's latency alone."""
STRONG = 1.2
"""Latency over the bound that a baseline worth comparing with has at most."""
GOALS = {"p99": 1 / 3, "load": 5.0, "published": 1 / 5}


def devices(args: argparse.Namespace) -> tuple[Config, Config]:
    """The preset and its baseline: the same sizes, features off."""
    config = preset(args.preset)
    name = "baseline" if config.name == "paper" else f"{config.name}-baseline"
    return config, preset(name)


def reference_partition(config: Config) -> str:
    """Sixteen equal engines (four of a small grid), any engine any stage."""
    edge = max(config.edge // 4, config.sub_array)
    return f"{edge}x{edge}:{(config.edge // edge) ** 2}"


def named(args: argparse.Namespace, name: str) -> Pipeline:
    """A pipeline by name, from so many items as are asked for."""
    return pipeline(name).scaled(args.items)


def single_case(device: Device, model: str, items: int, args: argparse.Namespace) -> Case:
    """A stage alone, on the items of a query of one stage."""
    return Case(
        config=device.config, pipeline=replace(stage_pipeline([(model, items)]), name=model),
        partition=device.partition, max_rows=args.max_rows, seed=args.seed,
        drawn_items=named(args, "kaggle-1").stages[0].items,
    )  # fmt: skip


def _stage(
    device: Device, model: str, items: int, args: argparse.Namespace
) -> tuple[str, int, float, float]:
    """A stage alone, with the interval of queries that follow."""
    return (model, items, *interval_cycles(single_case(device, model, items, args)))


def baseline_facts(args: argparse.Namespace) -> dict[str, Any]:
    """The baseline's one stage beside its bound, alone and in a row."""
    _, config = devices(args)
    spec = named(args, "kaggle-1")
    device = Device(config=config, partition=None)
    items = spec.stages[0].items
    model, _, latency, interval = _stage(device, spec.stages[0].model, items, args)
    case = stage_case(device, spec, max_rows=args.max_rows, seed=args.seed)
    bytes_read = timed(case).dram_bytes
    bound, what = bound_cycles(config, spec, config.edge, bytes_read)
    return {
        "model": model,
        "items": items,
        "cycles": latency,
        "interval_cycles": interval,
        "bound_cycles": bound,
        "bound": what,
        "ratio": latency / bound,
        "strong": latency / bound <= STRONG,
    }


def baselines(
    args: argparse.Namespace, transfer: str, facts: dict[str, Any]
) -> tuple[Served, Served]:
    """The baseline as it is, and one at its bound: no device of its MACs and bytes is faster."""
    _, config = devices(args)
    device = Device(config=config, partition=None)
    model, items = facts["model"], facts["items"]
    real = (model, items, facts["cycles"], facts["interval_cycles"])
    ideal = (model, items, facts["bound_cycles"], facts["bound_cycles"])
    return (
        on_baseline("baseline", device, [real], transfer),
        on_baseline("baseline at its bound", device, [ideal], transfer),
    )


def _funnels(args: argparse.Namespace, progress: Progress) -> list[tuple[str, Timed]]:
    """One, two and three stages on the reference partition."""
    config, _ = devices(args)
    device = Device(config=config, partition=reference_partition(config))
    found = []
    for name in ("kaggle-1", "kaggle-2", "kaggle-3"):
        progress(f"{name} on {device.name}")
        spec = named(args, name)
        found.append((name, time_pipeline(device, spec, max_rows=args.max_rows, seed=args.seed)))
    return found


def figure_12(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Latency against load, and what the issue must reach, with both models of host costs."""
    progress("baseline")
    facts = baseline_facts(args)
    funnels = _funnels(args, progress)
    text, rows, goals = [], [], []
    for transfer in ("pcie", "dma"):
        weak, ideal = baselines(args, transfer, facts)
        served = [weak, ideal, *(on_device(name, found, transfer) for name, found in funnels)]
        slas = {base.name: SLA_OF_BASELINE * base.alone for base in (weak, ideal)}
        mine = []
        for each in served:
            row: dict[str, Any] = {"name": each.name, "transfer": transfer}
            row["alone"] = f"{1e3 * each.alone:.3f}"
            tails = {rate: each.run(rate) for rate in RATES}
            row |= {f"{rate:g}": tail_ms(p99) for rate, p99 in tails.items()}
            row["most"] = f"{each.most[0]:.0f}"
            row["limited_by"] = each.most[1]
            row |= {f"sla {name}": f"{each.highest(s):.0f}" for name, s in slas.items()}
            row["p99_s"] = {f"{rate:g}": p99 for rate, p99 in tails.items()}
            mine.append(row)
        rows += mine
        goals += _goals(transfer, served, slas)
        columns = {"name": "", "alone": "alone [ms]"}
        columns |= {f"{rate:g}": f"p99 at {rate:g}/s [ms]" for rate in RATES}
        columns |= {"most": "most/s"}
        columns |= {f"sla {name}": f"most/s at SLA {1e3 * s:.2f} ms" for name, s in slas.items()}
        text += [f"host transfers: {transfer}", table_text(columns, mine), ""]
    text += [_baseline_text(facts), "", *(goal["text"] for goal in goals), "", _published_12()]
    return {"baseline": facts, "rows": rows, "goals": goals, "text": "\n".join(text)}


def _baseline_text(facts: dict[str, Any]) -> str:
    words = "within" if facts["strong"] else "NOT within"
    return (
        f"baseline: {facts['cycles']:.0f} cycles, bound {facts['bound_cycles']:.0f} "
        f"({facts['bound']}), ratio {facts['ratio']:.2f}: {words} {STRONG:g}. The second baseline "
        "takes the bound itself as its service time: no monolithic array of its MACs and bytes "
        "is faster, so gains over it are a lower limit."
    )


def _goals(transfer: str, served: list[Served], slas: dict[str, float]) -> list[dict[str, Any]]:
    """What must be reached, against both baselines."""
    best = [s for s in served if s.name in ("kaggle-2", "kaggle-3")]
    if not best:
        return []
    found = []
    tails = {s.name: s.run(200.0) for s in served}
    top = min((t for s in best if (t := tails[s.name]) is not None), default=None)
    for base in served[:2]:
        base_tail = tails[base.name]
        if top is not None and base_tail is not None:
            found.append(
                _goal(f"{transfer}: p99 at 200/s over that of the {base.name}", top / base_tail,
                      GOALS["p99"], False)
            )  # fmt: skip
        sla = slas[base.name]
        low = base.highest(sla)
        high = max(s.highest(sla) for s in best)
        if low > 0:
            found.append(
                _goal(f"{transfer}: load at twice the latency of the {base.name}, over its own",
                      high / low, GOALS["load"], True)
            )  # fmt: skip
    if transfer == "pcie" and top is not None:
        share = 1e3 * top / published.PUBLISHED_200_MS
        found.append(
            _goal("pcie: p99 at 200/s over the published 2.1 ms", share, GOALS["published"], False)
        )
    return found


def _goal(what: str, value: float, goal: float, larger: bool) -> dict[str, Any]:
    reached = value >= goal if larger else value <= goal
    words = "reached" if reached else "MISSED"
    side = "at least" if larger else "at most"
    return {
        "what": what, "value": value, "goal": goal, "reached": reached,
        "text": f"{what}: {value:.3f} (goal {side} {goal:.3f}): {words}",
    }  # fmt: skip


def _published_12() -> str:
    lines = ["published p99 [ms] by queries/s:"]
    for name, points in published.FIGURE_12.items():
        words = ", ".join(f"{rate}: {value}" for rate, value in points.items())
        lines.append(f"  {name}: {words}")
    return "\n".join(lines)


def cuts(config: Config) -> dict[str, str]:
    """Partitions of two halves, one for each stage, by what they are called; and a shared one.

    Raises
    ------
    UserError
        The grid has too few sub-arrays.
    """
    large, small, least = config.edge // 2, config.edge // 4, config.edge // 8
    if small < config.sub_array:
        raise UserError(f"{config.name} cannot be cut into quarters of quarters")
    found = {
        "8,2": f"{small}x{small}:8@0,{large}x{large}:2@1",
        "8,8": f"{small}x{small}:8@0,{small}x{small}:8@1",
        # Sixteen squares of half the array do not exist in a quad tree: twice as many quarters.
        "8,32": f"{small}x{small}:8@0,{least}x{least}:32@1",
        "shared": reference_partition(config),
    }
    if least < config.sub_array:
        del found["8,32"]
    return found


def figure_12_partitions(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Two stages on three cuts, half of the array for each stage."""
    config, _ = devices(args)
    spec = named(args, "kaggle-2")
    rates = (250.0, 1000.0, 1333.0, 4000.0)
    rows = []
    for name, partition in cuts(config).items():
        progress(f"kaggle-2 on {partition}")
        device = Device(config=config, partition=partition)
        found = time_pipeline(device, spec, max_rows=args.max_rows, seed=args.seed)
        served = on_device(name, found, "pcie")
        theirs = published.PARTITIONS.get("8,16" if name == "8,32" else name, {})
        rows.append(
            {"cut": name, "partition": partition, "cycles": found.latency,
             "interval": found.interval, "most": f"{served.most[0]:.0f}",
             "limited_by": served.most[1]}
            | {f"{rate:g}": tail_ms(served.run(rate)) for rate in rates}
            | {"published": ", ".join(f"{r}: {v}" for r, v in theirs.items()) or None}
        )  # fmt: skip
    columns = {
        "cut": "cut", "partition": "partition", "cycles": "alone [cycles]",
        "interval": "one more [cycles]",
    }  # fmt: skip
    columns |= {f"{rate:g}": f"p99 at {rate:g}/s [ms]" for rate in rates}
    columns |= {"most": "most/s", "published": "published, by queries/s [ms]"}
    return {"rows": rows, "text": table_text(columns, rows)}


def parts(config: Config) -> list[tuple[str, Config, str | None, int]]:
    """Steps of the ablation that keep all stages on the device: configuration, cut, sub-batches."""
    cut = reference_partition(config)
    return [
        ("filter on chip", ablation_config(config, fission=False, look_ahead=False), None, 1),
        ("cut array", ablation_config(config, look_ahead=False), cut, 1),
        ("look-ahead cache", config, cut, 1),
        ("all, 4 sub-batches", config, cut, 4),
    ]


def figure_5(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """What each part of RPAccel brings, the parts before it in place; host costs as published."""
    config, base = devices(args)
    one, two = named(args, "kaggle-1"), named(args, "kaggle-2")
    whole = Device(config=base, partition=None)
    facts = baseline_facts(args)
    (small, first), (large, second) = ((s.model, s.items) for s in two.stages)
    progress("two stages on the baseline, the host between them")
    steps: list[tuple[str, Served, float, str]] = [
        ("baseline, one stage", baselines(args, "pcie", facts)[0], facts["cycles"], "fused"),
    ]
    stages = [_stage(whole, small, first, args), _stage(whole, large, second, args)]
    steps.append(
        ("two stages in software", on_baseline("software", whole, stages, "pcie"),
         sum(stage[2] for stage in stages), "fused")
    )  # fmt: skip
    for name, changed, partition, count in parts(config):
        progress(f"{name}: {changed.name} {partition or 'fused'}")
        device = Device(config=changed, partition=partition)
        found = time_pipeline(
            device, two, sub_batches=count, max_rows=args.max_rows, seed=args.seed
        )
        served = on_device(name, found, "pcie")
        steps.append((name, served, found.latency, partition or "fused"))
    rows: list[dict[str, Any]] = []
    for name, served, cycles, partition in steps:
        spec = one if name == "baseline, one stage" else two
        edge = config.edge if partition == "fused" else max(config.edge // 4, config.sub_array)
        theirs = published.ABLATION.get("all" if name.startswith("all") else name)
        rows.append(
            {
                "step": name, "partition": partition, "cycles": cycles,
                "bound": padded_cycles(config, spec, edge), "alone": f"{1e3 * served.alone:.3f}",
                "times": f"{steps[0][1].alone / served.alone:.2f}",
                "most": f"{served.most[0]:.0f}", "limited_by": served.most[1],
                "published": None if theirs is None
                else f"{published.ABLATION['baseline, one stage'] / theirs:.2f}",
            }
        )  # fmt: skip
    columns = {
        "step": "step", "partition": "partition", "cycles": "device [cycles]",
        "bound": "MACs, padded [cycles]", "alone": "alone, with host [ms]",
        "times": "times faster", "published": "published", "most": "most/s",
        "limited_by": "limited by",
    }  # fmt: skip
    return {"rows": rows, "text": table_text(columns, rows)}


def scaled_case(args: argparse.Namespace, name: str, memory: float, items: float) -> Case:
    """A pipeline with so many times the rows and items; what memory lacks is on an SSD.

    Raises
    ------
    UserError
        More items than a query may have.
    """
    config, _ = devices(args)
    spec = named(args, name)
    mine = spec.scaled(round(spec.stages[0].items * items))
    kept = replace(mine.stages[-1], keep=spec.stages[-1].keep)
    return Case(
        config=config, pipeline=replace(mine, stages=(*mine.stages[:-1], kept)),
        partition=reference_partition(config), max_rows=round(args.max_rows * memory),
        seed=args.seed, table_dram=_table_bytes(named(args, "kaggle-2"), args.max_rows),
    )  # fmt: skip


def figure_13(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Larger models: more rows of tables, more items; what device memory lacks is on an SSD."""
    config, _ = devices(args)
    rows = []
    for name, theirs in published.MODEL_SCALING.items():
        memory, items = (float(part) for part in name.split("/"))
        row: dict[str, Any] = {"scale": name}
        for label, spec in (("one", "kaggle-1"), ("two", "kaggle-2")):
            progress(f"{spec}: {items:g} times the items, {memory:g} times the rows")
            try:
                found = timed(scaled_case(args, spec, memory, items))
            except UserError as error:
                row[label], row[f"{label}_note"] = None, str(error)
                continue
            row[label] = f"{found.cycles / config.clock_mhz / 1e3:.4f}"
        row["published"] = f"{theirs[0]} and {theirs[1]}"
        rows.append(row)
    columns = {
        "scale": "memory/items", "one": "one stage [ms]", "two": "two stages [ms]",
        "published": "published p99 at 500/s [ms]",
    }  # fmt: skip
    notes = [row[key] for row in rows for key in ("one_note", "two_note") if key in row]
    return {"rows": rows, "text": "\n".join([table_text(columns, rows), *dict.fromkeys(notes)])}


def _table_bytes(spec: Pipeline, max_rows: int) -> int:
    """Bytes of all tables of a pipeline at scale 1: what device memory holds."""
    from golden.model import named_shape

    total = 0
    for stage in spec.stages:
        shape = named_shape(stage.model, max_rows=max_rows)
        total += sum(shape.rows) * shape.width
    return total
