"""Synthesis results as JSON and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from hdl.config import Config

from .cells import RESOURCES, resources
from .devices import Device
from .flow import Synthesis
from .units import Unit

__all__ = ["as_json", "as_text"]

_PATHS = 10


def as_json(
    config: Config, unit: Unit, device: Device, result: Synthesis, target_mhz: float
) -> dict[str, Any]:
    """What ``rpaccel synth --json`` writes.

    ``fmax_mhz`` is the median of the seeds, ``critical_paths`` are those of the seed nearest to it;
    both null or empty where only area is known.
    """
    fmax = result.fmax_mhz
    middle = min(result.routed, key=lambda r: abs(r.fmax_mhz - (fmax or 0)), default=None)
    return {
        "preset": config.name,
        "config_hash": f"{config.hash:08x}",
        "macs_per_dsp": config.macs_per_dsp,
        "unit": unit.name,
        "device": device.name,
        "part": device.part,
        "fits": not result.excess,
        "excess": list(result.excess),
        "target_mhz": target_mhz,
        "fmax_mhz": fmax,
        "timing_met": None if fmax is None else fmax >= target_mhz,
        "seeds": [{"seed": r.seed, "fmax_mhz": r.fmax_mhz} for r in result.routed],
        **{key: result.totals.get(key) for key in RESOURCES},
        "capacity": device.capacities,
        "placed": middle.utilization if middle else None,
        "memories_in_registers": list(result.exploded),
        "cells": dict(sorted(result.areas[0].cells.items())) if result.areas else {},
        "units": [
            {"path": area.path, "module": area.module} | resources(area.cells, device.family)
            for area in result.areas
        ],
        "estimated_paths": [asdict(path) for path in result.estimates],
        "critical_paths": [asdict(path) for path in middle.critical_paths] if middle else [],
    }


def as_text(data: dict[str, Any], *, depth: int) -> str:
    """Tables of units and paths, and the verdict."""
    lines = [f"{data['unit']} of {data['preset']} on {data['part']}", ""]
    if data["units"]:
        lines += _units(data, depth)
    for memory in data["memories_in_registers"]:
        lines.append(f"memory in flip-flops: {memory}")
    if data["critical_paths"]:
        lines += ["", f"slowest paths of seed {_middle_seed(data)}, ns", *_paths(data)]
    if data["estimated_paths"]:
        lines += ["", "slow paths by estimate, before placement, ns", *_estimates(data)]
    lines += ["", *_verdict(data)]
    return "\n".join(lines)


def _units(data: dict[str, Any], depth: int) -> list[str]:
    shown = [u for u in data["units"] if len(u["path"].split(".")) <= depth]
    rows = [["unit", "LUTs", "flip-flops", "DSPs", "block RAMs"]]
    for unit in shown:
        indent = "  " * (len(unit["path"].split(".")) if unit["path"] else 0)
        name = unit["path"].rpartition(".")[2] or data["unit"]
        rows.append([f"{indent}{name}", *(str(unit[key]) for key in RESOURCES)])
    rows.append(["on the device", *(str(data["capacity"][key]) for key in RESOURCES)])
    return _columns(rows)


def _paths(data: dict[str, Any]) -> list[str]:
    rows = [["delay", "logic", "routing", "cells", "from", "to"]]
    for path in data["critical_paths"][:_PATHS]:
        numbers = [f"{path[key]:.2f}" for key in ("delay_ns", "logic_ns", "routing_ns")]
        rows.append(
            [*numbers, str(path["levels"]), _unit_name(path["start"]), _unit_name(path["end"])]
        )
    return _columns(rows)


def _estimates(data: dict[str, Any]) -> list[str]:
    rows = [["delay", "cells", "fan-out", "from", "to"]]
    for path in data["estimated_paths"][:_PATHS]:
        start, end = _unit_name(path["start"]), _unit_name(path["end"])
        numbers = [f"{path['delay_ns']:.1f}", str(path["cells"]), str(path["fan_out"])]
        rows.append([*numbers, start, end])
    return _columns(rows)


def _unit_name(name: str) -> str:
    return name.removeprefix("unit.")


def _middle_seed(data: dict[str, Any]) -> int:
    fmax = data["fmax_mhz"]
    seed: int = min(data["seeds"], key=lambda s: abs(s["fmax_mhz"] - fmax))["seed"]
    return seed


def _verdict(data: dict[str, Any]) -> list[str]:
    if not data["fits"]:
        return [f"does not fit {data['part']}: {text}" for text in data["excess"]]
    if data["fmax_mhz"] is None:
        return ["fits; area only, nothing was placed or timed"]
    seeds = ", ".join(f"{s['fmax_mhz']:.1f}" for s in data["seeds"])
    met = "met" if data["timing_met"] else "NOT met"
    lines = [
        f"Fmax {data['fmax_mhz']:.1f} MHz (seeds: {seeds}), target {data['target_mhz']:g} MHz {met}"
    ]
    if not data["timing_met"] and data["critical_paths"]:
        path = data["critical_paths"][0]
        lines.append(
            f"worst path: {_unit_name(path['start'])} -> {_unit_name(path['end'])}, "
            f"{path['delay_ns']:.2f} ns"
        )
    return lines


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned: numbers right, names left."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    numeric = [all(_is_number(row[k]) for row in rows[1:]) for k in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
