"""Compiled benches, kept by what they were made from: the same text is never compiled twice."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cocotb_tools.runner import Runner, get_runner

from . import toolchain
from .bench import BenchSpec, bench_verilog
from .errors import SimulationError, SimulatorError

__all__ = ["Build", "build_bench", "build_design", "cache_folder", "prune", "quiet_runner"]

_VERILOG = Path(__file__).parent / "verilog"
_PARTS = ("axi_checker.v", "axil_master.v", "dram.v", "trace_logger.v")
TIMESCALE = ("1ns", "1ps")


@dataclass(frozen=True)
class Build:
    """A compiled bench."""

    folder: Path
    simulator: str
    spec: BenchSpec
    cached: bool
    """It was there already."""


def cache_folder() -> Path:
    """Folder for compiled benches and runs.

    `RPACCEL_CACHE` if set; ``build/`` in a working copy of the project; else the user's cache.
    """
    if "RPACCEL_CACHE" in os.environ:
        return Path(os.environ["RPACCEL_CACHE"])
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").exists():
        return root / "build"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "rpaccel"


def prune(folders: Iterable[Path], *, keep: int, days: float) -> None:
    """Remove all but the `keep` newest of the folders not touched for `days`."""
    aged = []
    for folder in folders:
        with suppress(FileNotFoundError):  # another process may be tidying as well
            aged.append((folder.stat().st_mtime, folder))
    for touched, folder in sorted(aged, reverse=True)[keep:]:
        if touched < time.time() - days * 86400:
            shutil.rmtree(folder, ignore_errors=True)


def quiet_runner(simulator: str) -> Runner:
    """cocotb's runner without its report of every command; the log files have what matters."""
    runner = get_runner(simulator)
    logging.getLogger(type(runner).__qualname__).setLevel(logging.CRITICAL)
    return runner


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One builder a folder, also across processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_DUMMY = re.compile(r"^(\s*)reg (\\\$auto\$verilog_backend\S*) += 0;", re.MULTILINE)
_ASSIGNMENT = re.compile(r"^(\s*)always @\*\n\s*((?!begin\b)[^;]*;)", re.MULTILINE)


def _for_icarus(text: str) -> str:
    # Icarus runs `always @*` only when an input changes; what depends on nothing that changes would
    # stay unknown. Yosys gives the longer processes a dummy input for this, but an initial value
    # is no change in SystemVerilog: assign it, and run the single assignments, when all processes
    # wait. (`always_comb` runs at time 0 by itself, but there Icarus 11 never ends with the
    # processes of a large design.)
    text = _DUMMY.sub(r"\1reg \2 ; initial #0 \2 = 0;", text)
    return _ASSIGNMENT.sub(r"\1always @* \2\n\1initial #0 \2", text)


def _arguments(simulator: str, waves: str | None, depth: int) -> list[str]:
    # The device's clock gates work: units at rest cost nothing, and a gate that closes too early
    # shows as a difference.
    arguments = ["-DRPACCEL_CLOCK_GATES"]
    if simulator == "icarus":
        return [*arguments, f"-DWAVES={depth}"] if waves else arguments
    arguments += ["--timing", "--no-public-flat-rw", "--x-initial", "fast", "bench.vlt"]
    if waves:
        # Verilator takes the depth at build time, Icarus when the recording starts.
        arguments += ["-DWAVES=0", "--trace-fst" if waves == ".fst" else "--trace-vcd"]
        arguments += ["--trace-depth", str(depth + 2)] if depth else []
    return arguments


def build_bench(
    spec: BenchSpec,
    sources: Sequence[Path],
    *,
    simulator: str,
    waves: str | None = None,
    waves_depth: int | None = None,
    blocks: Sequence[str] = (),
    arguments: Sequence[str] = (),
) -> Build:
    """Compile a device in its bench, or find it compiled.

    Parameters
    ----------
    spec
        The device's pins.
    sources
        Its Verilog files.
    simulator
        ``verilator`` or ``icarus``.
    waves
        ``.fst`` or ``.vcd``: able to record waves, which makes it slower.
    waves_depth
        Levels of hierarchy to record; None: all.
    blocks
        Modules that Verilator compiles on their own, once for all instances: slower to run than
        one flat program, but large devices are too large for that. Icarus takes no notice.
    arguments
        Further arguments for the compiler.

    Raises
    ------
    SimulatorError
        The simulator is unknown or missing, or the path has a space.
    SimulationError
        It does not compile; the message names the log.
    """
    files = {f"device_{n}.v": path.read_text() for n, path in enumerate(sources)}
    files |= {name: (_VERILOG / name).read_text() for name in (*_PARTS, "bench.vlt")}
    files["bench.v"] = bench_verilog(spec)
    words = _arguments(simulator, waves, waves_depth or 0)
    if blocks and simulator == "verilator":
        lines = [f'hier_block -module "{name}"' for name in blocks]
        files["blocks.vlt"] = "\n".join(["`verilator_config", *lines]) + "\n"
        # Around a block Verilator sees every output depend on every input: loops that are none.
        words += ["--hierarchical", "-Wno-UNOPTFLAT", "blocks.vlt"]
    folder, cached = build_design(
        files,
        top="bench",
        simulator=simulator,
        waves=waves,
        arguments=[*words, *arguments],
    )
    return Build(folder, simulator, spec, cached)


