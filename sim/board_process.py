"""A simulated board as a process of its own, behind a pseudo terminal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from .bench import BenchSpec
from .build import Build, cache_folder, prune
from .errors import SimulationError
from .line import LineSettings
from .runner import run_module

__all__ = ["simulated_board"]

_START_S = 120.0
"""Time for the simulator to start, on a busy machine."""


@contextmanager
def simulated_board(build: Build, line: LineSettings | None = None) -> Iterator[str]:
    """Run a board's bench; yields the name of the terminal that is its serial line.

    Raises
    ------
    SimulationError
        It did not start, or it ended by itself: the board broke a rule of its SDRAM.
    """
    runs = cache_folder().resolve() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    prune(runs.iterdir(), keep=10, days=0.5)  # what failed runs left
    folder = Path(tempfile.mkdtemp(prefix="board-", dir=runs))
    (folder / "line.json").write_text(json.dumps(asdict(line or LineSettings())))
    root = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    with (folder / "process.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sim.board_process", str(build.folder), str(folder)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": path},
            start_new_session=True,
        )
    try:
        yield _port(process, folder)
        _check(process, folder)
    finally:
        (folder / "stop").touch()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


def _check(process: subprocess.Popen[bytes], folder: Path) -> None:
    error = folder / "error"
    if error.exists():
        raise SimulationError(f"simulated board: {error.read_text()}; see {folder}")
    if process.poll() is not None:
        raise SimulationError(f"the simulated board has ended; see {folder}")


def _port(process: subprocess.Popen[bytes], folder: Path) -> str:
    """Wait for the terminal's name."""
    end = time.monotonic() + _START_S
    while not (folder / "port").exists():
        _check(process, folder)
        if time.monotonic() > end:
            raise SimulationError(f"the simulated board did not start; see {folder}")
        time.sleep(0.05)
    return (folder / "port").read_text()


def _main(build_folder: str, folder: str) -> None:
    """The process: the simulator until it is stopped."""
    build = Build(Path(build_folder), "verilator", BenchSpec(), True)
    run_module(build, "sim.board_main", folder=Path(folder), plusargs=[], seed=1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
