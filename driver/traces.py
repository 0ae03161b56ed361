"""Traces of a simulated device: who wrote what, put back into tensors of the model.

A trace is what the simulated top's trace ports logged: one record an event with cycle, source and
payload. Values are decoded with the engine maps only; what they should be is golden's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .deployment import Deployment
from .maps import PhaseMap, StageMap

__all__ = [
    "Records",
    "StageTrace",
    "TraceError",
    "decode_columns",
    "decode_interaction",
    "decode_jobs",
    "decode_survivors",
]


class TraceError(RuntimeError):
    """The trace contradicts itself: a write by nobody's job."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Events of one kind, in the order of their cycles."""

    cycle: NDArray[np.int64]
    source: NDArray[np.int64]
    fields: dict[str, NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.cycle)

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        return self.fields[name]

    def where(self, mask: NDArray[np.bool_]) -> Records:
        return Records(
            cycle=self.cycle[mask],
            source=self.source[mask],
            fields={k: v[mask] for k, v in self.fields.items()},
        )


@dataclass(kw_only=True)
class StageTrace:
    """What the device wrote for one stage of one query."""

    items: int
    layers: dict[str, NDArray[np.int16]] = field(default_factory=dict)
    """``bottom.0`` .. ``decoder.3.0`` .. ``top.1``: [items, outputs]."""
    survivors: list[NDArray[np.int64]] = field(default_factory=list)
    """Items that the selection after each sub-batch passed on, in its order."""
    held: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Of a decoder's layer: [items] whose vector was held, so that the layer did not run."""
    error: str | None = None
    """What is wrong with the stage's writes: one beyond the list, twice or none at all."""

    def check(self, name: str, count: NDArray[np.uint8]) -> None:
        """Every value of a layer must have been written once, none of an item without it."""
        want = np.ones((self.items, 1), np.uint8)
        if name in self.held:
            want[self.held[name]] = 0
        if self.error is None and (count != want).any():
            item, channel = np.argwhere(count != want)[0]
            self.error = (
                f"{name}: item {item} channel {channel} was written {count[item, channel]} times"
            )

    def inside(self, position: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which positions are in the stage's list."""
        inside = position < self.items
        if self.error is None and not inside.all():
            self.error = f"item {position[~inside][0]} of a list of {self.items} was worked on"
        return inside


@dataclass(frozen=True, kw_only=True, eq=False)
class Jobs:
    """Row blocks in the order they were sent, with the query each belongs to."""

    records: Records
    query: NDArray[np.int64]
    stage: NDArray[np.int64]
    """Program: the stage, where the device holds one pipeline."""

    def rows(self, job: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
        """Position of each job's row in its stage's list of items."""
        return self.records["position"][job] + row * self.records["stride"][job]


def decode_jobs(records: Records) -> Jobs:
    """Number the queries in the order in which they were admitted.

    A query's number on the device is its own until it has retired, so its jobs are those of the
    number from the query's first row block on. First row blocks come in the order of admission: of
    queries that wait for the same stage the oldest is served first.
    """
    start = (records["first"] == 1) & (records["position"] == 0)
    order = np.cumsum(start) - 1
    query = np.full(len(records), -1)
    for number in np.unique(records["query"]):
        mine = np.flatnonzero(records["query"] == number)
        latest = np.maximum.accumulate(np.where(start[mine], order[mine], -1))
        query[mine] = latest
    if (query < 0).any():
        raise TraceError(f"a row block of query number {records['query'][query < 0][0]} has none")
    return Jobs(records=records, query=query, stage=records["program"])


def _jobs_in_order(
    jobs: Jobs,
    anchor: int,
    slot: int,
    program: int,
    rows: NDArray[np.int64],
    rank: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Job that the ``rank``-th write of a source belongs to.

    A source writes a value for every one of the ``rows`` of every job of its (anchor, slot,
    program), in the order of the jobs: counting tells whose they are, whatever else overlaps in
    time.
    """
    r = jobs.records
    mine = np.flatnonzero((r["unit"] == anchor) & (r["slot"] == slot) & (r["program"] == program))
    ends = np.cumsum(rows[mine])
    if len(rank) and (len(mine) == 0 or rank.max() >= ends[-1]):
        raise TraceError(f"engine {anchor} wrote more in slot {slot} than its row blocks have rows")
    return mine[np.searchsorted(ends, rank, side="right")]


def _ranks(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of earlier elements of the same group, for each element."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - starts
    return rank


def _layer_names(deployment: Deployment, stage: int) -> list[tuple[str, int]]:
    shape = deployment.models[stage].shape
    names = [(f"bottom.{i}", n) for i, n in enumerate(shape.bottom[1:])]
    for f in shape.dhe_features:
        bag = shape.bags[f]
        for part in [f"decoder.{f}"] if bag == 1 else [f"decoder.{f}[{n}]" for n in range(bag)]:
            names += [(f"{part}.{i}", n) for i, n in enumerate(shape.decoders[f][1:])]
        if bag > 1:
            names.append((f"sum.{f}.0", shape.width))
    return names + [(f"top.{i}", n) for i, n in enumerate(shape.top)]


Traces = list[dict[int, StageTrace]]
"""Of each query, by program, in the order of its stages."""


def new_traces(items: Iterable[Mapping[int, int]]) -> Traces:
    """Empty traces: ``items[query][program]`` items each."""
    return [{program: StageTrace(items=n) for program, n in counts.items()} for counts in items]


def _rows_run(jobs: Jobs, hit: NDArray[np.int8] | None, vector: int | None) -> NDArray[np.int64]:
    """[jobs, rows of the phase]: rows of the block that a phase ran, in their order, then -1.

    ``vector``: of a decoder's phase, which leaves out the rows whose vector is held.
    """
    most = int(jobs.records["rows"].max(initial=0))
    rows = np.arange(most)
    ran = rows < jobs.records["rows"][:, None]
    if vector is not None and hit is not None:
        ran &= hit[:, vector, :most] == 0
    first = np.argsort(~ran, axis=1, kind="stable")
    return np.where(np.take_along_axis(ran, first, axis=1), first, -1)


def _mark_held(deployment: Deployment, jobs: Jobs, hit: NDArray[np.int8], traces: Traces) -> None:
    """Items whose decoders do not run."""
    for job in range(len(jobs.records)):
        program = int(jobs.stage[job])
        shape = deployment.models[program].shape
        trace = traces[jobs.query[job]][program]
        for vector, feature in enumerate(shape.dhe_features):
            if shape.bags[feature] > 1:
                continue  # never held
            row = np.flatnonzero(hit[job, vector] == 1)
            position = jobs.rows(np.full(len(row), job), row)
            position = position[trace.inside(position)]
            for index in range(len(shape.decoders[feature]) - 1):
                name = f"decoder.{feature}.{index}"
                trace.held.setdefault(name, np.zeros(trace.items, bool))[position] = True


def decode_columns(
    deployment: Deployment,
    jobs: Jobs,
    columns: Records,
    traces: Traces,
    hit: NDArray[np.int8] | None = None,
) -> None:
    """Put every column output into its layer's tensor.

    Source of a record is ``sub-array * S + column``.

    Parameters
    ----------
    hit
        Of a device that holds finished vectors: [jobs, vectors, rows], see `Placed`.
    """
    if hit is not None:
        _mark_held(deployment, jobs, hit, traces)
    config = deployment.config
    size = config.sub_array
    seen: dict[tuple[int, int, str], NDArray[np.uint8]] = {}
    for query, stages in enumerate(traces):
        for stage, trace in stages.items():
            for name, outputs in _layer_names(deployment, stage):
                trace.layers[name] = np.zeros((trace.items, outputs), np.int16)
                seen[query, stage, name] = np.zeros((trace.items, outputs), np.uint8)
    sub = columns.source // size
    column = columns.source % size
    for engine in deployment.partition.engines:
        if engine.unit not in deployment.maps:
            continue
        e = 1 << engine.level
        bottom = (engine.row + e - 1) * config.grid + engine.column
        strip = sub - bottom
        mine = (strip >= 0) & (strip < e)
        records = columns.where(mine)
        lane = strip[mine] * size + column[mine]
        for slot in (0, 1):
            here = records["slot"] == slot
            if not here.any():
                continue
            part = records.where(here)
            _scatter(deployment, engine.unit, slot, jobs, part, lane[here], traces, seen, hit)
    for (query, stage, name), count in seen.items():
        traces[query][stage].check(name, count)


def _scatter(
    deployment: Deployment,
    anchor: int,
    slot: int,
    jobs: Jobs,
    part: Records,
    lane: NDArray[np.int64],
    traces: Traces,
    seen: dict[tuple[int, int, str], NDArray[np.uint8]],
    hit: NDArray[np.int8] | None,
) -> None:
    """Place the records of one engine and slot."""
    mapped = deployment.maps[anchor]
    for number, stage_map in mapped.stages.items():
        for names, phase, sizes, vector in _phases(deployment, number, stage_map):
            ran = _rows_run(jobs, hit, vector)
            counts = (ran >= 0).sum(axis=1)
            for index, (place, outputs) in enumerate(zip(phase.layers, sizes, strict=True)):
                tile = part["parameter"] - place.parameter_base
                channel = tile * mapped.edge + lane
                here = (tile >= 0) & (tile < place.output_tiles) & (channel < outputs)
                # Columns that padding leaves out of the last tile write once less a row.
                group = channel[here]
                job = _jobs_in_order(jobs, anchor, slot, number, counts * len(names), _ranks(group))
                row = part["row"][here]
                if (row >= counts[job]).any():
                    raise TraceError(f"engine {anchor}: {names[0]}.{index} has a row too many")
                position = jobs.rows(job, ran[job, row])
                # Places of a bag run one after the other.
                member = np.zeros(len(job), np.int64)
                if len(names) > 1:
                    member = _ranks((job * (1 << 16) + group) * (1 << 16) + row)
                    member = np.minimum(member, len(names) - 1)
                for q in np.unique(jobs.query[job]):
                    trace = traces[q][number]
                    mine = jobs.query[job] == q
                    mine &= trace.inside(np.where(mine, position, 0))
                    for n, name in enumerate(names):
                        mask = mine & (member == n)
                        key = f"{name}.{index}"
                        at = (position[mask], group[mask])
                        trace.layers[key][at] = part["value"][here][mask]
                        np.add.at(seen[int(q), number, key], at, 1)


_Phase = tuple[list[str], PhaseMap, Sequence[int], int | None]
"""Names (of all places of a bag: they share their parameters), addresses, outputs of the layers,
and the decoded vector whose hits it leaves out."""


def _phases(deployment: Deployment, number: int, stage: StageMap) -> list[_Phase]:
    """What an engine runs for a program."""
    shape = deployment.models[number].shape
    phases: list[_Phase] = [
        (["bottom"], stage.bottom, shape.bottom[1:], None),
        (["top"], stage.top, shape.top, None),
    ]
    for decoder in stage.decoders:
        sizes = (shape.width,) if decoder.sums else shape.decoders[decoder.feature][1:]
        if decoder.member:
            continue  # with the bag's first place
        names = [decoder.name]
        if decoder.member == 0:
            bag = shape.bags[decoder.feature]
            names = [f"decoder.{decoder.feature}[{place}]" for place in range(bag)]
        phases.append((names, decoder, sizes, decoder.vector))
    return phases


def decode_interaction(
    deployment: Deployment, jobs: Jobs, chunks: Sequence[Records], traces: Traces
) -> None:
    """Put every chunk of the interaction units into the stage's ``interaction`` tensor.

    Parameters
    ----------
    chunks
        Of the units and, where there is one, of the wide one.
    """
    counts: dict[tuple[int, int], NDArray[np.uint8]] = {}
    for q, stages in enumerate(traces):
        for s, trace in stages.items():
            shape = (trace.items, deployment.models[s].shape.interaction_width)
            trace.layers["interaction"] = np.zeros(shape, np.int16)
            counts[q, s] = np.zeros(shape, np.uint8)
    for engine in deployment.partition.engines:
        for slot in (0, 1):
            events = chunks[deployment.config.wide_interaction_at(engine.row, engine.column)]
            part = events.where((events.source == engine.unit) & (events["slot"] == slot))
            if len(part) == 0:
                continue
            # Rows of different programs come in the order of the jobs: count rows over all of them.
            row = np.cumsum(part["last"]) - part["last"]
            mine = np.flatnonzero(
                (jobs.records["unit"] == engine.unit) & (jobs.records["slot"] == slot)
            )
            ends = np.cumsum(jobs.records["rows"][mine])
            if len(mine) == 0 or row.max() >= ends[-1]:
                raise TraceError(f"engine {engine.unit}: more interaction rows than items")
            job = mine[np.searchsorted(ends, row, side="right")]
            position = jobs.rows(job, part["row"])
            query, stage = jobs.query[job], jobs.stage[job]
            for key in counts:
                trace = traces[key[0]][key[1]]
                matching = (query == key[0]) & (stage == key[1])
                matching &= trace.inside(np.where(matching, position, 0))
                target = trace.layers["interaction"]
                channel = _channel(deployment, engine.unit, key[1], part["k"])
                for n in range(part["data"].shape[1]):
                    here = matching & (part["count"] > n)
                    at = (position[here], channel[here] + n)
                    target[at] = part["data"][here, n]
                    np.add.at(counts[key], at, 1)
    for (q, s), count in counts.items():
        traces[q][s].check("interaction", count)


def _channel(
    deployment: Deployment, anchor: int, number: int, k: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Place in the ``interaction`` tensor of what an engine's unit wrote at k."""
    stage = deployment.maps[anchor].stages.get(number)
    if stage is None or not stage.shape.products:
        return k
    return np.where(k < stage.product_base, k, k - stage.product_base + stage.shape.copied)


def decode_survivors(
    jobs: Jobs, survivors: Records, traces: Traces, sub_batches: Sequence[int]
) -> None:
    """Give each stage what its selections passed on, in the order of their lists.

    A context is one stage of one query until that has retired: an event belongs to the latest job
    of its context.

    Parameters
    ----------
    sub_batches
        Of each query.

    Raises
    ------
    TraceError
        A context without jobs keeps an item, or a sub-batch that the query does not have.
    """
    job = np.full(len(survivors), -1)
    for context in np.unique(survivors["context"]):
        here = np.flatnonzero(survivors["context"] == context)
        mine = np.flatnonzero(jobs.records["context"] == context)
        place = np.searchsorted(jobs.records.cycle[mine], survivors.cycle[here], side="right") - 1
        if not len(mine) or (place < 0).any():
            raise TraceError(f"context {context} keeps an item before it had a row block")
        job[here] = mine[place]
    # Survivors of one cycle stand in the order of their sources.
    order = np.lexsort((survivors.source, survivors.cycle))
    query, stage = jobs.query[job][order], jobs.stage[job][order]
    part, item = survivors["sub_batch"][order], survivors["item"][order]
    for q, stages in enumerate(traces):
        for s, trace in stages.items():
            here = (query == q) & (stage == s)
            if (part[here] >= sub_batches[q]).any():
                raise TraceError(
                    f"query {q} stage {s}: an item of sub-batch {part[here].max()} was kept"
                )
            trace.survivors = [item[here & (part == n)] for n in range(sub_batches[q])]
