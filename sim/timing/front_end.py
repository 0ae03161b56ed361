"""Rings, results and completions: what surrounds a query's stages.

Follows ``hdl/control``'s front end and result writer and ``hdl/bus``'s write master.
"""

from __future__ import annotations

from collections.abc import Callable

from hdl.config import Config
from hdl.control.dispatcher import Dispatcher
from hdl.control.result_writer import BURST_BYTES, RESULT_BYTES
from hdl.control.submission_check import SubmissionCheck
from hdl.program import SUBMISSION_BYTES
from hdl.queue import Queue

from .dram import Dram
from .memory import REQUEST_LATENCY

__all__ = [
    "DOORBELL_LATENCY",
    "Results",
    "completion_end",
    "dispatch_start",
    "entry_beats",
    "entry_taken",
]

DOORBELL_LATENCY = 2
"""Data handshake of the tail's write to the register: AXI4-Lite data register, register."""
INTERRUPT_LATENCY = 2
"""End of a completion to the interrupt pin: status register, output register."""
WRITE_LATENCY = 1
"""Burst or beat taken by the write master to AW or W."""


def entry_beats(config: Config) -> int:
    """Beats of a submission entry."""
    return SUBMISSION_BYTES // config.axi_bytes


def entry_taken(config: Config, last_beat: int, free: int) -> int:
    """The front end has all of an entry.

    Parameters
    ----------
    last_beat
        It comes from memory.
    free
        First cycle in which the front end takes beats of it.
    """
    return max(last_beat + Queue.BUFFERED_LATENCY, free + entry_beats(config) - 1)


def dispatch_start(check: int, stages: int) -> int:
    """First stage starts (ranking takes n and k), from the start of the submission check.

    That check, QUERY, then the dispatcher's own check.
    """
    query = check + SubmissionCheck.LATENCY + 1
    return query + Dispatcher.CHECK_CYCLES + stages


class Results:
    """The result writer: when each result is taken and when the last one is written.

    Parameters
    ----------
    count
        Results of the query.
    """

    def __init__(self, config: Config, dram: Dram, count: int) -> None:
        self._per_beat = config.axi_bytes // RESULT_BYTES
        self._per_burst = BURST_BYTES // config.axi_bytes
        self._dram = dram
        self._count = count
        self._bus_free = 0
        self.beats = 0
        self.bursts = 0
        self.answered = 0

    def run(self, offered: list[int], done: Callable[[int], int]) -> int:
        """Take results offered at these cycles; returns when all are written and answered.

        ``done`` maps the cycle of the last result to that in which ``end`` is known.
        """
        held = beats = taken = 0
        at = 0
        previous_offer = previous_taken = 0
        for index, offer in enumerate(offered):
            # A refused result delays those behind it: the source keeps its own distance.
            if index:
                offer = max(offer, previous_taken + (offer - previous_offer))
            previous_offer = offered[index]
            taken = max(offer, at)
            previous_taken = taken
            at = taken + 1
            held += 1
            if held == self._per_beat:
                at += 2  # found full, beat handed over
                held, beats = 0, beats + 1
                if beats == self._per_burst:
                    at += 2
                    self._burst(at - 1, beats)
                    beats = 0
        end = done(taken)
        at = max(at, end)
        if held:
            at += 2
            beats += 1
        at += 1  # complete: LAST
        if beats:
            self._burst(at, beats)
        # LAST to IDLE; the queues are empty when the beats are gone.
        return max(at + 1, self.answered)

    def _burst(self, asked: int, beats: int) -> None:
        """A burst is put into its queue in ``asked``."""
        take = max(asked + 1, self._bus_free)
        self._bus_free = take + beats + 1
        self.bursts += 1
        self.beats += beats
        # W one after the other; the answer comes a latency after the last one.
        self.answered = take + beats + WRITE_LATENCY + self._dram.latency + 1


def completion_end(config: Config, dram: Dram, accepted: int) -> int:
    """A completion is answered and counted, from the cycle in which the ring takes it."""
    take = accepted + 1
    return take + entry_beats(config) + WRITE_LATENCY + dram.latency + 1


def request_to_beats(dram: Dram) -> int:
    """Uncontended request in an open row to its first beat."""
    return REQUEST_LATENCY + dram.latency
