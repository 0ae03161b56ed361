"""Profiles of accelerators, from the timing model: RPAccel at a preset and partition, baselines."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from golden.model import SHAPES, named_shape
from golden.shape import ModelShape
from hdl.config import Config, preset

from ..errors import UserError
from ..image import MEMORY_LIMIT
from ..load.profile import LatencyCurve, PlatformProfile
from ..load.transfer import HostTransfer
from ..partition import parse_partition
from ..pipelines import Pipeline, StageSpec
from .timed import Case, interval_cases, interval_cycles, time_all

__all__ = [
    "DEFAULT_ITEMS",
    "Device",
    "device_platform",
    "device_profile",
    "pipeline_cases",
    "pipeline_curve",
    "stage_pipeline",
]

DEFAULT_ITEMS = (64, 128, 256, 512, 1024, 2048, 4096)
"""Points of a curve."""
_RETURNED = 64
_STAGE = re.compile(r"@(\d+)$")


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device as searches name it: ``PRESET`` or ``PRESET/PARTITION``."""

    config: Config
    partition: str | None

    @classmethod
    def parse(cls, text: str) -> Device:
        """Read the name; ConfigError and UserError as presets and partitions raise them."""
        name, _, partition = text.partition("/")
        return cls(config=preset(name), partition=partition or None)

    @property
    def name(self) -> str:
        return self.config.name + (f"/{self.partition}" if self.partition else "")

    @property
    def dedicated(self) -> bool:
        """Engines are reserved for stages: stages that follow each other share nothing."""
        return self.partition is not None and "@" in self.partition

    @property
    def stages(self) -> int:
        """Stages that the partition names, at least 1."""
        found = [_STAGE.search(part.strip()) for part in (self.partition or "").split(",")]
        return 1 + max((int(match[1]) for match in found if match), default=0)

    def part_of(self, stage: int) -> str | None:
        """The engines that serve a stage, as a partition of their own."""
        if not self.dedicated:
            return self.partition
        parts = []
        for part in (self.partition or "").split(","):
            match = _STAGE.search(part.strip())
            if match is None or int(match[1]) == stage:
                parts.append(_STAGE.sub("", part.strip()))
        return ",".join(parts)


def stage_pipeline(
    stages: Sequence[tuple[str, int]], *, returned: int = _RETURNED, interaction: str = "dot"
) -> Pipeline:
    """A pipeline of (model, items ranked) stages that returns so many items."""
    keep = [*(items for _, items in stages[1:]), min(returned, stages[-1][1])]
    return Pipeline(
        name=" > ".join(f"{model}:{items}" for model, items in stages),
        stages=tuple(
            StageSpec(model=model, items=items, keep=kept)
            for (model, items), kept in zip(stages, keep, strict=True)
        ),
        interaction=interaction,
        data="kaggle",
    )


def _shape(model: str, max_rows: int) -> ModelShape:
    if model not in SHAPES:
        raise UserError(f"unknown model {model!r}; known models: {', '.join(SHAPES)}")
    return named_shape(model, max_rows=max_rows)


def _bytes(model: str, max_rows: int) -> int:
    """int8 tables and weights."""
    shape = _shape(model, max_rows)
    return sum(shape.rows) * shape.width + shape.macs


def _curve_cases(case: Case, items: Sequence[int], make: Callable[[int], Pipeline]) -> list[Case]:
    cases = [replace(case, pipeline=make(count)) for count in items]
    return [each for case in cases for each in interval_cases(case)]


def _curve(
    case: Case, model: str, items: Sequence[int], make: Callable[[int], Pipeline], size: int
) -> LatencyCurve:
    latency, interval = [], []
    hertz = case.config.clock_mhz * 1e6
    for count in items:
        alone, each = interval_cycles(replace(case, pipeline=make(count)))
        latency.append(alone / hertz)
        interval.append(each / hertz)
    return LatencyCurve(
        model=model,
        items=tuple(items),
        latency_s=tuple(latency),
        interval_s=tuple(interval),
        memory_bytes=size,
    )


