"""What each context has left to do; follows ``hdl/control/work_table.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .contexts import StageContext
from .events import Clock, Poll
from .loader import round_robin
from .selector import Report

__all__ = ["Group", "WorkTableModel"]

_REFILL = 3
"""A context is picked, its group is read and applied."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that may be worked on together."""

    context: StageContext
    sub_batch: int
    position: int
    stride: int
    rows: int


@dataclass(eq=False)
class _Work:
    """One context."""

    context: StageContext
    groups: list[Group]
    begun: int = 0
    left: int = 0
    since: int = 0
    """Cycle from which the open group shows."""
    position: int = 0
    known: list[int] = field(default_factory=list)
    """Cycle from which each group is known."""

    @property
    def group(self) -> Group:
        """The open one."""
        return self.groups[self.begun - 1]


class WorkTableModel:
    """Open groups of all contexts.

    Parameters
    ----------
    on_pending
        Called with a cycle from which some context has an open group.
    busy
        (cycle, context): the issuer works on it.
    """

    def __init__(
        self, clock: Clock, on_pending: Callable[[int], None], busy: Callable[[int, int], bool]
    ) -> None:
        self._on_pending, self._busy = on_pending, busy
        self._refill = Poll(clock, self._pick)
        self._clock = clock
        self._free = 0  # cycle from which the refill picks
        self._turn = -1
        self._works: dict[int, _Work] = {}

    def opened(self, cycle: int, context: StageContext) -> None:
        """A context is open from ``cycle`` + 1 on, a first stage with all its groups."""
        groups = []
        if context.first:
            groups = [
                Group(
                    context=context,
                    sub_batch=part,
                    position=part,
                    stride=context.sub_batches,
                    rows=rows,
                )
                for part, rows in enumerate(context.sizes())
            ]
        self._works[context.number] = _Work(context, groups, known=[cycle + 1] * len(groups))
        self.wake(cycle + 1)

    def grow(self, cycle: int, report: Report) -> Group | None:
        """A report that adds items to the next context's list adds a group: returns it."""
        assert report.context.following is not None
        work = self._works[report.context.following.number]
        known = work.groups[-1].position + work.groups[-1].rows if work.groups else 0
        if report.count == known:
            return None
        group = Group(
            context=work.context,
            sub_batch=report.sub_batch,
            position=known,
            stride=1,
            rows=report.count - known,
        )
        work.groups.append(group)
        work.known.append(cycle + 1)
        self.wake(cycle + 1)
        return group

    def wake(self, cycle: int) -> None:
        """Something that a refill waits for may hold from ``cycle`` on."""
        self._refill.at(max(cycle, self._free))

    def _pick(self, cycle: int) -> None:
        if cycle < self._free:
            return
        wanted = [
            number
            for number, work in sorted(self._works.items())
            if not work.left
            and work.since <= cycle
            and work.begun < len(work.groups)
            and work.known[work.begun] <= cycle
            and not self._busy(cycle, number)
        ]
        if not wanted:
            return
        self._turn = round_robin(wanted, self._turn)
        work = self._works[self._turn]
        work.begun += 1
        work.left, work.since = work.group.rows, cycle + _REFILL
        work.position = work.group.position
        self._free = cycle + _REFILL
        self._on_pending(cycle + _REFILL)
        self.wake(self._free)

    def pending(self, cycle: int) -> list[StageContext]:
        """Contexts with an open group in ``cycle``."""
        return [w.context for w in self._works.values() if w.left and w.since <= cycle]

    def open_group(self, context: StageContext) -> Group:
        """What is left of its open group."""
        work = self._works[context.number]
        group = work.group
        return Group(
            context=context,
            sub_batch=group.sub_batch,
            position=work.position,
            stride=group.stride,
            rows=work.left,
        )

    def take(self, cycle: int, context: StageContext, rows: int) -> None:
        """Rows are given away in ``cycle``."""
        work = self._works[context.number]
        work.left -= rows
        work.position += rows * work.group.stride
        if not work.left:
            work.since = cycle + 1
            self.wake(cycle + 1)
