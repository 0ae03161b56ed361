"""LOAD entries: how long loading takes, and which DRAM rows it leaves open.

Follows ``hdl/control``'s config loader, an event a burst.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hdl.config import Config
from hdl.control.config_loader import BURST_BYTES, IN_FLIGHT
from hdl.control.submission_check import SubmissionCheck

from .events import Clock
from .front_end import DOORBELL_LATENCY, INTERRUPT_LATENCY, completion_end, entry_beats
from .memory import Dram, Memory

__all__ = ["LoadEntry", "LoadsModel"]

REQUESTER = 0
"""Of the front end at the read crossbar."""
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
        self._clock = Clock()
        self.memory = Memory(self._clock, config, dram)
        self._entries: tuple[LoadEntry, ...] = ()
        self._end = 0
        # Of the entry in work.
        self._bursts: deque[tuple[int, int]] = deque()  # address and beats, to be asked for
        self._flying = 0
        self._words_end = 0  # cycle of the last word so far

    def run(self, entries: tuple[LoadEntry, ...]) -> int:
        """Cycles from the doorbell's write to the interrupt of the last entry."""
        if not entries:
            return 0
        self._entries = entries
        self._clock.at(DOORBELL_LATENCY, self._fetch, 0)
        self._clock.run()
        return self._end + INTERRUPT_LATENCY

    def _fetch(self, cycle: int, number: int) -> None:
        entry = self._entries[number]

        def fetched(first: int, beats: int) -> None:
            # START, the check, LOAD.
            taken = first + beats - 1 + 1 + SubmissionCheck.LATENCY + 1
            self._clock.at(taken, self._take, number)

        beats = entry_beats(self._config)
        self._clock.at(cycle + 1, self.memory.read, REQUESTER, 0, entry.submission, beats, fetched)

    def _take(self, cycle: int, number: int) -> None:
        """The loader takes the entry: bursts up to the next multiple of ``BURST_BYTES``."""
        entry = self._entries[number]
        size = self._config.axi_bytes
        left = entry.words if entry.wide else -(-entry.words * _WORD_BYTES // size)
        address = entry.address
        while left:
            beats = min(left, (BURST_BYTES - address % BURST_BYTES) // size)
            self._bursts.append((address, beats))
            address += beats * size
            left -= beats
        self._words_end = cycle
        self._ask(cycle + 1, number)

    def _ask(self, cycle: int, number: int) -> None:
        """A burst a cycle, while few are in flight."""
        if not self._bursts or self._flying == IN_FLIGHT:
            return
        entry = self._entries[number]
        address, beats = self._bursts.popleft()
        self._flying += 1
        last = not self._bursts
        per_beat = 1 if entry.wide else self._config.axi_bytes // _WORD_BYTES
        words = beats * per_beat
        if last and not entry.wide:
            words -= -entry.words % per_beat

        def landed(first: int, count: int) -> None:
            # A word a cycle, and no earlier than its beat.
            end = max(self._words_end + words, first + count - 1, first + words - 1)
            self._words_end = end
            self._clock.at(end + 1, self._landed, number, last)

        self.memory.read(cycle, REQUESTER, 0, address, beats, landed)
        if self._bursts:
            self._clock.at(cycle + 1, self._ask, number)

    def _landed(self, cycle: int, number: int, last: bool) -> None:
        """A burst's last word was written in the cycle before."""
        self._flying -= 1
        if not last:
            if self._flying == IN_FLIGHT - 1:
                self._ask(cycle, number)
            return
        # ``done`` is registered; LOADING sees it in this cycle.
        end = completion_end(self._config, self._dram, cycle)
        if number + 1 < len(self._entries):
            self._clock.at(end + 1, self._fetch, number + 1)
        self._end = end
