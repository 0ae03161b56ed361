"""Entries that the device must refuse: a status each, and the query behind it is exact."""

from __future__ import annotations

from typing import Any

import pytest

from driver import host as host_side
from driver.host import PlacedQuery
from hdl.program import MANY_UNITS, Opcode, Status, Target

from .support import CONFIG, ITEMS, KEEP, Case, Played

BEYOND = 1 << 30
"""An aligned address behind the window."""
BAD_QUERIES: dict[str, tuple[Status, dict[str, Any]]] = {
    "unknown opcode": (Status.BAD_OPCODE, {"opcode": 9}),
    "pipeline not loaded": (Status.BAD_PIPELINE, {"pipeline": 3}),
    "pipeline beyond the table": (Status.BAD_PIPELINE, {"pipeline": CONFIG.max_pipelines}),
    "no items": (Status.BAD_SIZE, {"items": 0}),
    "too many items": (Status.BAD_SIZE, {"items": CONFIG.max_items + 1}),
    "items near 2**32": (Status.BAD_SIZE, {"items": 0xFFFFFFFF}),
    "k above n": (Status.BAD_SIZE, {"keep": [ITEMS + 1, 1, 0, 0]}),
    "k of the second stage above the first": (Status.BAD_SIZE, {"keep": [4, 5, 0, 0]}),
    "k of 0": (Status.BAD_SIZE, {"keep": [KEEP[0], 0, 0, 0]}),
    "records beyond the window": (Status.BAD_ADDRESS, {"address": BEYOND}),
    "records beyond 40 bits": (Status.BAD_ADDRESS, {"address": 1 << 45}),
    "records not aligned": (Status.BAD_ADDRESS, {"address": 32}),
    "results beyond the window": (Status.BAD_ADDRESS, {"result": BEYOND}),
}
LOAD = {"opcode": Opcode.LOAD, "target": Target.PIPELINES, "items": 1}
BAD_LOADS: dict[str, tuple[Status, dict[str, Any]]] = {
    "unknown target": (Status.BAD_TARGET, LOAD | {"target": 99}),
    "unknown unit": (
        Status.BAD_TARGET, LOAD | {"target": Target.WEIGHTS, "unit": CONFIG.sub_arrays}
    ),
    "many units, none named": (
        Status.BAD_TARGET, LOAD | {"target": Target.LAYERS, "unit": MANY_UNITS}
    ),
    "many units, one beyond the grid": (
        Status.BAD_TARGET,
        LOAD | {"target": Target.LAYERS, "unit": MANY_UNITS, "units": 1 | 1 << CONFIG.sub_arrays},
    ),
    "many units that are no sub-arrays": (
        Status.BAD_TARGET, LOAD | {"target": Target.FEATURES, "unit": MANY_UNITS, "units": 1}
    ),
    "load of no words": (Status.BAD_SIZE, LOAD | {"items": 0}),
    "load beyond the memory": (
        Status.BAD_SIZE, LOAD | {"target": Target.WEIGHTS, "items": CONFIG.weight_words + 1}
    ),
    "load behind the memory": (
        Status.BAD_SIZE, LOAD | {"target": Target.WEIGHTS, "start": CONFIG.weight_words}
    ),
    "load from beyond the window": (Status.BAD_ADDRESS, LOAD | {"address": BEYOND}),
}  # fmt: skip
ALL = BAD_QUERIES | BAD_LOADS


class Refused:
    """One simulation: every bad entry with a good query behind it."""

    def __init__(self) -> None:
        self.case = Case(entries=2 * len(ALL) + 1)
        self.bad: dict[str, int] = {}
        self.good: dict[str, tuple[PlacedQuery, int]] = {}
        for index, (name, (_, fields)) in enumerate(ALL.items()):
            if name in BAD_QUERIES:
                self.bad[name] = self.case.query(0, **fields).entry
            else:
                self.bad[name] = self.case.host.put(**fields)
            number = index % len(self.case.workload.queries)
            self.good[name] = (self.case.query(number), number)
        self.played: Played = self.case.run()


@pytest.fixture(scope="module")
def refused() -> Refused:
    return Refused()


@pytest.mark.parametrize("name", ALL)
def test_bad_entry_has_its_status_and_the_next_query_is_exact(refused: Refused, name: str) -> None:
    played = refused.played
    entry = refused.bad[name]
    assert played.status(entry) == ALL[name][0]
    assert played.completions[entry].tag == entry
    assert played.completions[entry].count == 0
    placed, number = refused.good[name]
    golden = refused.case.golden(number)
    assert played.status(placed.entry) == Status.OK
    assert played.completions[placed.entry].count == KEEP[-1]
    assert played.results(placed)[:, 0].tolist() == golden.items.tolist()
    assert played.results(placed)[:, 1].tolist() == golden.scores.tolist()


