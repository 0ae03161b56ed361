"""What engines told of ids that they looked up among the finished vectors they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.pipeline import QueryResult

from .deployment import Deployment
from .event_sums import compare_sums
from .result_plan import table_number
from .stage_shapes import decoded_ids
from .traces import Jobs, Records, TraceError, decode_jobs

__all__ = ["Placed", "compare_held", "decode_placed"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Placed:
    """Lookups by job, id word behind the dense values and row; -1 where there is none.

    The first words are those of the decoded vectors, in their order.
    """

    hit: NDArray[np.int8]
    """[jobs, words, rows]: 1 held, 0 decoded."""
    place: NDArray[np.int64]


def decode_placed(deployment: Deployment, jobs: Jobs, records: Records) -> Placed | None:
    """Give each lookup its row block; None for a device that holds no vectors.

    An engine looks up, for each of a slot's blocks in their order, the ids of one decoder after the
    other as they are ordered, rows ascending.

    Raises
    ------
    TraceError
        There are more lookups, fewer, or in another order.
    """
    config = deployment.config
    if not config.held_bytes:
        return None
    words = [decoded_ids(m.shape).count for m in deployment.models]
    sizes = np.array(words, np.int64)[jobs.stage] * jobs.records["rows"]
    shape = (len(jobs.records), max(words), config.rows)
    hit, place = np.full(shape, -1, np.int8), np.full(shape, -1, np.int64)
    for unit in np.unique(jobs.records["unit"]):
        for slot in (0, 1):
            job_of = (jobs.records["unit"] == unit) & (jobs.records["slot"] == slot)
            mine = np.flatnonzero(job_of & (sizes > 0))
            made = records.where((records.source == unit) & (records["slot"] == slot))
            job = np.repeat(mine, sizes[mine])
            if len(made) != len(job):
                raise TraceError(
                    f"engine {unit}: {len(made)} lookups of held vectors in slot {slot}, "
                    f"expected {len(job)}"
                )
            first = np.cumsum(sizes[mine]) - sizes[mine]
            number = np.arange(len(job)) - np.repeat(first, sizes[mine])
            turn, row = np.divmod(number, jobs.records["rows"][job])
            word = np.zeros(len(job), np.int64)
            for program, stage in deployment.maps[int(unit)].stages.items():
                order = np.array([place.number for place in stage.decoders], np.int64)
                here = jobs.stage[job] == program
                word[here] = order[turn[here]]
            if (made["feature"] != word).any() or (made["row"] != row).any():
                raise TraceError(f"engine {unit}: lookups of held vectors out of order")
            hit[job, word, row] = made["hit"]
            place[job, word, row] = made["place"]
    return Placed(hit=hit, place=place)


def compare_held(
    deployment: Deployment,
    records: Mapping[str, Records],
    expected: Sequence[QueryResult],
    ids: Sequence[NDArray[np.uint32]],
    counters: Mapping[str, int],
    pipelines: Sequence[int] | None = None,
) -> str | None:
    """First difference in words, or None: hits, misses and places are those of golden's contents.

    Held vectors are those of the plan, so an id hits whenever the plan holds it; misses have the
    rows of the decoder's output in their order, and so have ids of bags; the counters are the
    events' sums.

    Parameters
    ----------
    ids
        Ids of each query, [items, places]; see `Query`.
    counters
        The device's counters by name, of these queries and no others.
    pipelines
        Of each query; None: all of pipeline 0.
    """
    jobs = decode_jobs(records["jobs"])
    placed = decode_placed(deployment, jobs, records["placed"])
    hits = misses = 0
    if placed is not None:
        hits, misses = int((placed.hit == 1).sum()), int((placed.hit == 0).sum())
        programs = [deployment.pipelines[p] for p in pipelines or [0] * len(expected)]
        wrong = _wrong_lookup(deployment, jobs, placed, expected, ids, programs)
        if wrong is not None:
            return wrong
    return compare_sums("held vectors", {"HELD_HITS": hits, "HELD_MISSES": misses}, counters)


def _wrong_lookup(
    deployment: Deployment,
    jobs: Jobs,
    placed: Placed,
    expected: Sequence[QueryResult],
    ids: Sequence[NDArray[np.uint32]],
    programs: Sequence[Sequence[int]],
) -> str | None:
    plan = deployment.results
    for job in range(len(jobs.records)):
        query, program = int(jobs.query[job]), int(jobs.stage[job])
        shape = deployment.models[program].shape
        if not shape.dhe_features:
            continue
        items = expected[query].stages[programs[query].index(program)].items
        position = jobs.rows(np.array([job]), np.arange(int(jobs.records["rows"][job])))
        asked = ids[query][items[position]]
        words = deployment.decoded.words(asked)
        holds = plan is not None and plan.log2_sets(shape.width) is not None
        for word, named in enumerate(words.T):
            place = np.full(len(named), -1, np.int64)
            features = shape.dhe_features
            if plan is not None and holds and word < len(features):
                feature = features[word]
                if shape.bags[feature] == 1:
                    place = plan.places_of(table_number(program, feature), named)
            hit = place >= 0
            want = np.where(hit, place, np.cumsum(~hit) - 1)
            got = placed.hit[job, word, : len(named)], placed.place[job, word, : len(named)]
            different = np.flatnonzero((got[0] != hit) | (got[1] != want))
            if len(different):
                row = int(different[0])
                told = f"feature {features[word]}" if word < len(features) else f"id word {word}"
                return (
                    f"held vectors: query {query}, {told}, id {named[row]}: expected "
                    f"{_told(hit[row], want[row])}, got {_told(got[0][row], got[1][row])}"
                )
    return None


def _told(hit: int, place: int) -> str:
    return f"{'place' if hit else 'row'} {place}"
