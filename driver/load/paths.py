"""Paths: a representation on a platform, as the online scheduler reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .profile import LatencyCurve, PlatformProfile

__all__ = ["Path", "PathTable", "check_memory", "paths_of"]

_MOST_ITEMS = 1 << 20
"""Latencies are tabulated item by item, so that a decision is an index."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """A model in one representation, resident on one platform.

    Raises
    ------
    UserError
        A quality outside 0..1, or counts below 1.
    """

    name: str
    platform: str
    curve: LatencyCurve
    quality: float
    """Share of correct predictions, 0 to 1."""
    servers: int = 1
    """Of the platform."""
    in_flight: int = 1
    transfer_s: float = 0.0
    """To and from the platform, whatever the items."""
    transfer_item_s: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.quality <= 1:
            raise UserError(f"path {self.name}: quality must be in 0..1, not {self.quality}")
        if self.servers < 1 or self.in_flight < 1:
            raise UserError(f"path {self.name}: servers and in_flight must be at least 1")

    def table(self) -> PathTable:
        """Latency and occupation of every number of items."""
        low, high = self.curve.items[0], self.curve.items[-1]
        if high > _MOST_ITEMS:
            raise UserError(f"path {self.name}: {high} items; at most {_MOST_ITEMS} are tabulated")
        items = np.arange(low, high + 1)
        seconds = self.curve.seconds_of(items)
        occupied = seconds
        if self.curve.interval_s:
            occupied = np.maximum(self.curve.interval_of(items), seconds / self.in_flight)
        latency = seconds + self.transfer_s + self.transfer_item_s * items
        return PathTable(low, latency.tolist(), occupied.tolist())


@dataclass(frozen=True)
class PathTable:
    """Seconds by items, from ``low`` on."""

    low: int
    latency: list[float]
    """From start to result at the host."""
    occupied: list[float]
    """Of a server's time."""


def paths_of(
    profile: PlatformProfile,
    model: str,
    representations: Sequence[str],
    *,
    returned: int = 0,
) -> list[Path]:
    """The paths of a model on a platform; all of them resident at once.

    Raises
    ------
    UserError
        Curves or qualities that the profile does not have, or more bytes than the platform holds.
    """
    found = []
    host = profile.host
    for representation in representations:
        name = f"{model}/{representation}"
        if name not in profile.quality:
            raise UserError(f"profile {profile.name} has no quality of {name}")
        found.append(
            Path(
                name=f"{name}@{profile.name}",
                platform=profile.name,
                curve=profile.curve(model, representation),
                quality=profile.quality[name],
                servers=profile.servers,
                in_flight=profile.in_flight,
                transfer_s=host.in_s + host.out_s + host.out_item_s * returned,
                transfer_item_s=host.in_item_s,
            )
        )
    check_memory(profile, found)
    return found


def check_memory(profile: PlatformProfile, paths: Sequence[Path]) -> None:
    """Refuse more resident bytes than a platform has; UserError with both."""
    needed = sum(path.curve.memory_bytes for path in paths)
    if needed > profile.memory_bytes:
        names = ", ".join(path.name for path in paths)
        raise UserError(
            f"{names} need {needed} bytes together; {profile.name} has {profile.memory_bytes}"
        )
