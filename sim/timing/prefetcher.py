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
    listed: int = 0
    place: int = 0
    """The next row to be fetched ahead."""
    looked_up: int = 0
    walks: deque[int] = field(default_factory=deque)
    """Cycles from which further rows count as looked up."""

    def count(self, cycle: int) -> int:
        """Rows that are looked up, as known in ``cycle``."""
        while self.walks and self.walks[0] <= cycle:
            self.walks.popleft()
            self.looked_up += 1
        return self.looked_up


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
        self._job: tuple[Group, int] | None = None
        self._full: int | None = None  # a round found no room: when the next one may begin

    # -- what happens elsewhere ----------------------------------------------------------------
    def opened(self, context: StageContext) -> None:
        """A context begins; first stages have no list."""
        if not context.first:
            self._lists[context.number] = _List(context)

    def retired(self, cycle: int, query: int) -> None:
        """A query is not in flight any more: its lists count for nothing."""
        for number in [n for n, held in self._lists.items() if held.context.query == query]:
            del self._lists[number]
        self._again(cycle)

    def grown(self, cycle: int, group: Group) -> None:
        """A list got longer in ``cycle``."""
        self._lists[group.context.number].listed = group.position + group.rows
        self._idle.at(cycle + 2)

    def taken(self, cycle: int) -> None:
        """An engine took a job in ``cycle``: its stage may have no free one from now on."""
        self._idle.at(cycle + 3)

    def walked(self, cycle: int, context: int) -> None:
        """A loader picks a row of a context in ``cycle``."""
        held = self._lists.get(context)
        if held is not None:
            held.walks.append(cycle + _WALKED)
            self._again(cycle + _WALKED + 2 - _SIZE)

    def wake(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""
        self._offer.at(cycle)

    def _again(self, cycle: int) -> None:
        """There may be room again for rounds that begin from ``cycle`` on."""
        if self._full is not None:
            late = max(0, cycle - self._full)
            self._idle.at(self._full + -(-late // _ROUND) * _ROUND)

    # -- rounds --------------------------------------------------------------------------------
    def _pick(self, cycle: int) -> None:
        """PICK: the first list in the ring from the oldest query on that wants rows."""
        if cycle < self._pick_from or self._job is not None:
            return
        if self._full is not None and (cycle - self._full) % _ROUND:
            return
        self._full = None
        wants = []
        for number, held in sorted(self._lists.items()):
            counted = held.count(cycle - 2)
            if counted and held is not self._chosen:
                held.place = max(held.place, counted + Prefetcher.MARGIN)
            if held.place < held.listed and not self._available(cycle - 2, held.context.stage):
                wants.append(number)
        self._chosen = None
        if not wants:
            return
        oldest = self._oldest(cycle - 1)
        self._chosen = self._lists[min(wants, key=lambda n: (n < oldest, n))]
        self._pick_from = cycle + _ROUND
        self._clock.at(cycle + _SIZE, self._count)

    def _count(self, cycle: int) -> None:
        """SIZE, then FILL."""
        held = self._chosen
        assert held is not None
        ahead = sum(max(0, other.place - other.count(cycle - 2)) for other in self._lists.values())
        window = self._plan.stages[held.context.stage].ahead
        rows = max(0, min(held.listed - held.place, window - ahead, self._config.rows))
        if not rows:
            self._full = self._pick_from
            if held.place >= held.listed:
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
