"""MP-Rec's offline step: which representations lie on which platform, under memory capacities.

The paper's text was not available; what is done here follows its abstract and is ours otherwise.
Every set of representations that fits a platform is a candidate for it. An assignment is judged
by two figures: the quality it can give a query that meets nobody (its most accurate path inside
the latency target), and the correct predictions a second when all platforms are saturated, each on
its best path. The front of both is returned; the first of it has the highest quality.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..load.paths import Path, paths_of
from ..load.profile import PlatformProfile
from .pareto import front

__all__ = ["Assignment", "explore_representations"]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Representations resident on platforms."""

    resident: Mapping[str, tuple[str, ...]]
    """Representations by platform; () where none."""
    paths: tuple[Path, ...]
    quality: float
    """Of the most accurate path that meets the target for a typical query alone."""
    correct_per_s: float
    """Correct predictions a second, all platforms saturated, each on its best path."""
    bytes_used: Mapping[str, int]

    @property
    def label(self) -> str:
        """One line for people."""
        parts = (f"{name}: {'+'.join(r) or '-'}" for name, r in self.resident.items())
        return "; ".join(parts)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "resident": {name: list(r) for name, r in self.resident.items()},
            "quality": self.quality,
            "correct_per_s": self.correct_per_s,
            "bytes_used": dict(self.bytes_used),
        }


def _choices(profile: PlatformProfile, model: str) -> list[tuple[str, ...]]:
    """Sets of representations that fit the platform together, the empty one last."""
    known = [curve for curve in profile.curves if curve.model == model]
    found: list[tuple[str, ...]] = []
    for count in range(len(known), -1, -1):
        for part in itertools.combinations(known, count):
            if sum(curve.memory_bytes for curve in part) <= profile.memory_bytes:
                found.append(tuple(curve.representation for curve in part))
    return found


def _judge(paths: Sequence[Path], items: int, sla_s: float) -> tuple[float, float]:
    inside = []
    rate: dict[str, float] = {}
    for path in paths:
        table = path.table()
        place = items - table.low
        if not 0 <= place < len(table.latency):
            continue
        if table.latency[place] <= sla_s:
            inside.append(path.quality)
            correct = path.quality * items * path.servers / table.occupied[place]
            rate[path.platform] = max(rate.get(path.platform, 0.0), correct)
    return max(inside, default=0.0), sum(rate.values())


def explore_representations(
    profiles: Sequence[PlatformProfile],
    model: str,
    *,
    sla_s: float,
    items: int,
    capacities: Mapping[str, int] | None = None,
    returned: int = 0,
) -> list[Assignment]:
    """Every assignment of representations to platforms that fits, and the front of them.

    Parameters
    ----------
    profiles
        With curves and qualities of the model, one a representation.
    items
        Of a typical query.
    capacities
        Bytes by platform, instead of the profiles'.

    Returns
    -------
    The front, highest quality first.

    Raises
    ------
    UserError
        No platform or no representation, a platform that is not there, nothing that fits, no path
        inside the target; the message says the nearest.
    """
    if not profiles:
        raise UserError("no platforms to place representations on")
    if not sla_s > 0:
        raise UserError(f"SLA must be above 0 s, not {sla_s:g}")
    names = [profile.name for profile in profiles]
    for name, size in (capacities or {}).items():
        if name not in names:
            raise UserError(f"capacity of {name}: no such platform; there are {', '.join(names)}")
        if size < 1:
            raise UserError(f"capacity of {name} must be at least 1 byte, not {size}")
    given = [replace(p, memory_bytes=(capacities or {}).get(p.name, p.memory_bytes))
             for p in profiles]  # fmt: skip
    choices = [_choices(profile, model) for profile in given]
    if all(len(part) == 1 for part in choices):
        sizes = [c.memory_bytes for p in given for c in p.curves if c.model == model]
        if not sizes:
            raise UserError(f"no platform has a latency of {model}")
        raise UserError(
            f"no representation of {model} fits: the smallest takes {min(sizes)} bytes, the "
            f"largest platform has {max(p.memory_bytes for p in given)}"
        )
    found: list[Assignment] = []
    for chosen in itertools.product(*choices):
        paths = [
            path
            for profile, part in zip(given, chosen, strict=True)
            for path in paths_of(profile, model, part, returned=returned)
        ]
        if not paths:
            continue
        quality, correct = _judge(paths, items, sla_s)
        used = {
            profile.name: sum(path.curve.memory_bytes for path in paths
                              if path.platform == profile.name)
            for profile in given
        }  # fmt: skip
        found.append(
            Assignment(
                resident=dict(zip(names, chosen, strict=True)), paths=tuple(paths),
                quality=quality, correct_per_s=correct, bytes_used=used,
            )
        )  # fmt: skip
    if max(a.quality for a in found) == 0:
        nearest = min(_nearest(a.paths, items) for a in found)
        raise UserError(
            f"no path of {model} ranks {items} items within {1e3 * sla_s:g} ms; the nearest "
            f"takes {1e3 * nearest:.4g} ms"
        )
    # Of equally good ones the smallest: what is resident in vain only takes memory.
    found.sort(key=lambda a: (-a.quality, -a.correct_per_s, sum(a.bytes_used.values())))
    kept = front([[a.quality, a.correct_per_s] for a in found], [True, True])
    return sorted((found[place] for place in kept), key=lambda a: -a.quality)


def _nearest(paths: Sequence[Path], items: int) -> float:
    inside = [
        table.latency[items - table.low]
        for table in (path.table() for path in paths)
        if 0 <= items - table.low < len(table.latency)
    ]
    return min(inside, default=np.inf)
