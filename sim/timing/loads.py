"""LOAD entries: how long loading takes, and which DRAM rows it leaves open.

Follows ``hdl/control``'s config loader. Nobody else uses the memory meanwhile and all bursts have
one tag, so they come one after the other: a few additions a burst.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from hdl.bus.axi import PAGE_BYTES
from hdl.config import Config
from hdl.control.config_loader import BURST_BYTES, IN_FLIGHT
from hdl.control.submission_check import SubmissionCheck

from .front_end import DOORBELL_LATENCY, INTERRUPT_LATENCY, completion_end, entry_beats
from .memory import DATA_LATENCY, REQUEST_LATENCY, Banks, Dram

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
        self._banks = [Banks(dram) for _ in range(config.axi_channels)]
        self._bus_free = 0
        self._channel = 0
        self._arrived = 0  # last beat asked for so far is at the front end
        self.bursts = 0
        self.beats = 0

    @property
    def open_rows(self) -> list[list[int]]:
        """Row of every bank of every channel."""
        return [banks.rows for banks in self._banks]

    def run(self, entries: tuple[LoadEntry, ...]) -> int:
        """Cycles from the doorbell's write to the interrupt of the last entry."""
        end = DOORBELL_LATENCY - 1
        for entry in entries:
            first = self._read(end + 2, entry.submission, entry_beats(self._config))
            self._arrived = first + entry_beats(self._config) - 1
            # START, the check, LOAD.
            taken = self._arrived + 1 + SubmissionCheck.LATENCY + 1
            end = completion_end(self._config, self._dram, self._load(taken, entry))
        return end + INTERRUPT_LATENCY if entries else 0

    def _read(self, cycle: int, address: int, beats: int) -> int:
        """A burst is handed over in ``cycle``; returns the cycle of its first beat."""
        self.bursts += 1
        self.beats += beats
        channel = address // PAGE_BYTES % len(self._banks)
        if channel != self._channel:  # an ordered requester uses one channel at a time
            cycle = max(cycle, self._arrived)
            self._channel = channel
        ready = self._banks[channel].ready(cycle + REQUEST_LATENCY, address)
        served = max(ready, self._bus_free)
        self._bus_free = served + beats
        return served + DATA_LATENCY

    def _load(self, cycle: int, entry: LoadEntry) -> int:
        """The loader takes the entry in ``cycle``; returns the cycle in which LOADING ends."""
        per_beat = 1 if entry.wide else self._config.axi_bytes // _WORD_BYTES
        ends: deque[int] = deque(maxlen=IN_FLIGHT)  # last words of the bursts in flight
        left = entry.words
        end = asked = cycle
        for address, beats in self._bursts(entry):
            asked += 1
            if len(ends) == IN_FLIGHT:
                asked = max(asked, ends[0] + 1)
            first = self._read(asked, address, beats)
            words = min(left, beats * per_beat)
            left -= words
            # A word a cycle, none before its beat.
            end = max(end + words, first + words - 1)
            self._arrived = end
            ends.append(end)
        return end + 1

    def _bursts(self, entry: LoadEntry) -> Iterator[tuple[int, int]]:
        """Address and beats, up to the next multiple of ``BURST_BYTES``."""
        size = self._config.axi_bytes
        left = entry.words if entry.wide else -(-entry.words * _WORD_BYTES // size)
        address = entry.address
        while left:
            beats = min(left, (BURST_BYTES - address % BURST_BYTES) // size)
            yield address, beats
            address += beats * size
            left -= beats
