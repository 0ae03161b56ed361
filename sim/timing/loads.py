"""LOAD entries: how long loading takes, and which DRAM rows it leaves open.

Follows ``hdl/control``'s front end, entry fetcher, config loader and completion ring. Nobody else
uses the memory meanwhile and all bursts have one tag, so they come one after the other: a few
additions a burst.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hdl.bus.interleave import channel_number
from hdl.config import Config
from hdl.control.completion_ring import CompletionRing
from hdl.control.completions import RECORDS, Completions
from hdl.control.config_loader import BURST_BYTES, IN_FLIGHT, TASKS
from hdl.control.entry_fetcher import AHEAD
from hdl.control.submission_check import SubmissionCheck
from hdl.control.write_share import WriteShare
from hdl.queue import Queue

from .dram import Banks, Dram
from .front_end import DOORBELL_LATENCY, INTERRUPT_LATENCY, entry_beats, entry_taken
from .memory import DATA_LATENCY, REQUEST_LATENCY
from .writes import completion_end

__all__ = ["LoadEntry", "LoadsModel"]

_WORD_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class LoadEntry:
    """One LOAD of the submission ring."""

    submission: int
    """Device memory address of its entry."""
    address: int
    words: int
    wide: bool
    """A word is a whole beat, else 8 bytes."""


class LoadsModel:
    """Loading before the first query.

    Parameters
    ----------
    config
        Sizes of the device.
    dram
        Device memory.
    """

    def __init__(self, config: Config, dram: Dram) -> None:
        self._config, self._dram = config, dram
        channels = config.axi_channels
        self._banks = [Banks(dram, channel, channels) for channel in range(channels)]
        self._bus_free = 0
        self._channel = 0
        self._arrived = -1  # last beat asked for so far is at the front end
        self.bursts = 0
        self.beats = 0

    @property
    def open_rows(self) -> list[list[int]]:
        """Row of every bank of every channel."""
        return [banks.rows for banks in self._banks]

    def run(self, entries: tuple[LoadEntry, ...]) -> int:
        """Cycles from the doorbell's write to the interrupt of the last entry."""
        if not entries:
            return 0
        config = self._config
        room = CompletionRing.POSTED
        beats = entry_beats(config)
        fetches = _Fetches(self, entries)
        loader = _Loader(self)
        free = 0  # the front end takes beats of the next entry
        completed: list[int] = []
        reported: list[int] = []
        for number, entry in enumerate(entries):
            taken = entry_taken(config, fetches.arrival(number), free)
            fetches.taken(number, taken)
            # START, the check, LOAD.
            load = taken + 1 + SubmissionCheck.LATENCY + 1
            if number >= TASKS:
                load = max(load, loader.popped[number - TASKS] + 1)
            if number >= RECORDS:
                taken = reported[number - RECORDS] + CompletionRing.LATENCY
                load = max(load, taken + Completions.ROOM_LATENCY)
            accepted = max(load, loader.ready)
            free = accepted + 1
            done = loader.load(accepted, entry, fetches) + 1
            # The queue of ends, then the ring; a completion is handed over before the next one.
            report = done + Queue.BUFFERED_LATENCY
            if number:
                between = CompletionRing.LATENCY + 1 + WriteShare.LATENCY + beats + 1
                report = max(report, reported[-1] + between)
            if number >= room:
                report = max(report, completed[number - room] + 1)
            reported.append(report)
            completed.append(completion_end(config, self._dram, report))
            if self._dram.shared_bus:
                self._bus_free = max(self._bus_free, report) + beats
        return completed[-1] + INTERRUPT_LATENCY

    def read(self, cycle: int, address: int, beats: int) -> int:
        """A burst is handed over in ``cycle``; returns the cycle of its first beat."""
        self.bursts += 1
        self.beats += beats
        channel = channel_number(self._config, address)
        if channel != self._channel:  # an ordered requester uses one channel at a time
            cycle = max(cycle, self._arrived)
            self._channel = channel
        ready = self._banks[channel].ready(cycle + REQUEST_LATENCY, address)
        served = max(ready, self._bus_free)
        self._bus_free = served + beats * self._dram.beat_interval
        return served + DATA_LATENCY

    def take(self, first: int, items: int) -> int:
        """Beats or words from a burst, one a cycle, in the order of the bursts; the last one's."""
        self._arrived = max(self._arrived + items, first + items - 1)
        return self._arrived

    @property
    def config(self) -> Config:
        return self._config


