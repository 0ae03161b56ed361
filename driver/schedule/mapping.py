"""Mappings: which model ranks how many items on which platform, stage after stage; and the
stations that a query passes then."""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..load.profile import LatencyCurve, PlatformProfile
from ..load.services import Affine, Fixed, Service
from ..load.stations import Station
from .devices import Device
from .host_models import TOP_K

__all__ = ["Chain", "Mapping", "Placed", "Segment", "illegal", "stations"]


@dataclass(frozen=True, order=True)
class Placed:
    """A stage: model, items that it ranks, name of its platform."""

    model: str
    items: int
    platform: str


@dataclass(frozen=True, order=True)
class Mapping:
    """A pipeline on platforms."""

    stages: tuple[Placed, ...]
    returned: int
    sub_batches: int = 1

    @property
    def label(self) -> str:
        """One line for people, and the key in study files."""
        stages = " > ".join(f"{s.model}:{s.items} on {s.platform}" for s in self.stages)
        parts = f", {self.sub_batches} sub-batches" if self.sub_batches > 1 else ""
        return f"{stages}, top {self.returned}{parts}"

    @property
    def funnel(self) -> str:
        """What decides quality: models and items."""
        return f"{'>'.join(f'{s.model}:{s.items}' for s in self.stages)}>{self.returned}"

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Neighbouring stages on one platform together."""
        found, first = [], 0
        for platform, part in groupby(self.stages, key=lambda stage: stage.platform):
            stages = tuple(part)
            end = first + len(stages)
            keep = self.stages[end].items if end < len(self.stages) else self.returned
            found.append(Segment(platform, stages, keep))
            first = end
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "stages": [[s.model, s.items, s.platform] for s in self.stages],
            "returned": self.returned,
            "sub_batches": self.sub_batches,
        }

    @classmethod
    def from_json(cls, data: Table[str, Any]) -> Mapping:
        """Plain data back."""
        return cls(
            tuple(Placed(m, n, p) for m, n, p in data["stages"]),
            data["returned"],
            data["sub_batches"],
        )


@dataclass(frozen=True)
class Segment:
    """Stages that follow each other on one platform."""

    platform: str
    stages: tuple[Placed, ...]
    keep: int
    """Items that leave it."""


@dataclass(frozen=True)
class Chain:
    """Seconds of stages one after the other: a `Service`."""

    parts: tuple[tuple[LatencyCurve, float], ...]
    """Curve, and the items that reach the stage as a share of the segment's first one."""
    pieces: int = 1
    """Sub-batches that each stage does one after the other."""
    intervals: bool = False
    """Of the intervals, not the latencies."""

    def each(
        self, random: np.random.Generator, items: NDArray[np.int64]
    ) -> list[NDArray[np.float64]]:
        """Seconds of a piece at each stage."""
        found = []
        for curve, share in self.parts:
            mine = np.maximum(np.ceil(items * share / self.pieces - 1e-9), 1)
            if self.intervals:
                found.append(curve.interval_of(mine))
                continue
            seconds = curve.seconds_of(mine)
            if curve.factors:
                picks = random.integers(0, len(curve.factors), len(items))
                seconds = seconds * np.asarray(curve.factors)[picks]
            found.append(seconds)
        return found

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds of all pieces at all stages."""
        return self.pieces * np.sum(self.each(random, items), axis=0)


@dataclass(frozen=True)
class Lead:
    """Seconds that overlapped stages take beyond one piece each: the slowest one's other pieces."""

    chain: Chain

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Chain`."""
        slowest = np.max(self.chain.each(random, items), axis=0)
        return np.asarray((self.chain.pieces - 1) * slowest)


def _curve(profile: PlatformProfile, model: str, stage: int) -> LatencyCurve:
    """On the engines of a stage where the partition reserves them."""
    names = {curve.model for curve in profile.curves}
    own = f"{model}@{stage}"
    return profile.curve(own if own in names else model)


def _device(profile: PlatformProfile) -> bool:
    return profile.kind in ("rpaccel", "baseline")


def illegal(mapping: Mapping, profiles: Table[str, PlatformProfile]) -> str | None:
    """Why a mapping cannot be; None when it can."""
    cut: dict[str, str] = {}
    overlaps = False
    places = [segment.platform for segment in mapping.segments]
    for name in places:
        if _device(profiles[name]) and places.count(name) > 1:
            return f"{name} would be visited twice"
        if places.count(name) > profiles[name].servers:
            return f"{name} has {profiles[name].servers} servers for {places.count(name)} places"
    for segment in mapping.segments:
        profile = profiles[segment.platform]
        if not _device(profile):
            continue
        preset_name = profile.conditions.get("preset", profile.name)
        if cut.setdefault(preset_name, segment.platform) != segment.platform:
            return f"{preset_name} would be cut in two ways at once"
        partition = profile.conditions.get("partition", "")
        if "@" in partition:
            reserved = Device.parse(profile.name).stages
            if reserved != len(segment.stages):
                return f"{profile.name} has engines of {reserved} stages, not {len(segment.stages)}"
            overlaps |= reserved > 1
    if mapping.sub_batches > 1 and not overlaps:
        return "sub-batches need stages with engines of their own on one device"
    return None


def stations(mapping: Mapping, profiles: Table[str, PlatformProfile]) -> list[Station]:
    """What a query passes, in order.

    Transfers queue for the link with their share a byte and overlap in their constant part. A
    device without a filter ranks stage by stage: all scores go to the host, which selects. On a
    host a server takes a query through all neighbouring stages; a host that is used at several
    places splits its servers evenly.

    Raises
    ------
    UserError
        A curve is missing, or a stage's items lie outside it.
    """
    whole = mapping.stages[0].items
    uses = [segment.platform for segment in mapping.segments]
    found: list[Station] = []
    for segment in mapping.segments:
        profile = profiles[segment.platform]
        if profile.kind == "baseline":
            found += _stage_by_stage(profile, segment, whole)
        elif profile.kind == "rpaccel":
            found += _link_in(profile, segment.stages[0].items, whole)
            found += _on_device(profile, segment, whole, mapping.sub_batches)
            found += _link_out(profile, segment.keep)
        else:
            found += _link_in(profile, segment.stages[0].items, whole)
            found.append(_on_host(profile, segment, whole, uses.count(segment.platform)))
            found += _link_out(profile, segment.keep)
    return _named(found)


def _named(found: list[Station]) -> list[Station]:
    """Every name once: loads are told by name."""
    seen: dict[str, int] = {}
    for number, station in enumerate(found):
        count = seen[station.name] = seen.get(station.name, 0) + 1
        if count > 1:
            fields = {**vars(station), "name": f"{station.name} ({count})"}
            found[number] = Station(**fields)
    return found


def _parts(profile: PlatformProfile, segment: Segment) -> tuple[tuple[LatencyCurve, float], ...]:
    first = segment.stages[0].items
    return tuple(
        (_curve(profile, stage.model, number), stage.items / first)
        for number, stage in enumerate(segment.stages)
    )


def _on_device(
    profile: PlatformProfile, segment: Segment, whole: int, pieces: int
) -> list[Station]:
    share = segment.stages[0].items / whole
    own = "+".join(f"{s.model}:{s.items}" for s in segment.stages) + f">{segment.keep}"
    own += f"/{pieces}" if pieces > 1 else ""
    known = [curve for curve in profile.curves if curve.model == own]
    # A curve of the whole segment, timed as such, tells more than its stages put together.
    parts = ((known[0], 1.0),) if known else _parts(profile, segment)
    in_flight = profile.in_flight
    reserved = "@" in profile.conditions.get("partition", "")
    if known or not reserved or len(parts) == 1:
        return [_place(f"{own} on {profile.name}", parts, 1 if known else pieces, in_flight, share)]
    found = []
    for stage, part in zip(segment.stages, parts, strict=True):
        curve, ratio = part
        name = f"{stage.model}:{stage.items} on {profile.name}"
        piece = _place(name, ((curve, 1.0),), pieces, in_flight, share * ratio)
        found.append(
            Station(
                name=name,
                # One piece; the others overlap, see ``Lead``.
                service=Chain(((curve, 1.0 / pieces),)),
                interval=piece.interval,
                in_flight=max(in_flight, pieces),
                share=share * ratio,
            )
        )
    if pieces > 1:
        lead = Lead(Chain(parts, pieces))
        found.append(
            Station(name=f"{profile.name}: sub-batches", service=lead, servers=None, share=share)
        )
    return found


def _place(
    name: str,
    parts: tuple[tuple[LatencyCurve, float], ...],
    pieces: int,
    in_flight: int,
    share: float,
) -> Station:
    pipelined = all(curve.interval_s for curve, _ in parts)
    return Station(
        name=name,
        service=Chain(parts, pieces),
        interval=Chain(parts, pieces, intervals=True) if pipelined else None,
        in_flight=in_flight if pipelined else 1,
        share=share,
    )


def _on_host(profile: PlatformProfile, segment: Segment, whole: int, places: int) -> Station:
    models = "+".join(f"{s.model}:{s.items}" for s in segment.stages)
    servers = profile.servers // places
    if servers < 1:
        raise UserError(f"{profile.name} has {profile.servers} servers for {places} places")
    return Station(
        name=f"{models} on {profile.name}",
        service=Chain(_parts(profile, segment)),
        servers=servers,
        share=segment.stages[0].items / whole,
    )


def _link(name: str, constant: float, shared: Service, zero: bool) -> list[Station]:
    """A constant that overlaps with other transfers, and bytes that do not."""
    return [
        Station(name=name, service=Fixed(constant), servers=None),
        *([] if zero else [Station(name=f"{name}, bytes", service=shared)]),
    ]


def _link_in(profile: PlatformProfile, items: int, whole: int, times: int = 1) -> list[Station]:
    """``items`` in all, in ``times`` transfers."""
    host = profile.host
    if host.in_s == 0 and host.in_item_s == 0:
        return []
    shared = Affine(0.0, host.in_item_s * items / whole)
    return _link(f"to {profile.name}", times * host.in_s, shared, host.in_item_s == 0)


def _link_out(profile: PlatformProfile, results: int, times: int = 1) -> list[Station]:
    host = profile.host
    if host.out_s == 0 and host.out_item_s == 0:
        return []
    seconds = host.out_item_s * results
    return _link(f"from {profile.name}", times * host.out_s, Fixed(seconds), seconds == 0)


def _stage_by_stage(profile: PlatformProfile, segment: Segment, whole: int) -> list[Station]:
    """A device without filter: a run a stage, all scores to the host, which selects.

    The device and the link are visited once for all stages: what they do for a query is added up,
    so that they are not counted several times.
    """
    stages = segment.stages
    items = sum(stage.items for stage in stages)
    place = _place(
        f"{'+'.join(f'{s.model}:{s.items}' for s in stages)} on {profile.name}",
        _parts(profile, segment),
        1,
        profile.in_flight,
        stages[0].items / whole,
    )
    return [
        *_link_in(profile, items, whole, len(stages)),
        place,
        *_link_out(profile, items, len(stages)),
        *_selection(profile, segment, whole),
    ]


def _selection(profile: PlatformProfile, segment: Segment, whole: int) -> list[Station]:
    """The host's top-k of all scores: a core is free for it."""
    if TOP_K not in {curve.model for curve in profile.curves}:
        return []
    first = segment.stages[0].items
    curve = profile.curve(TOP_K)
    return [
        Station(
            name=f"top-k of {profile.name} on the host",
            service=Chain(tuple((curve, stage.items / first) for stage in segment.stages)),
            servers=None,
            share=first / whole,
        )
    ]
