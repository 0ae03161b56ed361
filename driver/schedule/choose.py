"""The mapping that a search ends with, timed as a whole where its stages share a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..load.profile import LatencyCurve, PlatformProfile
from .devices import Device, stage_pipeline
from .explore import Load, Outcome, evaluate
from .mapping import Segment
from .timed import Case, interval_cases, interval_cycles, time_all

__all__ = ["Chosen", "best", "choose", "segment_curve", "timed_profiles"]

QUALITY_LOSS = 0.002
"""0.2 points: what counts as equal quality."""


@dataclass(frozen=True)
class Chosen:
    """The answer."""

    outcome: Outcome
    outcomes: list[Outcome]
    """All of the search, those that were timed as a whole among them."""
    profiles: dict[str, PlatformProfile]
    """With the curves of whole segments."""
    deviations: dict[str, float]
    """By mapping that was timed: latency put together from single stages over that timed."""


def _segment_case(
    device: Device, segment: Segment, *, sub_batches: int, max_rows: int, seed: int
) -> Case:
    stages = [(stage.model, stage.items) for stage in segment.stages]
    return Case(
        config=device.config, partition=device.partition, sub_batches=sub_batches,
        pipeline=stage_pipeline(stages, returned=segment.keep), max_rows=max_rows, seed=seed,
    )  # fmt: skip


def segment_curve(
    device: Device, segment: Segment, *, sub_batches: int, max_rows: int, seed: int
) -> LatencyCurve:
    """A segment's stages in one run on the device: hand-over, prefetches, sub-batches and all."""
    name = "+".join(f"{s.model}:{s.items}" for s in segment.stages) + f">{segment.keep}"
    alone, each = interval_cycles(
        _segment_case(device, segment, sub_batches=sub_batches, max_rows=max_rows, seed=seed)
    )
    hertz = device.config.clock_mhz * 1e6
    return LatencyCurve(
        model=name + (f"/{sub_batches}" if sub_batches > 1 else ""),
        items=(segment.stages[0].items,),
        latency_s=(alone / hertz,),
        interval_s=(each / hertz,),
    )


def timed_profiles(
    outcome: Outcome,
    profiles: Table[str, PlatformProfile],
    *,
    max_rows: int,
    seed: int,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict[str, PlatformProfile]:
    """The profiles, with a curve of every segment of the mapping that has several stages."""
    found = dict(profiles)
    words: dict[str, Any] = {
        "sub_batches": outcome.mapping.sub_batches, "max_rows": max_rows, "seed": seed,
    }  # fmt: skip
    wanted = []
    for segment in outcome.mapping.segments:
        profile = found[segment.platform]
        if profile.kind != "rpaccel" or len(segment.stages) < 2:
            continue
        if profile.conditions.get("source") == "timing model":
            wanted.append((segment, Device.parse(profile.name)))
    cases = [_segment_case(device, segment, **words) for segment, device in wanted]
    time_all([each for case in cases for each in interval_cases(case)], workers=workers,
             cluster=cluster, progress=progress)  # fmt: skip
    for segment, device in wanted:
        profile = found[segment.platform]
        curve = segment_curve(device, segment, **words)
        if curve.key not in {known.key for known in profile.curves}:
            found[segment.platform] = replace(profile, curves=(*profile.curves, curve))
    return found


def best(
    outcomes: Sequence[Outcome], sla_s: float, least_quality: float | None, load: Load
) -> Outcome:
    """The lowest tail latency among those of the best quality that meet the SLA.

    Parameters
    ----------
    least_quality
        Quality that is good enough; None: ``QUALITY_LOSS`` below the best one inside the SLA.

    Raises
    ------
    UserError
        No mapping meets the SLA at that load, or the quality; the nearest is named.
    """
    inside = [o for o in outcomes if o.p99_s <= sla_s]
    if not inside:
        nearest = min(outcomes, key=lambda o: (o.p99_s, -o.saturation))
        what = (
            f"p99 {1e3 * nearest.p99_s:.4g} ms"
            if np.isfinite(nearest.p99_s)
            else f"at most {nearest.saturation:.4g} queries/s"
        )
        raise UserError(
            f"no mapping meets an SLA of {1e3 * sla_s:g} ms at {load.rate:g} queries/s; the "
            f"nearest is {nearest.mapping.label}: {what}"
        )
    top = max(o.quality for o in inside)
    wanted = top - QUALITY_LOSS if least_quality is None else least_quality
    good = [o for o in inside if o.quality >= wanted]
    if not good:
        raise UserError(
            f"no mapping inside {1e3 * sla_s:g} ms has a quality of {wanted:g}; the best has "
            f"{top:.4f}"
        )
    return min(good, key=lambda o: (o.p99_s, -o.quality, -o.saturation, o.mapping.label))


def choose(
    outcomes: Sequence[Outcome],
    profiles: Table[str, PlatformProfile],
    load: Load,
    *,
    sla_s: float,
    least_quality: float | None = None,
    refine: int = 4,
    max_rows: int = 10_000,
    seed: int = 1,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> Chosen:
    """Take the best mapping; where its stages share a device, time it as a whole and look again.

    Parameters
    ----------
    refine
        Mappings that are timed as a whole at most.
    workers, cluster
        Where runs of the timing model go, see `sweep`.

    Raises
    ------
    UserError
        See `best`.
    """
    found = {o.mapping.label: o for o in outcomes}
    known = dict(profiles)
    deviations: dict[str, float] = {}
    for _ in range(refine):
        top = best(list(found.values()), sla_s, least_quality, load)
        if top.timed:
            break
        progress(f"timed as a whole: {top.mapping.label}")
        known = timed_profiles(top, known, max_rows=max_rows, seed=seed, workers=workers,
                               cluster=cluster, progress=progress)  # fmt: skip
        exact = evaluate(top.mapping, known, top.quality, load, timed=True)
        found[top.mapping.label] = exact
        deviations[top.mapping.label] = top.latency_s / exact.latency_s
    outcome = best(list(found.values()), sla_s, least_quality, load)
    return Chosen(outcome, list(found.values()), known, deviations)
