"""Yosys scripts for ECP5: modules with a form of their own in this family, then ``synth_ecp5``."""

from __future__ import annotations

import shutil
from pathlib import Path

from hdl.config import Config

from .multiplier import multiplier_map

__all__ = ["flat_script", "synthesis_script"]

_MAPS = ("gated_adder.v",)

_SAVED = "before_luts"
_WIRE_PS = 900
"""What a connection costs the mapper: typical of a part that is half full. ``synth_ecp5`` takes
300, with which it makes more levels of smaller gates."""


def synthesis_script(config: Config, folder: Path, *, rtlil: str = "", options: str) -> str:
    """Commands from the design as read to the netlist; copies what they need into ``folder``.

    Parameters
    ----------
    config
        The design's sizes.
    folder
        Where Yosys will run.
    rtlil
        The design, to put registered multipliers into DSP blocks with their registers; without it
        these stay in the fabric.
    options
        Of ``synth_ecp5``: top, outputs.
    """
    for name in _MAPS:
        shutil.copy(Path(__file__).parent / name, folder)
    width = f"-D GATED_ADDER_WIDTH={config.partial_sum_width}"
    commands = [f"techmap -map gated_adder.v {width}"]
    multipliers = multiplier_map(rtlil)
    if multipliers:
        (folder / "multiplier.v").write_text(multipliers)
        commands.append("techmap -map multiplier.v")
    return "; ".join(
        [
            *commands,
            f"synth_ecp5 {options} -run :map_luts",
            f"design -save {_SAVED}",
            f"synth_ecp5 {options} -run map_luts:",
        ]
    )


def flat_script(*, options: str) -> str:
    """Commands after ``synthesis_script`` to the same design without hierarchy.

    Gates are mapped again: across the borders of modules the mapper knows when each signal comes,
    within them it takes all ports for registers.
    """
    return "; ".join(
        [
            f"design -load {_SAVED}",
            "setattr -mod -unset keep_hierarchy *",
            "flatten",
            "opt_clean",
            f"abc9 -W {_WIRE_PS}",
            "clean",
            f"synth_ecp5 {options} -run map_cells:",
        ]
    )
