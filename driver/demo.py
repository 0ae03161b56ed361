"""``rpaccel demo``: generate a device, run two held-out queries on its Verilog, report."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from hdl.config import preset
from sim.build import cache_folder

from .device import generator_key
from .generate import generate
from .options import RunOptions
from .pipelines import pipeline
from .run import golden_results, run
from .summary import quality
from .workload import load_workload

__all__ = ["demo"]

PRESET = "small"
PIPELINE = "demo-2"
QUERIES = 2
"""Simulated; the quality table takes all shipped queries."""
_ALL_QUERIES = 128


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def demo(args: argparse.Namespace) -> dict[str, Any]:
    """Run the demo; returns the run's keys and ``verilog``, ``quality_all``, ``text``, ``status``.

    Raises
    ------
    UserError, SimulatorError
        A simulator is missing, or the shipped files are.
    """
    folder = _generated()
    options = RunOptions(
        preset=PRESET, pipeline=PIPELINE, queries=QUERIES, simulator=args.simulator
    )
    result = run(options, progress=_progress)
    _progress(f"golden model: all {_ALL_QUERIES} held-out queries")
    workload = load_workload(pipeline(PIPELINE), queries=_ALL_QUERIES, max_rows=10_000, seed=1)
    golden = golden_results(workload, keep_layers=False)
    result["quality_all"] = quality(workload, [r.items for r in golden])
    result["verilog"] = str(folder / "rpaccel.v")
    every = result["quality_all"]
    result["text"] = "\n".join(
        [
            "",
            result["text"],
            f"NDCG@{every['k']} over all {_ALL_QUERIES} held-out queries (golden model): "
            f"int8 {every['ndcg_at_k']:.4f}, float {every['ndcg_at_k_float']:.4f}",
            f"the device as Verilog, with its side files: {folder}",
        ]
    )
    return result


def _generated() -> Path:
    """Folder with the generated device; made once for each state of the generator."""
    config = preset(PRESET)
    folder = cache_folder() / "demo" / f"{PRESET}-{generator_key(config)}"
    if not (folder / "rpaccel.v").exists():
        _progress(f"generating {PRESET} into {folder}")
        generate(argparse.Namespace(preset=PRESET, out=folder))
    return folder
