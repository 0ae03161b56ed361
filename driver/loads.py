"""LOAD entries, and those that fill the static cache: at the start, or between two queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from golden.quantised_model import QuantisedModel
from hdl import program as fmt
from hdl.config import Config
from hdl.words import pack_bytes

from .cache_plan import CachePlan
from .image import MemoryImage

__all__ = ["Load", "cache_loads", "make_load", "refresh_loads"]


@dataclass(frozen=True, kw_only=True)
class Load:
    """One LOAD entry: words that are read once and written to every unit of ``units``."""

    target: fmt.Target
    units: tuple[int, ...]
    """Ascending, several only where units are sub-arrays; or ``ALL_UNITS`` alone."""
    start: int
    words: int
    address: int

    def fields(self) -> dict[str, int]:
        """Fields of the entry."""
        one = len(self.units) == 1
        return {
            "opcode": fmt.Opcode.LOAD,
            "address": self.address,
            "items": self.words,
            "target": self.target,
            "unit": self.units[0] if one else fmt.MANY_UNITS,
            "units": 0 if one else sum(1 << unit for unit in self.units),
            "start": self.start,
        }


def make_load(
    config: Config, image: MemoryImage, target: fmt.Target, unit: int, start: int, blob: bytes
) -> Load:
    """Put ``blob`` into device memory; returns the LOAD of it."""
    size = config.axi_bytes if target is fmt.Target.WEIGHTS else 8
    return Load(
        target=target,
        units=(unit,),
        start=start,
        words=len(blob) // size,
        address=image.put(blob, what=target.name.lower()),
    )


def cache_loads(
    cache: CachePlan, models: Sequence[QuantisedModel], image: MemoryImage
) -> list[Load]:
    """Regions, then row data and tags of every lane; tags last, so they never name other rows."""
    config = cache.config
    regions = b"".join(pack_bytes(fmt.CACHE_REGION, r) for r in cache.regions)
    loads = [make_load(config, image, fmt.Target.CACHE_REGIONS, fmt.ALL_UNITS, 0, regions)]
    for lane in range(config.gather_lanes):
        tags, rows = cache.lane_image(lane, models)
        for target, blob in ((fmt.Target.CACHE_DATA, rows), (fmt.Target.CACHE_TAGS, tags)):
            if blob:
                loads.append(make_load(config, image, target, lane, 0, blob))
    return loads


def refresh_loads(
    cache: CachePlan,
    models: Sequence[QuantisedModel],
    image: MemoryImage,
    held: Sequence[Load] = (),
) -> list[Load]:
    """LOADs for a running device whose tables or cache contents are to be others.

    They go into the submission ring between two queries, ahead of the first one that is to see the
    change; device memory is written before the doorbell rings for them. No query runs while a LOAD
    does, so none sees a part. The first one, of a few words to all lanes, empties the look-ahead
    caches, whatever else is loaded; LOADs that are in force already (``held``) are left out. When
    one of them completes with an error, the host puts them all in again before the next query.
    """
    regions, *rest = cache_loads(cache, models, image)
    return [regions, *(load for load in rest if load not in held)]
