"""Faults while a query runs: bad ids and bus errors end in a status, the next query is exact."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from driver.host import PlacedQuery
from golden.pipeline import QueryResult
from hdl import program as fmt
from hdl.config import LINE_BYTES
from hdl.program import Opcode, Status, Target
from hdl.words import pack_bytes, unpack
from sim.runner import Memory

from .support import CONFIG, ITEMS, ROWS, Case, Played, small_workload

Window = tuple[int, int]


@pytest.mark.parametrize("partition", ["fused", "split"])
def test_bad_ids_are_zeros_and_a_status(partition: str) -> None:
    """Ids just outside and far outside their tables, in the first and in later stages' items."""
    case = Case(partition=partition)
    ids = case.workload.queries[0].ids.copy()
    outside = ((0, 0, ROWS[0]), (5, 1, 0xFFFFFFFE), (ITEMS - 1, 4, ROWS[4] + 7))
    for item, table, value in outside:
        ids[item, table] = value
    bad, good = case.query(0, ids=ids), case.query(1)
    played = case.run()
    golden = [(bad, case.golden(0, ids=ids)), (good, case.golden(1))]
    assert case.difference(played, golden) is None
    assert played.status(bad.entry) == Status.BAD_ID
    assert played.completions[bad.entry].count == case.keep[-1]
    assert played.status(good.entry) == Status.OK
    # A later stage looks the surviving items' ids up again.
    survivors = golden[0][1].stages[1].items
    again = sum(item in survivors for item, _, _ in outside)
    assert played.register("BAD_IDS") == len(outside) + again
    assert played.register("LOOKUPS") == sum(
        played.register(name) for name in ("HITS", "LOOK_AHEAD_HITS", "MISSES", "BAD_IDS")
    )
    assert int(played.records["lookups"]["bad"].sum()) == len(outside) + again


def test_every_id_bad_in_a_query() -> None:
    case = Case()
    ids = np.full_like(case.workload.queries[0].ids, 0xFFFFFFFE)
    bad, good = case.query(0, ids=ids), case.query(2)
    played = case.run()
    golden = [(bad, case.golden(0, ids=ids)), (good, case.golden(2))]
    assert case.difference(played, golden) is None
    assert played.status(bad.entry) == Status.BAD_ID
    assert played.status(good.entry) == Status.OK


def _after(
    case: Case, played: Played, bad: int, good: PlacedQuery, golden: QueryResult | None = None
) -> None:
    """The entry has BUS_ERROR; the query behind it, number 1 by default, is exact."""
    assert played.status(bad) == Status.BUS_ERROR
    assert played.status(good.entry) == Status.OK
    golden = golden or case.golden(1)
    assert played.results(good)[:, 0].tolist() == golden.items.tolist()
    assert played.results(good)[:, 1].tolist() == golden.scores.tolist()
    assert played.register("ERRORS") == 1
    assert played.outcome.result.outstanding == 0


@pytest.mark.parametrize("beat", range(4))
def test_error_in_any_beat_of_a_record(beat: int) -> None:
    """Dense values and ids of one item, SLVERR and DECERR in turns."""
    case = Case()
    size = CONFIG.axi_bytes
    assert case.deployment.ids_offset + 4 * len(ROWS) == 4 * size
    bad, good = case.query(0), case.query(1)
    start = bad.records + 3 * case.deployment.pitch + beat * size
    memory = Memory(error=(start, start + size), error_response=2 + beat % 2)
    _after(case, case.run(memory=memory), bad.entry, good)


def _records(case: Case, bad: PlacedQuery) -> Window:
    """The middle of the item records."""
    return bad.records + 5 * case.deployment.pitch, bad.records + 7 * case.deployment.pitch


def _last_beat(case: Case, bad: PlacedQuery) -> Window:
    """The very last record."""
    end = bad.records + ITEMS * case.deployment.pitch
    return end - case.deployment.pitch, end


def _results(case: Case, bad: PlacedQuery) -> Window:
    return bad.result, bad.result + 8


@pytest.mark.parametrize("where", [_records, _last_beat, _results])
@pytest.mark.parametrize("partition", ["fused", "split"])
def test_error_in_records_or_results(
    where: Callable[[Case, PlacedQuery], Window], partition: str
) -> None:
    case = Case(partition=partition)
    bad, good = case.query(0), case.query(1)
    played = case.run(memory=Memory(error=where(case, bad)))
    _after(case, played, bad.entry, good)


