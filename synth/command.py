"""``rpaccel synth``: a preset, or a unit of it, on a device."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["add_synth", "synth"]


def add_synth(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Options of ``rpaccel synth``."""
    add = parser.add_argument
    add("--preset", metavar="P", default="ecp5", help="see `rpaccel presets` (ecp5)")
    add("--device", metavar="D", help="lfe5um5g-85f, up5k, xc7a200t, ..")
    add("--board", metavar="B", help="bitstream of a whole system: ulx3s-85f, ecpix5-85, ..")
    add("--unit", metavar="NAME", default="device", help="synthesise a part alone (device: all)")
    add("--macs-per-dsp", metavar="N", type=positive, default=1,
        help="2: neighbouring PEs share a DSP block (DSP48 and alike) (1)")  # fmt: skip
    add("--seeds", metavar="N", type=positive, default=1,
        help="place and route with seeds 1 to N; Fmax is their median (1)")  # fmt: skip
    add("--target-mhz", metavar="F", type=float,
        help="status 1 below it (the preset's clock, the board's)")  # fmt: skip
    add("--area-only", action="store_true", help="no place and route")
    add("--depth", metavar="N", type=positive, default=3, help="levels of units in the table (3)")
    add("--out", metavar="DIR", type=Path, help="netlists, logs, reports (build/synth/..)")


def synth(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run it; returns what ``--json`` writes, with ``text`` and ``status``.

    Raises
    ------
    ConfigError, SynthesisError
        Unknown preset, device or unit; missing tool; a tool failed.
    """
    from dataclasses import replace

    from hdl.config import preset

    from . import flow
    from .devices import device
    from .errors import SynthesisError
    from .report import as_json, as_text
    from .units import unit

    if (args.device is None) == (args.board is None):
        raise SynthesisError("give one of --device and --board")
    if args.board is not None:
        from .boards.command import synth_board

        return synth_board(args, progress)
    part, what = device(args.device), unit(args.unit)
    config = replace(preset(args.preset), macs_per_dsp=args.macs_per_dsp)
    target = config.clock_mhz if args.target_mhz is None else args.target_mhz
    if not target > 0:
        raise SynthesisError(f"--target-mhz must be above 0, not {target:g}")
    flow.check_tools(part)
    folder = args.out or Path("build/synth") / f"{config.name}-{what.name}-{part.name}"
    result = flow.synthesise(
        config, what, part, folder,
        target_mhz=target,
        seeds=() if args.area_only else range(1, args.seeds + 1),
        progress=progress,
    )  # fmt: skip
    data = as_json(config, what, part, result, target)
    failed = not data["fits"] or data["timing_met"] is False
    return data | {"text": as_text(data, depth=args.depth), "status": int(failed)}
