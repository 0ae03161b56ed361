"""``rpaccel bench generate``: seconds, bytes and modules of every preset's Verilog."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hdl.config import PRESETS, preset

from ..generate import generate
from .table import table_text

__all__ = ["bench_generate"]

COLUMNS = {
    "preset": "preset",
    "seconds": "time [s]",
    "verilog_bytes": "Verilog [bytes]",
    "bytes": "all files [bytes]",
    "modules": "modules",
}


def bench_generate(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Generate each preset into a folder that is thrown away.

    Raises
    ------
    ConfigError
        Unknown preset.
    """
    rows = []
    for name in args.preset or PRESETS:
        preset(name)  # refused before the long work on the others
    for name in args.preset or PRESETS:
        progress(f"generating {name}")
        with tempfile.TemporaryDirectory() as folder:
            result = generate(argparse.Namespace(preset=name, out=Path(folder)))
        verilog = next(f for key, f in result["files"].items() if key.endswith(".v"))
        row = {key: result[key] for key in ("preset", "seconds", "bytes", "modules")}
        rows.append(row | {"verilog_bytes": verilog["bytes"]})
    return {"bench": "generate", "rows": rows, "text": table_text(COLUMNS, rows)}
