"""The words of ``rpaccel bench``; each bench is imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .load_options import add_load_options

__all__ = ["add_benches", "bench"]

_BENCHES = {
    "array": ("utilisation by engine size and partition, cost of a change of partition", "small"),
    "query": ("cycles and stalls of whole queries, by pipeline and partition, simulated", "small"),
    "fission-cost": ("cells that fission adds to the array, synthesised", "small"),
    "representations": ("table, DHE, select, hybrid: bytes, MACs, bounds, cycles", "small"),
    "mp-cache": ("where caching and approximating DHE vectors pays", "small"),
    "embedding": ("lanes on hits, misses against DRAM, hit rates, kaggle-2 by caches", "small"),
    "funnel": ("sub-batches, queries in flight, filter latency, quality of policies", "small"),
    "pareto": ("quality against MACs and bytes of all funnels of the shipped models", None),
    "load": ("load simulation, online decisions, multi-path, a pipeline on processes", "paper"),
    "papers": ("the papers' comparisons, beside published values and bounds", "paper"),
    "generate": ("time and size of generation, by preset", None),
    "area": ("area, Fmax and cycles of presets, recorded with their commit", None),
}


def bench(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Run the bench ``args.bench``; returns what ``--json`` writes, and ``text`` for people."""
    name = args.bench.replace("-", "_")
    module = importlib.import_module(f".{name}", __package__)
    result: dict[str, Any] = getattr(module, f"bench_{name}")(args, progress)
    return result


