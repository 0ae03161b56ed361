"""`rpaccel platform`: a profile from the timing model or a measurement, as text and as a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..bench.table import table_text
from ..errors import UserError
from ..load.profile import PlatformProfile, write_profile
from .devices import DEFAULT_ITEMS
from .measure import measured_profile
from .platforms import platform

__all__ = ["platform_command"]

_MODELS = ("RMsmall", "RMmed", "RMlarge")


def platform_command(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Make the profile; UserError, ConfigError for bad words."""
    models = tuple(args.model or _MODELS)
    items = tuple(args.items or DEFAULT_ITEMS)
    if any(b <= a for a, b in zip(items, items[1:], strict=False)) or items[0] < 1:
        raise UserError(f"--items must rise from at least 1, not {list(items)}")
    if args.out is not None and not args.out.absolute().parent.is_dir():
        raise UserError(f"--out: no folder {args.out.parent}")
    if args.platform in ("cpu", "cuda", "torch"):
        # Asked for by name: measured anew, not taken from what searches have kept.
        profile = measured_profile(
            models, items=items, device=args.platform, clock=args.clock, max_rows=args.max_rows,
            progress=progress,
        )  # fmt: skip
    else:
        profile = platform(
            args.platform, models, transfer=args.transfer, items=items, max_rows=args.max_rows,
            clock=args.clock, seed=args.seed, progress=progress,
        )  # fmt: skip
    if args.out is not None:
        write_profile(args.out, profile)
    return {"profile": profile.as_json(), "text": _text(profile)}


def _text(profile: PlatformProfile) -> str:
    rows = [
        {
            "model": curve.model,
            "items": items,
            "latency": f"{1e6 * curve.seconds(items):.2f}",
            "interval": f"{1e6 * curve.interval(items):.2f}",
            "p99": f"{1e6 * curve.seconds(items) * max(curve.factors):.2f}"
            if curve.factors
            else None,
        }
        for curve in profile.curves
        for items in curve.items
    ]
    columns = {
        "model": "model", "items": "items", "latency": "latency [us]", "interval": "interval [us]",
        "p99": "slowest [us]",
    }  # fmt: skip
    facts = "; ".join(f"{key}: {value}" for key, value in profile.conditions.items())
    host = profile.host
    return "\n".join(
        [
            f"platform {profile.name} ({profile.kind}), {profile.servers} servers, up to "
            f"{profile.in_flight} queries in flight in each",
            facts,
            f"host transfers {host.model}: in {1e6 * host.in_s:.3g} us + "
            f"{1e9 * host.in_item_s:.3g} ns an item, out {1e6 * host.out_s:.3g} us + "
            f"{1e9 * host.out_item_s:.3g} ns an item",
            table_text(columns, rows),
        ]
    )
