"""Gather lanes and the broadcast of row words, cycle by cycle where something moves.

Follows ``hdl/embedding``'s lane queue, cache tags, hit path, miss path and the round robin of the
lanes for the broadcast.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hdl.bus.read_crossbar import ORDERED_REQUESTERS
from hdl.config import Config
from hdl.embedding.embedding_unit import LANE_QUEUE
from hdl.embedding.miss_path import WAITING
from hdl.embedding.read_slots import ReadSlots
from hdl.embedding.static_cache import CacheTags
from hdl.queue import Queue

from .events import Clock, Poll
from .memory import Memory
from .units import EngineSide

__all__ = ["Gather"]


@dataclass(eq=False, slots=True)
class _Lookup:
    ready: int
    """First cycle at the queue's output; behind that, at the tags' output."""
    unit: int
    index: int
    hit: bool
    address: int
    row_bytes: int
    taken: int = 0
    """Cycle in which the tags took it."""


class _Lane:
    """One gather lane."""

    def __init__(self, gather: Gather, number: int) -> None:
        self._gather, self._number = gather, number
        self._clock = gather.clock
        config = gather.config
        self._lane_bytes, self._beat_bytes = config.lane_bytes, config.axi_bytes
        self.poll = Poll(gather.clock, self.step)
        self._issue_poll = Poll(gather.clock, self._issue)
        self._queue: deque[_Lookup] = deque()
        self.lookups: deque[_Lookup] = deque()  # in the tags
        self._taken = -1  # cycle in which the tags took the last one
        self._words = 0  # of the lookup at the tags' output, handed to the hit path
        self._held: tuple[int, int, int, bool] | None = None  # ready, unit, index, last
        self.register: tuple[int, int, bool] | None = None  # unit, index, last
        self._waiting: deque[tuple[int, _Lookup]] = deque()
        # ready, unit, index, last, slot; the slot's read ends with its last word.
        self._miss_words: deque[tuple[int, int, int, bool, int]] = deque()
        # Read slots on offer: from which cycle, tag.
        self._slots = deque((0, tag) for tag in range(config.reads_per_lane))
        self._issued = -1  # cycle of the last miss that left ``_waiting``
        self.refused = False

    def full(self, cycle: int) -> bool:
        """The queue has no room in ``cycle``."""
        waiting = sum(lookup.taken >= cycle for lookup in self.lookups)
        return len(self._queue) + waiting >= LANE_QUEUE

    def push(self, lookup: _Lookup) -> None:
        self._queue.append(lookup)
        self._take()

    def _take(self) -> None:
        """From the queue into the tags, up to the cycle in which these may stand still.

        The tags are a pipeline without bubbles' collapse: while the outcome at their output is
        refused nothing in them moves.
        """
        queue, lookups = self._queue, self.lookups
        first = not lookups
        while queue:
            at = max(queue[0].ready, self._taken + 1)
            if lookups and lookups[0].ready <= at:
                return
            lookup = queue.popleft()
            self._taken = lookup.taken = at
            lookup.ready = at + CacheTags.LATENCY
            lookups.append(lookup)
            if first:
                self.poll.at(lookup.ready)
                first = False

    def step(self, cycle: int) -> None:
        """What moves in this cycle, after the broadcast has emptied the register or not."""
        if self.register is None:
            if self._miss_words and self._miss_words[0][0] <= cycle:
                _, unit, index, last, tag = self._miss_words.popleft()
                self._load(cycle, unit, index, last)
                if last:
                    self._slots.append((cycle + ReadSlots.RELEASE_LATENCY, tag))
                    if self._waiting:
                        self._issue_poll.at(cycle + ReadSlots.RELEASE_LATENCY)
            elif self._held is not None and self._held[0] <= cycle:
                _, unit, index, last = self._held
                self._held = None
                self._load(cycle, unit, index, last)
        lookups = self.lookups
        if lookups and lookups[0].ready <= cycle:
            head = lookups[0]
            if head.hit:
                if self._held is None:
                    words = -(-head.row_bytes // self._lane_bytes)
                    self._words += 1
                    last = self._words == words
                    self._held = (cycle + 1, head.unit, head.index, last)
                    if last:
                        self._words = 0
                        self._pop(cycle)
            elif self._has_room(cycle):
                self._waiting.append((cycle + 1, head))
                self._issue_poll.at(cycle + 1)
                self._pop(cycle)
        self._again(cycle)

    def _again(self, cycle: int) -> None:
        """Ask for the next step."""
        at = 1 << 60
        if self.register is None:
            if self._miss_words:
                at = self._miss_words[0][0]
            if self._held is not None:
                at = min(at, self._held[0])
        if self.lookups:
            head = self.lookups[0]
            if (self._held is None) if head.hit else self._has_room(cycle + 1):
                at = min(at, head.ready)
        if at < 1 << 60:
            self.poll.at(max(at, cycle + 1))

    def _has_room(self, cycle: int) -> bool:
        """A miss may join those that wait; a place left in ``cycle`` counts a cycle later."""
        return len(self._waiting) + (self._issued == cycle) < WAITING

    def _load(self, cycle: int, unit: int, index: int, last: bool) -> None:
        self.register = (unit, index, last)
        self._gather.ask(cycle + 1, self._number)

    def _pop(self, cycle: int) -> None:
        stood = cycle - self.lookups.popleft().ready
        for lookup in self.lookups:
            lookup.ready += stood
        self._taken = max(self._taken, cycle - 1)
        self._take()
        if self.refused:
            self.refused = False
            self._gather.on_room(self._taken + 1)

    # -- misses --------------------------------------------------------------------------------
    def _issue(self, cycle: int) -> None:
        """One burst for the oldest waiting miss."""
        if not self._waiting or not self._slots:
            return
        at = max(self._waiting[0][0], self._slots[0][0])
        if at > cycle:
            self._issue_poll.at(at)
            return
        self._issued = cycle
        _, miss = self._waiting.popleft()
        _, tag = self._slots.popleft()
        beats = -(-miss.row_bytes // self._beat_bytes)

        def landed(first: int, count: int) -> None:
            self._landed(first, count, miss, tag)

        address = miss.address - miss.address % self._beat_bytes
        requester = ORDERED_REQUESTERS + self._number
        self._gather.memory.read(cycle, requester, tag, address, beats, landed)
        if self._waiting:
            self._issue_poll.at(cycle + 1)
        self.poll.at(cycle + 1)

    def _landed(self, first: int, beats: int, miss: _Lookup, tag: int) -> None:
        """Beats into words of min(row, beat, lane) bytes."""
        piece = min(miss.row_bytes, self._beat_bytes, self._lane_bytes)
        words = miss.row_bytes // piece
        per_beat = words // beats
        for word in range(words):
            ready = first + 1 + word // per_beat
            self._miss_words.append((ready, miss.unit, miss.index, word == words - 1, tag))
        self.poll.at(self._miss_words[0][0])


class Gather:
    """All lanes behind the feature table.

    Parameters
    ----------
    engines
        By anchor: who takes the row words.
    on_room
        Called with the cycle from which a lane that refused a lookup takes one again.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        memory: Memory,
        engines: Mapping[int, EngineSide],
        on_room: Callable[[int], None],
    ) -> None:
        self.clock, self.config, self.memory = clock, config, memory
        self._engines = engines
        self.on_room = on_room
        self._lanes = [_Lane(self, number) for number in range(config.gather_lanes)]
        self._broadcast = Poll(clock, self._grant)
        self._valid = 0  # lanes with a word in their register
        self._new: deque[tuple[int, int]] = deque()
        self._later = 0  # lanes behind the one served last
        self.hits = self.misses = 0

    def push(
        self, cycle: int, feature: int, unit: int, index: int, hit: bool, address: int, size: int
    ) -> bool:
        """A lookup at the lanes' door; False when its lane has no room."""
        lane = self._lanes[feature % len(self._lanes)]
        if lane.full(cycle):
            lane.refused = True
            return False
        if hit:
            self.hits += 1
        else:
            self.misses += 1
        ready = cycle + Queue.BUFFERED_LATENCY
        lane.push(_Lookup(ready, unit, index, hit, address, size))
        return True

    def ask(self, cycle: int, lane: int) -> None:
        """The lane's register holds a word from ``cycle`` on."""
        self._new.append((cycle, lane))
        self._broadcast.at(cycle)

    def _grant(self, cycle: int) -> None:
        new = self._new
        while new and new[0][0] <= cycle:
            self._valid |= 1 << new.popleft()[1]
        if not self._valid:
            return
        pool = self._valid & self._later or self._valid
        bit = pool & -pool
        self._later = ~(bit | (bit - 1))
        self._valid &= ~bit
        lane = self._lanes[bit.bit_length() - 1]
        assert lane.register is not None
        unit, index, last = lane.register
        lane.register = None
        self._engines[unit].row_word(cycle, index, last)
        lane.step(cycle)
        if self._valid:
            self._broadcast.at(cycle + 1)
