"""``rpaccel bench array``: what the array reaches, and what another partition costs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from golden.model import ModelShape
from hdl.config import Config, preset

from ..errors import UserError
from ..partition import Partition, legal_partitions, parse_partition
from ..pipelines import pipeline
from .changes import CHANGE_COLUMNS, measure_changes
from .layers import LAYER_COLUMNS, draw_shapes, measure_layer
from .models import (
    MODEL_CAUSES,
    MODEL_COLUMNS,
    draw_models,
    draw_partition,
    measure_model,
    reference_models,
)
from .table import table_text

__all__ = ["bench_array"]

Progress = Callable[[str], None]
Rows = list[dict[str, Any]]
CHANGING = pipeline("kaggle-2").scaled(64)
"""Its queries run before and after each change of partition."""


def _layers(config: Config, args: argparse.Namespace, progress: Progress) -> Rows:
    """Every engine size: the layer of 4 x 4 tiles and ``args.random`` random ones."""
    sizes = range(config.levels) if config.features.fission else [config.levels - 1]
    rows = []
    for level in sizes:
        for shape in draw_shapes(config, config.sub_array << level, args.random, args.seed):
            progress(f"{config.name}: {shape.inputs}x{shape.outputs} on {shape.edge}x{shape.edge}")
            rows.append(
                measure_layer(
                    config,
                    shape,
                    items=args.items,
                    simulator=args.simulator,
                    seed=args.seed,
                    progress=progress,
                )
            )
    return rows


def _chosen(names: list[str] | None) -> list[ModelShape]:
    """The reference models, or those asked for."""
    shapes = {f"{s.name}{'' if s.interaction == 'dot' else '-cat'}": s for s in reference_models()}
    for name in names or []:
        if name not in shapes:
            raise UserError(f"unknown model {name!r}; known models: {', '.join(shapes)}")
    return [shape for name, shape in shapes.items() if names is None or name in names]


def _models(config: Config, args: argparse.Namespace, progress: Progress) -> Rows:
    """Every legal partition with every model, then random models, each on a random partition."""
    partitions = (
        legal_partitions(config, up_to_symmetry=True)
        if args.partition is None
        else [parse_partition(config, text, stages=1) for text in args.partition]
    )
    cases: list[tuple[Partition, ModelShape]] = [
        (partition, shape) for shape in _chosen(args.model) for partition in partitions
    ]
    drawn = draw_models(args.random, args.seed)
    cases += [(draw_partition(config, n, args.seed), shape) for n, shape in enumerate(drawn)]
    rows = []
    for number, (partition, shape) in enumerate(cases, start=1):
        progress(f"{number}/{len(cases)}: {shape.name} {shape.interaction} on {partition.text}")
        rows.append(
            measure_model(
                config,
                partition,
                shape,
                items=args.model_items,
                simulator=args.simulator,
                seed=args.seed,
                progress=progress,
            )
        )
    return rows


def _changes(config: Config, args: argparse.Namespace, progress: Progress) -> Rows:
    """The whole grid, an engine a stage, singles, and back; or between those asked for."""
    half = config.edge // 2
    texts = args.partition or ["fused", f"{half}x{half}:1@0,{half}x{half}:3@1", "split", "fused"]
    if len(texts) < 2:
        texts = ["fused", *texts]
    return measure_changes(
        config, CHANGING, texts, max_rows=args.max_rows, simulator=args.simulator,
        seed=args.seed, progress=progress,
    )  # fmt: skip


def _worst(rows: Rows, name: str, place: str) -> str:
    row = min(rows, key=lambda row: row["utilization_of_bound"])
    return (
        f"worst: {row[name]} on {row[place]}, "
        f"{100 * row['utilization_of_bound']:.2f} % of what padding allows"
    )


def bench_array(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """One dense layer by shape and engine size, whole models by partition, changes of partition.

    Raises
    ------
    UserError, ConfigError
        A model, partition or preset that does not exist or does not fit.
    """
    config = preset(args.preset)
    _chosen(args.model)
    result: dict[str, Any] = {"bench": "array", "preset": config.name}
    result |= {"rows": [], "models": [], "changes": []}
    text = []
    if args.only in (None, "layers"):
        result["rows"] = rows = _layers(config, args, progress)
        text += [
            f"preset {config.name}: one dense layer, {args.items} items, simulated Verilog, "
            "bit-exact",
            table_text(LAYER_COLUMNS, rows),
            _worst(rows, "layer", "engine"),
        ]
    if args.only in (None, "models"):
        result["models"] = rows = _models(config, args, progress)
        text += [
            "" if text else f"preset {config.name}",
            f"both MLPs and the interaction, all rows cached, {args.model_items} items, "
            "simulated Verilog, bit-exact",
            table_text(MODEL_COLUMNS, rows),
            _worst(rows, "model", "partition"),
            "",
            "engine cycles by cause",
            table_text(MODEL_CAUSES, rows),
        ]
    if config.features.fission and args.only in (None, "changes"):
        result["changes"] = rows = _changes(config, args, progress)
        text += [
            "" if text else f"preset {config.name}",
            f"changes of partition between queries of {CHANGING.name}, {CHANGING.stages[0].items} "
            "items, simulated Verilog, bit-exact",
            table_text(CHANGE_COLUMNS, rows),
        ]
    return result | {"text": "\n".join(text)}
