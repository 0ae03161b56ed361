"""Yosys scripts, one a family: from RTLIL as read to a netlist with the hierarchy kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hdl.config import Config

from .devices import Device
from .ecp5.script import flat_script, synthesis_script

__all__ = ["TREE", "netlist_script"]

TREE = "tree.json"
"""Netlist with the hierarchy kept: what areas are counted in."""


def netlist_script(
    config: Config,
    device: Device,
    top: str,
    units: Sequence[str],
    folder: Path,
    *,
    rtlil: str,
    flat: str,
) -> str:
    """Commands after reading: ``TREE``, and for place and route the same netlist as ``flat``.

    The modules ``units`` are mapped one by one, equal ones once; all others are first made part of
    those that they belong to (a module costs the mapper seconds, and optimisation stops at its
    ports). In the end all is flattened, because place and route knows no hierarchy; names survive.
    For ECP5 that comes before the gates are mapped, a second time: see ``flat_script``.
    ``rtlil`` is the design.
    """
    commands = [f"setattr -mod -set keep_hierarchy 1 {name}" for name in (top, *units)]
    commands += [f"hierarchy -top {top}", "flatten"]
    if device.family == "ecp5":
        text = synthesis_script(config, folder, rtlil=rtlil, options=f"-top {top} -noflatten")
    elif device.family == "ice40":
        text = f"synth_ice40 -device u -dsp -noflatten -top {top}"
    elif device.family in ("xc7", "xcup"):
        # Pads and clock buffers belong to a board's top, not to a unit.
        text = f"synth_xilinx -family {device.family} -noiopad -noclkbuf -top {top}"
    else:
        text = f"synth_intel_alm -family {device.family} -noiopad -noclkbuf -noflatten -top {top}"
    commands += [text, f"write_json {TREE}"]
    if device.family == "ecp5":
        commands += [flat_script(options=f"-top {top} -noflatten"), f"write_json {flat}"]
    elif device.is_routed:
        commands += [
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "opt_clean",
            f"write_json {flat}",
        ]
    return "; ".join(commands)
