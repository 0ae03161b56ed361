"""Runs a job on a compiled bench and brings the results back.

build = build_bench(spec, [verilog], simulator="verilator")
outcome = run_job(build, job, image=memory_image)
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from cocotb_tools.check_results import get_results
from numpy.typing import NDArray

from . import toolchain
from .bench import BenchSpec, Trace, record_bytes
from .build import TIMESCALE, Build, build_bench, cache_folder, prune, quiet_runner
from .errors import SimulationError
from .job import Job, JobResult
from .waves import Waves, save_file

__all__ = ["Build", "Memory", "build_bench", "read_trace", "run_job", "run_module"]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Behaviour of the memory; the defaults are the reference."""

    latency: int = 100
    """Cycles from the address to the first beat, row open."""
    row_cycles: int = 12
    """Further cycles when the row is not open."""
    refresh_interval: int = 1950
    """Cycles between two refreshes of a channel."""
    refresh_cycles: int = 88
    """Cycles of one, in which no burst is begun; it closes all rows. 0: none."""
    bandwidth: int = 256
    """Beats a channel moves in 256 cycles."""
    hostile: int = 0
    """0: none; 1: random latency, order, back-pressure; 2: also interleaved bursts."""
    hostile_latency: int = 63
    """Further cycles at most before a burst's first beat, when hostile."""
    error: tuple[int, int] | None = None
    """Addresses [low, high) answer with an error."""
    error_response: int = 2
    """That error: 2 SLVERR, 3 DECERR."""

    def plusargs(self, seed: int) -> list[str]:
        """Settings as the simulated memory reads them."""
        names = (
            "latency", "row_cycles", "refresh_interval", "refresh_cycles", "bandwidth", "hostile",
            "hostile_latency", "error_response",
        )  # fmt: skip
        words = {name: getattr(self, name) for name in names} | {"memory_seed": seed}
        low, high = self.error or (0, 0)
        return [f"+{k}={v}" for k, v in words.items()] + [
            f"+error_low={low:x}",
            f"+error_high={high:x}",
        ]


