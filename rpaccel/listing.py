"""``rpaccel presets`` and ``rpaccel pipelines``: what there is, with sizes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from driver.pipelines import PIPELINES
from hdl.config import PRESETS, Config

__all__ = ["pipelines", "presets"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, the first left-aligned, the others right-aligned."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]

    def line(cells: Sequence[str]) -> str:
        first, *rest = (
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join([first, *rest]).rstrip()

    return "\n".join(line(cells) for cells in [head, *rows])


def _size(count: int) -> str:
    """Bytes or counts with a binary prefix where it is exact."""
    for shift, unit in ((20, "M"), (10, "K")):
        if count >= 1 << shift and count % (1 << shift) == 0:
            return f"{count >> shift}{unit}"
    return str(count)


def _preset_row(config: Config) -> list[str]:
    off = [name for name, on in asdict(config.features).items() if not on]
    return [
        config.name,
        f"{config.grid}x{config.grid} x {config.sub_array}x{config.sub_array}",
        str(config.pes),
        str(config.rows),
        str(config.dot_multipliers),
        str(config.requantise_lanes),
        _size(config.weight_bytes),
        _size(config.activation_bytes),
        str(config.gather_lanes),
        str(config.lane_bytes),
        _size(config.static_cache_bytes),
        str(config.hash_lanes),
        f"{config.axi_data_bits} x {config.axi_channels}",
        str(config.reads_in_flight),
        _size(config.max_items),
        f"{config.clock_mhz:g}",
        "no " + ", ".join(off) if off else "",
    ]


def presets(args: argparse.Namespace) -> dict[str, Any]:
    """Every preset with its sizes."""
    del args
    head = (
        "preset", "grid x sub-array", "PEs", "rows", "dot mult.", "requant.", "weight B",
        "activ. B", "lanes", "lane B", "cache B", "hash", "AXI bits", "reads", "max n", "MHz",
        "features",
    )  # fmt: skip
    return {
        "presets": {
            name: {**config.as_dict(), "pes": config.pes, "config_hash": f"{config.hash:08x}"}
            for name, config in PRESETS.items()
        },
        "text": _table(head, [_preset_row(config) for config in PRESETS.values()]),
    }


def pipelines(args: argparse.Namespace) -> dict[str, Any]:
    """Every pipeline with its stages."""
    del args
    rows = [
        [
            name,
            pipeline.interaction,
            pipeline.data,
            ", ".join(f"{stage.model} {stage.items}->{stage.keep}" for stage in pipeline.stages),
        ]
        for name, pipeline in PIPELINES.items()
    ]
    return {
        "pipelines": {name: asdict(pipeline) for name, pipeline in PIPELINES.items()},
        "text": _table(("pipeline", "interaction", "data", "stages"), rows),
    }