def pipeline_curve(
    device: Device,
    spec: Pipeline,
    items: Sequence[int],
    *,
    sub_batches: int = 1,
    max_rows: int = 10_000,
    seed: int = 1,
) -> LatencyCurve:
    """A pipeline that stays on the device, by items of its first stage."""
    case = _pipeline_case(device, spec, items, sub_batches, max_rows, seed)
    size = sum(_bytes(stage.model, max_rows) for stage in spec.stages) if _kaggle(spec) else 0
    return _curve(case, spec.name, items, spec.scaled, size)


def pipeline_cases(
    device: Device, spec: Pipeline, items: Sequence[int], *, max_rows: int = 10_000, seed: int = 1
) -> list[Case]:
    """What `pipeline_curve` times of queries that are not cut."""
    return _curve_cases(_pipeline_case(device, spec, items, 1, max_rows, seed), items, spec.scaled)


def _pipeline_case(
    device: Device, spec: Pipeline, items: Sequence[int], sub_batches: int, max_rows: int, seed: int
) -> Case:
    return Case(
        config=device.config, pipeline=spec, partition=device.partition, sub_batches=sub_batches,
        max_rows=max_rows, seed=seed, drawn_items=max(items),
    )  # fmt: skip


def _kaggle(spec: Pipeline) -> bool:
    return all(stage.model in SHAPES for stage in spec.stages)


def device_profile(
    device: Device,
    models: Sequence[str],
    *,
    items: Sequence[int] = DEFAULT_ITEMS,
    host: HostTransfer | None = None,
    max_rows: int = 10_000,
    seed: int = 1,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> PlatformProfile:
    """Latency and interval of single stages.

    Where the partition reserves engines for stages there is a curve of each model on the engines
    of each stage, ``MODEL@STAGE``; else one of each model, ``MODEL``.

    Parameters
    ----------
    models
        Names of model shapes.
    items
        Points of the curves, rising; those above the device's largest query are left out.
    host
        Transfers; None: none.
    workers, cluster
        Where runs of the timing model go, see `sweep`.

    Raises
    ------
    UserError, ConfigError
        Unknown model, a partition that is none, models that do not fit.
    """
    config = device.config
    parse_partition(config, device.partition, stages=device.stages)
    items = [count for count in items if count <= config.max_items]
    if not items:
        raise UserError(f"{config.name} takes at most {config.max_items} items")
    wanted = []
    for model in models:
        size = _bytes(model, max_rows)
        for stage in range(device.stages):
            label = f"{model}@{stage}" if device.dedicated else model

            def make(count: int, model: str = model) -> Pipeline:
                return replace(stage_pipeline([(model, count)]), name=model)

            case = Case(
                config=config, pipeline=make(items[-1]), partition=device.part_of(stage),
                max_rows=max_rows, seed=seed, drawn_items=items[-1],
            )  # fmt: skip
            wanted.append((case, label, make, size))
    cases = [each for case, _, make, _ in wanted for each in _curve_cases(case, items, make)]
    time_all(cases, workers=workers, cluster=cluster, progress=progress)
    curves = [_curve(case, label, items, make, size) for case, label, make, size in wanted]
    return device_platform(
        device,
        curves,
        host=host,
        conditions={"tables": f"at most {max_rows} rows, ids Zipf 1.05", "seed": str(seed)},
    )


def device_platform(
    device: Device,
    curves: Sequence[LatencyCurve],
    *,
    host: HostTransfer | None = None,
    conditions: Mapping[str, str] | None = None,
) -> PlatformProfile:
    """A device's profile with curves that are known already.

    Parameters
    ----------
    conditions
        Besides preset and partition.
    """
    config = device.config
    return PlatformProfile(
        name=device.name,
        kind="rpaccel" if config.features.on_chip_filter else "baseline",
        clock_mhz=config.clock_mhz,
        memory_bytes=MEMORY_LIMIT,
        bytes_per_s=config.axi_bytes * config.axi_channels * config.clock_mhz * 1e6,
        in_flight=config.queries_in_flight,
        host=host or HostTransfer(),
        curves=tuple(curves),
        conditions={
            "source": "timing model",
            "preset": config.name,
            "partition": device.partition or "fused",
            **(conditions or {}),
        },
    )
