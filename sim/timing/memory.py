"""Device memory and the way to it: read crossbar, AXI channels, DRAM.

One event a burst. The DRAM is that of ``sim/verilog/dram.v`` without its hostile modes: latency,
open rows in banks, refresh, one data bus a channel that takes the oldest burst that is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.bus.interleave import channel_number
from hdl.bus.read_crossbar import ORDERED_REQUESTERS
from hdl.config import Config

from .dram import Banks, Dram, Ssd
from .events import Clock, Poll

__all__ = [
    "Banks",
    "DATA_LATENCY",
    "Dram",
    "FIRST_LOADER",
    "Memory",
    "OnBeats",
    "REQUEST_LATENCY",
    "STREAMER",
]

STREAMER = 1
"""Requester of the weight streamer: behind the front end, see ``Config.read_requesters``."""
FIRST_LOADER = STREAMER + 1
"""Of the first record loader; the gather lanes are behind the loaders."""

OnBeats = Callable[[int, int], None]
"""Called with the cycle of the first beat at the requester and the number of beats."""

REQUEST_LATENCY = 2
"""Request taken by the crossbar to its address on AR: the requester's queue, the AR queue."""
RESPONSE_LATENCY = 2
"""Beat on R to the beat at the requester: the R queue, the requester's register."""
DATA_LATENCY = 1 + RESPONSE_LATENCY
"""A burst chosen by the memory to its first beat at the requester: the data register and R."""


@dataclass(eq=False, slots=True)
class _Burst:
    requester: int
    tag: int
    beats: int
    ready: int
    call: OnBeats
    done: bool = False


class _Channel:
    """One AXI read channel: address arbiter, banks, data bus."""

    def __init__(self, clock: Clock, dram: Dram, channel: int, channels: int) -> None:
        self._clock = clock
        self._dram = dram
        self._arbiter = Poll(clock, self._grant)
        self._asked: dict[int, deque[tuple[int, int, _Burst]]] = {}
        self._served = -1
        self.banks = Banks(dram, channel, channels)
        self._queue: deque[_Burst] = deque()
        self._bus_free = 0
        self._wake = -1

    def ask(self, cycle: int, address: int, burst: _Burst) -> None:
        """A request comes out of its requester's queue in ``cycle``."""
        self._asked.setdefault(burst.requester, deque()).append((cycle, address, burst))
        self._arbiter.at(cycle)

    def _grant(self, cycle: int) -> None:
        """One request a cycle, requesters in turns."""
        waiting = sorted(r for r, asked in self._asked.items() if asked and asked[0][0] <= cycle)
        if not waiting:
            return
        requester = next((r for r in waiting if r > self._served), waiting[0])
        self._served = requester
        _, address, burst = self._asked[requester].popleft()
        self._arrive(cycle + REQUEST_LATENCY - 1, address, burst)
        if len(waiting) > 1 or self._asked[requester]:
            self._arbiter.at(cycle + 1)

    def _arrive(self, arrival: int, address: int, burst: _Burst) -> None:
        """Address handshake: the burst's bank decides when its data can come."""
        burst.ready = self.banks.ready(arrival, address)
        self._queue.append(burst)
        self._schedule(arrival)

    def _schedule(self, cycle: int) -> None:
        """Choose the next burst when the bus is free and one of the window is ready."""
        queue = self._queue
        if not queue:
            return
        window = self._dram.window
        ready = min(b.ready for b, _ in zip(queue, range(window), strict=False) if not b.done)
        cycle = max(cycle, self._bus_free, ready)
        if self._wake < self._clock.now or cycle < self._wake:
            self._wake = cycle
            self._clock.at(cycle, self._serve)

    def _serve(self, cycle: int) -> None:
        if cycle != self._wake:
            return
        self._wake = -1
        chosen = None
        seen = set()
        for burst, _ in zip(self._queue, range(self._dram.window), strict=False):
            if burst.done:
                continue
            name = (burst.requester, burst.tag)
            if burst.ready <= cycle and name not in seen:
                chosen = burst
                break
            seen.add(name)
        if chosen is None:
            # A burst that is ready waits for an older one of the same id.
            later = [
                b.ready
                for b, _ in zip(self._queue, range(self._dram.window), strict=False)
                if not b.done and b.ready > cycle
            ]
            self._wake = min(later)
            self._clock.at(self._wake, self._serve)
            return
        chosen.done = True
        while self._queue and self._queue[0].done:
            self._queue.popleft()
        self._bus_free = cycle + chosen.beats * self._dram.beat_interval
        self._clock.at(cycle + DATA_LATENCY, chosen.call, chosen.beats)
        self._schedule(self._bus_free)


