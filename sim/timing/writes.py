"""Writes of the device: results and completions on one port.

Follows ``hdl/control``'s result writer and write share and ``hdl/bus``'s write master.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hdl.config import Config
from hdl.control.completion_ring import CompletionRing
from hdl.control.result_writer import BURST_BYTES, RESULT_BYTES
from hdl.control.write_share import WriteShare
from hdl.program import COMPLETION_BYTES
from hdl.queue import Queue

from .dram import Dram
from .events import Clock, Poll

__all__ = ["ResultWriterModel", "WritePortModel", "completion_end"]

WRITE_LATENCY = 1
"""Burst or beat taken by the write master to AW or W."""
_NEVER = 1 << 60

OnCycle = Callable[[int], None]


def completion_end(config: Config, dram: Dram, accepted: int) -> int:
    """A completion is answered, from the cycle in which the ring has room; nothing else writes."""
    beats = COMPLETION_BYTES // config.axi_bytes
    asked = accepted + CompletionRing.LATENCY + 1
    return asked + WriteShare.LATENCY + beats + WRITE_LATENCY + dram.latency + 1


class WritePortModel:
    """Bursts of both writers, in turns, one after the other."""

    def __init__(self, clock: Clock, dram: Dram) -> None:
        self._clock, self._dram = clock, dram
        self._poll = Poll(clock, self._grant)
        self._waiting: tuple[deque[tuple[int, int, OnCycle, OnCycle]], ...] = (deque(), deque())
        self._free = 0
        self._owner = False
        self.bursts = self.beats = 0

    def ask(
        self, cycle: int, completion: bool, beats: int, handed: OnCycle, answered: OnCycle
    ) -> None:
        """A burst is on offer from ``cycle`` on.

        ``handed``: cycle from which the writer may offer another one; ``answered``: the memory's
        answer is seen in that cycle.
        """
        self._waiting[completion].append((cycle, beats, handed, answered))
        self._poll.at(cycle)

    def _grant(self, cycle: int) -> None:
        if cycle < self._free:
            self._poll.at(self._free)
            return
        there = [bool(waiting) and waiting[0][0] <= cycle for waiting in self._waiting]
        if not any(there):
            return
        self._owner = not there[0] if self._owner else there[1]
        _, beats, handed, answered = self._waiting[self._owner].popleft()
        port = cycle + WriteShare.LATENCY
        self._free = port + beats + 1
        self.bursts += 1
        self.beats += beats
        self._clock.at(self._free, handed)
        # W one after the other; the answer comes a latency after the last one.
        self._clock.at(port + beats + WRITE_LATENCY + self._dram.latency + 1, answered)
        self._poll.at(self._free)


class ResultWriterModel:
    """Packs results into beats and bursts."""

    def __init__(self, clock: Clock, config: Config, port: WritePortModel) -> None:
        self._clock, self._port = clock, port
        self._per_beat = config.axi_bytes // RESULT_BYTES
        self._per_burst = BURST_BYTES // config.axi_bytes
        self._free = 0
        self._held = self._beats = 0  # results of the beat, beats of the burst
        self._open: dict[int, int] = {}  # bursts of a query that are not answered
        self._written: dict[int, int] = {}  # cycle from which a query's answers are counted
        self._closed: dict[int, int] = {}  # cycle from which all its bursts are asked for

    def written(self, query: int) -> int:
        """Cycle from which all results of a query are written and answered."""
        if self._open.get(query, 0) or query not in self._closed:
            return _NEVER
        return max(self._closed[query], self._written[query])

    def take(
        self, query: int, offers: list[int], *, last: bool, on_last: OnCycle, on_written: OnCycle
    ) -> int:
        """Results on offer in these cycles: a refused one delays those behind it.

        Returns when the last of them is taken. ``last``: the query has no more; ``on_last`` is told
        of that cycle then, and ``on_written`` of cycles in which more is written.
        """
        at, shown, taken = self._free, offers[0], offers[0] - 1
        for index, offer in enumerate(offers):
            # The source goes on while one waits, but shows the next one only behind it.
            shown = max(shown + offer - offers[max(index - 1, 0)], taken + 1)
            taken = max(shown, at)
            at = taken + 1
            self._held += 1
            if self._held == self._per_beat or (last and index + 1 == len(offers)):
                at += 2  # found full, beat handed over
                self._held, self._beats = 0, self._beats + 1
                if self._beats == self._per_burst:
                    at += 2
                    self._burst(at - 1, query, on_written)
        self._free = at
        if last:
            at += 1  # all is there: LAST
            if self._beats:
                self._burst(at, query, on_written)
            self._free = self._closed[query] = at + 1
            self._clock.at(max(taken, self._clock.now), on_last)
            self._clock.at(max(at + 1, self._clock.now), on_written)
        return taken

    def _burst(self, asked: int, query: int, on_written: OnCycle) -> None:
        """A burst is asked for in ``asked``."""
        beats, self._beats = self._beats, 0
        self._open[query] = self._open.get(query, 0) + 1

        def answered(cycle: int) -> None:
            self._open[query] -= 1
            self._written[query] = cycle + 1
            on_written(cycle + 1)

        self._clock.at(max(asked, self._clock.now), self._ask, beats, answered)

    def _ask(self, cycle: int, beats: int, answered: OnCycle) -> None:
        self._port.ask(cycle + Queue.LATENCY, False, beats, lambda _: None, answered)
