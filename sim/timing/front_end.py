"""Front end: entries in, queries to the core, results and completions out.

Follows ``hdl/control``'s front end and its parts for queries, with one event a query and writer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hdl.config import Config
from hdl.control.completion_ring import CompletionRing
from hdl.control.entry_fetcher import AHEAD
from hdl.control.front_end import FrontEnd
from hdl.control.query_places import queries_at_once
from hdl.control.submission_check import SubmissionCheck
from hdl.program import SUBMISSION_BYTES
from hdl.queue import Queue

from .core import CoreModel
from .dram import Dram
from .events import Clock, Poll
from .memory import Memory
from .writes import ResultWriterModel, WritePortModel

__all__ = ["DOORBELL_LATENCY", "INTERRUPT_LATENCY", "FrontEndModel", "entry_beats", "entry_taken"]

DOORBELL_LATENCY = 3
"""Data handshake of the tail's write to the first request: AXI4-Lite data register, register,
comparison with the entries asked for."""
INTERRUPT_LATENCY = 2
"""End of a completion to the interrupt pin: status register, output register."""
ENDS = 2
"""Ends of queries that wait for their completion."""


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


class FrontEndModel:
    """Queries that are submitted at cycle 0, or as soon as one of those before is completed.

    Parameters
    ----------
    submissions
        Address of each query's entry.
    window
        Queries submitted and not completed, at most; the host takes no time for it. None: all.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        memory: Memory,
        dram: Dram,
        submissions: Sequence[int],
        window: int | None = None,
    ) -> None:
        self._clock, self._config, self._memory = clock, config, memory
        self._submissions = submissions
        self.core: CoreModel
        self.writes = WritePortModel(clock, dram)
        self._results = ResultWriterModel(clock, config, self.writes)
        self._rung = len(submissions) if window is None else min(window, len(submissions))
        self._asked = self._held = 0  # entries asked for; of them those that are not taken
        self._ask_from = DOORBELL_LATENCY
        self._arrived: dict[int, int] = {}  # last beats of entries
        self._entry = 0  # the next one to begin
        self._free: int | None = 0  # the front end takes its beats from here on
        self._places = queries_at_once(config)
        self._at_work = 0
        self._start = Poll(clock, self._check)
        self._checked: int | None = None  # entry that waits for a place
        self._start_from = 0
        self._since: dict[int, int] = {}  # cycle of each entry's last beat
        # Ends of queries: query, from which cycle on it is held.
        self._offered: int | None = None
        self._ends: deque[tuple[int, int]] = deque()
        self._complete = Poll(clock, self._try_complete)
        self._ring_free = 0
        self.ends: list[int] = []
        """Cycle in which each query's completion is answered."""
        self.latencies: list[int] = []
        """As the completions tell them: from the entry's last beat."""

    def begin(self) -> None:
        """The doorbell."""
        self._ask(self._ask_from)

    # -- entries -------------------------------------------------------------------------------
    def _ask(self, cycle: int) -> None:
        """Entries are asked for ahead of their turn, one a cycle."""
        while self._asked < self._rung and self._held < AHEAD:
            at = max(cycle, self._ask_from)
            self._clock.at(at, self._fetch, self._asked)
            self._asked, self._held, self._ask_from = self._asked + 1, self._held + 1, at + 1

    def _room(self, cycle: int) -> None:
        """An entry is taken."""
        self._held -= 1
        self._ask(cycle)

    def _fetch(self, cycle: int, number: int) -> None:
        """An entry is asked for."""

        def entry(first: int, beats: int) -> None:
            self._arrived[number] = first + beats - 1
            self._take()

        address = self._submissions[number]
        self._memory.read(cycle, 0, 0, address, entry_beats(self._config), entry)

    def _take(self) -> None:
        """The next entry, when it is there and the front end is free."""
        number = self._entry
        if self._free is None or number not in self._arrived:
            return
        taken = entry_taken(self._config, self._arrived.pop(number), self._free)
        self._clock.at(max(taken + 1, self._clock.now), self._room)
        self._free, self._checked, self._start_from = None, number, taken + 1
        self._since[number] = taken
        self._entry += 1
        self._start.at(taken + 1)

    def _check(self, cycle: int) -> None:
        """START: a query waits for a place."""
        number = self._checked
        if number is None or cycle < self._start_from or self._at_work == self._places:
            return
        self._checked = None
        self._clock.at(cycle + SubmissionCheck.LATENCY + 1, self._offer, number)

    def _offer(self, cycle: int, number: int) -> None:
        self.core.offer(cycle, number)

    def taken(self, cycle: int, query: int) -> None:
        """The core takes the query on offer."""
        self._at_work += 1
        self._free = cycle + FrontEnd.TAKEN_LATENCY + 1
        self._take()

    # -- results and ends ----------------------------------------------------------------------
    def results(self, query: int, offers: list[int], last: bool = True) -> int:
        """Results of a query are on offer in these cycles, if none has to wait."""

        def on_last(cycle: int) -> None:
            self.core.result_taken(cycle, query)

        return self._results.take(
            query, offers, last=last, on_last=on_last, on_written=self._complete.at
        )

    def done(self, cycle: int, query: int) -> None:
        """The end of a query is on offer."""
        self._offered = query
        self._take_end(cycle)

    def _take_end(self, cycle: int) -> None:
        if self._offered is None or len(self._ends) == ENDS:
            return
        query, self._offered = self._offered, None
        self._ends.append((query, cycle + Queue.LATENCY))
        self._complete.at(cycle + Queue.LATENCY)
        self._clock.at(cycle, self._end_taken, query)

    def _end_taken(self, cycle: int, query: int) -> None:
        self.core.done_taken(cycle, query)

    def _try_complete(self, cycle: int) -> None:
        """The oldest query: its end is there, its results are written, the ring takes it."""
        if not self._ends:
            return
        query, since = self._ends[0]
        at = max(since, self._results.written(query), self._ring_free)
        if at > cycle:
            if at < 1 << 60:
                self._complete.at(at)
            return
        taken = cycle + CompletionRing.LATENCY
        self.latencies.append(taken - self._since[query])
        self._ring_free = 1 << 60
        self.writes.ask(taken + 1, True, entry_beats(self._config), self._handed, self._answered)
        self._clock.at(taken + 1, self._place_free)

    def _place_free(self, cycle: int) -> None:
        self._ends.popleft()
        self._at_work -= 1
        self._start.at(cycle)
        self._take_end(cycle)

    def _handed(self, cycle: int) -> None:
        """The completion's beats are handed over: the next one may come from ``cycle`` on."""
        self._ring_free = cycle
        self._complete.at(cycle)

    def _answered(self, cycle: int) -> None:
        self.ends.append(cycle)
        if self._rung < len(self._submissions):
            self._rung += 1
            self._clock.at(cycle + INTERRUPT_LATENCY + DOORBELL_LATENCY, self._ask)