def build_design(
    files: Mapping[str, str],
    *,
    top: str,
    simulator: str,
    waves: str | None = None,
    arguments: Sequence[str] = (),
) -> tuple[Path, bool]:
    """Compile a design for cocotb, or find it compiled.

    Parameters
    ----------
    files
        Texts by file name; all that end in ``.v`` are compiled. Generated ones start with
        ``device``.
    top
        Top module.
    simulator, waves
        As `build_bench`.
    arguments
        Arguments for the compiler, complete.

    Returns
    -------
    Folder for cocotb's runner, and whether it was there already.

    Raises
    ------
    SimulatorError, SimulationError
        As `build_bench`.
    """
    toolchain.check(simulator)
    if simulator == "icarus":
        files = {
            name: _for_icarus(text) if name.startswith("device") else text
            for name, text in files.items()
        }
    key = hashlib.sha256()
    for word in (simulator, toolchain.versions(simulator), top, *arguments, *sorted(files)):
        key.update(word.encode() + b"\0")
        key.update(files.get(word, "").encode() + b"\0")
    folder = cache_folder().resolve() / "sim" / f"{simulator}-{key.hexdigest()[:20]}"
    if any(character.isspace() for character in str(folder)):
        raise SimulatorError(f"the path {str(folder)!r} has a space in it: make cannot handle it")
    with _locked(folder.with_suffix(".lock")):
        done = folder / "built"
        cached = done.exists()
        if not cached:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            for name, text in files.items():
                (folder / name).write_text(text)
            sources = [folder / name for name in files if name.endswith(".v")]
            with _shared_runtime(folder, simulator, waves):
                _compile(folder, sources, top, simulator, arguments, waves)
            done.touch()
        os.utime(folder)  # used now
        if not cached:
            prune(filter(Path.is_dir, folder.parent.iterdir()), keep=20, days=7)
    return folder, cached


@contextmanager
def _shared_runtime(folder: Path, simulator: str, waves: str | None) -> Iterator[None]:
    """Lend a build Verilator's own objects from an earlier one: half of a small build's time.

    They depend on compiler, Verilator and kind of waves only.
    """
    if simulator != "verilator":
        yield
        return
    key = hashlib.sha256(f"{toolchain.versions(simulator)} {waves}".encode()).hexdigest()[:20]
    store = folder.parent / f"runtime-{key}"
    tomorrow = time.time() + 86400
    for item in store.glob("verilated*.o"):
        shutil.copyfile(item, folder / item.name)
        # make compiles them again unless they are newer than a makefile that is yet to be written.
        os.utime(folder / item.name, (tomorrow, tomorrow))
    yield
    if not store.exists():
        part = Path(tempfile.mkdtemp(dir=folder.parent))
        for item in folder.glob("verilated*.o"):
            shutil.copyfile(item, part / item.name)
        try:
            part.rename(store)
        except OSError:  # another build was first
            shutil.rmtree(part)


def _compile(
    folder: Path,
    sources: Sequence[Path],
    top: str,
    simulator: str,
    arguments: Sequence[str],
    waves: str | None,
) -> None:
    log = folder / "build.log"
    with toolchain.environment(simulator):
        try:
            quiet_runner(simulator).build(
                sources=sources,
                hdl_toplevel=top,
                build_dir=folder,
                cwd=folder,
                always=True,
                timescale=TIMESCALE,
                build_args=list(arguments),
                # For Icarus, `waves` would add a dump of everything.
                waves=waves is not None and simulator == "verilator",
                log_file=log,
            )
        except (RuntimeError, SystemExit) as error:
            raise SimulationError(f"{simulator} could not compile {top}; see {log}") from error
