"""Cancel of one query, interrupt moderation, and doorbells, on the whole device."""

from __future__ import annotations

import pytest

from hdl.program import Opcode, Status

from .support import KEEP, Case, Played

FOUND, UNKNOWN = 0b010, 0b100


def _cancel(case: Case, tag: int, key: str) -> None:
    """Steps: cancel, wait for the end of the search, read how it ended."""
    registers = case.host.registers
    registers.write("CANCEL_TAG", tag)
    registers.write("CANCEL", 1)
    case.host.job.wait_register(
        registers.address("CANCEL_STATUS"), 0, mask=0b001, interval=8, timeout=200_000
    )
    registers.read("CANCEL_STATUS", key=key)


def _exact(case: Case, played: Played, entries: list[int]) -> None:
    """These queries have the results that they must have."""
    for number, placed in enumerate(case.placed):
        if number in entries:
            golden = case.golden(number % 3)
            assert played.status(placed.entry) == Status.OK
            assert played.completions[placed.entry].count == KEEP[-1]
            assert played.results(placed)[:, 0].tolist() == golden.items.tolist()
            assert played.results(placed)[:, 1].tolist() == golden.scores.tolist()


@pytest.mark.parametrize("delay", [1, 300, 900, 2000])
def test_cancel_one_of_many(delay: int) -> None:
    """Six queries; one at work and one that has not begun are cancelled."""
    case = Case(entries=12)
    host = case.host
    placed = [case.query(n % 3) for n in range(10)]
    case.start()
    host.ring()
    host.job.idle(delay)
    _cancel(case, placed[1].entry, "early")
    _cancel(case, placed[9].entry, "late")
    host.wait(timeout=1_000_000)
    _cancel(case, placed[3].entry, "over")
    case.finish()
    played = case.play()
    assert played.register("early") == FOUND
    assert played.register("late") == FOUND
    assert played.register("over") == UNKNOWN
    for number in (1, 9):
        completion = played.completions[placed[number].entry]
        assert (completion.status, completion.count) == (Status.CANCELLED, 0)
        assert completion.tag == placed[number].entry
    _exact(case, played, [0, 2, 3, 4, 5, 6, 7, 8])


def test_cancelled_rows_are_not_computed() -> None:
    """A query that is cancelled as it begins sends no row block, or the one that was begun."""
    rows = []
    for cancelled in (False, True):
        case = Case()
        placed = [case.query(n) for n in range(2)]
        case.start()
        case.host.ring()
        if cancelled:
            _cancel(case, placed[1].entry, "status")
        case.host.wait(timeout=1_000_000)
        case.finish()
        played = case.play()
        jobs = played.records["jobs"]
        rows.append(int(jobs["rows"][jobs["query"] == 1].sum()))
        _exact(case, played, [0])
    assert rows[1] < rows[0]


def test_interrupts_are_moderated() -> None:
    case = Case(entries=12)
    host = case.host
    for _ in range(9):
        host.put(opcode=Opcode.NOP)
    case.start()
    registers = host.registers
    done = host.loads

    def ring(count: int, key: str) -> None:
        """Steps: so many NOPs more; was there an interrupt?"""
        nonlocal done
        done += count
        host.ring(done)
        host.job.wait_register(registers.address("COMPLETION_TAIL"), done, interval=8, timeout=5000)
        host.job.idle(20)
        registers.read("IRQ_STATUS", key=key)

    registers.write("IRQ_STATUS", 0b11)
    registers.write("IRQ_COMPLETIONS", 4)
    ring(3, "three")
    ring(1, "four")
    registers.write("IRQ_STATUS", 0b11)
    ring(2, "two")
    registers.write("IRQ_TIMEOUT", 3000)
    host.job.idle(3000)
    registers.read("IRQ_STATUS", key="late")
    registers.write("IRQ_STATUS", 0b11)
    registers.write("IRQ_COMPLETIONS", 0)
    ring(1, "each")
    case.finish()
    played = case.play()
    seen = [played.register(key) for key in ("three", "four", "two", "late", "each")]
    assert seen == [0, 1, 0, 1, 1]