class _Fetches:
    """Entries read ahead. Their bursts come between those of the loader."""

    def __init__(self, model: LoadsModel, entries: tuple[LoadEntry, ...]) -> None:
        self._model, self._entries = model, entries
        self._asked = 0
        self._at = DOORBELL_LATENCY  # the next one can be asked for
        self._slots: deque[int] = deque()  # cycles in which places of taken entries are free
        self._arrivals: list[int] = []

    def until(self, cycle: int) -> int:
        """Ask for what goes before a burst of the loader that is ready in ``cycle``.

        Returns when the loader's burst goes.
        """
        while (at := self._next()) is not None and at <= cycle:
            self._ask(at)
            cycle = max(cycle, at + 1)
        return cycle

    def arrival(self, number: int) -> int:
        """Last beat of an entry."""
        while len(self._arrivals) <= number:
            at = self._next()
            assert at is not None
            self._ask(at)
        return self._arrivals[number]

    def taken(self, number: int, cycle: int) -> None:
        """The front end has all of an entry."""
        self._slots.append(cycle + 1)

    def _next(self) -> int | None:
        """When the next entry is asked for; None when there is none, or no place for it yet."""
        if self._asked == len(self._entries):
            return None
        if self._asked < AHEAD:
            return self._at
        if not self._slots:
            return None
        return max(self._at, self._slots[0])

    def _ask(self, cycle: int) -> None:
        if self._asked >= AHEAD:
            self._slots.popleft()
        beats = entry_beats(self._model.config)
        first = self._model.read(cycle, self._entries[self._asked].submission, beats)
        self._arrivals.append(self._model.take(first, beats))
        self._asked += 1
        self._at = cycle + 1


class _Loader:
    """The config loader: bursts of a LOAD are asked for while words of others come."""

    def __init__(self, model: LoadsModel) -> None:
        self._model = model
        self._ends: deque[int] = deque(maxlen=IN_FLIGHT)  # last words of the bursts in flight
        self._last = -1  # last word so far
        self.ready = 0
        """All bursts so far are asked for: the next LOAD can be taken."""
        self.popped: list[int] = []
        """The words of each LOAD can begin a cycle later."""

    def load(self, cycle: int, entry: LoadEntry, fetches: _Fetches) -> int:
        """A LOAD is taken in ``cycle``; returns the cycle of its last word."""
        model = self._model
        per_beat = 1 if entry.wide else model.config.axi_bytes // _WORD_BYTES
        self.popped.append(max(cycle + Queue.BUFFERED_LATENCY, self._last + 1))
        begin = self.popped[-1] + 1
        left = entry.words
        asked = cycle
        for address, beats in _bursts(model.config, entry):
            asked += 1
            if len(self._ends) == IN_FLIGHT:
                asked = max(asked, self._ends[0] + 1)
            asked = fetches.until(asked)
            first = max(begin, model.read(asked, address, beats))
            words = min(left, beats * per_beat)
            left -= words
            self._last = model.take(first, words)
            self._ends.append(self._last)
        self.ready = asked + 1
        return self._last


def _bursts(config: Config, entry: LoadEntry) -> Iterator[tuple[int, int]]:
    """Address and beats, up to the next multiple of ``BURST_BYTES``."""
    size = config.axi_bytes
    left = entry.words if entry.wide else -(-entry.words * _WORD_BYTES // size)
    address = entry.address
    while left:
        beats = min(left, (BURST_BYTES - address % BURST_BYTES) // size)
        yield address, beats
        address += beats * size
        left -= beats
