"""RecPipe's offline search: every mapping of a space weighed by quality, tail latency, throughput.

Small spaces are gone through whole. Large ones are searched by NSGA-II (the ``search`` extra); its
questions come in batches of a fixed size, so that neither the number of workers nor an
interruption changes what it finds.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..load.arrivals import Poisson, arrivals
from ..load.profile import PlatformProfile
from ..load.simulate import latencies, simulate
from ..load.sizes import FixedSize
from ..load.stations import saturation
from .mapping import Mapping, Placed, illegal, stations
from .pareto import front
from .pool import sweep
from .space import Space
from .study import Study

__all__ = ["EXHAUSTIVE", "Load", "Outcome", "evaluate", "explore", "pareto_front"]

EXHAUSTIVE = 20_000
"""Mappings of a space that is gone through whole unless told otherwise."""
BATCH = 32
"""Questions of NSGA-II that are answered side by side."""
_UNLOADED = 0.01
"""Of saturation: what a query that meets hardly anybody takes."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of every mapping."""

    rate: float
    """Queries a second."""
    law: str = "poisson"
    queries: int = 20_000
    seed: int = 1

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return dict(vars(self))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A mapping and what it gives."""

    mapping: Mapping
    quality: float
    latency_s: float
    """Of a query alone, mean."""
    p99_s: float
    """At the load; infinite where the load is above saturation."""
    p99_half_width_s: float | None
    saturation: float
    """Queries a second that it can do at all."""
    limited_by: str
    timed: bool = False
    """Stages that share a device were timed together, not put together from single ones."""

    def as_json(self) -> dict[str, Any]:
        """Plain data; an infinite latency is None."""
        return {
            "mapping": self.mapping.as_json(),
            "label": self.mapping.label,
            "quality": self.quality,
            "latency_s": self.latency_s,
            "p99_s": self.p99_s if np.isfinite(self.p99_s) else None,
            "p99_half_width_s": self.p99_half_width_s,
            "saturation": self.saturation,
            "limited_by": self.limited_by,
            "timed": self.timed,
        }

    @classmethod
    def from_json(cls, data: Table[str, Any]) -> Outcome:
        """Plain data back."""
        words = {name: data[name] for name in cls.__dataclass_fields__ if name in data}
        words["mapping"] = Mapping.from_json(data["mapping"])
        words["p99_s"] = np.inf if data["p99_s"] is None else data["p99_s"]
        return cls(**words)


@dataclass(frozen=True)
class _Task:
    """Travels to other processes."""

    mapping: Mapping
    profiles: dict[str, PlatformProfile]
    quality: float
    load: Load
    timed: bool


def evaluate(
    mapping: Mapping,
    profiles: Table[str, PlatformProfile],
    quality: float,
    load: Load,
    *,
    timed: bool = False,
) -> Outcome:
    """One mapping.

    Raises
    ------
    UserError
        A profile lacks what the mapping needs.
    """
    places = stations(mapping, profiles)
    sizes = FixedSize(mapping.stages[0].items)
    items = np.full(1000, mapping.stages[0].items, np.int64)
    most, limited_by = saturation(places, items, load.seed)
    idle = latencies(places, Poisson(most * _UNLOADED), sizes, queries=1000, seed=load.seed)
    p99, half = np.inf, None
    if load.rate < most:
        found = simulate(
            places, arrivals(load.law, load.rate), sizes, queries=load.queries, seed=load.seed
        )
        if found.stable:
            p99, half = found.p99.value, found.p99.half_width
    return Outcome(
        mapping=mapping,
        quality=quality,
        latency_s=float(idle.latency.mean()),
        p99_s=float(p99),
        p99_half_width_s=half,
        saturation=float(most),
        limited_by=limited_by,
        timed=timed,
    )


def _answer(task: _Task) -> dict[str, Any]:
    return evaluate(
        task.mapping, task.profiles, task.quality, task.load, timed=task.timed
    ).as_json()


class _Evaluator:
    """Answers from the study where it has them, else asks the pool and writes them down."""

    def __init__(
        self,
        profiles: Table[str, PlatformProfile],
        quality: Table[str, float],
        load: Load,
        study: Study,
        workers: int | None,
        cluster: str | None,
    ) -> None:
        self._profiles, self._quality = dict(profiles), quality
        self._load, self._study = load, study
        self._workers, self._cluster = workers, cluster

    def all(self, mappings: Sequence[Mapping]) -> list[Outcome]:
        """In the order of the mappings; equal ones are asked once."""
        missing = list(dict.fromkeys(m for m in mappings if m.label not in self._study.results))
        tasks = [
            _Task(
                mapping,
                {stage.platform: self._profiles[stage.platform] for stage in mapping.stages},
                self._quality[mapping.funnel],
                self._load,
                False,
            )
            for mapping in missing
        ]
        for place, result in sweep(_answer, tasks, workers=self._workers, cluster=self._cluster):
            self._study.add(missing[place].label, result)
        return [Outcome.from_json(self._study.results[m.label]) for m in mappings]


def explore(
    space: Space,
    profiles: Table[str, PlatformProfile],
    quality: Table[str, float],
    load: Load,
    study: Study,
    *,
    trials: int | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Outcome]:
    """Weigh the legal mappings of a space: all of them, or so many that NSGA-II asks for.

    Parameters
    ----------
    profiles
        By the names of the space's platforms.
    quality
        By `Mapping.funnel`.
    trials
        Mappings to look at; None: all, if they are at most ``EXHAUSTIVE``.

    Raises
    ------
    UserError
        Nothing legal in the space, more mappings than are gone through without ``trials``, no
        optuna, a profile that lacks a model, a lost cluster.
    """
    answers = _Evaluator(profiles, quality, load, study, workers, cluster)
    size = space.size()
    if trials is None and size > EXHAUSTIVE:
        raise UserError(
            f"space: {size} mappings are more than the {EXHAUSTIVE} that are gone through whole; "
            "give --trials for a search"
        )
    if trials is not None and trials < size:
        return _search(space, profiles, answers, trials, load.seed, progress)
    every = list(space.mappings())
    legal = [mapping for mapping in every if illegal(mapping, profiles) is None]
    if not legal:
        raise UserError(f"space: no mapping is legal; {every[0].label}: "
                        f"{illegal(every[0], profiles)}")  # fmt: skip
    progress(f"{len(legal)} of {size} mappings are legal; {study.resumed} results are in the study")
    return answers.all(legal)


def _search(
    space: Space,
    profiles: Table[str, PlatformProfile],
    answers: _Evaluator,
    trials: int,
    seed: int,
    progress: Callable[[str], None],
) -> list[Outcome]:
    try:
        import optuna
    except ImportError:
        raise UserError("--trials needs optuna: pip install 'rpaccel[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=BATCH)
    study = optuna.create_study(directions=["maximize", "minimize", "maximize"], sampler=sampler)
    found: dict[str, Outcome] = {}
    for first in range(0, trials, BATCH):
        asked = [study.ask() for _ in range(min(BATCH, trials - first))]
        drawn = [_drawn(space, trial) for trial in asked]
        good = [m for m in drawn if m is not None and illegal(m, profiles) is None]
        outcomes = {o.mapping: o for o in answers.all(good)}
        for trial, mapping in zip(asked, drawn, strict=True):
            if mapping is None or mapping not in outcomes:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            outcome = outcomes[mapping]
            found[mapping.label] = outcome
            # NSGA-II wants finite numbers: above saturation an hour, worse the less it can do.
            p99 = outcome.p99_s if np.isfinite(outcome.p99_s) else 3600 + 1 / outcome.saturation
            study.tell(trial, [outcome.quality, p99, outcome.saturation])
        progress(f"{first + len(asked)} of {trials} trials, {len(found)} mappings")
    if not found:
        raise UserError(f"space: none of {trials} trials is a legal mapping; give more")
    return list(found.values())


def _drawn(space: Space, trial: Any) -> Mapping | None:
    """A mapping from a trial's choices; None where they do not go together."""

    def choose(name: str, values: Sequence[Any]) -> Any:
        return values[trial.suggest_int(name, 0, len(values) - 1)]

    count = choose("stages", [n for n in space.stages if n <= len(space.models)])
    models = choose(f"models {count}", list(itertools.combinations(space.models, count)))
    items = [choose("items", space.items)]
    for number in range(1, count):
        items.append(items[-1] // choose(f"shrink {number}", space.shrink))
    if items[-1] < space.returned:
        return None
    places = [choose(f"platform {number}", space.platforms) for number in range(count)]
    parts = choose("sub-batches", space.sub_batches) if count > 1 else 1
    return Mapping(
        tuple(Placed(*stage) for stage in zip(models, items, places, strict=True)),
        space.returned,
        parts,
    )


def pareto_front(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that no other beats in quality, tail latency and throughput; stable ones only."""
    stable = [o for o in outcomes if np.isfinite(o.p99_s)]
    values = [[o.quality, o.p99_s, o.saturation] for o in stable]
    return [stable[place] for place in front(values, [True, False, True])]
