"""Survivors' rows fetched ahead of their lookups; follows ``hdl/control/prefetcher.py``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.control.prefetcher import Prefetcher

from .contexts import StageContext
from .events import Clock, Poll
from .plan import Plan
from .work_table import Group

__all__ = ["PrefetcherModel"]

_ROUND = 5
"""A list is picked, its number encoded, its record read, its rows counted, the job filled in."""
_SIZE = 3
"""From the pick to the count of its rows."""
_WALKED = 5
"""From the pick of a row by a loader to its count: two stages, the event, its sum, the count."""


@dataclass(eq=False)
class _List:
    """The list of one context."""

    context: StageContext
    grown: list[tuple[int, int]] = field(default_factory=list)
    """Cycles from which it has so many rows."""
    place: int = 0
    """The next row to be fetched ahead."""
    looked_up: int = 0
    until: int | None = None
    """From when its query is not in flight any more."""
    walks: deque[int] = field(default_factory=deque)
    """Cycles from which further rows count as looked up."""

    def count(self, cycle: int) -> int:
        """Rows that are looked up, as known in ``cycle``."""
        while self.walks and self.walks[0] <= cycle:
            self.walks.popleft()
            self.looked_up += 1
        return self.looked_up

    def listed(self, cycle: int) -> int:
        """Its rows in ``cycle``."""
        return max((rows for since, rows in self.grown if since <= cycle), default=0)

    def flies(self, cycle: int) -> bool:
        """Its query was in flight in ``cycle``."""
        return self.until is None or cycle < self.until

    def follow(self, cycle: int) -> None:
        """The next row is as far from the lookups, as counted in ``cycle``, as ``MARGIN`` says."""
        counted = self.count(cycle)
        if counted:
            self.place = max(self.place, counted + Prefetcher.MARGIN)


class PrefetcherModel:
    """Walks the lists of later stages, a job at a time.

    Parameters
    ----------
    available
        (cycle, stage): an engine of the stage had a free slot in that cycle, a little back.
    oldest
        (cycle): first context of the oldest query.
    room
        (cycle): a loader takes a job.
    send
        (cycle, group, rows): the first rows of the group are handed over.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: Plan,
        *,
        available: Callable[[int, int], bool],
        oldest: Callable[[int], int],
        room: Callable[[int], bool],
        send: Callable[[int, Group, int], None],
    ) -> None:
        self._clock, self._config, self._plan = clock, config, plan
        self._available, self._oldest = available, oldest
        self._room, self._send_job = room, send
        self._idle = Poll(clock, self._pick)
        self._offer = Poll(clock, self._send)
        self._lists: dict[int, _List] = {}
        self._pick_from = 0
        self._chosen: _List | None = None
        self._fixed = -1  # last cycle in which its next row was fixed
        self._job: tuple[Group, int] | None = None
        self._full: int | None = None  # a round found no room: when the next one may begin

    # -- what happens elsewhere ----------------------------------------------------------------
    def opened(self, context: StageContext) -> None:
        """A context begins; first stages have no list."""
        if not context.first:
            self._lists[context.number] = _List(context)

    def retired(self, cycle: int, query: int) -> None:
        """A query is not in flight any more: its lists count for nothing."""
        for held in self._lists.values():
            if held.context.query == query:
                held.until = cycle + 1
        self._again(cycle, cycle + 2)

    def grown(self, cycle: int, group: Group) -> None:
        """A list got longer in ``cycle``."""
        held = self._lists[group.context.number]
        held.grown.append((cycle + 1, group.position + group.rows))
        self._again(cycle, cycle + 2)

    def freed(self, cycle: int) -> None:
        """An engine has a free slot from ``cycle`` on: its stage needs nothing fetched ahead."""
        self._again(cycle + 2)

    def taken(self, cycle: int) -> None:
        """An engine took a job in ``cycle``: its stage may have no free one from now on."""
        self._again(cycle + 3)

    def walked(self, cycle: int, context: int) -> None:
        """A loader picks a row of a context in ``cycle``."""
        held = self._lists.get(context)
        if held is not None:
            shown = cycle + _WALKED
            held.walks.append(shown)
            self._again(shown + 2 - _SIZE, shown + 2)

    def wake(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""
        self._offer.at(cycle)

    def _again(self, *cycles: int) -> None:
        """What is looked at in rounds that begin from these cycles on may be another than before:
        as a list is picked, or as its rows are counted."""
        for cycle in cycles:
            start = self._pick_from if self._full is None else self._full
            late = max(0, cycle - start, self._clock.now - start)
            if self._full is not None:
                late = -(-late // _ROUND) * _ROUND
            self._idle.at(start + late)

    # -- rounds --------------------------------------------------------------------------------
    def _pick(self, cycle: int) -> None:
        """PICK: the first list in the ring from the oldest query on that wants rows."""
        if self._job is not None:
            return  # until it is taken
        # In the middle of a round: what has changed is seen in the next one.
        start = self._pick_from if self._full is None else self._full
        late = 0 if self._full is None else (start - cycle) % _ROUND
        if cycle < start or late:
            self._idle.at(max(cycle + late, start))
            return
        # In the last two cycles of a round the next row of the list is fixed.
        fixed = cycle if self._full is not None else self._fixed
        self._full = None
        wants = []
        for number, held in sorted(self._lists.items()):
            if held is not self._chosen or cycle - 2 > fixed:
                held.follow(cycle - 2)
            elif fixed == cycle:
                held.follow(cycle - 3)
            more = held.place < held.listed(cycle - 1) and held.flies(cycle - 1)
            if more and not self._available(cycle - 2, held.context.stage):
                wants.append(number)
        if not wants:
            return
        oldest = self._oldest(cycle - 1)
        self._chosen = self._lists[min(wants, key=lambda n: (n < oldest, n))]
        self._pick_from = cycle + _ROUND
        self._clock.at(cycle + _SIZE, self._count)

    def _count(self, cycle: int) -> None:
        """SIZE, then FILL: the list's next row is fixed."""
        held = self._chosen
        assert held is not None
        ahead = 0
        for other in self._lists.values():
            other.follow(cycle - 2)
            if other.flies(cycle - 2):
                ahead += other.place - other.looked_up
        held.follow(cycle - 1)
        self._fixed = cycle + 1
        window = self._plan.stages[held.context.stage].ahead
        left = max(0, held.listed(cycle) - held.place)
        rows = max(0, min(left, window - ahead, self._config.rows))
        if not rows:
            # Round follows round, the same list picked, until something changes.
            self._full = self._pick_from
            if not left:
                self._idle.at(self._pick_from)
            return
        group = Group(context=held.context, sub_batch=0, position=held.place, stride=1, rows=rows)
        held.place += rows
        self._job = (group, cycle + 2)
        self._offer.at(cycle + 2)

    def _send(self, cycle: int) -> None:
        """SEND."""
        if self._job is None:
            return
        group, since = self._job
        if cycle < since or not self._room(cycle):
            return
        self._job = None
        self._pick_from = cycle + 1
        self._send_job(cycle, group, group.rows)
        self._idle.at(cycle + 1)