def add_benches(
    parser: argparse.ArgumentParser, positive: Callable[[str], int]
) -> list[argparse.ArgumentParser]:
    """Add the benches as words of ``parser``; returns their parsers."""
    words = parser.add_subparsers(title="benches", metavar="NAME", dest="bench", required=True)
    parsers = {}
    for name, (text, default) in _BENCHES.items():
        parsers[name] = words.add_parser(name, help=text, description=text)
        if default is not None:
            parsers[name].add_argument(
                "--preset", metavar="P", default=default, help=f"see `rpaccel presets` ({default})"
            )
    parsers["generate"].add_argument(
        "--preset", metavar="P", action="append", help="may be repeated; default: all"
    )
    add = parsers["area"].add_argument
    add("--preset", metavar="P", action="append", help="may be repeated (ecp5)")
    add("--unit", metavar="NAME", action="append", help="may be repeated (device: all)")
    add("--device", metavar="D", default="lfe5um5g-85f", help="see `rpaccel synth` (lfe5um5g-85f)")
    add("--seeds", metavar="N", type=int, default=0, help="of place and route; 0: area only (0)")
    add("--record", metavar="FILE", nargs="?", type=Path, const=Path("synth/results.json"),
        help="replace the entries in FILE (synth/results.json)")  # fmt: skip
    for name in ("array", "query"):
        add = parsers[name].add_argument
        add("--items", metavar="N", type=positive, default=256, help="items ranked (256)")
        add("--seed", metavar="N", type=int, default=1, help="seed of models and items (1)")
        add("--simulator", choices=["verilator", "icarus"], default="verilator")
    add = parsers["array"].add_argument
    add("--random", metavar="N", type=int, default=5,
        help="random layers an engine size, random models (5)")  # fmt: skip
    add("--only", choices=["layers", "models", "changes"], help="one of the tables")
    add("--model", metavar="NAME", action="append", help="RMsmall, RMsmall-cat, ..; default: all")
    add("--partition", metavar="TEXT", action="append",
        help="partition of the models, may be repeated; default: all legal ones")  # fmt: skip
    add("--model-items", metavar="N", type=positive, default=1024, help="items of a model (1024)")
    add("--max-rows", metavar="N", type=positive, default=1000,
        help="cap on the rows of an embedding table where partitions change (1000)")  # fmt: skip
    add = parsers["embedding"].add_argument
    add("--only", choices=["hits", "misses", "rates", "splits", "query"], help="one of the parts")
    add("--lookups", metavar="N", type=positive, default=10_000, help="of hits (10000)")
    add("--items", metavar="N", type=positive, help="items of the query (4096)")
    add("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table of the query (10000)")  # fmt: skip
    add("--partition", metavar="TEXT", help="engines of the query")
    add("--caches", metavar="NAME", action="append",
        help="none, static, look-ahead, both; may be repeated (all)")  # fmt: skip
    add("--backend", choices=["rtl", "timing"], default="rtl", help="of the query (rtl)")
    add("--seed", metavar="N", type=int, default=1, help="seed of ids (1)")
    add = parsers["query"].add_argument
    add("--pipeline", metavar="NAME", action="append", help="may be repeated; default: all kaggle")
    add("--partition", metavar="TEXT", action="append", help="may be repeated; default: a few")
    add("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    add = parsers["representations"].add_argument
    add("--only", choices=["bounds"], help="no queries")
    add("--backend", choices=["rtl", "timing"], default="rtl", help="of the preset's queries (rtl)")
    add("--items", metavar="N", type=positive, default=64, help="items of a query (64)")
    add("--max-rows", metavar="N", type=positive, default=2000,
        help="cap on the rows of an embedding table of the queries (2000)")  # fmt: skip
    add(
        "--mp-cache",
        metavar="N",
        type=positive,
        action="append",
        help="finished vectors held, may be repeated; default: an eighth of the room, and all",
    )
    add("--seed", metavar="N", type=int, default=1, help="seed of models and items (1)")
    _add_funnel(parsers["funnel"], positive)
    add_load_options(parsers["load"], positive)
    parsers["pareto"].add_argument(
        "--queries", metavar="N", type=positive, default=128, help="held-out queries (128)"
    )
    _add_papers(parsers["papers"], positive)
    return list(parsers.values())


def _add_papers(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    add = parser.add_argument
    add(
        "--only",
        metavar="NAME",
        action="append",
        help="1c, 3, 5, 7, 10a, 10b, 10c, 11, 12, 12-partitions, 13, 14, mp-rec; repeat it (all)",
    )
    add("--items", metavar="N", type=positive, help="items of Criteo's queries (4096)")
    add(
        "--max-rows",
        metavar="N",
        type=positive,
        default=10_000,
        help="cap on the rows of an embedding table (10000)",
    )
    add("--gpu", metavar="FILE", help="profile of a GPU, where this machine has none")
    add(
        "--path-queries",
        metavar="N",
        type=positive,
        default=60_000,
        help="queries of the multi-path comparison (60000)",
    )
    add("--workers", metavar="N", type=positive, help="processes that time devices (one a core)")
    add("--seed", metavar="N", type=int, default=1, help="seed of models and items (1)")


def _add_funnel(parser: argparse.ArgumentParser, positive: Callable[[str], int]) -> None:
    add = parser.add_argument
    add("--pipeline", metavar="NAME", default="kaggle-2", help="see `rpaccel pipelines` (kaggle-2)")
    add("--partition", metavar="TEXT", help="default: half of the grid for each of two stages")
    add("--items", metavar="N", type=positive, default=1024, help="items ranked (1024)")
    add("--queries", metavar="N", type=positive, default=16, help="of the throughput table (16)")
    add("--max-rows", metavar="N", type=positive, default=10_000,
        help="cap on the rows of an embedding table (10000)")  # fmt: skip
    add("--seed", metavar="N", type=int, default=1, help="seed of models and items (1)")
    add("--backend", choices=["rtl", "timing"], default="rtl")
    add("--sub-batches", metavar="N", type=positive, action="append",
        help="may be repeated; default: 2, 4, 8, 16")  # fmt: skip
    add("--in-flight", metavar="N", type=positive, action="append",
        help="may be repeated; default: 1, 2, 4, 8")  # fmt: skip
    add("--quality-queries", metavar="N", type=positive, help="of the quality tables (20)")
    add("--only", choices=["latency", "throughput", "quality"], action="append",
        help="a table; may be repeated; default: all")  # fmt: skip
