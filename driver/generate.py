"""``rpaccel generate``: Verilog and side files of a device into a folder."""

from __future__ import annotations

import argparse
import os
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from hdl.config import preset

from .errors import UserError

__all__ = ["generate"]


def generate(args: argparse.Namespace) -> dict[str, Any]:
    """Write the device ``args.preset`` into the folder ``args.out``.

    Raises
    ------
    ConfigError
        Unknown preset.
    UserError
        The folder cannot be made or written; nothing was changed in it.
    """
    config = replace(preset(args.preset), macs_per_dsp=getattr(args, "macs_per_dsp", 1))
    directory: Path = args.out
    bus_mhz: float | None = getattr(args, "bus_mhz", None)
    if bus_mhz is not None and not 1 <= bus_mhz <= 1000:
        raise UserError(f"--bus-mhz must be in 1..1000, not {bus_mhz:g}")
    _check_folder(directory)
    # Heavy imports after the checks: bad input is answered at once.
    from hdl.control.registers import VERSION
    from hdl.emit import CROSSING_FILES, FILES, TOP, emit
    from hdl.top import Accelerator

    start = time.perf_counter()
    try:
        changed = emit(
            config, directory, lambda device: Accelerator(config=device), bus_mhz=bus_mhz
        )
    except OSError as error:
        raise UserError(f"cannot write into {directory}: {error.strerror}") from None
    seconds = time.perf_counter() - start
    names = FILES + CROSSING_FILES if bus_mhz else FILES
    files = {name: (directory / name).stat().st_size for name in names}
    verilog = (directory / f"{TOP}.v").read_text()
    result: dict[str, Any] = {
        "preset": config.name,
        "version": ".".join(str(part) for part in VERSION),
        "config_hash": f"{config.hash:08x}",
        "folder": str(directory),
        "files": {name: {"path": str(directory / name), "bytes": files[name]} for name in files},
        "changed": [path.name for path in changed],
        "bytes": sum(files.values()),
        "modules": len(re.findall(r"^module ", verilog, re.MULTILINE)),
        "seconds": seconds,
    }
    lines = [
        f"rpaccel {result['version']}, preset {config.name}, configuration {config.hash:08x}",
        *(f"{directory / name}: {size} bytes" for name, size in files.items()),
        f"{result['modules']} modules, {result['bytes']} bytes, {seconds:.1f} s",
    ]
    result["text"] = "\n".join(lines)
    return result


def _check_folder(directory: Path) -> None:
    """Raise when ``directory`` is not a folder, or cannot be made one, that takes files."""
    nearest = directory.absolute()
    while not nearest.exists() and not nearest.is_symlink():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise UserError(f"cannot write into {directory}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"cannot write into {directory}: no permission to write in {nearest}")
