"""Gather lanes: when each lookup is decided, and when its row is handed over.

Follows ``hdl/embedding``'s gather lane: a pipeline of descriptor and tags, the lookup queue, reads
in the order of the lookups. Two events a lookup; which lines hit is golden's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from golden.look_ahead import LineCache, Outcome
from hdl.array.timing import REQUANTISE_LATENCY
from hdl.config import LINE_BYTES, Config
from hdl.embedding.feature_table import FeatureTable
from hdl.embedding.granules import GRANULE_BYTES
from hdl.embedding.line_fetch import LineFetch
from hdl.embedding.line_geometry import LineGeometry
from hdl.embedding.line_tags import victim_latency
from hdl.embedding.read_slots import ReadSlots
from hdl.embedding.row_reader import RowReader
from hdl.embedding.static_cache import CacheTags
from hdl.queue import Queue
from hdl.skid import StreamRegister

from .events import Clock, Poll
from .memory import FIRST_LOADER, Memory
from .rigid_pipe import RigidPipe
from .units import EngineSide, Lookup, Sums

__all__ = ["Gather", "StageWaits"]


@dataclass(slots=True)
class StageWaits:
    """What became of a stage's lookups, prefetches apart."""

    lookups: int = 0
    static_hits: int = 0
    lookahead_hits: int = 0
    merged: int = 0
    misses: int = 0
    wait_cycles: int = 0
    """From decisions to the data's arrival, of all lookups."""
    prefetches: int = 0
    dropped: int = 0

    @property
    def average_wait(self) -> float:
        """Cycles of a lookup."""
        return self.wait_cycles / max(1, self.lookups)

    def count(self, outcome: Outcome, *, prefetch: bool) -> None:
        """A decision."""
        if prefetch:
            self.prefetches += 1
            self.dropped += outcome is Outcome.DROPPED
            return
        self.lookups += 1
        self.static_hits += outcome is Outcome.STATIC
        self.lookahead_hits += outcome in (Outcome.HIT, Outcome.MERGED)
        self.merged += outcome is Outcome.MERGED
        self.misses += outcome is Outcome.MISS


@dataclass(eq=False, slots=True)
class _Fetch:
    """A line on its way."""

    ready: int | None = None
    """Cycle from which it can be read; None: not known yet."""
    waiting: list[tuple[StageWaits, int]] = field(default_factory=list)
    """Lookups that want it, with the cycles of their decisions."""


@dataclass(eq=False, slots=True)
class _Entry:
    """A row, or half of one, that waits to be read."""

    ready: int
    """Earliest cycle at the queue's output."""
    size: int
    """Bytes."""
    words: int
    unit: int
    item_last: bool
    sums: Sums
    fetch: _Fetch | None


