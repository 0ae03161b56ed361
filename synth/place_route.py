"""nextpnr as the packages bring it (WebAssembly): places and routes a netlist, reads its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .devices import Device
from .errors import SynthesisError
from .timing_paths import TimingPath, read_sdf
from .tools import Progress, quiet, require, run_tool

__all__ = ["Routed", "is_crowded", "place_route"]


@dataclass(frozen=True)
class Routed:
    """Result of one seed."""

    seed: int
    fmax_mhz: float
    utilization: dict[str, dict[str, int]]
    """Cells by nextpnr's types: ``used``, ``available``."""
    critical_paths: tuple[TimingPath, ...]
    """The slowest first."""


_CROWDED = 1 / 3
"""Part of the LUTs from which nextpnr's default is not good enough."""


def is_crowded(device: Device, luts: int) -> bool:
    """Whether a netlist of so many LUTs needs blocks placed first, then the electrostatic placer.

    Of single units nextpnr's default makes the faster layouts, by timing.
    """
    return device.family == "ecp5" and luts > _CROWDED * device.luts


def place_route(
    device: Device,
    folder: Path,
    netlist: str,
    *,
    target_mhz: float,
    seed: int,
    crowded: bool = False,
    paths: int = 10,
    options: tuple[str, ...] = (),
    progress: Progress = quiet,
) -> Routed:
    """Place and route ``folder/netlist`` for ``device``.

    Leaves ``seed-N.log``, ``seed-N.json`` (nextpnr's report) and ``seed-N.sdf`` in ``folder``; of a
    ``crowded`` netlist also ``seed-N.netlist.json``, with the sites of all blocks.

    Raises
    ------
    SynthesisError
        Not installed, or it failed (does not fit, cannot be routed).
    """
    stem = f"seed-{seed}"
    if crowded:
        progress("placing block memories and multipliers")
        netlist = _with_blocks(device, folder, netlist, seed)
        options = ("--placer", "static", *options)
    words = [
        *device.nextpnr,
        "--json", netlist, "--freq", f"{target_mhz:g}", "--seed", str(seed),
        "--timing-allow-fail", "--report", f"{stem}.json", "--sdf", f"{stem}.sdf", *options,
    ]  # fmt: skip
    module = f"yowasp_nextpnr_{device.family}"
    run_tool(
        module, f"run_nextpnr_{device.family}", words,
        folder=folder, log=f"{stem}.log",
        heading=r"^Info: +(at i.*|\d+ \| .*|iter=.*|Packing.*|Routing.*|.*Fmax.*)",
        progress=progress,
    )  # fmt: skip
    report = json.loads((folder / f"{stem}.json").read_text())
    clocks = [clock["achieved"] for clock in report["fmax"].values()]
    if not clocks:
        raise SynthesisError("place and route found no clock: nothing was timed")
    with open(folder / f"{stem}.sdf") as lines:
        worst = read_sdf(lines).worst(paths)
    return Routed(seed, min(clocks), report["utilization"], tuple(worst))


def _with_blocks(device: Device, folder: Path, netlist: str, seed: int) -> str:
    """Write a netlist in which every block has its site; returns the file's name."""
    require("scipy")  # wanted here only, and slow to import
    from .ecp5.block_placement import place_blocks
    from .ecp5.sites import block_sites

    placed = f"seed-{seed}.netlist.json"
    design = json.loads((folder / netlist).read_text())
    # Modules of the cell library are there, too.
    cells = max((module["cells"] for module in design["modules"].values()), key=len)
    sites = block_sites(device, folder, f"seed-{seed}.blocks")
    for name, site in place_blocks(cells, sites, device.tiles, seed).items():
        cells[name]["attributes"]["BEL"] = site
    (folder / placed).write_text(json.dumps(design))
    return placed
