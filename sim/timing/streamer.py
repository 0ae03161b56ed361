"""Weight streamer: chunks of weights from device memory into the rings of the engines' banks.

Follows ``hdl/engine``'s stream lane and weight streamer, an event a chunk.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.bus.ordered_reads import OrderedReads
from hdl.config import Config
from hdl.engine.weight_streamer import WeightStreamer
from hdl.program import STREAM_CHUNK_BYTES

from .events import Clock, Poll
from .memory import Memory
from .plan import EnginePlan, PhasePlan

__all__ = ["StreamerModel"]

REQUESTER = 1
"""Of the weight streamer at the read crossbar."""


class _Lane:
    """Stream of one engine: what to ask for next, which tiles have landed."""

    def __init__(
        self, streamer: StreamerModel, plan: EnginePlan, land: Callable[[int], None]
    ) -> None:
        config = streamer.config
        self._streamer, self._land = streamer, land
        self.chunk_beats = STREAM_CHUNK_BYTES // config.axi_bytes
        area = 4**plan.level
        self._tile_beats = config.slice_words * area
        self._ring = plan.ring_words * area - (2 << plan.level) * self._tile_beats
        self._waiting: deque[tuple[int, PhasePlan, Callable[[int], None]]] = deque()
        self._left = 0
        self._address = 0
        self._accept_at = 0
        self._held = 0  # beats asked for whose tile was not consumed
        self._beats = 0  # of the tile that is landing
        self.ready_at = 0  # a chunk is on offer from here on, if there is one

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
        self._address = phase.stream
        self.ready_at = max(self.ready_at, at + 2)  # register, then the offer's own
        granted(at)
        self._streamer.wake(self.ready_at)

    @property
    def offers(self) -> bool:
        return self._left > 0 and self._ring - self._held - self.chunk_beats >= 0

    def take(self, cycle: int) -> tuple[int, int]:
        """The offered chunk leaves in ``cycle``: address and useful beats."""
        useful = min(self._left, self.chunk_beats)
        address = self._address
        self._address += STREAM_CHUNK_BYTES
        self._left -= useful
        self._held += useful
        self.ready_at = cycle + 2
        self._accept_at = cycle
        return address, useful

    def landed(self, first: int, useful: int) -> None:
        """Beats of a chunk come from ``first`` on, one a cycle."""
        beats = self._beats
        size = self._tile_beats
        for tile in range((beats + useful) // size):
            # The bank's write is registered, landed with it.
            self._land(first + (tile + 1) * size - beats - 1 + 1)
        self._beats = (beats + useful) % size

    def consumed(self, cycle: int) -> None:
        self._held -= self._tile_beats
        self.ready_at = max(self.ready_at, cycle + 2)
        self._streamer.wake(self.ready_at)


@dataclass(eq=False)
class _Chunk:
    """A chunk in flight."""

    lane: _Lane
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
        self._poll = Poll(clock, self._request)

    def lane(self, plan: EnginePlan, land: Callable[[int], None]) -> _Lane:
        """The stream of an engine; ``land`` is told of every landed pulse."""
        lane = _Lane(self, plan, land)
        self._lanes.append(lane)
        return lane

    def wake(self, cycle: int) -> None:
        self._poll.at(max(cycle, self._free))

    def _request(self, cycle: int) -> None:
        """One chunk into the request register."""
        if cycle < self._free or self._flying >= WeightStreamer.IN_FLIGHT:
            return
        count = len(self._lanes)
        order = [(self._turn + 1 + n) % count for n in range(count)]
        later = 1 << 60
        for number in order:
            lane = self._lanes[number]
            if not lane.offers:
                continue
            if lane.ready_at > cycle:
                later = min(later, lane.ready_at)
                continue
            self._turn = number
            address, useful = lane.take(cycle)
            self._flying += 1
            self._free = cycle + 1

            chunk = _Chunk(lane, useful)
            self._chunks.append(chunk)

            def landed(first: int, beats: int, chunk: _Chunk = chunk) -> None:
                chunk.first = first
                self._deliver()

            # The request register adds a cycle.
            self._memory.read(cycle + 1, REQUESTER, 0, address, lane.chunk_beats, landed)
            lane.accept(cycle)
            self.wake(cycle + 1)
            return
        if later < 1 << 60:
            self.wake(later)

    def _deliver(self) -> None:
        """Chunks in the order of their requests, whichever channel they come from."""
        while self._chunks and (first := self._chunks[0].first) is not None:
            chunk = self._chunks.popleft()
            if self.config.axi_channels > 1:
                first += OrderedReads.LATENCY
            first = max(first, self._shown)
            self._shown = first + chunk.lane.chunk_beats
            chunk.lane.landed(first, chunk.useful)
            self.clock.at(self._shown, self._returned)

    def _returned(self, cycle: int) -> None:
        self._flying -= 1
        self.wake(cycle)
