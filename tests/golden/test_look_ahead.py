"""Look-ahead cache model: outcomes in small cases, and every state that a small lane can be in."""

from __future__ import annotations

from collections import deque
from dataclasses import astuple, dataclass
from typing import Any

import pytest

import golden.look_ahead as look_ahead
from golden.look_ahead import Fill, LaneCaches, LineCache, Outcome, Step, TablePlace

HIT, MERGED, MISS, DROPPED = Outcome.HIT, Outcome.MERGED, Outcome.MISS, Outcome.DROPPED


def cache(sets: int = 1, ways: int = 4) -> LineCache:
    return LineCache(sets=sets, ways=ways, sequence_bits=8)


def test_a_line_that_was_requested_is_a_hit() -> None:
    lines = cache()
    assert lines.request(5, pending=0) == (MISS, 0)
    assert lines.request(5, pending=1) == (MERGED, 0)
    lines.filled(0)
    assert lines.request(5, pending=0) == (HIT, 0)
    assert lines.fetches == 1


def test_lines_are_replaced_in_turns_but_not_under_a_reader_or_a_fetch() -> None:
    lines = cache()
    for address in range(4):
        assert lines.request(address, pending=address) == (MISS, address)
    with pytest.raises(ValueError, match="no line of set 0"):
        lines.request(4, pending=0)
    for way in range(4):
        lines.filled(way)
    # Entries 2 and 3 are still to be read.
    assert lines.request(4, pending=2) == (MISS, 0)
    assert lines.request(5, pending=3) == (MISS, 1)
    with pytest.raises(ValueError, match="no line of set 0"):
        lines.request(6, pending=4)
    assert lines.request(6, pending=3) == (MISS, 2)


def test_prefetches_claim_lines_and_leave_one() -> None:
    lines = cache()
    assert [lines.request(a, pending=0, prefetch=True)[0] for a in range(5)] == [
        MISS, MISS, MISS, DROPPED, DROPPED,
    ]  # fmt: skip
    for way in range(3):
        lines.filled(way)
    # Lookups share the one line that nobody claims.
    assert lines.request(7, pending=0) == (MISS, 3)
    lines.filled(3)
    assert lines.request(8, pending=0) == (MISS, 3)
    # A lookup redeems the claim, and its line may go.
    assert lines.request(1, pending=1) == (HIT, 1)
    assert lines.request(9, pending=0) == (MISS, 1)


def test_a_claim_counts_its_prefetches_and_ends_with_its_query() -> None:
    lines = cache(ways=2)
    for _ in range(2):
        lines.request(1, pending=0, prefetch=True, query=3)
    lines.filled(0)
    lines.request(1, pending=0, live=1 << 3)
    assert lines.request(2, pending=0, live=1 << 3) == (MISS, 1)
    lines.filled(1)
    assert lines.request(3, pending=0, live=1 << 3) == (MISS, 1)
    lines.filled(1)
    assert lines.request(4, pending=0, live=0) == (MISS, 0)


def test_a_failed_fetch_matches_nothing() -> None:
    lines = cache()
    lines.request(5, pending=0)
    lines.filled(0, error=True)
    assert lines.request(5, pending=0) == (MISS, 1)


def test_invalidated_lines_match_nothing() -> None:
    lines = cache()
    for address in range(3):
        lines.request(address, pending=0, prefetch=address == 2)
    lines.filled(0)
    lines.filled(2)
    lines.invalidate()
    # Line 0 and the claimed one may be taken; the one of line 1 is still being fetched.
    assert lines.request(0, pending=0) == (MISS, 0)
    assert lines.request(1, pending=1) == (MISS, 2)
    assert lines.request(2, pending=2) == (MISS, 3)
    lines.filled(1)
    assert lines.request(9, pending=3) == (MISS, 1)


def test_log_of_a_lane() -> None:
    caches = LaneCaches(
        lines=cache(sets=4),
        tables={1: TablePlace(base=0, row_bytes=16), 2: TablePlace(base=4096, row_bytes=128)},
        static={1: frozenset([7])},
    )
    log: list[Step | Fill] = [
        Step(table=1, id=7),
        Step(table=1, id=8, prefetch=True),
        Step(table=1, id=9, pending=1),
        Step(table=2, id=3, pending=2),
        Step(table=2, id=3, half=1, pending=3),
        Step(table=1, id=99, lookup=False),
        Fill(line=8),
        Step(table=1, id=10),
    ]
    assert caches.lines.set_of(2) == 2
    assert caches.replay(log) == [
        Outcome.STATIC, MISS, MERGED, MISS, MISS, Outcome.NONE, HIT,
    ]  # fmt: skip
    assert caches.dram_bytes == 3 * 64


def test_sizes_are_checked() -> None:
    with pytest.raises(ValueError, match="sets must be a power of two, not 3"):
        LineCache(sets=3, ways=4, sequence_bits=8)


