"""Options of ``rpaccel bench load``, apart from the bench: a command line starts without NumPy."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

__all__ = ["PARTS", "RUN_ITEMS", "add_load_options"]

PARTS = ("rate", "closed-forms", "decision", "multi-path", "fleet", "execution")
RUN_ITEMS = 512


def add_load_options(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    """Options of ``bench load``."""
    add = parser.add_argument
    add("--only", choices=PARTS, action="append",
        help="a part; may be repeated; default: all but execution")  # fmt: skip
    add("--queries", metavar="N", type=positive, help="of each part (its own default)")
    add("--arrivals", choices=["poisson", "bursty", "diurnal"], default="poisson")
    add("--trace", metavar="FILE", type=Path, help="arrival times for multi-path")
    add("--sla-ms", metavar="T", type=float, default=10.0, help="latency target (10)")
    add("--load", metavar="X", type=float, action="append",
        help="share of saturation; may be repeated (0.1 to 1.2; execution: 0.5)")  # fmt: skip
    add("--rate", metavar="QPS", type=float, default=200_000.0,
        help="of the fleet's load (200000)")  # fmt: skip
    add("--capacity", metavar="BYTES", type=int,
        help="of a fleet's device for tables (all tables, 1/2, 1/4, 1/8 of them)")  # fmt: skip
    add("--policy", choices=["value", "accurate-first"], default="value",
        help="of the online scheduler (value)")  # fmt: skip
    add("--profile", metavar="FILE", type=Path, action="append",
        help="platform; may be repeated; default: bounds of MP-Rec's models")  # fmt: skip
    add("--model", metavar="NAME", help="of the profiles (their first)")
    add("--pipeline", metavar="NAME", default="kaggle-2", help="that is executed (kaggle-2)")
    add("--mapping", metavar="FILE", type=Path,
        help="of `rpaccel schedule --platform cpu --json`: executed at its load")  # fmt: skip
    add("--layout", choices=["stages", "cores"], default="stages",
        help="execution: a process a stage, or a core each for whole queries (stages)")  # fmt: skip
    add("--items", metavar="N", type=positive, help=f"items of that pipeline ({RUN_ITEMS})")
    add("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    add("--real-time", action="store_true",
        help="execution: the processes go ahead of all others of the machine")  # fmt: skip
    add("--seed", metavar="N", type=int, default=1, help="seed of queries (1)")
