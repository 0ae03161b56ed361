"""Reads of hash constants: chunks of all engines over one port, beats in the order of requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.bus.ordered_reads import OrderedReads
from hdl.config import Config
from hdl.dhe.layouts import HASH_CHUNK_BYTES

from .events import Clock
from .memory import Memory

__all__ = ["HashReads"]


@dataclass(eq=False)
class _Chunk:
    call: Callable[[int], None]
    first: int | None = None
    """Cycle of its first beat, when it has come."""


class HashReads:
    """The requester behind the gather lanes.

    Engines that ask in the same cycle are not told apart: the port takes a request a cycle and
    chunks are hundreds of cycles apart.
    """

    def __init__(self, clock: Clock, config: Config, memory: Memory) -> None:
        self._clock, self._config, self._memory = clock, config, memory
        self._requester = config.read_requesters - 1
        self._beats = HASH_CHUNK_BYTES // config.axi_bytes
        self._chunks: deque[_Chunk] = deque()
        self._shown = 0  # cycle behind the last beat that was handed over

    @property
    def beats(self) -> int:
        """Beats of a chunk."""
        return self._beats

    def read(self, cycle: int, address: int, call: Callable[[int], None]) -> None:
        """A chunk is asked for in ``cycle``; ``call`` with the cycle of its first beat."""
        chunk = _Chunk(call)
        self._chunks.append(chunk)

        def landed(first: int, beats: int) -> None:
            chunk.first = first
            self._deliver()

        self._memory.read(cycle, self._requester, 0, address, self._beats, landed)

    def _deliver(self) -> None:
        while self._chunks and (first := self._chunks[0].first) is not None:
            chunk = self._chunks.popleft()
            if self._config.axi_channels > 1:
                first += OrderedReads.LATENCY
            first = max(first, self._shown)
            self._shown = first + self._beats
            self._clock.at(max(first, self._clock.now), chunk.call)