class _Drive:
    """The SSD: one stream of pages."""

    def __init__(self, clock: Clock, ssd: Ssd) -> None:
        self._clock, self._ssd = clock, ssd
        self._free = 0.0
        self.reads = 0

    def read(self, cycle: int, beats: int, call: OnBeats) -> None:
        """A line is asked for in ``cycle``."""
        self.reads += 1
        start = max(float(cycle), self._free)
        self._free = start + self._ssd.page_bytes / self._ssd.bytes_per_cycle
        self._clock.at(int(self._free) + self._ssd.latency + DATA_LATENCY, call, beats)


class Memory:
    """All channels behind the crossbar, and the drive behind them if there is one.

    Requesters below ``ORDERED_REQUESTERS`` use one channel at a time: a request for another channel
    waits until all beats of theirs have come.
    """

    def __init__(self, clock: Clock, config: Config, dram: Dram) -> None:
        self._clock, self._config = clock, config
        channels = config.axi_channels
        self._channels = [_Channel(clock, dram, n, channels) for n in range(channels)]
        self.drive = None if dram.ssd is None else _Drive(clock, dram.ssd)
        self._ssd = dram.ssd
        self._beat_bytes = config.axi_bytes
        self._current = [0] * ORDERED_REQUESTERS
        self._flying = [0] * ORDERED_REQUESTERS
        self._held: list[deque[tuple[int, int, _Burst]]] = [
            deque() for _ in range(ORDERED_REQUESTERS)
        ]
        self.bursts = 0
        self.beats = 0

    def set_open_rows(self, rows: list[list[int]]) -> None:
        """Row of every bank of every channel."""
        for channel, banks in zip(self._channels, rows, strict=True):
            channel.banks.rows = list(banks)

    def read(
        self, cycle: int, requester: int, tag: int, address: int, beats: int, call: OnBeats
    ) -> None:
        """A burst is handed over in ``cycle``; ``call`` comes with its first beat."""
        if self.drive is not None and self._ssd is not None and self._ssd.holds(address):
            self.drive.read(cycle, beats, call)
            return
        self.bursts += 1
        self.beats += beats
        channel = channel_number(self._config, address)
        if requester >= ORDERED_REQUESTERS or len(self._channels) == 1:
            burst = _Burst(requester, tag, beats, 0, call)
            self._channels[channel].ask(cycle + 1, address, burst)
            return

        def landed(first: int, count: int) -> None:
            self._clock.at(first + count - 1, self._landed, requester)
            call(first, count)

        burst = _Burst(requester, tag, beats, 0, landed)
        self._held[requester].append((channel, address, burst))
        self._send(requester, cycle + 1)

    def _send(self, requester: int, cycle: int) -> None:
        held = self._held[requester]
        while held:
            channel, address, burst = held[0]
            if self._flying[requester] and self._current[requester] != channel:
                return
            held.popleft()
            self._current[requester] = channel
            self._flying[requester] += 1
            self._channels[channel].ask(cycle, address, burst)

    def _landed(self, cycle: int, requester: int) -> None:
        self._flying[requester] -= 1
        if not self._flying[requester]:
            self._send(requester, cycle + 1)