def test_refused_entries_leave_no_trace(refused: Refused) -> None:
    """Every value of every layer is of a good query, and nothing was written for a bad one."""
    case, played = refused.case, refused.played
    good = [(placed, case.golden(number)) for placed, number in refused.good.values()]
    assert case.difference(played, good) is None
    written = {placed.entry for placed, _ in good}
    for placed in case.placed:
        if placed.entry not in written:
            assert not played.results(placed).any()
    assert played.register("ERRORS") == len(ALL)
    queries = sum(name != "unknown opcode" for name in BAD_QUERIES)
    assert played.register("QUERIES") == len(good) + queries
    assert played.register("RESULTS") == len(good) * KEEP[-1]


def test_nop_only_completes() -> None:
    case = Case()
    nop = case.host.put(opcode=Opcode.NOP, address=BEYOND, tag=0xCAFE)
    placed = case.query(1)
    played = case.run()
    assert played.status(nop) == Status.OK
    assert played.completions[nop].tag == 0xCAFE
    assert case.difference(played, [(placed, case.golden(1))]) is None


def test_stage_without_an_engine() -> None:
    """The partition register leaves stage 1 without an engine, then gives it one."""
    case = Case()
    bad, good = case.query(0), case.query(1)
    case.start()
    case.host.registers.write("ENGINE_STAGES", 0b01)
    case.host.registers.write("PARTITION_APPLY", 1)
    case.host.ring(bad.entry + 1)
    case.host.wait(bad.entry + 1, timeout=100_000)
    case.host.registers.write("ENGINE_STAGES", 0b11)
    case.host.registers.write("PARTITION_APPLY", 1)
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    assert played.status(bad.entry) == Status.BAD_PIPELINE
    assert case.difference(played, [(good, case.golden(1))]) is None


def test_doorbell_beyond_the_ring_waits() -> None:
    """A tail that is no slot of the ring moves nothing; a good one does."""
    case = Case()
    placed = case.query(0)
    case.start()
    for tail in (case.host.size, case.host.size + 5, 0xFFFF):
        case.host.ring(tail)
        case.host.job.idle(500)
        case.host.registers.read("SUBMISSION_HEAD", key=f"head_{tail}")
        case.host.registers.read("STATUS", key=f"status_{tail}")
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    for tail in (case.host.size, case.host.size + 5, 0xFFFF):
        assert played.register(f"head_{tail}") == case.host.loads
        assert played.register(f"status_{tail}") & 0b100111 == 0b100010  # idle, ignored
    assert case.difference(played, [(placed, case.golden(0))]) is None


def test_full_completion_ring_waits_for_the_host() -> None:
    """The device stops one entry short of the host's head and goes on when that moves."""
    case = Case()
    placed = [case.query(n % 3) for n in range(3)]
    host = case.host
    case.start()
    host.registers.write("COMPLETION_HEAD", host.loads + 2)  # room for one more completion
    host.ring()
    host.wait(host.loads + 1, timeout=1_000_000)
    host.job.idle(60_000)
    host.registers.read("STATUS")
    host.registers.read("COMPLETION_TAIL")
    host.registers.write("COMPLETION_HEAD", 0)
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    assert played.register("STATUS") >> 3 & 1 == 1  # completion_full
    assert played.register("COMPLETION_TAIL") == host.loads + 1
    golden = [(p, case.golden(n % 3)) for n, p in enumerate(placed)]
    assert case.difference(played, golden) is None


def test_ring_wraps_and_the_phase_flips() -> None:
    """The tail runs round the ring; the host works the same entries a second time."""
    case = Case(entries=4)
    host = case.host
    placed = case.query(0)
    case.start()
    host.ring()
    host.wait(timeout=1_000_000)
    host.registers.write("COMPLETION_HEAD", host.entries)
    host.ring(0)  # the slots behind the query hold zeros: NOPs
    host.wait(0, timeout=1_000_000)
    host.ring()
    host.wait(host.entries - 1, timeout=1_000_000)  # full: the last one waits for its slot
    host.registers.write("COMPLETION_HEAD", host.entries - 1)
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    assert all(completion.phase == 0 for completion in played.completions)
    behind = host_side.completions(played.outcome.result, host.size)[host.entries :]
    assert {(c.phase, c.opcode, c.status) for c in behind} == {(1, Opcode.NOP, Status.OK)}
    golden = case.golden(0)
    assert case.difference(played, [(placed, golden), (placed, golden)]) is None
