"""How many devices a load needs, with tables spread over several where one cannot hold them."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UserError
from .arrivals import Arrivals
from .highest import highest_load
from .services import Affine, Service
from .simulate import QUERIES, LoadResult, simulate
from .sizes import Sizes
from .stations import Station

__all__ = ["Fleet", "Link", "Shards", "group_stations", "shard_tables", "size_fleet"]

_MOST_GROUPS = 100_000
_MOST_SHARDS = 4096


@dataclass(frozen=True)
class Shards:
    """Tables over devices."""

    devices: tuple[tuple[tuple[int, int], ...], ...]
    """By device: (table, bytes) of what it holds; a table larger than a device is cut by rows."""
    capacity: int

    @property
    def bytes_of(self) -> tuple[int, ...]:
        """Bytes on each device."""
        return tuple(sum(size for _, size in held) for held in self.devices)


def shard_tables(tables: Sequence[int], capacity: int) -> Shards:
    """Spread tables over the fewest devices that hold them, as evenly as whole tables allow.

    Largest first onto the emptiest device; a table that is larger than a device is cut by rows
    into equal parts. Starts at the fewest devices that the sum of bytes allows.

    Parameters
    ----------
    tables
        Bytes of each table.
    capacity
        Bytes for tables on a device.

    Raises
    ------
    UserError
        No capacity, tables of negative size, or more devices than 4096.
    """
    if capacity < 1:
        raise UserError(f"capacity for tables must be at least 1 byte, not {capacity}")
    if any(size < 0 for size in tables):
        raise UserError(f"table sizes must be at least 0 bytes, not {min(tables)}")
    parts = []
    for table, size in enumerate(tables):
        pieces = max(1, -(-size // capacity))
        parts += [(table, size // pieces + (n < size % pieces)) for n in range(pieces)]
    parts.sort(key=lambda part: (-part[1], part[0]))
    for count in range(max(1, -(-sum(tables) // capacity)), _MOST_SHARDS + 1):
        held: list[list[tuple[int, int]]] = [[] for _ in range(count)]
        room = [(0, device) for device in range(count)]
        for table, size in parts:
            used, device = room[0]
            if used + size > capacity:
                break
            held[device].append((table, size))
            heapq.heapreplace(room, (used + size, device))
        else:
            return Shards(tuple(map(tuple, held)), capacity)
    raise UserError(
        f"tables of {sum(tables)} bytes need more than {_MOST_SHARDS} devices of {capacity}"
    )


@dataclass(frozen=True, kw_only=True)
class Link:
    """What joins the devices of a group."""

    latency_s: float
    bytes_per_s: float
    """Of each device, in each direction."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.latency_s) and self.latency_s >= 0):
            raise UserError(f"link: latency_s must be at least 0, not {self.latency_s}")
        if not 0 < self.bytes_per_s < math.inf:
            raise UserError(f"link: bytes_per_s must be above 0, not {self.bytes_per_s}")


@dataclass(frozen=True)
class _Part:
    """Service of one device's share of a query's items."""

    whole: Service
    shards: int

    def draw(self, random: np.random.Generator, items: Any) -> Any:
        """See `Service`."""
        return self.whole.draw(random, -(-items // self.shards))


def group_stations(
    stations: Sequence[Station], *, shards: Shards, item_bytes: float, link: Link | None
) -> tuple[Station, ...]:
    """Stations of a group of devices that hold the tables together.

    The devices of a group serve every query together: each ranks an equal part of the items and
    looks up, for all items, the rows of the tables that it holds. So a device sends the vectors of
    the other devices' items and receives those of its own: of a query of n items with
    ``item_bytes`` of vectors each, the fullest device sends its share of the bytes for
    ``n (1 - 1 / devices)`` items. That exchange is a station of its own in front, because it goes
    on beside the ranking of other queries; the device's own lookups are inside its latency, which
    is taken from the profile for its part of the items (so the profile's smallest point must reach
    down to it).

    Parameters
    ----------
    stations
        Of one device that holds everything.
    item_bytes
        Of all embedding vectors of an item.
    link
        Needed when there are several devices.
    """
    count = len(shards.devices)
    if count == 1:
        return tuple(stations)
    if link is None:
        raise UserError(f"tables need {count} devices: the link between them is missing")
    share = max(shards.bytes_of) / max(1, sum(shards.bytes_of))
    sent = item_bytes * share * (1 - 1 / count) / link.bytes_per_s
    exchange = Station(name="exchange of vectors", service=Affine(0.0, sent))
    delay = Station(name="link", service=Affine(link.latency_s, 0.0), servers=None)
    parts = [
        replace(
            station,
            service=_Part(station.service, count),
            interval=None if station.interval is None else _Part(station.interval, count),
        )
        for station in stations
    ]
    return (delay, exchange, *parts)


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """Devices for a load."""

    devices: int
    groups: int
    """Copies of the tables; queries go to one of them at random."""
    spare: int
    """Groups beyond those that the load needs."""
    shards: Shards
    highest: float
    """Queries a second that one group can take within the target."""
    result: LoadResult
    """Of one group at its part of the load, without the spare ones."""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "devices": self.devices,
            "groups": self.groups,
            "spare": self.spare,
            "devices_per_group": len(self.shards.devices),
            "table_bytes": list(self.shards.bytes_of),
            "highest": self.highest,
            "result": self.result.as_json(),
        }


def size_fleet(
    stations: Sequence[Station],
    arrivals: Arrivals,
    sizes: Sizes | None,
    *,
    sla_s: float,
    percentile: float = 99.0,
    tables: Sequence[int] = (),
    capacity: int = 1 << 62,
    item_bytes: float = 0.0,
    link: Link | None = None,
    spare: int = 0,
    queries: int = QUERIES,
    seed: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> Fleet:
    """Find the fewest devices that serve a load within a latency target.

    Groups are alike and queries go to one at random, so a group sees the same law at its part of
    the rate. (Sending each to the shortest queue would need no more.)

    Parameters
    ----------
    stations
        Of one device with all tables; of a platform, see `stations_of`.
    arrivals
        Of the whole load.
    tables, capacity
        Bytes of each table, and of a device's room for them; see `shard_tables`.
    item_bytes, link
        See `group_stations`.
    spare
        Groups that may fail.

    Raises
    ------
    UserError
        A target that no load meets (with the nearest latency), a negative spare, and what
        `shard_tables`, `group_stations` and `simulate` refuse.
    """
    if spare < 0:
        raise UserError(f"spare groups must be at least 0, not {spare}")
    shards = shard_tables(tables, capacity)
    group = group_stations(stations, shards=shards, item_bytes=item_bytes, link=link)
    found = highest_load(
        group, arrivals, sizes, sla_s=sla_s, percentile=percentile, queries=queries, seed=seed
    )
    groups = max(1, math.ceil(arrivals.rate / found.rate - 1e-9))
    while True:
        if groups > _MOST_GROUPS:
            raise UserError(f"{arrivals.rate:g} queries/s need more than {_MOST_GROUPS} groups")
        part = arrivals.at_rate(arrivals.rate / groups)
        result = simulate(group, part, sizes, queries=queries, seed=seed, sla_s=sla_s)
        progress(
            f"{groups} groups: p{percentile:g} {1e3 * result.percentile(percentile).value:.4g} ms"
        )
        if result.stable and result.percentile(percentile).value <= sla_s:
            break
        groups += 1
    return Fleet(
        devices=(groups + spare) * len(shards.devices),
        groups=groups + spare,
        spare=spare,
        shards=shards,
        highest=found.rate,
        result=result,
    )