def _write_image(path: Path, image: bytes | NDArray[np.uint8], spec: BenchSpec) -> None:
    """Write memory contents as $fread wants them: words, most significant byte first."""
    data = np.frombuffer(image, np.uint8) if isinstance(image, bytes) else image
    size = spec.word_bytes
    if data.size > 1 << spec.memory_log2_bytes:
        limit = 1 << spec.memory_log2_bytes
        raise SimulationError(f"image of {data.size} bytes in a memory of {limit}")
    padded = np.zeros(-(-data.size // size) * size, np.uint8)
    padded[: data.size] = data
    padded.reshape(-1, size)[:, ::-1].tofile(path)


def read_trace(path: Path, trace: Trace) -> NDArray[np.void]:
    """Records of a trace file: fields ``cycle``, ``source``, ``payload`` (bytes, lowest first)."""
    payload = record_bytes(trace) - 6
    kind = np.dtype([("cycle", "<u4"), ("source", "<u2"), ("payload", "u1", (payload,))])
    return np.fromfile(path, kind)


@dataclass(frozen=True)
class Outcome:
    """What a run brought back."""

    result: JobResult
    traces: dict[str, NDArray[np.void]] = field(default_factory=dict)
    waves: Path | None = None


def _reason(folder: Path) -> str:
    """Why a run failed, as far as its files say."""
    reasons = []
    log = folder / "simulation.log"
    if log.exists():
        lines = log.read_text(errors="replace").splitlines()
        reasons += [line for line in lines if line.startswith(("axi_checker ", "dram: "))][:2]
    try:
        reasons.append(json.loads((folder / "results.json").read_text())["error"])
    except (OSError, ValueError, KeyError):
        pass
    return "; ".join(reasons) or "no reason given"


class _Progress:
    """Calls back with the simulated cycle while a run is under way."""

    def __init__(self, folder: Path, callback: Callable[[int], None] | None) -> None:
        self._file = folder / "progress"
        self._callback = callback
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            try:
                cycle = int(self._file.read_text())
            except (OSError, ValueError):
                continue  # not there yet, or being written
            if self._callback is not None:
                self._callback(cycle)

    def __enter__(self) -> None:
        if self._callback is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()


def run_module(
    build: Build,
    module: str,
    *,
    folder: Path,
    plusargs: list[str],
    seed: int = 1,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run all cocotb tests of a Python module on a bench.

    Raises
    ------
    SimulationError
        A test failed, there was none, or the simulator died; the message names the log.
    """
    log = folder / "simulation.log"
    results = folder / "results.xml"
    with toolchain.environment(build.simulator):
        # The simulator's Python finds the project even where it is not installed.
        root = str(Path(__file__).resolve().parents[1])
        os.environ["PYTHONPATH"] = os.pathsep.join(
            filter(None, [root, os.environ.get("PYTHONPATH", "")])
        )
        os.environ.update(environment or {})
        try:
            quiet_runner(build.simulator).test(
                hdl_toplevel="bench",
                hdl_toplevel_lang="verilog",
                test_module=module,
                build_dir=build.folder,
                test_dir=folder,
                results_xml=str(results),
                seed=seed,
                timescale=TIMESCALE,
                plusargs=plusargs,
                log_file=log,
            )
            # The runner alone returns normally when tests fail or none was found.
            tests, failures = get_results(results)
        except (RuntimeError, SystemExit) as error:
            raise SimulationError(f"simulation failed: {_reason(folder)}; see {log}") from error
    if failures:
        raise SimulationError(f"simulation failed: {_reason(folder)}; see {log}")
    if tests == 0:
        raise SimulationError(f"the simulation ran no test; see {log}")


def run_job(
    build: Build,
    job: Job,
    *,
    image: bytes | NDArray[np.uint8] = b"",
    memory: Memory | None = None,
    seed: int = 1,
    time_limit: float = 3600.0,
    waves: Waves | None = None,
    progress: Callable[[int], None] | None = None,
) -> Outcome:
    """Play a job.

    Parameters
    ----------
    build
        From `build_bench`; able to record waves if `waves` is given.
    job
        What the host does.
    image
        Contents of the device memory from address 0.
    memory
        Behaviour of the memory.
    seed
        Seed of everything random.
    time_limit
        Seconds after which the run is an error.
    waves
        What to record; the save file is written beside it.
    progress
        Called with the cycle reached, now and then, from another thread.

    Raises
    ------
    SimulationError
        A step failed or timed out, an AXI rule was broken, or the simulator died. The run's folder
        is kept and named.
    """
    spec = build.spec
    runs = cache_folder().resolve() / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    prune(runs.iterdir(), keep=10, days=0.5)  # what failed runs left
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs))
    (folder / "job.json").write_text(job.to_json())
    _write_image(folder / "image.bin", image, spec)
    plusargs = ["+image=image.bin", "+dump=dump.bin", *(memory or Memory()).plusargs(seed)]
    plusargs += [f"+{trace.name}={trace.name}.bin" for trace in spec.traces]
    environment = {"RPACCEL_TIME_LIMIT": str(time_limit)}
    if waves is not None:
        plusargs += _waves_plusargs(waves)
    if waves is not None and build.simulator == "icarus":
        # vvp takes the format of $dumpfile from the last such option; the runner says "-none".
        environment["SIM_CMD_SUFFIX"] = "-" + waves.file.suffix[1:]
    with _Progress(folder, progress):
        run_module(
            build, "sim.bench_main", folder=folder, plusargs=plusargs, seed=seed,
            environment=environment,
        )  # fmt: skip
    outcome = _collect(build, folder, waves)
    shutil.rmtree(folder)
    return outcome


def _waves_plusargs(waves: Waves) -> list[str]:
    words = [f"+waves=waves{waves.file.suffix}"]
    if waves.window is not None:
        words += [f"+waves_from={waves.window[0]}", f"+waves_to={waves.window[1]}"]
    return words


def _collect(build: Build, folder: Path, waves: Waves | None) -> Outcome:
    """Read the files of a run; move the waves where they were asked for."""
    words = json.loads((folder / "results.json").read_text())
    if "error" in words:
        raise SimulationError(f"simulation failed: {words['error']}; see {folder}")
    memory = {key: bytes.fromhex(text) for key, text in words["memory"].items()}
    with (folder / "dump.bin").open("rb") as dump:
        for key, count in words["dumps"]:
            memory[key] = dump.read(count)
    result = JobResult(
        values=words["values"],
        memory=memory,
        cycles=words["cycles"],
        outstanding=words["outstanding"],
    )
    traces = {t.name: read_trace(folder / f"{t.name}.bin", t) for t in build.spec.traces}
    target = None
    if waves is not None:
        target = waves.file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder / f"waves{target.suffix}", target)
        save_file(build.spec, target, build.simulator)
    return Outcome(result, traces, target)
