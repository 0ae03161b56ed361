"""One channel of device memory for benches of single units: the rules of ``sim/verilog/dram.v``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from sim.timing.dram import Banks, Dram

__all__ = ["Beat", "DramChannel", "sustainable_cycles"]

_READS = 256
"""Bursts that a channel holds."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A beat on R."""

    ident: int
    address: int
    last: bool


@dataclass(slots=True)
class _Burst:
    ident: int
    address: int
    left: int
    ready: int


class DramChannel:
    """Reads of one channel, a cycle at a time.

    Parameters
    ----------
    dram
        Settings.
    beat_bytes
        Width of the data bus.
    channel, channels
        Its number, of how many.
    """

    def __init__(self, dram: Dram, *, beat_bytes: int, channel: int = 0, channels: int = 1) -> None:
        self._dram, self._bytes = dram, beat_bytes
        self._banks = Banks(dram, channel, channels)
        self._queue: deque[_Burst] = deque()
        self._current: _Burst | None = None
        self._credit = 0
        self.cycle = 0
        self.beats = 0

    @property
    def ready(self) -> bool:
        """An address is taken in this cycle."""
        return len(self._queue) < _READS - 1

    def ask(self, ident: int, address: int, beats: int) -> None:
        """A burst's address is taken in this cycle."""
        ready = self._banks.ready(self.cycle, address)
        self._queue.append(_Burst(ident, address, beats, ready))

    def step(self, room: bool) -> Beat | None:
        """End the cycle; the beat that goes into R's register, if it has ``room``."""
        self._credit = min(256, self._credit + self._dram.bandwidth)
        beat = None
        if room:
            burst = self._current = self._current or self._choose()
            if burst is not None and self._credit >= 256:
                self._credit -= 256
                burst.left -= 1
                self.beats += 1
                beat = Beat(burst.ident, burst.address, burst.left == 0)
                burst.address += self._bytes
                if not burst.left:
                    self._current = None
        self.cycle += 1
        return beat

    def _choose(self) -> _Burst | None:
        """The oldest burst of the window that is ready; an id's bursts stay in order."""
        seen = set()
        for place, burst in enumerate(self._queue):
            if place == self._dram.window:
                break
            if burst.ready <= self.cycle and burst.ident not in seen:
                del self._queue[place]
                return burst
            seen.add(burst.ident)
        return None


def sustainable_cycles(
    dram: Dram, requests: Iterator[int], count: int, *, beat_bytes: int, burst_bytes: int
) -> int:
    """Cycles in which one channel alone gives ``count`` bursts, an address on offer in every cycle.

    Parameters
    ----------
    requests
        Addresses.
    """
    channel = DramChannel(dram, beat_bytes=beat_bytes)
    given = asked = 0
    while given < count:
        if channel.ready and asked < count:
            channel.ask(asked, next(requests), burst_bytes // beat_bytes)
            asked += 1
        beat = channel.step(True)
        given += beat is not None and beat.last
    # Without the latency of the first one.
    return channel.cycle - dram.latency
