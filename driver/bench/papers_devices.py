"""Devices and mappings of the papers' comparisons: timed cases, stations, bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from golden.model import named_shape
from hdl.config import Config, Features, without_fission

from ..errors import UserError
from ..load.arrivals import Poisson
from ..load.highest import highest_load
from ..load.profile import LatencyCurve
from ..load.simulate import latencies, simulate
from ..load.sizes import FixedSize
from ..load.stations import Station, saturation
from ..pipelines import Pipeline
from ..schedule.devices import Device, device_platform, stage_pipeline
from ..schedule.mapping import Mapping, Placed, stations
from ..schedule.platforms import host_transfer, with_selection
from ..schedule.timed import Case, interval_cycles
from ..tiles import tile_count

__all__ = [
    "Served", "Timed", "ablation_config", "bound_cycles", "curve_of", "on_baseline", "on_device",
    "padded_cycles", "pipeline_case", "stage_case", "tail_ms", "time_pipeline",
]  # fmt: skip

QUERIES = 40_000
"""Simulated for a tail; p99 is known to 3 % or so."""


@dataclass(frozen=True)
class Timed:
    """A pipeline on a device."""

    device: Device
    spec: Pipeline
    sub_batches: int
    latency: float
    """Cycles of a query alone."""
    interval: float
    """Cycles of one more query."""


@dataclass(frozen=True)
class Served:
    """Something that queries are sent to."""

    name: str
    places: list[Station]
    items: int

    def run(self, rate: float) -> float | None:
        """p99 in seconds; None where the load is not met."""
        if rate >= self.most[0]:
            return None
        found = simulate(self.places, Poisson(rate), FixedSize(self.items), queries=QUERIES)
        return found.p99.value if found.stable else None

    @property
    def most(self) -> tuple[float, str]:
        """Queries a second at most, and what limits them."""
        return saturation(self.places, np.full(1000, self.items, np.int64))

    @property
    def alone(self) -> float:
        """Mean seconds of a lone query."""
        most = min(self.most[0], 1e9)
        run = latencies(self.places, Poisson(most * 1e-3), FixedSize(self.items), queries=400)
        return float(run.latency.mean())

    def highest(self, sla_s: float) -> float:
        """Queries a second whose p99 meets an SLA; 0 where none does."""
        try:
            return highest_load(
                self.places, Poisson(1.0), FixedSize(self.items), sla_s=sla_s, queries=QUERIES
            ).rate
        except UserError:
            return 0.0


def tail_ms(seconds: float | None) -> str:
    """Milliseconds for a table; a load that is not met is a cross."""
    return "x" if seconds is None else f"{1e3 * seconds:.3f}"


def ablation_config(base: Config, **features: bool) -> Config:
    """The base with these features, its embedding memory all static without look-ahead cache."""
    wanted = Features(**features)
    if not wanted.fission:
        base = without_fission(base)
    changes: dict[str, Any] = {"features": wanted}
    if not wanted.look_ahead:
        changes["static_cache_bytes"] = base.static_cache_bytes + base.look_ahead_bytes
        changes["look_ahead_bytes"] = 0
    off = [name for name, on in vars(wanted).items() if not on]
    return replace(base, name="-".join([base.name, *off]), **changes)


def pipeline_case(
    device: Device, spec: Pipeline, *, sub_batches: int = 1, max_rows: int, seed: int
) -> Case:
    """What `time_pipeline` times."""
    case = stage_case(device, spec, max_rows=max_rows, seed=seed)
    if len(spec.stages) > 1 or spec.data == "movielens":  # whose items are no Criteo items
        case = replace(case, pipeline=spec, drawn_items=None, sub_batches=sub_batches)
    return case


def time_pipeline(
    device: Device, spec: Pipeline, *, sub_batches: int = 1, max_rows: int, seed: int
) -> Timed:
    """Latency and interval by the timing model."""
    latency, interval = interval_cycles(
        pipeline_case(device, spec, sub_batches=sub_batches, max_rows=max_rows, seed=seed)
    )
    return Timed(device, spec, sub_batches, latency, interval)


def _mapping(spec: Pipeline, platform: str, sub_batches: int) -> Mapping:
    stages = tuple(Placed(stage.model, stage.items, platform) for stage in spec.stages)
    return Mapping(stages, spec.stages[-1].keep, sub_batches)


def curve_of(found: Timed) -> LatencyCurve:
    """The timed pipeline as the segment's own curve."""
    spec, hertz = found.spec, found.device.config.clock_mhz * 1e6
    name = "+".join(f"{s.model}:{s.items}" for s in spec.stages) + f">{spec.stages[-1].keep}"
    return LatencyCurve(
        model=name + (f"/{found.sub_batches}" if found.sub_batches > 1 else ""),
        items=(spec.stages[0].items,),
        latency_s=(found.latency / hertz,),
        interval_s=(found.interval / hertz,),
    )


def on_device(name: str, found: Timed, transfer: str) -> Served:
    """A pipeline that stays on a device with a filter."""
    profile = device_platform(found.device, [curve_of(found)], host=host_transfer(transfer))
    mapping = _mapping(found.spec, profile.name, found.sub_batches)
    return Served(name, stations(mapping, {profile.name: profile}), found.spec.stages[0].items)


def on_baseline(
    name: str, device: Device, stages: Sequence[tuple[str, int, float, float]], transfer: str
) -> Served:
    """Stages one after the other on a device without a filter, the host between them.

    Parameters
    ----------
    stages
        Model, items, latency and interval in cycles.
    """
    hertz = device.config.clock_mhz * 1e6
    curves = [
        LatencyCurve(
            model=model, items=(items,), latency_s=(latency / hertz,), interval_s=(each / hertz,)
        )
        for model, items, latency, each in stages
    ]
    profile = device_platform(device, curves, host=host_transfer(transfer))
    profile = with_selection(profile, transfer, "cpu")
    placed = tuple(Placed(model, items, profile.name) for model, items, _, _ in stages)
    mapping = Mapping(placed, min(64, stages[-1][1]))
    return Served(name, stations(mapping, {profile.name: profile}), stages[0][1])


def padded_cycles(config: Config, spec: Pipeline, edge: int) -> float:
    """Cycles of all MACs in whole tiles of engines that together are the grid."""
    engines = (config.edge // edge) ** 2
    total = 0.0
    for stage in spec.stages:
        shape = named_shape(stage.model, interaction="cat" if spec.interaction == "cat" else "dot")
        layers = [
            pair
            for sizes in (shape.bottom, shape.top_sizes)
            for pair in zip(sizes, sizes[1:], strict=False)
        ]
        tiles = sum(k * n for k, n in (tile_count(a, b, edge) for a, b in layers))
        total += tiles * stage.items / engines
    return total


def bound_cycles(config: Config, spec: Pipeline, edge: int, dram_bytes: int) -> tuple[float, str]:
    """The larger of MACs in whole tiles and of bytes over the bandwidth, and which it is."""
    macs = padded_cycles(config, spec, edge)
    moved = dram_bytes / (config.axi_bytes * config.axi_channels)
    return (macs, "MACs, tile padding") if macs >= moved else (moved, "bytes")


def stage_case(device: Device, spec: Pipeline, *, max_rows: int, seed: int) -> Case:
    """A pipeline's first stage alone, as profiles of devices time it: the answers are shared."""
    model, items = spec.stages[0].model, spec.stages[0].items
    alone = replace(stage_pipeline([(model, items)], interaction=spec.interaction), name=model)
    return Case(
        config=device.config, pipeline=alone, partition=device.partition, max_rows=max_rows,
        seed=seed, drawn_items=items,
    )  # fmt: skip