@pytest.mark.parametrize(
    ("beat", "response"),
    [
        (0, 2),
        (3, 3),
        (7, 2),
        *(pytest.param(n, 3, marks=pytest.mark.slow) for n in (1, 2, 4, 5, 6)),
    ],
)
def test_error_in_an_embedding_row(beat: int, response: int) -> None:
    """Only the first query asks for a row of the line in the window; no row is cached."""
    case = Case(cached=False)
    last = ROWS[1] - 1
    first = last - last % (LINE_BYTES // 4)  # the table's last line begins with this row
    asks, avoids = (query.ids.copy() for query in case.workload.queries[:2])
    asks[3, 1] = last
    avoids[:, 1] %= first
    base = _row_address(case, program=0, feature=1) + 4 * first + beat * CONFIG.axi_bytes
    bad, good = case.query(0, ids=asks), case.query(1, ids=avoids)
    # Rows of a line fail together, whichever beat it is.
    window = (base, base + CONFIG.axi_bytes)
    played = case.run(memory=Memory(error=window, error_response=response))
    _after(case, played, bad.entry, good, case.golden(1, ids=avoids))


def _row_address(case: Case, *, program: int, feature: int) -> int:
    """Address of a table, from the FEATURES words that are loaded."""
    k, lane = divmod(1 + feature, CONFIG.gather_lanes)
    start = program * CONFIG.lane_words * fmt.FEATURE_WORDS
    load = next(
        e
        for e in case.deployment.loads
        if (e.target, e.units, e.start) == (Target.FEATURES, (lane,), start)
    )
    blob = case.image.to_bytes()[load.address :]
    size = 8 * fmt.FEATURE_WORDS
    return int(unpack(fmt.FEATURE, blob[k * size : (k + 1) * size]).base)


@pytest.mark.parametrize(("beat", "response"), [(0, 3), (32, 2), (63, 3)])
def test_error_in_a_weight_stream(beat: int, response: int) -> None:
    """The second stage's weights fail; a pipeline of the first stage alone still works."""
    case = Case(partition="split")
    mapped = case.deployment.maps[0].stages
    assert mapped[1].bottom.streamed and not mapped[0].bottom.streamed
    whole = next(e for e in case.deployment.loads if e.target is Target.PIPELINES)
    words = case.image.to_bytes()[whole.address : whole.address + 8 * fmt.PIPELINE_WORDS]
    pipeline = unpack(fmt.PIPELINE, words)
    blob = pack_bytes(
        fmt.PIPELINE,
        {
            "stages": 1,
            **{name: getattr(pipeline, name) for name in ("pitch", "dense_bytes", "ids_offset")},
            "stage": [
                {name: getattr(pipeline.stage[0], name) for name in ("program", "features", "rows")}
            ],
        },
    )
    case.host.put(
        opcode=Opcode.LOAD, target=Target.PIPELINES, start=fmt.PIPELINE_WORDS,
        items=fmt.PIPELINE_WORDS, address=case.image.put(blob),
    )  # fmt: skip
    stream = _stream_address(case)
    bad = case.query(0)
    good = case.query(1, pipeline=1, keep=case.keep[:1])
    start = stream + beat * CONFIG.axi_bytes
    window = (start, start + CONFIG.axi_bytes)
    played = case.run(memory=Memory(error=window, error_response=response))
    assert played.status(bad.entry) == Status.BUS_ERROR
    assert played.status(good.entry) == Status.OK
    golden = case.golden(1, stages=1)
    assert played.results(good)[:, 0].tolist() == golden.items.tolist()
    assert played.results(good)[:, 1].tolist() == golden.scores.tolist()


def _stream_address(case: Case) -> int:
    """Address of the second stage's bottom weights, from the STAGES words of engine 0."""
    load = next(e for e in case.deployment.loads if e.target is Target.STAGES and 0 in e.units)
    size = 8 * fmt.STAGE_WORDS
    start = load.address + size
    return int(unpack(fmt.STAGE, case.image.to_bytes()[start : start + size]).bottom_stream)


def test_error_in_the_source_of_a_load() -> None:
    case = Case()
    source = case.image.reserve(4096, align=4096)
    bad = case.host.put(
        opcode=Opcode.LOAD, target=Target.DOT_SHIFTS, start=100, items=100, address=source
    )
    good = case.query(1)
    played = case.run(memory=Memory(error=(source + 400, source + 408)))
    _after(case, played, bad, good)


def test_error_in_a_submission_entry() -> None:
    case = Case()
    bad, good = case.query(0), case.query(1)
    slot = case.host.submissions + bad.entry * fmt.SUBMISSION_BYTES
    played = case.run(memory=Memory(error=(slot + 56, slot + 64)))
    _after(case, played, bad.entry, good)
    assert played.completions[bad.entry].tag == 0
    assert played.completions[bad.entry].opcode == 0


def test_completion_that_cannot_be_written() -> None:
    """It is lost, the error is counted, and the ring goes on."""
    case = Case()
    lost, good = case.query(0), case.query(1)
    slot = case.host.completions + lost.entry * fmt.COMPLETION_BYTES
    played = case.run(memory=Memory(error=(slot, slot + 8)))
    assert played.register("ERRORS") == 1
    assert played.status(good.entry) == Status.OK
    golden = [(lost, case.golden(0)), (good, case.golden(1))]
    assert case.difference(played, golden) is None


def test_memory_that_ends() -> None:
    """A window opened too wide: reads beyond the memory answer DECERR."""
    case = Case()
    bad, good = case.query(0, address=1 << 30), case.query(1)
    case.start()
    case.host.registers.write("WINDOW_LIMIT", 1 << 32)
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.host.read_counters()
    case.finish()
    _after(case, case.play(), bad.entry, good)


def test_workload_is_what_the_tests_rely_on() -> None:
    """Hits and misses in both stages."""
    case = Case(small_workload())
    cache = case.deployment.cache
    assert cache is not None
    for program in (0, 1):
        hits = cache.hits(program, case.workload.queries[0].ids)
        assert 0 < hits.sum() < hits.size
