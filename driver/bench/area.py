"""``rpaccel bench area``: area, Fmax and cycles of presets, kept in a file with their commit.

Area and Fmax as ``rpaccel synth`` finds them, cycles of ``kaggle-2`` from the timing model. With
``--record`` they replace the entries of the same preset, unit and device in ``synth/results.json``,
so that a change shows in review.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hdl.config import Config, preset
from synth.cells import RESOURCES
from synth.devices import device
from synth.flow import Synthesis, check_tools, synthesise
from synth.units import DEVICE_UNIT, unit

from ..errors import UserError
from ..options import RunOptions
from ..run import run
from .table import table_text

__all__ = ["bench_area", "merged"]

PIPELINE = "kaggle-2"
ITEMS = 512
COLUMNS = {
    "preset": "preset",
    "unit": "unit",
    "device": "device",
    "fits": "fits",
    "luts": "LUTs",
    "ffs": "flip-flops",
    "dsps": "DSPs",
    "brams": "block RAMs",
    "fmax_mhz": "Fmax [MHz]",
    "cycles": f"cycles of {PIPELINE}",
    "commit": "commit",
}
KEY = ("preset", "unit", "device")


def bench_area(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Synthesise units of presets, and count the cycles of a query on whole devices.

    Raises
    ------
    ConfigError, SynthesisError, UserError
        Unknown preset, unit or device; a tool is missing or failed; the file cannot be written.
    """
    part = device(args.device)
    configs = [preset(name) for name in args.preset or ["ecp5"]]
    units = [unit(name) for name in args.unit or [DEVICE_UNIT]]
    check_tools(part)
    commit = _commit()
    rows = []
    for config in configs:
        for what in units:
            folder = Path("build/synth") / f"{config.name}-{what.name}-{part.name}"
            result = synthesise(
                config, what, part, folder,
                target_mhz=config.clock_mhz,
                seeds=range(1, args.seeds + 1),
                progress=progress,
            )  # fmt: skip
            whole = what.name == DEVICE_UNIT
            row = _row(config, what.name, part.name, result, commit)
            rows.append(row | {"cycles": _cycles(config, progress) if whole else None})
    data = {"bench": "area", "pipeline": PIPELINE, "items": ITEMS, "rows": rows}
    if args.record is not None:
        _record(args.record, rows)
    notes = [f"{PIPELINE}: {ITEMS} items, timing model", *_notes(rows)]
    return data | {"text": "\n".join([table_text(COLUMNS, rows), *notes])}


def _row(
    config: Config, unit_name: str, device_name: str, result: Synthesis, commit: str
) -> dict[str, Any]:
    fmax = result.fmax_mhz
    return {
        "preset": config.name,
        "unit": unit_name,
        "device": device_name,
        "config_hash": f"{config.hash:08x}",
        "commit": commit,
        "fits": not result.excess,
        "excess": list(result.excess),
        **{name: result.totals.get(name) for name in RESOURCES},
        "memories_in_registers": list(result.exploded),
        "fmax_mhz": None if fmax is None else round(fmax, 1),
        "seeds": {str(r.seed): round(r.fmax_mhz, 1) for r in result.routed},
    }


def _notes(rows: list[dict[str, Any]]) -> list[str]:
    return [
        f"{row['preset']} {row['unit']} does not fit {row['device']}: {text}"
        for row in rows
        for text in row["excess"]
    ]


def _cycles(config: Config, progress: Callable[[str], None]) -> int:
    options = RunOptions(preset=config.name, pipeline=PIPELINE, items=ITEMS, backend="timing")
    cycles: int = run(options, progress=progress)["cycles"]
    return cycles


def _commit() -> str:
    """The commit that is checked out, with ``+`` when files differ from it."""
    try:
        words = ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=+"]
        done = subprocess.run(
            words, cwd=Path(__file__).parent, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def merged(known: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries of both, the new one where preset, unit and device are the same; in order."""
    entries = {tuple(row[key] for key in KEY): row for row in [*known, *new]}
    return [entries[key] for key in sorted(entries)]


def _record(file: Path, rows: list[dict[str, Any]]) -> None:
    try:
        known = json.loads(file.read_text()) if file.exists() else []
        text = json.dumps(merged(known, rows), indent=1)
        file.write_text(text + "\n")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"cannot record in {file}: {error}") from None
