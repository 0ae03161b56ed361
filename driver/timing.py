"""The ``timing`` back end: queries on the timing model, with the keys of the ``rtl`` back end."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID
from golden.pipeline import QueryResult, StageResult
from golden.quantised_model import IDENTITY, QuantisedModel
from hdl.config import Config
from hdl.engine.cause import Cause
from hdl.program import COMPLETION_BYTES, SUBMISSION_BYTES, Destination, Target
from sim.timing import (
    DecoderPlan,
    DeviceModel,
    Dram,
    EnginePlan,
    LoadEntry,
    LoadsModel,
    PhasePlan,
    Prediction,
    ProgramPlan,
    QueryPlan,
    StagePlan,
    StageQuery,
)
from sim.timing import Plan as TimingPlan
from sim.timing.array import LayerTiles
from sim.timing.gather import StageWaits
from sim.timing.units import Sums

from .decoders import encoder_of
from .deployment import Deployment
from .dram import far_tables, timing_memory
from .maps import DecoderMap, PhaseMap
from .options import RunOptions
from .page.activity import from_prediction
from .partition import Engine
from .rtl import Plan, mp_cache
from .summary import macs, quality, speculative_lookups, stage_items, utilization_bound
from .workload import Workload

__all__ = ["predict", "query_plans", "run_timing", "timing_plan"]


def _phase(phase: PhaseMap, last: Destination, stream: int) -> PhasePlan:
    layers = tuple(
        LayerTiles(
            input_tiles=layer.input_tiles,
            output_tiles=layer.output_tiles,
            destination=last if index == len(phase.layers) - 1 else Destination.BANK,
        )
        for index, layer in enumerate(phase.layers)
    )
    return PhasePlan(layers=layers, streamed=phase.streamed, stream=stream)


def _decoder(deployment: Deployment, engine: Engine, number: int, place: DecoderMap) -> DecoderPlan:
    phase = _phase(
        place,
        Destination.DENSE if place.member is None else Destination.BANK,
        deployment.streams[engine.unit, number, place.name],
    )
    hashes = encoder_of(deployment.models[number], place).k
    lanes = deployment.config.hash_lanes_at(engine.row, engine.column)
    return DecoderPlan(
        layers=phase.layers,
        streamed=phase.streamed,
        stream=phase.stream,
        hashes=deployment.hashes[number, place.part],
        groups=-(-hashes // lanes),
        vector=place.vector,
    )


def timing_plan(deployment: Deployment) -> TimingPlan:
    """A deployment as the timing model takes it."""
    engines = []
    for engine in deployment.partition.engines:
        if engine.unit not in deployment.maps:
            continue
        mapped = deployment.maps[engine.unit]
        programs = {}
        for number, stage in mapped.stages.items():
            bottom, top = (
                deployment.streams.get((engine.unit, number, part), 0) for part in ("bottom", "top")
            )
            programs[number] = ProgramPlan(
                bottom=_phase(stage.bottom, Destination.DENSE, bottom),
                top=_phase(stage.top, Destination.SCORE, top),
                width=stage.shape.width,
                vectors=stage.shape.vectors,
                dot=stage.shape.dot,
                outputs=1 << stage.log2_outputs,
                slot_bytes=stage.slot_bytes,
                slots=stage.slots,
                decoded=len(stage.shape.decoders),
                decoders=tuple(
                    _decoder(deployment, engine, number, place) for place in stage.decoders
                ),
                products=stage.shape.products,
                product_base=stage.product_base,
                copied=stage.shape.copied,
            )
        engines.append(
            EnginePlan(
                unit=engine.unit,
                row=engine.row,
                column=engine.column,
                level=engine.level,
                programs=programs,
                ring_words=1 << mapped.ring_log2_words,
            )
        )
    stages = tuple(
        StagePlan(
            rows=deployment.rows[number],
            features=deployment.places.count,
            sums=_sums(deployment, model),
            ends=_ends(deployment, model),
            row_bytes=model.shape.width,
            ahead=0 if deployment.cache is None else deployment.cache.rows_ahead(number),
        )
        for number, model in enumerate(deployment.models)
    )
    return TimingPlan(
        engines=tuple(engines),
        stages=stages,
        pitch=deployment.pitch,
        dense_bytes=deployment.dense_bytes,
        ids_offset=deployment.ids_offset,
        first_id=deployment.first_id,
    )


def _sums(deployment: Deployment, model: QuantisedModel) -> tuple[Sums, ...]:
    """What becomes of the row of each id word; words that no table uses add nothing to a sum."""
    found = [Sums.ADDS] * deployment.places.count
    # Vectors from tables come first.
    for words, m, s in zip(
        deployment.places.words, model.pool_multiplier, model.pool_shift, strict=False
    ):
        alone = len(words) == 1 and (int(m), int(s)) == IDENTITY
        found[words[-1] - 1] = Sums.NONE if alone else Sums.ENDS
    return tuple(found)


def _ends(deployment: Deployment, model: QuantisedModel) -> tuple[bool, ...]:
    """Id words that end a lane's last bag."""
    places = deployment.places
    last = {words[-1] % deployment.config.gather_lanes: words[-1] for words in places.words}
    return tuple(word in last.values() for word in range(1, places.count + 1))


