"""Measured profiles: the host's CPU with one pinned thread a server, or a GPU.

The measurement runs in a process of its own, because BLAS reads the number of its threads once.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UserError
from ..load.profile import LatencyCurve, PlatformProfile
from ..load.transfer import HostTransfer
from .host_models import Scorer, known_models, scorer

__all__ = ["CLOCKS", "measured_profile"]

CLOCKS = ("wall", "cpu")
"""``wall``: what a query sees, others on the machine included. ``cpu``: processor time of the
thread, what an otherwise idle core would take."""
LEAST_RUNS = 5
LEAST_SECONDS = 0.2
MOST_FACTORS = 64
"""Quantiles of the runs that a curve keeps."""
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def _samples(score: Scorer, items: int, clock: Callable[[], float]) -> list[float]:
    """Seconds of runs, the first one left out."""
    score(items)
    found: list[float] = []
    while len(found) < LEAST_RUNS or sum(found) < LEAST_SECONDS:
        begin = clock()
        score(items)
        found.append(clock() - begin)
    return found


def _measure(words: dict[str, Any]) -> dict[str, Any]:
    """In the process of its own: times of every model and number of items."""
    if words["core"] is not None:
        os.sched_setaffinity(0, {words["core"]})
    clock = time.perf_counter if words["clock"] == "wall" else time.process_time
    times: dict[str, list[list[float]]] = {}
    for name in words["models"]:
        score = scorer(name, max_rows=words["max_rows"], device=words["device"])
        times[name] = [_samples(score, items, clock) for items in words["items"]]
    return {"times": times}


def _ask(words: dict[str, Any]) -> dict[str, Any]:
    environment = os.environ | dict.fromkeys(_THREADS, "1")
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (root, environment.get("PYTHONPATH")) if part
    )
    done = subprocess.run(
        [sys.executable, "-m", "driver.schedule.measure"],
        input=json.dumps(words), capture_output=True, text=True, env=environment,
    )  # fmt: skip
    if done.returncode == 2:
        raise UserError(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise UserError(f"measurement failed: {done.stderr.strip().splitlines()[-1:]}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _machine() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def measured_profile(
    models: Sequence[str],
    *,
    items: Sequence[int],
    device: str = "cpu",
    clock: str = "wall",
    servers: int | None = None,
    max_rows: int = 10_000,
    name: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> PlatformProfile:
    """Measure models on this machine.

    Parameters
    ----------
    models
        See `host_models.known_models`.
    items
        Points of the curves, rising.
    device
        ``cpu``, ``cuda`` or ``torch``.
    servers
        Cores that serve queries, one each; None: all of the machine (1 for a GPU).
    max_rows
        Cap on the rows of a table.

    Raises
    ------
    UserError
        Unknown model or clock, nothing to measure, no GPU.
    """
    if clock not in CLOCKS:
        raise UserError(f"unknown clock {clock!r}; known: {', '.join(CLOCKS)}")
    if not models or not items:
        raise UserError("a measurement needs at least one model and one number of items")
    for model in models:
        if model not in known_models():
            raise UserError(f"unknown model {model!r}; known models: {', '.join(known_models())}")
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if device != "cpu":
        servers = 1
    elif servers is None:
        servers = max(1, len(cores))
    curves = []
    for model in models:
        progress(f"{device}: {model}, {items[0]} to {items[-1]} items")
        words = {
            "models": [model], "items": list(items), "device": device, "clock": clock,
            "max_rows": max_rows, "core": cores[-1] if cores and device == "cpu" else None,
        }  # fmt: skip
        times = _ask(words)["times"][model]
        means = [float(np.mean(part)) for part in times]
        factors = [t / mean for part, mean in zip(times, means, strict=True) for t in part]
        spread = (np.arange(MOST_FACTORS) + 0.5) / MOST_FACTORS
        curves.append(
            LatencyCurve(
                model=model,
                items=tuple(items),
                latency_s=tuple(means),
                factors=tuple(np.quantile(factors, spread).tolist()),
            )
        )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return PlatformProfile(
        name=name or device,
        kind="cpu" if device in ("cpu", "torch") else "gpu",
        memory_bytes=memory,
        bytes_per_s=_bandwidth(),
        servers=servers,
        host=HostTransfer() if device != "cuda" else HostTransfer.pcie(),
        curves=tuple(curves),
        conditions={
            "source": "measured on this machine with the float model",
            "machine": f"{_machine()}, {len(cores) or 1} cores",
            "threads": "1, pinned" if device == "cpu" else "of the library",
            "clock": clock,
            "tables": f"at most {max_rows} rows",
        },
    )


def _bandwidth() -> float:
    """Bytes a second that one core copies, read and written counted."""
    block = np.ones(1 << 22)
    target = np.empty_like(block)
    best = np.inf
    for _ in range(3):
        begin = time.perf_counter()
        np.copyto(target, block)
        best = min(best, time.perf_counter() - begin)
    return float(2 * block.nbytes / best)


def main() -> int:
    """The measuring process: words as JSON in, times as JSON out."""
    try:
        json.dump(_measure(json.load(sys.stdin)), sys.stdout)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