class _Lane:
    """One gather lane."""

    def __init__(self, gather: Gather, number: int) -> None:
        self._gather, self._number = gather, number
        config = gather.config
        geometry = LineGeometry(config)
        self._lane_bytes = config.lane_bytes
        self._depth = config.lookup_queue
        self._queue_latency = (
            (Queue.BUFFERED_LATENCY if config.lookup_queue > 4 else Queue.LATENCY)
            + StreamRegister.LATENCY
            + RowReader.ENTRY_LATENCY
        )
        self._requester = FIRST_LOADER + config.record_loaders + number
        self._beats = geometry.beats
        self._victims = victim_latency(config)
        self.cache = LineCache(
            sets=geometry.sets, ways=geometry.ways, sequence_bits=geometry.sequence_bits
        )
        self._poll = Poll(gather.clock, self._step)
        self._offered: deque[tuple[int, Lookup]] = deque()  # with the first cycle on offer
        self._features = RigidPipe(FeatureTable.LATENCY)
        self._static = RigidPipe(CacheTags.LATENCY)
        # Behind them: left the pipeline in this cycle; a step in the tags' first stage, from which
        # cycle on, of which half; one in their second stage, first cycle of its decision.
        self._passing: tuple[int, Lookup] | None = None
        self._looking: tuple[int, Lookup, int] | None = None
        self._oldest: tuple[int, Lookup] | None = None
        self._half = 0
        self._first = Outcome.HIT  # of the first half
        self._decided = -1  # cycle of the last decision
        self._last_line: int | None = None  # that it had to do with
        self._moved = -1  # cycle in which the first stage could last take a lookup
        self._passed = 0  # cycle from which on ``ReadyRegister`` is empty
        self._fetches: dict[int, _Fetch] = {}  # by line
        self._fills: deque[tuple[int, int]] = deque()  # cycle in which a fetch ends, line
        # Read slots on offer: from which cycle, tag.
        self._slots = deque((0, tag) for tag in range(config.reads_per_lane))
        self._entries: deque[_Entry] = deque()
        self._reads: deque[int] = deque()  # last cycles in which entries that are read are pending
        self._read_free = 0
        self._sum_free = 0  # the sum of a bag has been handed over

    # -- tags ----------------------------------------------------------------------------------
    def push(self, cycle: int, lookup: Lookup) -> None:
        """An id is on offer from ``cycle`` on, behind those before."""
        self._offered.append((cycle, lookup))
        self._move()

    def _move(self) -> None:
        """Ids on their way to the tags, as far as they come."""
        features, static = self._features, self._static
        moved = True
        while moved:
            moved = False
            if self._oldest is None and self._looking is not None:
                self._to_decision(*self._looking)
                moved = True
            if self._looking is None and self._passing is not None:
                left, lookup = self._passing
                at = max(left, self._moved)
                self._looking, self._passing = (at + 1, lookup, 0), None
                self._passed = at + 1 if at > left else 0
                moved = True
            if self._passing is None and static.ids:
                self._passing = static.leave(self._passed)
                moved = True
            if features.ids:
                entered = static.enters(features.out)
                if entered is not None:
                    static.put(entered, features.leave(entered)[1])
                    moved = True
            if self._offered:
                taken = features.enters(self._offered[0][0])
                if taken is not None:
                    features.put(taken, self._offered.popleft()[1])
                    self._gather.on_taken(taken, self._number)
                    moved = True

    def _to_decision(self, here: int, lookup: Lookup, half: int) -> None:
        """The step that is in the tags' first stage from ``here`` on goes to the second one."""
        on_line = not (lookup.hit or lookup.zero)
        line = lookup.address // LINE_BYTES + half if on_line else None
        cache = self.cache
        # It waits until the one before has written the set, if that is its own.
        last = self._last_line
        waits = line is not None and last is not None and cache.set_of(line) == cache.set_of(last)
        at = max(here, self._decided + waits)
        self._oldest, self._half = (at + 1, lookup), half
        self._poll.at(max(at + 1, self._gather.clock.now))
        if on_line and lookup.row_bytes > LINE_BYTES and not half:
            self._looking = at + 1, lookup, 1
        else:
            self._looking, self._moved = None, at

    def _step(self, cycle: int) -> None:
        """Decide on the oldest id, if it is there and nothing is in the way."""
        if self._oldest is None or self._decided >= cycle:
            return
        ready, lookup = self._oldest
        if ready > cycle:
            self._poll.at(ready)
            return
        while self._fills and self._fills[0][0] < cycle:
            self.cache.filled(self._fills.popleft()[1])
        while self._reads and self._reads[0] < cycle:
            self._reads.popleft()
        pending = len(self._entries) + len(self._reads)
        if not lookup.prefetch and pending >= self._depth:
            self._wait(cycle)
        elif lookup.hit or lookup.zero:
            if not lookup.prefetch:
                self.cache.entry()
                self._push(cycle, lookup, lookup.row_bytes, None)
            if lookup.hit:
                self._gather.count(lookup, Outcome.STATIC)
            self._next(cycle, None)
        else:
            self._line(cycle, lookup, pending, ready + self._victims)

    def _line(self, cycle: int, lookup: Lookup, pending: int, found: int) -> None:
        """A step that has to do with a line; what may be replaced is known in cycle ``found``."""
        cache, live, ahead = self.cache, self._gather.live, lookup.prefetch
        address = lookup.address // LINE_BYTES + self._half
        miss = cache.find(address) < 0
        if miss and cycle < found:
            self._poll.at(found)
            return
        if miss and cache.victim(address, pending=pending, prefetch=ahead, live=live) >= 0:
            if not self._slots or self._slots[0][0] > cycle:
                self._wait(cycle)
                return
        elif miss and not ahead:
            self._wait(cycle)
            return
        outcome, line = cache.request(
            address, pending=pending, prefetch=ahead, query=lookup.query, live=live
        )
        if outcome is Outcome.MISS:
            self._fetch(cycle, address, line)
        if not ahead and outcome is not Outcome.HIT:
            fetch, waits = self._fetches[line], self._gather.waits(lookup.stage)
            if fetch.ready is None:
                fetch.waiting.append((waits, cycle))
            else:
                waits.wait_cycles += max(0, fetch.ready - 1 - cycle)
        if not ahead:
            size = min(lookup.row_bytes, LINE_BYTES)
            self._push(cycle, lookup, size, self._fetches[line])
        if lookup.row_bytes > LINE_BYTES and not self._half:
            self._first = outcome
        else:
            # A row of two lines is as bad as the worse one.
            both = (outcome, self._first) if self._half else (outcome,)
            worst = (Outcome.MISS, Outcome.DROPPED, Outcome.MERGED, Outcome.HIT)
            self._gather.count(lookup, min(both, key=worst.index))
        self._next(cycle, address)

    def _next(self, cycle: int, line: int | None) -> None:
        """The step is done with."""
        self._decided, self._last_line = cycle, line
        self._oldest = None
        self._move()

    def _wait(self, cycle: int) -> None:
        """Look again when an entry has been read, a fetch has ended or a slot is on offer.

        Fetches whose end is not known yet ask for a step themselves.
        """
        if self._reads:
            self._poll.at(self._reads[0] + 1)
        if self._fills:
            self._poll.at(self._fills[0][0] + 1)
        if self._slots and self._slots[0][0] > cycle:
            self._poll.at(self._slots[0][0])

    # -- fetches -------------------------------------------------------------------------------
    def _fetch(self, cycle: int, address: int, line: int) -> None:
        _, tag = self._slots.popleft()
        fetch = self._fetches[line] = _Fetch()

        def landed(first: int, beats: int) -> None:
            # The last beat is written; from the next cycle on the line can be read.
            last = first + beats - 1
            end = last + LineFetch.LATENCY
            fetch.ready = end + 1
            for waits, since in fetch.waiting:
                waits.wait_cycles += end - since
            self._fills.append((end, line))
            # It gives its slot back from the register.
            self._slots.append((last + 1 + ReadSlots.RELEASE_LATENCY, tag))
            self._poll.at(end + 1)
            self._read()

        self._gather.memory.read(
            cycle + LineFetch.REQUEST_LATENCY,
            self._requester,
            tag,
            address * LINE_BYTES,
            self._beats,
            landed,
        )

    # -- data ----------------------------------------------------------------------------------
    def _push(self, cycle: int, lookup: Lookup, size: int, fetch: _Fetch | None) -> None:
        """An entry of the lookup queue."""
        last = lookup.item_last and (fetch is None or lookup.row_bytes <= LINE_BYTES or self._half)
        words = -(-size // self._lane_bytes)
        ready = cycle + self._queue_latency
        entry = _Entry(ready, size, words, lookup.unit, bool(last), lookup.sums, fetch)
        self._entries.append(entry)
        if len(self._entries) == 1:
            self._read()

    def _read(self) -> None:
        """Read entries up to the first whose line's arrival is not known yet."""
        clock, number = self._gather.clock, self._number
        while self._entries:
            entry = self._entries[0]
            start = max(entry.ready, self._read_free)
            if entry.fetch is not None:
                if entry.fetch.ready is None:
                    return
                start = max(start, entry.fetch.ready)
            self._entries.popleft()
            if entry.sums is not Sums.ADDS:
                start = max(start, self._sum_free)
            if entry.sums is Sums.ENDS:
                self._sum(start, entry)
                continue
            self._read_free = start + entry.words
            self._reads.append(self._read_free)
            if self._oldest is not None:
                self._poll.at(max(self._read_free + 1, clock.now))
            # What no engine waits for is no event: only lane 0's words keep somebody off a bank.
            for word in range(entry.words) if not number else (entry.words - 1,):
                last = entry.item_last and word == entry.words - 1
                if last or not number:
                    clock.at(start + word + RowReader.LATENCY, self._word, entry.unit, last)

    def _sum(self, start: int, entry: _Entry) -> None:
        """Words that end a bag: the next one that hands something over waits for the sum's end."""
        granules = min(entry.size, self._lane_bytes) // GRANULE_BYTES
        for word in range(entry.words):
            # The word read, the sums, their requantising, a granule a cycle.
            self._sum_free = start + RowReader.LATENCY + REQUANTISE_LATENCY + granules
            self._read_free = start + 1
            for granule in range(granules):
                last = granule == granules - 1
                at = self._sum_free - (granules - 1 - granule)
                ends = entry.item_last and last and word == entry.words - 1
                if ends or not self._number:
                    self._gather.clock.at(at, self._word, entry.unit, ends)
            start = self._sum_free
        self._reads.append(self._read_free)
        if self._oldest is not None:
            self._poll.at(max(self._read_free + 1, self._gather.clock.now))

    def _word(self, cycle: int, unit: int, last: bool) -> None:
        self._gather.engines[unit].row_word(cycle, self._number, last)


class Gather:
    """All lanes.

    Parameters
    ----------
    engines
        By anchor: who takes the row words.
    on_taken
        Called once an id, with the cycle in which its lane takes it and the lane.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        memory: Memory,
        engines: Mapping[int, EngineSide],
        on_taken: Callable[[int, int], None],
    ) -> None:
        self.clock, self.config, self.memory, self.engines = clock, config, memory, engines
        self.on_taken = on_taken
        self._lanes = [_Lane(self, number) for number in range(config.gather_lanes)]
        self.hits = self.look_ahead_hits = self.merged = self.misses = 0
        self.prefetches = self.dropped = 0
        self.stages: dict[int, StageWaits] = {}
        self.live = 0
        """Queries in flight, a bit each: whose prefetches claim lines."""

    def push(self, cycle: int, lane: int, lookup: Lookup) -> None:
        """An id is on offer to a lane from ``cycle`` on; the lane takes its ids in order."""
        self._lanes[lane].push(cycle, lookup)

    def waits(self, stage: int) -> StageWaits:
        """Of a stage's lookups."""
        return self.stages.setdefault(stage, StageWaits())

    def count(self, lookup: Lookup, outcome: Outcome) -> None:
        """A decision."""
        self.waits(lookup.stage).count(outcome, prefetch=lookup.prefetch)
        if lookup.prefetch:
            self.prefetches += 1
            self.dropped += outcome is Outcome.DROPPED
        elif outcome is Outcome.STATIC:
            self.hits += 1
        elif outcome is Outcome.MISS:
            self.misses += 1
        else:
            self.look_ahead_hits += 1
            self.merged += outcome is Outcome.MERGED

    @property
    def fetches(self) -> int:
        """Lines fetched."""
        return sum(lane.cache.fetches for lane in self._lanes)
