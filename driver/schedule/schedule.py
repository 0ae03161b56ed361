"""`rpaccel schedule`: search a space for a load and a latency target, and say what to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bench.table import table_text
from ..errors import UserError
from ..load.arrivals import arrivals
from ..load.highest import highest_load
from ..load.profile import PlatformProfile
from ..load.simulate import simulate
from ..load.sizes import FixedSize
from .choose import Chosen, choose
from .explore import Load, Outcome, explore, pareto_front
from .funnel_quality import funnel_qualities
from .mapping import stations
from .online_choices import OnlineRun, online_run
from .page import Curve, Decision, ScheduleFacts, write_schedule
from .platforms import platform
from .space import Space, read_space
from .study import Study
from .timed import sources_key

__all__ = ["ScheduleOptions", "load_curve", "schedule"]

_CURVE_POINTS = (0.02, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Of saturation."""
_OTHERS = 3
"""Other mappings whose curves the page draws."""


@dataclass(frozen=True, kw_only=True)
class ScheduleOptions:
    """What to search for.

    Raises
    ------
    UserError
        Loads, targets or counts that are none.
    """

    space: str
    load: float
    sla_ms: float
    platforms: tuple[str, ...] = ()
    transfer: str = "dma"
    clock: str = "wall"
    law: str = "poisson"
    quality: float | None = None
    trials: int | None = None
    queries: int = 20_000
    seed: int = 1
    max_rows: int = 10_000
    refine: int = 4
    workers: int | None = None
    cluster: str | None = None
    study: Path | None = None
    report: Path | None = None

    def __post_init__(self) -> None:
        arrivals(self.law, self.load)
        if not (np.isfinite(self.sla_ms) and self.sla_ms > 0):
            raise UserError(f"--sla-ms must be above 0, not {self.sla_ms:g}")
        if self.quality is not None and not 0 <= self.quality <= 1:
            raise UserError(f"--quality must be in 0..1, not {self.quality:g}")
        if self.workers is not None and self.workers < 1:
            raise UserError(f"--workers must be at least 1, not {self.workers}")
        if self.refine < 0:
            raise UserError(f"--refine must be at least 0, not {self.refine}")
        if self.report is not None and not self.report.absolute().parent.is_dir():
            raise UserError(f"report: no folder {self.report.parent}")

    @property
    def sla_s(self) -> float:
        return self.sla_ms * 1e-3


