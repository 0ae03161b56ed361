"""Compares what a simulated device did with the golden models: every layer and survivor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from golden.compare import compare_queries
from golden.pipeline import QueryResult
from hdl.config import Config
from hdl.trace import trace_ports

from .deployment import Deployment
from .placed import decode_placed
from .traces import (
    Records,
    TraceError,
    decode_columns,
    decode_interaction,
    decode_jobs,
    decode_survivors,
    new_traces,
)

__all__ = ["compare_traces", "read_records"]


def read_records(config: Config, traces: Mapping[str, NDArray[np.void]]) -> dict[str, Records]:
    """Trace files with their fields taken out of the payload, by the trace's name."""
    return {name: _records(config, name, raw) for name, raw in traces.items()}


def _records(config: Config, name: str, raw: NDArray[np.void]) -> Records:
    port = next(p for p in trace_ports(config) if p.name == name)
    payload = np.zeros((len(raw), -(-raw["payload"].shape[1] // 8) * 8), np.uint8)
    payload[:, : raw["payload"].shape[1]] = raw["payload"]
    words = payload.view("<u8")
    fields: dict[str, NDArray[np.int64]] = {}
    for key, field in port.payload:
        if field.width > 64:
            start, shift = divmod(field.offset, 8)
            wide = payload[:, start : start + field.width // 8 + 1].astype(np.uint16)
            low = wide[:, :-1] >> shift | wide[:, 1:] << (8 - shift)
            fields[key] = low.astype(np.uint8).view(np.int8).astype(np.int64)
            continue
        index, shift = divmod(field.offset, 64)
        bits = words[:, index] >> np.uint64(shift)
        if shift + field.width > 64:
            bits |= words[:, index + 1] << np.uint64(64 - shift)
        value = (bits & np.uint64((1 << field.width) - 1)).astype(np.int64)
        if key == "value":  # signed
            value -= (value >> (field.width - 1) & 1) << field.width
        fields[key] = value
    return Records(
        cycle=raw["cycle"].astype(np.int64), source=raw["source"].astype(np.int64), fields=fields
    )


def compare_traces(
    deployment: Deployment,
    records: Mapping[str, Records],
    expected: Sequence[QueryResult],
    results: Sequence[NDArray[np.int32]],
    pipelines: Sequence[int] | None = None,
) -> str | None:
    """First difference of all queries in words, or None.

    Parameters
    ----------
    records
        From ``read_records``: of these queries and no others.
    expected
        Golden results, run with ``keep_layers``.
    results
        What the device wrote: [k, (item, score)] of each query.
    pipelines
        Of each query; None: all of pipeline 0.
    """
    try:
        return _compare(deployment, records, expected, results, pipelines or [0] * len(expected))
    except TraceError as error:
        return str(error)


def _compare(
    deployment: Deployment,
    records: Mapping[str, Records],
    expected: Sequence[QueryResult],
    results: Sequence[NDArray[np.int32]],
    pipelines: Sequence[int],
) -> str | None:
    jobs = decode_jobs(records["jobs"])
    ran = int(jobs.query.max(initial=-1)) + 1
    if ran > len(expected):
        return f"row blocks of {ran} queries were sent, expected {len(expected)}"
    programs = [deployment.pipelines[pipeline] for pipeline in pipelines]
    traces = new_traces(
        {p: len(stage.items) for p, stage in zip(mine, r.stages, strict=True)}
        for mine, r in zip(programs, expected, strict=True)
    )
    placed = decode_placed(deployment, jobs, records["placed"])
    hit = None if placed is None else placed.hit
    decode_columns(deployment, jobs, records["columns"], traces, hit)
    chunks = [records[name] for name in ("interaction", "wide_interaction") if name in records]
    decode_interaction(deployment, jobs, chunks, traces)
    parts = [len(result.stages[0].forwarded) for result in expected]
    decode_survivors(jobs, records["survivors"], traces, parts)
    for number, (golden, stages, result) in enumerate(zip(expected, traces, results, strict=True)):
        layers = []
        for (program, trace), stage in zip(stages.items(), golden.stages, strict=True):
            named = dict(trace.layers)
            assert stage.layers is not None
            for name, held in trace.held.items():
                # What did not run has no outputs: the vector is compared in the interaction.
                named[name] = np.where(held[:, None], stage.layers[name], named[name])
            last = f"top.{len(deployment.models[program].top) - 1}"
            named["score"] = named.pop(last)[:, 0]
            layers.append(named)
        survivors = [trace.survivors for trace in stages.values()]
        if not deployment.config.features.on_chip_filter:
            # Every item leaves the device; the host's choice is in the results.
            if not np.array_equal(survivors[0][0], golden.stages[0].items):
                return f"query {number}: the device did not return every item once"
            survivors = []
        # What goes wrong in a stage shows in the trace of the next one: stages in their order.
        wrong = next(
            (s for s, trace in enumerate(stages.values()) if trace.error is not None), None
        )
        difference = compare_queries(
            golden,
            items=result[:, 0].astype(np.uint32),
            scores=result[:, 1].astype(np.int16),
            layers=layers[:wrong],
            survivors=survivors[:wrong],
        )
        if wrong is not None and (difference is None or difference.result):
            return f"query {number}, stage {wrong}, {list(stages.values())[wrong].error}"
        if difference is not None:
            return f"query {number}, {difference}"
    return None
