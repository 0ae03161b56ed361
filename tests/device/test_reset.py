"""Soft reset in the middle of the work: the device is idle after it and starts over exactly."""

from __future__ import annotations

import random

import pytest

from hdl.program import Status
from sim.runner import Memory

from .support import Case, Played

LONGEST = 2500
"""Cycles: about what a query takes."""
_IDLE = 0b010
_MASK = 0b111
"""STATUS: busy, idle, resetting."""


def _reset(case: Case, name: str) -> None:
    """Steps: reset while something runs, and read what is left of it."""
    registers = case.host.registers
    registers.read("STATUS", key=f"before_{name}")
    registers.write("CONTROL", 0b11)
    case.host.job.wait_register(
        registers.address("STATUS"), _IDLE, mask=_MASK, interval=8, timeout=20_000
    )
    for register in ("SUBMISSION_HEAD", "SUBMISSION_TAIL", "COMPLETION_TAIL", "IRQ_STATUS"):
        registers.read(register, key=f"{register}_{name}")


def _check_left(played: Played, name: str) -> None:
    for register in ("SUBMISSION_HEAD", "SUBMISSION_TAIL", "COMPLETION_TAIL", "IRQ_STATUS"):
        assert played.register(f"{register}_{name}") == 0


@pytest.mark.parametrize(
    ("partition", "hostile", "seed"), [("fused", 0, 1), ("split", 0, 2), ("split", 2, 3)]
)
def test_reset_at_any_cycle_of_a_query(partition: str, hostile: int, seed: int) -> None:
    """Eight resets, each somewhere in the query; the loads and the query come again behind each."""
    rng = random.Random(seed)
    case = Case(partition=partition)
    host = case.host
    placed = case.query(0)
    case.start()
    delays = [rng.randrange(1, LONGEST) for _ in range(8)]
    for number, delay in enumerate(delays):
        host.ring()
        host.job.idle(delay)
        _reset(case, str(number))
        host.ring(host.loads)
        host.wait(host.loads, timeout=200_000)
    last = host.ring()
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play(memory=Memory(hostile=hostile), seed=seed)
    for number in range(len(delays)):
        _check_left(played, str(number))
    assert played.outcome.result.outstanding == 0
    interrupted = sum(played.register(f"before_{n}") & 1 for n in range(len(delays)))
    assert interrupted >= len(delays) // 2
    since = played.outcome.result.cycles[last]
    assert case.difference(played, [(placed, case.golden(0))], since=since) is None


def test_reset_while_loading() -> None:
    rng = random.Random(4)
    case = Case()
    host = case.host
    placed = case.query(1)
    host.open()
    for number in range(6):
        host.ring()
        host.job.idle(rng.randrange(1, 2500))
        _reset(case, str(number))
    host.ring()
    host.wait(timeout=1_000_000)
    case.finish()
    played = case.play()
    for number in range(6):
        _check_left(played, str(number))
    assert case.difference(played, [(placed, case.golden(1))]) is None


def test_query_without_its_loads_is_refused_after_a_reset() -> None:
    """What a pipeline id means is forgotten, so no query runs on half-written memories."""
    case = Case()
    host = case.host
    placed = case.query(0)
    case.start()
    _reset(case, "only")
    host.registers.write("SUBMISSION_BASE", host.submissions + placed.entry * 64)
    host.ring(1)
    host.wait(1, timeout=100_000)
    case.finish()
    played = case.play()
    assert played.completions[0].status == Status.BAD_PIPELINE


def test_counters_start_over() -> None:
    case = Case()
    case.query(0)
    case.start()
    case.host.ring()
    case.host.wait(timeout=1_000_000)
    _reset(case, "only")
    case.host.read_counters()
    case.finish()
    played = case.play()
    for name in ("QUERIES", "RESULTS", "LOOKUPS", "READ_BURSTS", "WRITE_BURSTS", "BUSY_CYCLES"):
        assert played.register(name) == 0
    assert 0 < played.register("CYCLES") < 2000
