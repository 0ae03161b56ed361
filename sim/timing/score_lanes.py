"""Scores on their way from the engines to the funnel's counter, cycle by cycle.

Follows ``hdl/ranking``'s score lanes: merges, queues, heads, banks, counts. A step does one cycle,
from the counter back to the engines, so that each part still sees what those before it held.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hdl.config import Config
from hdl.ranking.arrival_count import ArrivalCount
from hdl.ranking.score_lanes import lane_of

from .merges import MergeTree, UnitScores
from .units import LoaderJob

__all__ = ["Arrival", "ScoreLanesModel"]

SHALLOW = 4
"""Queues up to this depth are registers, deeper ones memories with a register behind them."""


@dataclass(eq=False, slots=True)
class Arrival:
    """So many scores of a sub-batch."""

    context: int
    sub_batch: int
    count: int


@dataclass(eq=False, slots=True)
class _Score:
    context: int
    sub_batch: int
    bank: int


class _Lane:
    """Scores of some engines: merged, queued, into the banks, counted."""

    def __init__(self, config: Config, number: int, units: Sequence[UnitScores]) -> None:
        self.number = number
        self._tree = MergeTree(units)
        self.units = units
        self._buffered = config.rows > SHALLOW
        self._room = config.rows - self._buffered
        self._queue: deque[_Score] = deque()
        self._front: _Score | None = None  # register behind the queue's memory
        self.head: _Score | None = None
        self.waiting: Arrival | None = None  # counted
        self._taken = False  # ``waiting`` leaves in this cycle

    # -- the counted arrivals, for their merge ---------------------------------------------------
    def peek(self, cycle: int) -> Arrival | None:
        return self.waiting

    def pop(self, cycle: int) -> None:
        self._taken = True

    def allowed(self) -> bool:
        """The head's score may be counted."""
        waiting, head = self.waiting, self.head
        assert head is not None
        return waiting is None or (
            waiting.context == head.context
            and waiting.sub_batch == head.sub_batch
            and waiting.count != ArrivalCount.LIMIT
        )

    def step(self, cycle: int, granted: bool) -> None:
        """Everything but the choice of the banks."""
        head, waiting = self.head, self.waiting
        if granted:
            assert head is not None
            if waiting is not None and not self._taken:
                waiting.count += 1
            else:
                self.waiting = Arrival(head.context, head.sub_batch, 1)
        elif self._taken:
            self.waiting = None
        self._taken = False
        taken = head is None or granted  # what the queue offers
        full = len(self._queue) >= self._room
        if self._buffered:
            if taken:
                self.head, self._front = self._front, None
            if self._front is None and self._queue:
                self._front = self._queue.popleft()
        elif taken:
            self.head = self._queue.popleft() if self._queue else None
        out = self._tree.out
        if out.held is not None and not full:
            assert isinstance(out.held, _Score)
            self._queue.append(out.held)
            out.pop(cycle)
        self._tree.step(cycle)

    @property
    def empty(self) -> bool:
        """Nothing is on its way; scores that are still to come do not count."""
        return (
            self.head is None
            and self.waiting is None
            and self._front is None
            and not self._queue
            and self._tree.empty
        )


class ScoreLanesModel:
    """All lanes.

    Parameters
    ----------
    wake
        Called with a cycle in which a step is to be done.
    """

    def __init__(self, config: Config, wake: Callable[[int], None]) -> None:
        self._config, self._wake = config, wake
        lanes = min(config.filter_lanes, config.sub_arrays)
        self._units = [UnitScores() for _ in range(config.sub_arrays)]
        self._lanes = [
            _Lane(
                config, lane, [u for n, u in enumerate(self._units) if lane_of(config, n) == lane]
            )
            for lane in range(lanes)
        ]
        self._arrivals = MergeTree(self._lanes)
        self._lane_of = [self._lanes[lane_of(config, n)] for n in range(config.sub_arrays)]
        self._active: set[_Lane] = set()

    def scores(self, job: LoaderJob, base: int, first: int, taken: Callable[[int], None]) -> None:
        """Scores of a row block come into the engine's queue, one a cycle from ``first`` on.

        ``base``: where the context's region begins; ``taken`` is told when the last one leaves.
        """
        banks = self._config.candidate_banks
        scores = []
        for row, position in enumerate(job.positions):
            word, lane = divmod(base + position, banks)
            # As ``candidate_memory.bank_of`` says.
            score = _Score(job.context, job.sub_batch, (lane + 3 * word) % banks)
            scores.append((first + row, score))
        self._units[job.unit].put(scores, taken)
        self._active.add(self._lane_of[job.unit])
        self._wake(first)

    def arrival(self) -> Arrival | None:
        """What the counter may take in this cycle."""
        held = self._arrivals.out.held
        assert held is None or isinstance(held, Arrival)
        return held

    def step(self, cycle: int, taken: bool) -> None:
        """One cycle; ``taken``: the counter takes the arrival on offer."""
        if taken:
            self._arrivals.out.pop(cycle)
        self._arrivals.step(cycle)
        granted = self._grant()
        later = None
        for lane in list(self._active):
            lane.step(cycle, lane in granted)
            if not lane.empty:
                later = cycle + 1
                continue
            ahead = [unit.scores[0][0] for unit in lane.units if unit.scores]
            if ahead:
                later = min(ahead) if later is None else min(later, *ahead)
            else:
                self._active.discard(lane)
        if not self._arrivals.empty:
            later = cycle + 1
        if later is not None:
            self._wake(max(later, cycle + 1))

    def _grant(self) -> set[_Lane]:
        """Each bank takes one of the heads that want it, lane ``bank`` first."""
        count = len(self._lanes)
        wants: dict[int, tuple[int, _Lane]] = {}  # by bank: place in the bank's order, lane
        for lane in self._active:
            head = lane.head
            if head is None or not lane.allowed():
                continue
            place = (lane.number - head.bank) % count
            if head.bank not in wants or place < wants[head.bank][0]:
                wants[head.bank] = (place, lane)
        return {lane for _, lane in wants.values()}
