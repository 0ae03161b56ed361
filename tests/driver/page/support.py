"""Synthetic activity of a small device."""

from __future__ import annotations

from typing import Any

import numpy as np

from driver.page.activity import Activity, Block, Lane
from driver.page.facts import PageFacts
from driver.page.work import StageWork
from driver.partition import parse_partition
from hdl.config import preset
from hdl.engine.cause import Cause

CONFIG = preset("small")
PARTITION = parse_partition(CONFIG, "8x8:3@0,4x4:4@1", stages=2)
CYCLES = 10_007
"""A prime: no number of parts divides it."""


def random_activity(seed: int, *, cycles: int = CYCLES, spans: int = 500) -> Activity:
    """Engines that change what they do at random cycles, and a row block each."""
    random = np.random.default_rng(seed)
    lanes, blocks = [], []
    for number, engine in enumerate(PARTITION.engines):
        inner = np.unique(random.integers(1, cycles, spans))
        edges = np.concatenate([[0], inner, [cycles]])
        causes = random.integers(0, len(Cause), len(edges) - 1)
        lanes.append(Lane(engine=engine, edges=edges, causes=causes))
        stage = min(engine.stages or {0})
        start = 10 + number if stage == 0 else cycles // 2
        blocks.append(
            Block(
                unit=engine.unit,
                query=0,
                stage=stage,
                position=0,
                rows=64,
                start=start,
                end=start + 100,
            )
        )
    return Activity(cycles=cycles, lanes=tuple(lanes), blocks=tuple(blocks))


def work() -> list[StageWork]:
    """Two stages: one near the array's peak, one bound by memory."""
    common = {"pes": 192, "lookups": 100, "hits": 40, "weight_bytes": 0}
    return [
        StageWork(
            name="wide", macs=800_000, padded_macs=1_000_000, record_bytes=512, row_bytes=512,
            **common,
        ),
        StageWork(
            name="thin", macs=4096, padded_macs=8192, record_bytes=2048, row_bytes=2048, **common
        ),
    ]  # fmt: skip


def result(**changes: Any) -> dict[str, Any]:
    """Keys of a run."""
    stalls = {c.name.lower(): 1 for c in Cause if c is not Cause.BUSY}
    stage = {"items_in": 64, "items_out": 8, "cycles": 5000, "busy_cycles": 7}
    return {
        "preset": "small",
        "pipeline": "kaggle-2",
        "partition": PARTITION.text,
        "backend": "rtl",
        "simulator": "verilator",
        "config_hash": "01234567",
        "queries": 1,
        "stages": [stage | {"name": n, "stall_cycles": stalls} for n in ("wide", "thin")],
        "bit_exact": True,
        "difference": None,
        "cycles": CYCLES,
        "cycles_per_query": float(CYCLES),
        "clock_mhz": 250.0,
        "microseconds_per_query": CYCLES / 250,
        "mac_utilization": 0.5,
        "mac_utilization_bound": 0.9,
        "embedding": {
            "lookups": 200,
            "static_hits": 60,
            "lookahead_hits": 20,
            "dram_reads": 10,
            "dram_bytes": 5120,
        },
        "quality": None,
        "top": [{"item": 5, "score": 77}],
        "notes": ["random weights"],
        "wall_s": 1.5,
    } | changes


def facts(**changes: Any) -> PageFacts:
    """A whole run."""
    values: dict[str, Any] = {
        "result": result(),
        "config": CONFIG,
        "partition": PARTITION,
        "activity": random_activity(1),
        "work": work(),
    }
    return PageFacts(**(values | changes))
