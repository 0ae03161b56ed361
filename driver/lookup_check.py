"""Compares what became of every embedding lookup with the golden cache models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID
from golden.look_ahead import Outcome
from golden.pipeline import QueryResult

from .deployment import Deployment
from .event_sums import compare_sums
from .lane_replay import Filled, replay_lane
from .traces import Records, decode_jobs

__all__ = ["compare_lookups"]

_OUTCOMES = {
    "static_hit": Outcome.STATIC,
    "merged": Outcome.MERGED,  # before "hit", which it comes with
    "hit": Outcome.HIT,
    "miss": Outcome.MISS,
    "dropped": Outcome.DROPPED,
    "bad": Outcome.NONE,
    "empty": Outcome.NONE,
}


def compare_lookups(
    deployment: Deployment,
    records: Mapping[str, Records],
    expected: Sequence[QueryResult],
    ids: Sequence[NDArray[np.uint32]],
    counters: Mapping[str, int],
    pipelines: Sequence[int] | None = None,
) -> str | None:
    """First difference in words, or None.

    Every lookup that a query needs was made once, no other one was made; every decision of the
    tags, replayed in its order, is the golden model's; the counters are the events' sums.

    Parameters
    ----------
    ids
        Ids of each query, [items, places]; see `Query`.
    counters
        The device's counters by name, of these queries and no others.
    pipelines
        Of each query; None: all of pipeline 0.
    """
    programs = [deployment.pipelines[p] for p in pipelines or [0] * len(expected)]
    return (
        _compare_ids(deployment, records, expected, ids, programs)
        or _compare_outcomes(deployment, records["tag_steps"], records["fills"])
        or _compare_counters(records["lookups"], counters)
    )


def _compare_ids(
    deployment: Deployment,
    records: Mapping[str, Records],
    expected: Sequence[QueryResult],
    ids: Sequence[NDArray[np.uint32]],
    programs: Sequence[Sequence[int]],
) -> str | None:
    """Lookups as a multiset of (number of the query on the device, table, id)."""
    jobs = decode_jobs(records["jobs"])
    lookups = records["lookups"]
    want = []
    for number, (query, result) in enumerate(zip(ids, expected, strict=True)):
        mine = np.flatnonzero(jobs.query == number)
        if not len(mine):
            return f"lookups: query {number} has no row block"
        on_device = int(jobs.records["query"][mine[0]])
        for program, stage in zip(programs[number], result.stages, strict=True):
            asked = query[stage.items][:, list(deployment.looked_up)]
            places = deployment.models[program].shape.table_places
            table = program * deployment.config.max_features + np.array([t for t, _ in places])
            used = asked != EMPTY_ID
            tables = np.broadcast_to(table, asked.shape)[used]
            want.append(_key(on_device, tables, asked[used]))
    keys = np.sort(np.concatenate(want))
    made = lookups.where(lookups["prefetch"] == 0)
    got = np.sort(_key(made["query"], made["table"], made["id"]))
    if len(got) != len(keys):
        return f"lookups: expected {len(keys)}, got {len(got)}"
    wrong = np.flatnonzero(got != keys)
    if len(wrong):
        first = int(min(got[wrong[0]], keys[wrong[0]]))
        return (
            f"lookups: query number {first >> 41}, table {first >> 32 & 511}, id "
            f"{first & 0xFFFFFFFF}: looked up {int((got == first).sum())} times, expected "
            f"{int((keys == first).sum())}"
        )
    return None


def _key(query: Any, table: Any, ids: Any) -> NDArray[np.int64]:
    """One number for a lookup."""
    lookup = np.asarray(table, np.int64) << 32 | np.asarray(ids, np.int64)
    return lookup | np.asarray(query, np.int64) << 41


def _compare_outcomes(deployment: Deployment, steps: Records, fills: Records) -> str | None:
    """Each lane's log through its golden caches."""
    outcome = np.full(len(steps), len(_OUTCOMES))
    for number, name in reversed(list(enumerate(_OUTCOMES))):
        outcome = np.where(steps[name] != 0, number, outcome)
    names = [*_OUTCOMES.values(), None]
    for lane in range(deployment.config.gather_lanes):
        for event in replay_lane(deployment, steps, fills, lane):
            if isinstance(event, Filled):
                continue
            got, want, step = names[outcome[event.index]], event.outcome, event.step
            if got is want and want is not None:
                continue
            told = event.problem or (
                f"expected {want.value if want else '-'}, got {got.value if got else 'no outcome'}"
            )
            return f"lane {lane}, table {step.table}, id {step.id}: {told}"
    return None


def _compare_counters(lookups: Records, counters: Mapping[str, int]) -> str | None:
    demand = lookups["prefetch"] == 0
    sums = {
        "LOOKUPS": int(demand.sum()),
        "HITS": int((lookups["static_hit"] & demand).sum()),
        "LOOK_AHEAD_HITS": int((lookups["look_ahead_hit"] & demand).sum()),
        "MERGED": int((lookups["merged"] & demand).sum()),
        "MISSES": int((lookups["miss"] & demand).sum()),
        "BAD_IDS": int((lookups["bad"] & demand).sum()),
        "PREFETCHES": int((~demand).sum()),
    }
    return compare_sums("lookup counters", sums, counters)
