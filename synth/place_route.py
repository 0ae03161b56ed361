"""nextpnr as the packages bring it (WebAssembly): places and routes a netlist, reads its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .devices import Device
from .errors import SynthesisError
from .timing_paths import TimingPath, read_sdf
from .tools import Progress, quiet, run_tool

__all__ = ["placer_options", "Routed", "place_route"]


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
"""Part of the LUTs from which the electrostatic placer is taken."""


def placer_options(device: Device, luts: int) -> tuple[str, ...]:
    """Words for nextpnr: which of its placers suits a netlist of so many LUTs.

    The electrostatic one keeps the wires of the whole ``ecp5`` preset 20 % shorter than the default
    (and is as fast); of single units the default makes the faster layouts, by timing.
    """
    crowded = device.family == "ecp5" and luts > _CROWDED * device.luts
    return ("--placer", "static") if crowded else ()


def place_route(
    device: Device,
    folder: Path,
    netlist: str,
    *,
    target_mhz: float,
    seed: int,
    paths: int = 10,
    options: tuple[str, ...] = (),
    progress: Progress = quiet,
) -> Routed:
    """Place and route ``folder/netlist`` for ``device``.

    Leaves ``seed-N.log``, ``seed-N.json`` (nextpnr's report) and ``seed-N.sdf`` in ``folder``.

    Raises
    ------
    SynthesisError
        Not installed, or it failed (does not fit, cannot be routed).
    """
    stem = f"seed-{seed}"
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
