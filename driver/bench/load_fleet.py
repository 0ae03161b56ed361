"""Fleets for MP-Rec's Kaggle model: devices by what a device can hold."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from golden.mprec import mprec_shape

from ..errors import UserError
from ..load.arrivals import arrivals
from ..load.fleet import Link, size_fleet
from ..load.sizes import Lognormal
from ..load.stations import stations_of
from .load_paths import bound_profile

__all__ = ["FLEET", "fleet_rows"]

_LINK = Link(latency_s=2e-6, bytes_per_s=12.5e9)
"""A network of 100 Gbit/s."""
_PARTS = (1, 2, 4, 8)
"""Device memory for tables, as parts of all tables, where no capacity is given."""
_QUERIES = 100_000

FLEET = {
    "capacity": "tables a device [MB]",
    "per_group": "devices a group",
    "fullest": "fullest [MB]",
    "highest": "queries/s a group",
    "groups": "groups",
    "devices": "devices",
    "p99": "p99 [ms]",
}


def fleet_rows(args: argparse.Namespace, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    """The fewest devices for ``args.rate`` by memory of a device; times are the preset's bounds.

    Raises
    ------
    UserError
        What `size_fleet` refuses.
    """
    if args.capacity is not None and args.capacity < 1:
        raise UserError(f"--capacity must be at least 1 byte, not {args.capacity}")
    profile = bound_profile(args.preset)
    model = profile.curves[0].model
    shape = mprec_shape("kaggle", "table", interaction="cat")
    tables = [rows * shape.width for rows in shape.rows]
    capacities = [args.capacity] if args.capacity else [-(-sum(tables) // n) for n in _PARTS]
    # A group's devices rank parts of a query: at least one item each.
    sizes = Lognormal(mean=128, sigma=0.5, smallest=1, largest=1024)
    found = []
    for capacity in capacities:
        progress(f"fleet of devices with {capacity} bytes for tables")
        fleet = size_fleet(
            stations_of(profile, model), arrivals(args.arrivals, args.rate), sizes,
            sla_s=1e-3 * args.sla_ms, tables=tables, capacity=capacity,
            item_bytes=len(tables) * shape.width, link=_LINK,
            queries=args.queries or _QUERIES, seed=args.seed,
        )  # fmt: skip
        found.append(
            {"capacity": capacity / 1e6, "per_group": len(fleet.shards.devices),
             "fullest": max(fleet.shards.bytes_of) / 1e6, "highest": round(fleet.highest),
             "groups": fleet.groups, "devices": fleet.devices,
             "p99": f"{1e3 * fleet.result.p99.value:.3f}"}
        )  # fmt: skip
    return found
