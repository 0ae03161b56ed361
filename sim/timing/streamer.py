"""Weight streamer: chunks of weights from device memory into the rings of the engines' banks.

Follows ``hdl/engine``'s stream lane, stream choice and weight streamer, a few events a chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.bus.ordered_reads import OrderedReads
from hdl.config import Config
from hdl.engine.stream_choice import StreamChoice
from hdl.engine.stream_lane import StreamLane
from hdl.engine.weight_streamer import WeightStreamer
from hdl.program import STREAM_CHUNK_BYTES

from .events import Clock, Poll
from .memory import STREAMER, Memory
from .plan import EnginePlan, PhasePlan

__all__ = ["StreamerModel"]

_NEVER = 1 << 62


class _Lane:
    """Stream of one engine: what to ask for next, which tiles have landed."""

    def __init__(
        self, streamer: StreamerModel, plan: EnginePlan, land: Callable[[int], None]
    ) -> None:
        config = streamer.config
        self._streamer, self._land = streamer, land
        self.unit = plan.unit
        self.chunk_beats = STREAM_CHUNK_BYTES // config.axi_bytes
        area = 4**plan.level
        self._tile_beats = config.slice_words * area
        self._ring = plan.ring_words * area - (2 << plan.level) * self._tile_beats
        self._near = StreamLane.near_tiles(config) * self._tile_beats
        self._waiting: deque[tuple[int, PhasePlan, Callable[[int], None]]] = deque()
        self._left = 0
        self._accept_at = 0
        self._held = 0  # beats asked for whose tile was not consumed
        self._beats = 0  # of the tile that is landing
        self._active_at = 0
        self._room_at = 0  # it shows from here on, if there is room
        self._urgent_at = 0
        self.stream = 0
        """Address of the stream."""
        self.address = 0
        """Of its next chunk."""
        self.waits = False
        """It was picked and not in a hurry, and lets others come up with it."""

    def ask(self, phase: PhasePlan, cycle: int, granted: Callable[[int], None]) -> None:
        self._waiting.append((cycle, phase, granted))
        self.accept(cycle)

    def accept(self, cycle: int) -> None:
        """Take the next stream when all of this one is asked for."""
        if self._left or not self._waiting:
            return
        at, phase, granted = self._waiting.popleft()
        at = max(at, cycle, self._accept_at)
        self._left = phase.tiles * self._tile_beats
        self.stream = self.address = phase.stream
        self._active_at = at + StreamLane.ACCEPT_LATENCY
        self._room_at = max(self._room_at, at + StreamLane.ACCEPT_LATENCY)
        granted(at)
        self._streamer.wake(self._room_at)

    def active(self, cycle: int) -> bool:
        """There is a next chunk."""
        return self._left > 0 and cycle >= self._active_at

    def room(self, cycle: int) -> bool:
        """It fits into the ring."""
        return (
            self._left > 0
            and self._ring - self._held - self.chunk_beats >= 0
            and cycle >= self._room_at
        )

    def urgent(self, cycle: int) -> bool:
        """Fewer tiles than `StreamLane.NEAR_CYCLES` take are asked for and not consumed."""
        return self._held < self._near and cycle >= self._urgent_at

    @property
    def useful(self) -> int:
        """Beats of the next chunk that are no padding."""
        return min(self._left, self.chunk_beats)

    @property
    def next_look(self) -> int:
        """When what a lane shows changes by itself."""
        return max(self._room_at, self._urgent_at)

    def take(self, cycle: int) -> None:
        """The next chunk is fetched in ``cycle``."""
        useful = self.useful
        self.address += STREAM_CHUNK_BYTES
        self._left -= useful
        self._held += useful
        self._room_at = self._urgent_at = cycle + 2
        self._accept_at = cycle + StreamLane.REFUSED
        self.waits = False

    def landed(self, first: int, useful: int) -> None:
        """Beats of a chunk come from ``first`` on, one a cycle."""
        beats = self._beats
        size = self._tile_beats
        for tile in range((beats + useful) // size):
            # The bank's write is registered, landed with it.
            self._land(first + (tile + 1) * size - beats - 1 + 1)
        self._beats = (beats + useful) % size

    def consumed(self, cycle: int) -> None:
        had_room = self._ring - self._held - self.chunk_beats >= 0
        had_need = self._held < self._near
        self._held -= self._tile_beats
        shown = cycle + StreamLane.CONSUMED_LATENCY
        if not had_room:
            self._room_at = max(self._room_at, shown)
        if not had_need:
            self._urgent_at = max(self._urgent_at, shown)
        self._streamer.wake(shown)


@dataclass(eq=False)
class _Chunk:
    """A chunk in flight."""

    lanes: list[_Lane]
    useful: int
    first: int | None = None
    """Cycle of its first beat, when it has come."""


class StreamerModel:
    """All engines' streams."""

    def __init__(self, clock: Clock, config: Config, memory: Memory) -> None:
        self.clock, self.config, self._memory = clock, config, memory
        self._lanes: list[_Lane] = []
        self._chunks: deque[_Chunk] = deque()  # in flight, oldest first
        self._shown = 0  # cycle behind the last beat that was handed over
        self._flying = 0
        self._free = 0
        self._turn = -1
        self._offer: list[list[_Lane]] = []  # the lanes of the chunk on offer
        self._blocked = False
        self._poll = Poll(clock, self._pick)

    def lane(self, plan: EnginePlan, land: Callable[[int], None]) -> _Lane:
        """The stream of an engine; ``land`` is told of every landed pulse."""
        lane = _Lane(self, plan, land)
        self._lanes.append(lane)
        self._lanes.sort(key=lambda other: other.unit)  # they take turns in this order
        return lane

    def wake(self, cycle: int) -> None:
        if self._free < _NEVER:  # else the end of the turn wakes it
            self._poll.at(max(cycle, self._free))

    def _pick(self, cycle: int) -> None:
        """A lane for the next turn of `StreamChoice`."""
        if cycle < self._free:
            return
        lanes = [(n, lane) for n, lane in enumerate(self._lanes) if lane.room(cycle)]
        some = [n for n, lane in lanes if lane.urgent(cycle)]
        some = some or [n for n, lane in lanes if not lane.waits]
        if not some:
            later = [n.next_look for n in self._lanes if n.active(cycle) and n.next_look > cycle]
            if later:
                self.wake(min(later))
            return
        self._turn = min(some, key=lambda n: (n - self._turn - 1) % len(self._lanes))
        self._free = _NEVER
        self.clock.at(cycle + 1, self._compare, self._lanes[self._turn])

    def _compare(self, cycle: int, picked: _Lane) -> None:
        """Who takes the chunk, who goes first, or whether the picked lane waits for others."""
        takers, passed, later = [], [], False
        hurry = picked.urgent(cycle)
        for lane in self._lanes:
            if not lane.active(cycle):
                continue
            lead = (picked.address - lane.address) // STREAM_CHUNK_BYTES
            same = lead == 0 and lane.useful == picked.useful
            behind = lead > 0 and lane.stream == picked.stream
            if not lane.room(cycle):
                later |= same or behind
            elif same:
                takers.append(lane)
            elif behind and (not hurry or lead < StreamChoice.REACH):
                passed.append(lane)
        if passed:
            self.clock.at(cycle + 3, self._compare, passed[0])
        elif later and not hurry:
            picked.waits = True
            self._free = cycle + 2
            self.wake(cycle + 2)
        else:
            self._offer.append(takers)
            self.clock.at(cycle + 1, self._request)

    def _request(self, cycle: int) -> None:
        """The chunk into the request register, when that and the list of chunks have room."""
        if self._flying >= WeightStreamer.IN_FLIGHT:
            self._blocked = True  # until one has come
            return
        (takers,) = self._offer
        self._offer.clear()
        address = takers[0].address
        chunk = _Chunk(takers, takers[0].useful)
        for lane in takers:
            lane.take(cycle)
        self._flying += 1
        self._free = cycle + 1
        self._chunks.append(chunk)

        def landed(first: int, beats: int) -> None:
            chunk.first = first
            self._deliver()

        # The request register adds a cycle.
        self._memory.read(cycle + 1, STREAMER, 0, address, takers[0].chunk_beats, landed)
        for lane in takers:
            lane.accept(cycle + 1)
        self.wake(cycle + 1)

    def _deliver(self) -> None:
        """Chunks in the order of their requests, whichever channel they come from."""
        while self._chunks and (first := self._chunks[0].first) is not None:
            chunk = self._chunks.popleft()
            if self.config.axi_channels > 1:
                first += OrderedReads.LATENCY
            first = max(first, self._shown)
            self._shown = first + chunk.lanes[0].chunk_beats
            for lane in chunk.lanes:
                lane.landed(first, chunk.useful)
            self.clock.at(self._shown, self._returned)

    def _returned(self, cycle: int) -> None:
        self._flying -= 1
        if self._blocked:
            self._blocked = False
            self._request(cycle)