def _stage_query(
    deployment: Deployment, number: int, keep: int, ids: NDArray[np.uint32], stage: StageResult
) -> StageQuery:
    items = stage.items
    mine = ids[items][:, list(deployment.looked_up)]
    bases = np.array(deployment.tables[number], np.int64)
    shape, places = deployment.models[number].shape, deployment.places
    features = [table for table, _ in shape.table_places]
    addresses = np.full((len(mine), places.count), -1, np.int64)
    addresses[:, places.columns] = np.where(
        mine == EMPTY_ID, -1, bases[features] + mine.astype(np.int64) * shape.width
    )
    cache = deployment.cache
    hits = np.zeros(addresses.shape, bool)
    if cache is not None:
        hits[:, places.columns] = cache.hits(number, mine, features)
    position = np.zeros(len(ids), np.intp)
    position[items] = np.arange(len(items))
    return StageQuery(
        items=items.astype(np.int64),
        scores=stage.scores.astype(np.int64),
        addresses=addresses,
        hits=hits,
        keep=keep,
        forwarded=tuple(position[part] for part in stage.forwarded),
        dropped=position[stage.dropped],
        held=_held(deployment, number, ids[items]),
    )


def _held(deployment: Deployment, number: int, ids: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """[items, decoded vectors]: whose finished vector is held."""
    shape, plan = deployment.models[number].shape, deployment.results
    if plan is None:
        return np.zeros((len(ids), len(shape.dhe_features)), bool)
    return plan.hits(number, shape, ids)


def query_plans(
    plan: Plan, workload: Workload, expected: list[QueryResult]
) -> tuple[QueryPlan, ...]:
    """Queries as the timing model takes them: lookups of every stage's items."""
    keep = [stage.keep for stage in workload.pipeline.stages]
    return tuple(
        QueryPlan(
            records=placed.records,
            submission=plan.host.submissions + placed.entry * SUBMISSION_BYTES,
            stages=tuple(
                _stage_query(plan.deployment, n, keep[n], query.ids, stage)
                for n, stage in enumerate(result.stages)
            ),
            rules=plan.rules,
        )
        for placed, query, result in zip(plan.queries, workload.queries, expected, strict=True)
    )


def predict(
    plan: Plan,
    workload: Workload,
    expected: list[QueryResult],
    dram: Dram | None = None,
    in_flight: int | None = None,
) -> Prediction:
    """Run the model on the queries of a plan, after its LOADs; at most so many in flight."""
    config, dram = plan.deployment.config, dram or Dram()
    loads = LoadsModel(config, dram)
    load_cycles = loads.run(
        tuple(
            LoadEntry(
                submission=plan.host.submissions + number * SUBMISSION_BYTES,
                address=load.address,
                words=load.words,
                wide=load.target is Target.WEIGHTS,
            )
            for number, load in enumerate(plan.deployment.loads)
        )
    )
    model = DeviceModel(config, timing_plan(plan.deployment), dram, loads.open_rows)
    prediction = model.run(query_plans(plan, workload, expected), in_flight)
    prediction.load_cycles = load_cycles
    prediction.load_reads = loads.bursts
    prediction.load_beats = loads.beats
    return prediction


def _cause_rows(prediction: Prediction, deployment: Deployment) -> list[dict[str, int]]:
    """Engine cycles by stage and cause, told apart as ``driver.stalls`` does."""
    rows = [{cause.name.lower(): 0 for cause in Cause} for _ in deployment.models]
    begin = prediction.jobs[0].cycle
    for unit, spans in prediction.timelines.items():
        sent = [(job.cycle, job.stage) for job in prediction.jobs if job.unit == unit]
        # Before its first row block an engine is of that block's stage.
        stage = sent[0][1] if sent else min(deployment.maps[unit].stages)
        sent = [(begin, stage), *sent[1:]]
        ends = [cycle for cycle, _ in sent[1:]] + [prediction.cycles]
        for first, last, cause in spans:
            for (start, stage), end in zip(sent, ends, strict=True):
                shared = min(last + 1, end) - max(first, start)
                if shared > 0:
                    rows[stage][cause.name.lower()] += shared
    return rows


def _counters(prediction: Prediction, loads: int, keep: int, beat_bytes: int) -> dict[str, Any]:
    """The device's counters after LOADs and queries, without the host's own accesses.

    Engines' counters are those of the queries' time.
    """
    queries = len(prediction.queries)
    cycles = prediction.load_cycles + prediction.cycles
    counters: dict[str, Any] = {
        "cycles": cycles,
        "busy_cycles": cycles,
        "queries": queries,
        "errors": 0,
        "results": queries * keep,
        "lookups": prediction.hits + prediction.look_ahead_hits + prediction.misses,
        "hits": prediction.hits,
        "look_ahead_hits": prediction.look_ahead_hits,
        "merged": prediction.merged,
        "misses": prediction.misses,
        "bad_ids": 0,
        "prefetches": prediction.prefetches,
        "read_bursts": prediction.load_reads + prediction.dram_reads,
        "read_beats": prediction.load_beats + prediction.dram_beats,
        "held_hits": prediction.held_hits,
        "held_misses": prediction.held_misses,
        "write_bursts": loads + prediction.write_bursts,
        "write_beats": loads * (COMPLETION_BYTES // beat_bytes) + prediction.write_beats,
    }
    for unit in prediction.timelines:
        counts = prediction.cause_cycles(unit)
        counters[f"engine_{unit}"] = {cause.name.lower(): n for cause, n in counts.items()}
    return counters


def _waits(stage: StageWaits) -> dict[str, float]:
    """Lookups of a stage, with their average wait for data."""
    return asdict(stage) | {"average_wait": stage.average_wait}


def _far(deployment: Deployment, room: int | None) -> tuple[tuple[int, int], ...]:
    """Ranges of the tables on the SSD when device memory has ``room`` for tables."""
    if room is None:
        return ()
    tables = [
        (base, model.tables[feature].nbytes)
        for bases, model in zip(deployment.tables, deployment.models, strict=True)
        for base, feature in zip(bases, model.shape.table_features, strict=True)
    ]
    return far_tables(tables, room)


def run_timing(
    plan: Plan, workload: Workload, expected: list[QueryResult], options: RunOptions
) -> dict[str, Any]:
    """Predict; returns the run's keys. ``bit_exact`` is None: nothing is computed."""
    started = time.perf_counter()
    dram = timing_memory(options.dram, _far(plan.deployment, options.table_dram))
    prediction = predict(plan, workload, expected, dram, options.in_flight)
    wall = time.perf_counter() - started
    deployment, spec = plan.deployment, workload.pipeline
    config: Config = deployment.config
    queries = len(plan.queries)
    rows = _cause_rows(prediction, deployment)
    lookups = prediction.hits + prediction.look_ahead_hits + prediction.misses
    engines = deployment.partition.engines
    cycles = prediction.cycles + (prediction.load_cycles if options.cold else 0)
    return {
        "activity": None if options.report is None else from_prediction(deployment, prediction),
        "bit_exact": None,
        "difference": None,
        "cycles": cycles,
        "cycles_per_query": cycles / queries,
        "clock_mhz": config.clock_mhz,
        "microseconds_per_query": cycles / queries / config.clock_mhz,
        "query_cycles": prediction.query_cycles,
        "load_cycles": prediction.load_cycles,
        "mac_utilization": macs(workload, expected, deployment.results) / (config.pes * cycles),
        "mac_utilization_bound": utilization_bound(workload, deployment.maps),
        "stages": [
            stage
            | {
                "cycles": prediction.queries[0][number].cycles,
                "busy_cycles": rows[number].pop("busy"),
                "stall_cycles": rows[number],
                "embedding": _waits(prediction.stages.get(number, StageWaits())),
            }
            for number, stage in enumerate(stage_items(workload, expected))
        ],
        "embedding": {
            "lookups": lookups,
            "static_hits": prediction.hits,
            "lookahead_hits": prediction.look_ahead_hits,
            "misses": prediction.misses,
            "merged": prediction.merged,
            "prefetches": prediction.prefetches,
            "dram_reads": prediction.dram_reads,
            "dram_bytes": prediction.dram_beats * config.axi_bytes,
            "mp_cache": mp_cache(deployment.results, prediction.held_hits, prediction.held_misses),
            "speculative_lookups": speculative_lookups(workload, expected),
        },
        "interaction_multipliers": sum(
            config.interaction_multipliers_at(e.row, e.column) for e in engines
        ),
        "quality": quality(workload, [r.items for r in expected]),
        "counters": _counters(
            prediction, len(deployment.loads), spec.stages[-1].keep, config.axi_bytes
        ),
        "top": [
            {"item": int(i), "score": int(s)}
            for i, s in zip(expected[0].items, expected[0].scores, strict=True)
        ],
        "wall_s": wall,
    }
