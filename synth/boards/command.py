"""``rpaccel synth --board``: a whole system on a board, down to its bitstream."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hdl.config import Config, preset

from ..cells import RESOURCES, resources
from ..devices import Device
from ..errors import SynthesisError
from ..units import DEVICE_UNIT
from .board import Board, board
from .flow import BoardResult, build_board, part_of

__all__ = ["board_json", "board_text", "synth_board"]


def synth_board(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run it; returns what ``--json`` writes, with ``text`` and ``status``.

    Raises
    ------
    ConfigError, SynthesisError
        Unknown preset or board; an option that does not go with a board; missing tool or package;
        a tool failed.
    """
    entry, config = board(args.board), preset(args.preset)
    if args.unit != DEVICE_UNIT:
        raise SynthesisError(f"--board takes the whole device, not --unit {args.unit}")
    if args.area_only:
        raise SynthesisError("--board makes a bitstream: --area-only goes with --device")
    if args.target_mhz is not None and not args.target_mhz > 0:
        raise SynthesisError(f"--target-mhz must be above 0, not {args.target_mhz:g}")
    folder = args.out or Path("build/synth") / f"{config.name}-{entry.name}"
    result = build_board(
        entry, config, folder,
        clock_mhz=args.target_mhz, seeds=range(1, args.seeds + 1), progress=progress,
    )  # fmt: skip
    data = board_json(entry, config, part_of(entry), result)
    return data | {"text": board_text(data), "status": int(result.bitstream is None)}


def board_json(entry: Board, config: Config, part: Device, result: BoardResult) -> dict[str, Any]:
    """Keys as those of ``synth --device``; figures are those of the last seed."""
    last = result.routed[-1] if result.routed else None
    clock = result.design.pll.output_mhz
    return {
        "preset": config.name,
        "config_hash": f"{config.hash:08x}",
        "board": entry.name,
        "device": part.name,
        "part": part.part,
        "fits": not result.excess,
        "excess": list(result.excess),
        "clock_mhz": clock,
        "target_mhz": clock,
        "baud": result.design.baud,
        "memory": "block RAM" if entry.chip is None else "SDRAM",
        "memory_bytes": 1 << (entry.log2_bytes if entry.chip is None else entry.chip.log2_bytes),
        "fmax_mhz": last.fmax_mhz if last else None,
        "timing_met": None if last is None else last.fmax_mhz >= clock,
        "seeds": [{"seed": r.seed, "fmax_mhz": r.fmax_mhz} for r in result.routed],
        **{key: result.totals.get(key) for key in RESOURCES},
        "capacity": part.capacities,
        "units": [
            {"path": area.path, "module": area.module} | resources(area.cells, part.family)
            for area in result.areas
        ],
        "critical_paths": [asdict(path) for path in last.critical_paths] if last else [],
        "bitstream": None if result.bitstream is None else str(result.bitstream),
    }


def board_text(data: dict[str, Any]) -> str:
    """The verdict for people."""
    head = (
        f"{data['preset']} on {data['board']} ({data['part']}): {data['clock_mhz']:g} MHz, "
        f"{data['memory_bytes']} bytes of {data['memory']}, serial line {data['baud']} baud"
    )
    if not data["fits"]:
        return "\n".join([head, *(f"does not fit: {text}" for text in data["excess"])])
    used = ", ".join(f"{data[key]} of {data['capacity'][key]} {key}" for key in RESOURCES)
    lines = [head, used]
    seeds = ", ".join(f"{s['fmax_mhz']:.1f}" for s in data["seeds"])
    if data["timing_met"]:
        lines.append(f"timing met: Fmax {data['fmax_mhz']:.1f} MHz (seeds tried: {seeds})")
        lines.append(f"bitstream: {data['bitstream']}")
        return "\n".join(lines)
    path = data["critical_paths"][0] if data["critical_paths"] else None
    lines.append(f"timing NOT met, no bitstream: Fmax {seeds} MHz")
    if path is not None:
        lines.append(f"worst path: {path['start']} -> {path['end']}, {path['delay_ns']:.2f} ns")
    return "\n".join(lines)
