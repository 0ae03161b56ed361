"""Counters: what goes in comes out, and every cycle has one cause."""

from __future__ import annotations

import pytest

from hdl.control.registers import COUNTERS
from hdl.engine.cause import Cause

from .support import ROWS, Case, Played


@pytest.mark.parametrize("partition", ["fused", "split", "4x4:1@0,4x4:2@1"])
def test_invariants(partition: str) -> None:
    case = Case(partition=partition)
    host = case.host
    golden = [(case.query(n), case.golden(n)) for n in (0, 1, 2)]
    case.start()
    host.ring()
    host.wait(timeout=1_000_000)
    # Only IDLE and CYCLES still count: the cycle of a read says how far.
    first = len(host.job.steps)
    host.read_counters()
    reads = {s["key"]: first + n for n, s in enumerate(host.job.steps[first:]) if "key" in s}
    case.finish()
    played = case.play()
    cycle = played.outcome.result.cycles
    assert case.difference(played, golden) is None

    totals = {}
    for engine in case.deployment.partition.engines:
        name = f"engine_{engine.unit}"
        cycles = {cause: played.register(name, cause.value) for cause in Cause}
        totals[name] = sum(cycles.values()) - cycle[reads[f"{name}.{Cause.IDLE.value}.0"]]
        assert cycles[Cause.BUSY] == _rows_times_tiles(case, played, engine.unit)
    since_reset = played.register("CYCLES") - cycle[reads["CYCLES.0.0"]]
    assert set(totals.values()) == {since_reset}

    value = {name: played.register(name) for name, _ in COUNTERS}
    outcomes = ("HITS", "LOOK_AHEAD_HITS", "MISSES", "BAD_IDS")
    assert value["LOOKUPS"] == sum(value[name] for name in outcomes)
    assert value["LOOK_AHEAD_HITS"] >= value["MERGED"]
    # Rows of survivors are asked for ahead, each once at most, when no engine is free for them.
    assert (
        (partition == "fused")
        <= value["PREFETCHES"]
        <= sum(len(stage.items) * len(ROWS) for _, result in golden for stage in result.stages[1:])
    )
    assert value["LOOKUPS"] == sum(
        len(stage.items) * len(ROWS) for _, result in golden for stage in result.stages
    )
    for name in ("LOOKUPS", "HITS", "LOOK_AHEAD_HITS", "MISSES"):
        told = [getattr(played.completions[q.entry], name.lower()) for q, _ in golden]
        assert value[name] == sum(told)
    assert value["RESULTS"] == sum(len(result.items) for _, result in golden)
    assert (value["QUERIES"], value["ERRORS"], value["BAD_IDS"]) == (3, 0, 0)
    assert value["READ_BEATS"] >= value["READ_BURSTS"] > 0
    # A completion of 64 bytes an entry, results of 8 bytes.
    beats = host.entries * 8 + value["RESULTS"]
    assert value["WRITE_BEATS"] == beats
    assert value["BUSY_CYCLES"] <= value["CYCLES"]
    kept = sum(len(stage.survivors) for _, result in golden for stage in result.stages)
    assert len(played.records["survivors"]) == kept


def _rows_times_tiles(case: Case, played: Played, unit: int) -> int:
    """Rows that entered an engine's array: each row of its jobs, once for each weight tile."""
    jobs = played.records["jobs"]
    total = 0
    for number, stage in case.deployment.maps[unit].stages.items():
        mine = (jobs["unit"] == unit) & (jobs["program"] == number)
        total += int(jobs["rows"][mine].sum()) * (stage.bottom.tiles + stage.top.tiles)
    return total


def test_completions_tell_the_cycles() -> None:
    """Stage cycles are inside the query's, which are inside the host's view."""
    case = Case()
    placed = case.query(0)
    case.start()
    start = case.host.ring()
    end = case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    seen = played.outcome.result.cycles[end] - played.outcome.result.cycles[start]
    completion = played.completions[placed.entry]
    stages = [int(completion.stage_cycles[s]) for s in range(4)]
    assert stages[0] > 0 and stages[1] > 0 and stages[2:] == [0, 0]
    assert sum(stages) <= completion.cycles <= seen
    assert seen - completion.cycles < 300  # writing the completion, and the interrupt
