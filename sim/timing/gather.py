"""Gather lanes: when each lookup is decided, and when its row is handed over.

Follows ``hdl/embedding``'s gather lane: a pipeline of descriptor and tags, the lookup queue, reads
in the order of the lookups. Two events a lookup; which lines hit is golden's business.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from golden.look_ahead import LineCache, Outcome
from hdl.bus.read_crossbar import ORDERED_REQUESTERS
from hdl.config import LINE_BYTES, Config
from hdl.embedding.feature_table import FeatureTable
from hdl.embedding.line_geometry import LineGeometry
from hdl.embedding.line_tags import LineTags
from hdl.embedding.read_slots import ReadSlots
from hdl.embedding.row_reader import RowReader
from hdl.embedding.static_cache import CacheTags
from hdl.queue import Queue

from .events import Clock, Poll
from .memory import Memory
from .units import EngineSide

__all__ = ["Gather", "Lookup"]

_PIPELINE = FeatureTable.LATENCY + CacheTags.LATENCY + LineTags.LATENCY
"""Cycles from an id to its decision, and the ids that may be on their way there."""


@dataclass(eq=False, slots=True, kw_only=True)
class Lookup:
    """An id at a lane."""

    unit: int
    address: int
    """Of the row in device memory."""
    row_bytes: int
    hit: bool
    """The static cache holds the row."""
    item_last: bool
    zero: bool = False
    """Out of range, or an empty place of a bag."""
    prefetch: bool = False
    query: int = 0


@dataclass(eq=False, slots=True)
class _Fetch:
    """A line on its way."""

    ready: int | None = None
    """Cycle from which it can be read; None: not known yet."""


@dataclass(eq=False, slots=True)
class _Entry:
    """A row, or half of one, that waits to be read."""

    ready: int
    """Earliest cycle at the queue's output."""
    words: int
    unit: int
    item_last: bool
    fetch: _Fetch | None


