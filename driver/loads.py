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
    """One LOAD entry."""

    target: fmt.Target
    unit: int
    start: int
    words: int
    address: int


def make_load(
    config: Config, image: MemoryImage, target: fmt.Target, unit: int, start: int, blob: bytes
) -> Load:
    """Put ``blob`` into device memory; returns the LOAD of it."""
    size = config.axi_bytes if target is fmt.Target.WEIGHTS else 8
    return Load(
        target=target,
        unit=unit,
        start=start,
        words=len(blob) // size,
        address=image.put(blob, what=target.name.lower()),
    )


def cache_loads(
    cache: CachePlan, models: Sequence[QuantisedModel], image: MemoryImage
) -> list[Load]:
    """Regions, row data and tags of every lane; tags come last, so they never name other rows."""
    config = cache.config
    loads = []
    regions = b"".join(pack_bytes(fmt.CACHE_REGION, r) for r in cache.regions)
    for lane in range(config.gather_lanes):
        tags, rows = cache.lane_image(lane, models)
        for target, blob in (
            (fmt.Target.CACHE_REGIONS, regions),
            (fmt.Target.CACHE_DATA, rows),
            (fmt.Target.CACHE_TAGS, tags),
        ):
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
    blob = b"".join(pack_bytes(fmt.CACHE_REGION, r) for r in cache.regions)
    first = make_load(cache.config, image, fmt.Target.CACHE_REGIONS, fmt.ALL_UNITS, 0, blob)
    rest = [
        load
        for load in cache_loads(cache, models, image)
        if load.target is not fmt.Target.CACHE_REGIONS and load not in held
    ]
    return [first, *rest]
