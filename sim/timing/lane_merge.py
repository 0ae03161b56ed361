"""Queues between record loaders and gather lanes; follows ``hdl/embedding/lane_merge.py``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hdl.config import Config
from hdl.embedding.lane_merge import LaneMerge
from hdl.queue import Queue

from .events import Clock, Poll
from .units import Lookup

__all__ = ["LaneMergeModel", "Places"]


class Places:
    """Places of a queue: one is free again in the cycle after its element left."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._held = 0
        self._left: deque[int] = deque()  # cycles in which elements left, the latest ones

    def room(self, cycle: int) -> bool:
        """An element is taken in ``cycle``."""
        while self._left and self._left[0] < cycle:
            self._left.popleft()
            self._held -= 1
        return self._held < self._depth

    def put(self) -> None:
        """It is; there is room."""
        self._held += 1

    def take(self, cycle: int) -> None:
        """An element leaves in ``cycle``."""
        self._left.append(cycle)


class LaneMergeModel:
    """In front of one gather lane.

    Parameters
    ----------
    push
        (cycle, lookup): a lookup is on offer to the lane from that cycle on.
    on_room
        (loader, cycle): a place for the loader's ids is free from that cycle on.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        push: Callable[[int, Lookup], None],
        on_room: Callable[[int, int], None],
    ) -> None:
        self._push, self._on_room = push, on_room
        self._loaders = config.record_loaders
        self._out = Places(LaneMerge.LANE_DEPTH)
        self._in = [Places(LaneMerge.LOADER_DEPTH) for _ in range(self._loaders)]
        self._waiting: list[deque[tuple[int, Lookup]]] = [deque() for _ in range(self._loaders)]
        self._arbiter = Poll(clock, self._grant)
        self._last = -1

    def room(self, cycle: int, loader: int) -> bool:
        """An id of the loader is taken in ``cycle``."""
        return (self._out if self._loaders == 1 else self._in[loader]).room(cycle)

    def put(self, cycle: int, loader: int, lookup: Lookup) -> None:
        """It is; there is room."""
        if self._loaders == 1:
            self._out.put()
            self._push(cycle + Queue.LATENCY, lookup)
            return
        self._in[loader].put()
        self._waiting[loader].append((cycle + Queue.LATENCY, lookup))
        self._arbiter.at(cycle + Queue.LATENCY)

    def taken(self, cycle: int) -> None:
        """The lane takes its oldest lookup in ``cycle``."""
        self._out.take(cycle)
        if self._loaders == 1:
            self._on_room(0, cycle + 1)
        else:
            self._arbiter.at(cycle + 1)

    def _grant(self, cycle: int) -> None:
        asked = [n for n, waiting in enumerate(self._waiting) if waiting and waiting[0][0] <= cycle]
        if not asked or not self._out.room(cycle):
            return
        chosen = self._last = next((n for n in asked if n > self._last), asked[0])
        _, lookup = self._waiting[chosen].popleft()
        self._in[chosen].take(cycle)
        self._on_room(chosen, cycle + 1)
        self._out.put()
        self._push(cycle + Queue.LATENCY, lookup)
        if len(asked) > 1 or self._waiting[chosen]:
            self._arbiter.at(cycle + 1)