class _Lane:
    """One gather lane."""

    def __init__(self, gather: Gather, number: int) -> None:
        self._gather, self._number = gather, number
        config = gather.config
        geometry = LineGeometry(config)
        self._lane_bytes = config.lane_bytes
        self._depth = config.lookup_queue
        self._requester = ORDERED_REQUESTERS + config.record_loaders + number
        self._beats = geometry.beats
        self.cache = LineCache(
            sets=geometry.sets, ways=geometry.ways, sequence_bits=geometry.sequence_bits
        )
        self._poll = Poll(gather.clock, self._step)
        self._pipeline: deque[tuple[int, Lookup]] = deque()  # with the first cycle at the tags
        self._half = 0
        self._decided = -1  # cycle of the last decision
        self._taken = -1  # cycle in which the last id was taken
        self._refused = False
        self._fetches: dict[int, _Fetch] = {}  # by line
        self._fills: deque[tuple[int, int]] = deque()  # cycle in which a fetch ends, line
        # Read slots on offer: from which cycle, tag.
        self._slots = deque((0, tag) for tag in range(config.reads_per_lane))
        self._entries: deque[_Entry] = deque()
        self._reads: deque[int] = deque()  # last cycles of reads of entries that count as pending
        self._read_free = 0

    # -- tags ----------------------------------------------------------------------------------
    def take(self, cycle: int, lookup: Lookup) -> bool:
        """An id is offered in ``cycle``."""
        if len(self._pipeline) >= _PIPELINE:
            self._step(cycle)
        if len(self._pipeline) >= _PIPELINE or self._taken == cycle:
            self._refused = True
            return False
        self._taken = cycle
        self._pipeline.append((cycle + _PIPELINE, lookup))
        if len(self._pipeline) == 1:
            self._poll.at(cycle + _PIPELINE)
        return True

    def _step(self, cycle: int) -> None:
        """Decide on the oldest id, if it is there and nothing is in the way."""
        if not self._pipeline or self._decided >= cycle:
            return
        ready, lookup = self._pipeline[0]
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
            self._next(cycle)
        else:
            self._line(cycle, lookup, pending)

    def _line(self, cycle: int, lookup: Lookup, pending: int) -> None:
        """A step that has to do with a line."""
        cache = self.cache
        address = lookup.address // LINE_BYTES + self._half
        miss = cache.find(address) < 0
        if miss and cache.victim(address, pending=pending, prefetch=lookup.prefetch) >= 0:
            if not self._slots or self._slots[0][0] > cycle:
                self._wait(cycle)
                return
        elif miss and not lookup.prefetch:
            self._wait(cycle)
            return
        outcome, line = cache.request(
            address, pending=pending, prefetch=lookup.prefetch, query=lookup.query
        )
        if outcome is Outcome.MISS:
            self._fetch(cycle, address, line)
        if not lookup.prefetch:
            size = min(lookup.row_bytes, LINE_BYTES)
            self._push(cycle, lookup, size, self._fetches[line])
        self._gather.count(lookup, outcome)
        if lookup.row_bytes > LINE_BYTES and not self._half:
            self._half = 1
            self._decided = cycle
            self._poll.at(cycle + 1)
        else:
            self._next(cycle)

    def _next(self, cycle: int) -> None:
        """The oldest id is done with."""
        self._half = 0
        self._decided = cycle
        self._pipeline.popleft()
        if self._pipeline:
            self._poll.at(max(cycle + 1, self._pipeline[0][0]))
        if self._refused:
            self._refused = False
            self._gather.on_room(self._number, max(cycle, self._taken + 1))

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
            # A beat in a register, then written; from the next cycle on the line can be read.
            end = first + beats
            fetch.ready = end + 1
            self._fills.append((end, line))
            self._slots.append((end + ReadSlots.RELEASE_LATENCY, tag))
            self._poll.at(end + 1)
            self._read()

        self._gather.memory.read(
            cycle + Queue.LATENCY, self._requester, tag, address * LINE_BYTES, self._beats, landed
        )

    # -- data ----------------------------------------------------------------------------------
    def _push(self, cycle: int, lookup: Lookup, size: int, fetch: _Fetch | None) -> None:
        """An entry of the lookup queue."""
        last = lookup.item_last and (fetch is None or lookup.row_bytes <= LINE_BYTES or self._half)
        words = -(-size // self._lane_bytes)
        ready = cycle + Queue.BUFFERED_LATENCY
        self._entries.append(_Entry(ready, words, lookup.unit, bool(last), fetch))
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
            self._read_free = start + entry.words
            self._reads.append(self._read_free - 1)
            if self._pipeline:
                self._poll.at(max(self._read_free, clock.now))
            # What no engine waits for is no event: only lane 0's words keep somebody off a bank.
            for word in range(entry.words) if not number else (entry.words - 1,):
                last = entry.item_last and word == entry.words - 1
                if last or not number:
                    clock.at(start + word + RowReader.LATENCY, self._word, entry.unit, last)

    def _word(self, cycle: int, unit: int, last: bool) -> None:
        self._gather.engines[unit].row_word(cycle, self._number, last)


class Gather:
    """All lanes.

    Parameters
    ----------
    engines
        By anchor: who takes the row words.
    on_room
        Called with a lane that refused an id and the cycle from which it takes one again.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        memory: Memory,
        engines: Mapping[int, EngineSide],
        on_room: Callable[[int, int], None],
    ) -> None:
        self.clock, self.config, self.memory, self.engines = clock, config, memory, engines
        self.on_room = on_room
        self._lanes = [_Lane(self, number) for number in range(config.gather_lanes)]
        self.static_hits = self.look_ahead_hits = self.merged = self.misses = 0
        self.prefetches = self.dropped = 0

    def take(self, cycle: int, lane: int, lookup: Lookup) -> bool:
        """An id is at a lane's door in ``cycle``; False when the lane does not take it."""
        return self._lanes[lane].take(cycle, lookup)

    def count(self, lookup: Lookup, outcome: Outcome) -> None:
        """A decision; a row of 128 bytes counts twice."""
        if lookup.prefetch:
            self.prefetches += 1
            self.dropped += outcome is Outcome.DROPPED
        elif outcome is Outcome.STATIC:
            self.static_hits += 1
        elif outcome is Outcome.MISS:
            self.misses += 1
        else:
            self.look_ahead_hits += 1
            self.merged += outcome is Outcome.MERGED

    @property
    def fetches(self) -> int:
        """Lines fetched."""
        return sum(lane.cache.fetches for lane in self._lanes)
