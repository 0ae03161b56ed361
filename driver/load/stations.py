"""Stations: the places that a query passes one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .profile import PlatformProfile
from .queue import departures
from .services import Affine, Intervals, Service, Tabulated

__all__ = ["Passage", "Station", "pass_station", "saturation", "stations_of"]


@dataclass(frozen=True, kw_only=True)
class Station:
    """One stage's place, first come first served.

    Raises
    ------
    UserError
        No servers, or a share outside 0..1.
    """

    name: str
    service: Service
    """Seconds from start to result."""
    servers: int | None = 1
    """Queries served side by side; None: as many as come, so a delay without a queue."""
    interval: Service | None = None
    """Pipelined: seconds until a server can start the next query."""
    in_flight: int = 1
    """Pipelined: queries of one server between start and result."""
    share: float = 1.0
    """Items that reach this stage, as a share of the query's; rounded up, at least one."""

    def __post_init__(self) -> None:
        if self.servers is not None and self.servers < 1:
            raise UserError(f"station {self.name}: servers must be at least 1, not {self.servers}")
        if self.in_flight < 1:
            raise UserError(
                f"station {self.name}: in_flight must be at least 1, not {self.in_flight}"
            )
        if not 0 < self.share <= 1:
            raise UserError(f"station {self.name}: share must be above 0, up to 1: {self.share}")

    def items(self, items: NDArray[np.int64]) -> NDArray[np.int64]:
        """Items of queries here."""
        if self.share == 1:
            return items
        # A share such as 1/8 of 4096 is 512, not 513.
        return np.maximum(np.ceil(items * self.share - 1e-9), 1).astype(np.int64)


@dataclass(frozen=True)
class Passage:
    """What happened at a station."""

    leave: NDArray[np.float64]
    service: NDArray[np.float64]
    occupied: NDArray[np.float64]
    """Seconds that each query takes from one server's capacity."""


def _draw(
    station: Station, random: np.random.Generator, items: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    mine = station.items(items)
    service = station.service.draw(random, mine)
    return service, None if station.interval is None else station.interval.draw(random, mine)


def _occupied(
    station: Station, service: NDArray[np.float64], interval: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if interval is None:
        return service
    return np.maximum(interval, service / station.in_flight)


def pass_station(
    station: Station,
    random: np.random.Generator,
    come: NDArray[np.float64],
    items: NDArray[np.int64],
) -> Passage:
    """Send queries through a station; ``come`` need not rise, ``leave`` is in its order."""
    service, interval = _draw(station, random, items)
    if station.servers is None:
        return Passage(come + service, service, service)
    order = None
    if np.any(np.diff(come) < 0):
        order = np.argsort(come, kind="stable")
    pick = slice(None) if order is None else order
    left = departures(
        come[pick],
        service[pick],
        servers=station.servers,
        interval=None if interval is None else interval[pick],
        in_flight=station.in_flight,
    )
    leave = left
    if order is not None:
        leave = np.empty_like(left)
        leave[order] = left
    return Passage(leave, service, _occupied(station, service, interval))


def saturation(
    stations: Sequence[Station], items: NDArray[np.int64], seed: int = 1
) -> tuple[float, str]:
    """Queries a second that no station can exceed, and the name of the one that limits.

    Of queries with ``items``; infinite where every station is a delay.
    """
    rate, name = np.inf, ""
    for number, station in enumerate(stations):
        if station.servers is None:
            continue
        service, interval = _draw(station, np.random.default_rng([seed, number]), items)
        busy = float(_occupied(station, service, interval).mean())
        most = np.inf if busy == 0 else station.servers / busy
        if most < rate:
            rate, name = most, station.name
    return rate, name


def stations_of(
    profile: PlatformProfile,
    model: str,
    representation: str = "table",
    *,
    share: float = 1.0,
    returned: int = 0,
    servers: int | None = None,
) -> tuple[Station, ...]:
    """A stage on a platform: the transfers to and from it, then the platform.

    Transfers are a delay: they go on beside the work on other queries.

    Parameters
    ----------
    share
        Items that reach the stage, as a share of the query's.
    returned
        Results that go back to the host.
    servers
        Of the platform's; None: all.

    Raises
    ------
    UserError
        The profile does not have the model, or fewer servers.
    """
    curve = profile.curve(model, representation)
    if servers is not None and not 1 <= servers <= profile.servers:
        raise UserError(f"{profile.name} has {profile.servers} servers, not {servers}")
    name = f"{model} on {profile.name}"
    place = Station(
        name=name,
        service=Tabulated(curve),
        servers=servers or profile.servers,
        interval=Intervals(curve) if curve.interval_s else None,
        in_flight=profile.in_flight if curve.interval_s else 1,
        share=share,
    )
    host = profile.host
    if host.seconds(1, returned) == 0:
        return (place,)
    base = host.in_s + host.out_s + host.out_item_s * returned
    moved = Station(
        name=f"{name}: transfers", service=Affine(base, host.in_item_s), servers=None, share=share
    )
    return (moved, place)
