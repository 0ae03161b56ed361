"""The logged decisions of the gather lanes through the golden cache models, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from golden.look_ahead import LaneCaches, LineCache, Outcome, Step, TablePlace
from hdl.embedding.line_geometry import LineGeometry

from .deployment import Deployment
from .traces import Records

__all__ = ["Decided", "Filled", "StageLookups", "replay_lane", "stage_lookups"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """A decision of the tags."""

    index: int
    """Among all logged ones."""
    step: Step
    outcome: Outcome | None
    """The golden model's; None: it says that the device would have waited."""
    line: int
    """Line concerned; -1: none."""
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """A fetch has ended."""

    cycle: int
    line: int


def _tables(
    deployment: Deployment,
) -> tuple[dict[int, TablePlace], dict[int, frozenset[int]]]:
    """Tables and what the static cache holds of them, by table number."""
    config = deployment.config
    tables, static = {}, {}
    for number, (model, bases) in enumerate(zip(deployment.models, deployment.tables, strict=True)):
        held: dict[int, set[int]] = {}
        contents = None if deployment.cache is None else deployment.cache.contents[number]
        for feature, row in contents or ():
            held.setdefault(feature, set()).add(row)
        for feature, base in enumerate(bases):
            table = number * config.max_features + feature
            tables[table] = TablePlace(base=base, row_bytes=model.shape.width)
            static[table] = frozenset(held.get(feature, ()))
    return tables, static


def replay_lane(
    deployment: Deployment, steps: Records, fills: Records, lane: int
) -> Iterator[Decided | Filled]:
    """Events of a lane, decisions with their golden outcomes; ends behind one that has none."""
    tables, static = _tables(deployment)
    geometry = LineGeometry(deployment.config)
    lines = LineCache(sets=geometry.sets, ways=geometry.ways, sequence_bits=geometry.sequence_bits)
    caches = LaneCaches(lines=lines, tables=tables, static=static)
    mine, filled = np.flatnonzero(steps.source == lane), np.flatnonzero(fills.source == lane)
    # A fetch's end counts behind the decision of its cycle.
    order = np.lexsort(
        (
            np.repeat([0, 1], [len(mine), len(filled)]),
            np.concatenate([steps.cycle[mine], fills.cycle[filled]]),
        )
    )
    fields = {name: steps[name][mine].tolist() for name in steps.fields}
    for place in order.tolist():
        if place >= len(mine):
            fill = filled[place - len(mine)]
            line = int(fills["line"][fill])
            lines.filled(line, error=bool(fills["error"][fill]))
            yield Filled(cycle=int(fills.cycle[fill]), line=line)
            continue
        step = Step(
            table=fields["table"][place],
            id=fields["id"][place],
            lookup=not (fields["bad"][place] or fields["empty"][place]),
            prefetch=bool(fields["prefetch"][place]),
            half=fields["half"][place],
            fresh=bool(fields["fresh"][place]),
            query=fields["query"][place],
            live=fields["live"][place],
            pending=fields["pending"][place],
        )
        index = int(mine[place])
        try:
            outcome = caches.step(step)
        except (KeyError, ValueError) as error:
            yield Decided(index=index, step=step, outcome=None, line=-1, problem=str(error))
            return
        yield Decided(index=index, step=step, outcome=outcome, line=caches.line)


@dataclass(kw_only=True, slots=True)
class StageLookups:
    """What became of a stage's lookups, prefetches apart."""

    lookups: int = 0
    static_hits: int = 0
    lookahead_hits: int = 0
    merged: int = 0
    misses: int = 0
    wait_cycles: int = 0
    """From decisions to the data's arrival, of all lookups; 0 for one that was there."""
    prefetches: int = 0
    dropped: int = 0

    @property
    def average_wait(self) -> float:
        """Cycles of a lookup."""
        return self.wait_cycles / max(1, self.lookups)


def stage_lookups(deployment: Deployment, steps: Records, fills: Records) -> list[StageLookups]:
    """Outcomes and waits of every stage; a row of two lines counts as two lookups."""
    stages = [StageLookups() for _ in deployment.models]
    for lane in range(deployment.config.gather_lanes):
        waiting: dict[int, list[tuple[StageLookups, int]]] = {}
        for event in replay_lane(deployment, steps, fills, lane):
            if isinstance(event, Filled):
                for stage, since in waiting.pop(event.line, ()):
                    stage.wait_cycles += event.cycle - since
                continue
            step, outcome = event.step, event.outcome
            if not step.lookup:
                continue
            stage = stages[step.table // deployment.config.max_features]
            if step.prefetch:
                stage.prefetches += 1
                stage.dropped += outcome is Outcome.DROPPED
                continue
            stage.lookups += 1
            stage.static_hits += outcome is Outcome.STATIC
            stage.lookahead_hits += outcome in (Outcome.HIT, Outcome.MERGED)
            stage.merged += outcome is Outcome.MERGED
            stage.misses += outcome is Outcome.MISS
            if outcome in (Outcome.MISS, Outcome.MERGED):
                since = int(steps.cycle[event.index])
                waiting.setdefault(event.line, []).append((stage, since))
    return stages