@dataclass(frozen=True)
class State:
    """A lane: lines, turn, entries (line, address) still to be read, the request at the tags."""

    lines: tuple[tuple[int, int | None, int, int, bool], ...]
    turn: int
    entries: tuple[tuple[int, int], ...]
    request: tuple[int, bool] | None


class SmallLane:
    """One set of a lane, driven by every request in every order of fetches and reads."""

    def __init__(self, *, ways: int, addresses: int, depth: int, reads: int, bits: int) -> None:
        self.ways, self.depth, self.reads, self.bits = ways, depth, reads, bits
        self.requests = [
            (-1, False),  # in the static cache
            *((a, prefetch) for a in range(addresses) for prefetch in (False, True)),
        ]
        self.start = State(tuple((-1, None, 0, 0, False) for _ in range(ways)), 0, (), None)

    def model(self, state: State) -> Any:
        """Golden's cache in this state; the next entry has number 0."""
        lines: Any = LineCache(sets=1, ways=self.ways, sequence_bits=self.bits)
        lines._lines[0] = [look_ahead._Line(*line) for line in state.lines]
        lines._turn[0] = state.turn
        return lines

    def after(self, lines: Any, entries: Any, request: Any) -> State:
        """The state of a model, entries counted from the next one backwards."""
        now = tuple(
            (address, None if r is None else (r - lines._tail) % (1 << self.bits), claims, 0, busy)
            for address, r, claims, _, busy in (astuple(line) for line in lines._lines[0])
        )
        return State(now, lines._turn[0], tuple(entries), request)

    def moves(self, state: State) -> list[State]:
        """What the lane can do by itself: decide, end a fetch, read an entry."""
        found = []
        for way, line in enumerate(state.lines):
            if line[4]:
                lines = self.model(state)
                lines.filled(way)
                found.append(self.after(lines, state.entries, state.request))
        if state.entries:
            number, address = state.entries[0]
            if number < 0 or not state.lines[number][4]:
                held = number < 0 or state.lines[number][0] == address
                assert held, "line replaced under a reader"
                found.append(self.after(self.model(state), state.entries[1:], state.request))
        if state.request is not None:
            decided = self.decide(state, *state.request)
            if decided is not None:
                found.append(decided)
        return found

    def decide(self, state: State, address: int, prefetch: bool) -> State | None:
        """The request's decision; None: it waits."""
        lines = self.model(state)
        pending = len(state.entries)
        if not prefetch and pending == self.depth:
            return None
        entries = state.entries
        if address < 0:
            lines.entry()
            return self.after(lines, (*entries, (-1, -1)), None)
        miss = lines.find(address) < 0
        victim = lines.victim(address, pending=pending, prefetch=prefetch)
        fetching = sum(line[4] for line in state.lines)
        if miss and ((victim < 0 and not prefetch) or (victim >= 0 and fetching == self.reads)):
            return None
        outcome, line = lines.request(address, pending=pending, prefetch=prefetch)
        if not prefetch:
            entries = (*entries, (line, address))
        if outcome is MISS:
            old = state.lines[line]
            assert not old[4], "line replaced under a fetch"
            assert all(entry[0] != line for entry in state.entries), "line with readers replaced"
        return self.after(lines, entries, None)


@pytest.mark.parametrize(
    ("ways", "addresses", "depth", "reads", "bits", "claims"),
    [
        (2, 3, 2, 1, 2, 1),
        pytest.param(2, 3, 2, 1, 2, 2, marks=pytest.mark.slow),
        pytest.param(2, 3, 3, 2, 2, 1, marks=pytest.mark.slow),
    ],
)
def test_no_state_of_a_small_lane_is_stuck(
    ways: int, addresses: int, depth: int, reads: int, bits: int, claims: int, monkeypatch: Any
) -> None:
    """All states that any mix of lookups and prefetches can lead to.

    Every move takes a request, a fetch or an entry away, so a lane that always has a move while it
    holds something always drains.
    """
    monkeypatch.setattr(look_ahead, "MOST_CLAIMS", claims)
    lane = SmallLane(ways=ways, addresses=addresses, depth=depth, reads=reads, bits=bits)
    seen, todo = {lane.start}, deque([lane.start])
    waited = 0
    while todo:
        state = todo.popleft()
        following = lane.moves(state)
        holds = state.request is not None or state.entries or any(x[4] for x in state.lines)
        assert following or not holds, f"stuck: {state}"
        addresses_held = [line[0] for line in state.lines if line[0] >= 0]
        assert len(set(addresses_held)) == len(addresses_held), "a line is held twice"
        if state.request is None:
            following += [State(state.lines, state.turn, state.entries, r) for r in lane.requests]
        else:
            waited += lane.decide(state, *state.request) is None
        for new in following:
            if new not in seen:
                seen.add(new)
                todo.append(new)
    print(f"{len(seen)} states, in {waited} of them the request waits")
    assert waited > 100
