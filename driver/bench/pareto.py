"""`rpaccel bench pareto`: quality against work of all funnels of the shipped models."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from driver.files import read_dataset, read_model
from driver.quality.pareto import as_json, pareto, pareto_text
from golden.dataset import Dataset

__all__ = ["bench_pareto"]

_DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo"
RETURNED = 16


def bench_pareto(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Score the shipped held-out queries with every shipped model, rank them by every funnel."""
    data = read_dataset(_DEMO / "queries.npz")
    count = min(args.queries, len(data)) * data.query_items
    part = Dataset(
        counts=data.counts[:count],
        ids=data.ids[:count],
        labels=data.labels[:count],
        query_items=data.query_items,
    )
    funnels = pareto(
        [read_model(_DEMO / f"{name}.npz") for name in ("rmsmall", "rmmed", "rmlarge")],
        part,
        read_dataset(_DEMO / "calibration.npz"),
        returned=RETURNED,
        progress=progress,
    )
    text = pareto_text(funnels, returned=RETURNED)
    return {"queries": len(part), "k": RETURNED, "funnels": as_json(funnels), "text": text}