def _points(space: Space) -> list[int]:
    """Items that stages of the space may have, and their pieces: points of the curves."""
    found: set[int] = set()
    for funnel in space.funnels():
        for _, items in funnel:
            found |= {max(1, items // parts) for parts in space.sub_batches}
            found.add(items)
    low, high = min(found), max(found)
    grid = {low, high} | {low * 4**n for n in range(12) if low * 4**n < high}
    return sorted(grid)


def _profiles(
    space: Space, options: ScheduleOptions, progress: Callable[[str], None]
) -> dict[str, PlatformProfile]:
    points = _points(space)
    return {
        name: platform(
            name, space.models, transfer=options.transfer, items=points,
            max_rows=options.max_rows, clock=options.clock, seed=options.seed,
            workers=options.workers, cluster=options.cluster, progress=progress,
        )
        for name in space.platforms
    }  # fmt: skip


def load_curve(
    outcome: Outcome, profiles: dict[str, PlatformProfile], load: Load, name: str
) -> Curve:
    """Latency of a mapping from idle to near saturation."""
    places = stations(outcome.mapping, profiles)
    sizes = FixedSize(outcome.mapping.stages[0].items)
    rates, low, high = [], [], []
    for share in _CURVE_POINTS:
        rate = share * outcome.saturation
        found = simulate(
            places, arrivals(load.law, rate), sizes, queries=load.queries, seed=load.seed
        )
        rates.append(rate)
        low.append(found.p50.value)
        high.append(found.p99.value)
    return Curve(name, rates, low, high)


def _others(chosen: Chosen, front: Sequence[Outcome]) -> list[tuple[str, Outcome]]:
    """What the chosen mapping is drawn beside: the best single stage, and other platforms' best."""
    found: list[tuple[str, Outcome]] = []
    stable = [o for o in chosen.outcomes if np.isfinite(o.p99_s)]
    seen = {_where(chosen.outcome)}
    for outcome in sorted(stable, key=lambda o: (o.quality < chosen.outcome.quality - 0.002,
                                                 o.p99_s)):  # fmt: skip
        where = _where(outcome)
        if where not in seen and len(found) < _OTHERS:
            seen.add(where)
            found.append((outcome.mapping.label, outcome))
    return found


def _where(outcome: Outcome) -> tuple[int, tuple[str, ...]]:
    return len(outcome.mapping.stages), tuple(s.platform for s in outcome.mapping.stages)


def schedule(
    options: ScheduleOptions, progress: Callable[[str], None] = lambda text: None
) -> dict[str, Any]:
    """Search, choose, and write the page where one is asked for.

    Raises
    ------
    UserError, ConfigError
        Empty space, unknown platform, nothing meets the target, a lost cluster, bad files.
    """
    space = read_space(options.space, options.platforms)
    load = Load(rate=options.load, law=options.law, queries=options.queries, seed=options.seed)
    quality = funnel_qualities(space.funnels(), space.returned, progress)
    profiles = _profiles(space, options, progress)
    conditions = {
        "space": space.as_json(), "load": load.as_json(), "quality": quality,
        "profiles": {name: profile.as_json() for name, profile in profiles.items()},
        "sources": sources_key(),
    }  # fmt: skip
    study = Study(options.study, conditions)
    outcomes = explore(
        space, profiles, quality, load, study, trials=options.trials, workers=options.workers,
        cluster=options.cluster, progress=progress,
    )  # fmt: skip
    chosen = choose(
        outcomes, profiles, load, sla_s=options.sla_s, least_quality=options.quality,
        refine=options.refine, max_rows=options.max_rows, seed=options.seed,
        workers=options.workers, cluster=options.cluster, progress=progress,
    )  # fmt: skip
    front = pareto_front(chosen.outcomes)
    places = stations(chosen.outcome.mapping, chosen.profiles)
    highest = highest_load(
        places, arrivals(options.law, options.load),
        FixedSize(chosen.outcome.mapping.stages[0].items), sla_s=options.sla_s,
        queries=options.queries, seed=options.seed,
    )  # fmt: skip
    online = online_run(chosen.outcomes, chosen.outcome, sla_s=options.sla_s, seed=options.seed)
    result: dict[str, Any] = {
        "load": options.load,
        "sla_ms": options.sla_ms,
        "space": space.as_json(),
        "mappings": len(outcomes),
        "resumed": study.resumed,
        "chosen": chosen.outcome.as_json(),
        "highest_load": highest.rate,
        "front": [o.as_json() for o in front],
        "composed_over_timed": chosen.deviations,
        "profiles": {name: p.as_json() for name, p in chosen.profiles.items()},
        "transfer": options.transfer,
        "online": online.as_json() if online else None,
    }
    if options.report is not None:
        curves = [load_curve(chosen.outcome, chosen.profiles, load, "chosen")]
        curves += [
            load_curve(outcome, chosen.profiles, load, name)
            for name, outcome in _others(chosen, front)
        ]
        facts = ScheduleFacts(
            chosen=chosen.outcome, outcomes=chosen.outcomes, front=front, curves=curves,
            load=options.load, sla_s=options.sla_s, conditions=_conditions(options, space, chosen),
            decisions=_decisions(online),
        )  # fmt: skip
        kinds = {name: profile.kind for name, profile in chosen.profiles.items()}
        write_schedule(options.report, facts, kinds)
        progress(f"report: {options.report}")
    result["text"] = _text(options, chosen, front, highest.rate)
    return result


def _decisions(online: OnlineRun | None) -> list[Decision]:
    if online is None:
        return []
    return [
        Decision(*each) for each in zip(online.at_s, online.path, online.latency_s, strict=True)
    ]


def _conditions(options: ScheduleOptions, space: Space, chosen: Chosen) -> list[tuple[str, str]]:
    rows = [
        ("space", options.space),
        ("host transfers", options.transfer),
        ("arrivals", f"{options.law}, {options.queries} queries simulated, seed {options.seed}"),
        ("tables", f"at most {options.max_rows} rows"),
        ("quality", "NDCG of int8 scores on the shipped held-out items"),
    ]
    for name in space.platforms:
        words = "; ".join(f"{k}: {v}" for k, v in chosen.profiles[name].conditions.items())
        rows.append((name, words))
    return rows


def _text(
    options: ScheduleOptions, chosen: Chosen, front: Sequence[Outcome], highest: float
) -> str:
    columns = {
        "label": "mapping", "quality": "quality", "p99": "p99 [ms]", "alone": "alone [ms]",
        "most": "queries/s",
    }  # fmt: skip
    rows = [
        {
            "label": ("* " if o is chosen.outcome else "  ") + o.mapping.label,
            "quality": f"{o.quality:.4f}",
            "p99": f"{1e3 * o.p99_s:.4f}",
            "alone": f"{1e3 * o.latency_s:.4f}",
            "most": f"{o.saturation:.0f}",
        }
        for o in sorted(front, key=lambda o: (-o.quality, o.p99_s))
    ]
    best = chosen.outcome
    whole = ", stages on one device timed as a whole" if best.timed else ""
    return "\n".join(
        [
            f"{len(chosen.outcomes)} mappings, {len(front)} on the front at {options.load:g} "
            f"queries/s (chosen: *)",
            table_text(columns, rows),
            f"chosen: {best.mapping.label}",
            f"p99 {1e3 * best.p99_s:.4g} ms at {options.load:g} queries/s (SLA "
            f"{options.sla_ms:g} ms), alone {1e3 * best.latency_s:.4g} ms{whole}",
            f"holds the SLA up to {highest:.0f} queries/s; saturates at {best.saturation:.0f}, "
            f"limited by {best.limited_by}",
        ]
    )
