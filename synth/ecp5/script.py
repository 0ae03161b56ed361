"""Yosys script for ECP5: modules with a form of their own in this family, then ``synth_ecp5``."""

from __future__ import annotations

import shutil
from pathlib import Path

from hdl.config import Config

__all__ = ["synthesis_script"]

_MAPS = ("gated_adder.v",)


def synthesis_script(config: Config, folder: Path, *, options: str) -> str:
    """Commands from the design as read to the netlist; copies what they need into ``folder``.

    Parameters
    ----------
    config
        The design's sizes.
    folder
        Where Yosys will run.
    options
        Of ``synth_ecp5``: top, outputs.
    """
    for name in _MAPS:
        shutil.copy(Path(__file__).parent / name, folder)
    width = f"-D GATED_ADDER_WIDTH={config.partial_sum_width}"
    return f"techmap -map gated_adder.v {width}; synth_ecp5 {options}"
