"""Contexts of queries side by side: what each is, and which of their sub-batches are complete."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.ranking.contexts import Contexts

from .plan import StageQuery
from .score_lanes import Arrival

__all__ = ["ContextsModel", "StageContext"]


@dataclass(eq=False, kw_only=True)
class StageContext:
    """One stage of one query in work."""

    number: int
    """Among the contexts."""
    query: int
    """In the order of submission."""
    place: int
    """Number of the query among those in flight."""
    stage: int
    data: StageQuery
    sub_batches: int
    final: bool
    base: int
    """Where its region of the candidate memory begins."""
    following: StageContext | None = None
    """The query's next stage."""
    hits: list[list[bool]] = field(default_factory=list)
    addresses: list[list[int]] = field(default_factory=list)
    held: list[list[bool]] = field(default_factory=list)
    items: list[int] = field(default_factory=list)

    @property
    def first(self) -> bool:
        return self.stage == 0

    def sizes(self) -> list[int]:
        """Items of each sub-batch of a first stage."""
        n, parts = len(self.data.items), self.sub_batches
        return [n // parts + (part < n % parts) for part in range(parts)]


class ContextsModel:
    """Opens contexts, counts their scores; follows ``hdl/ranking/contexts.py``.

    Parameters
    ----------
    on_open
        Cycle in which a context is taken.
    on_ready
        Called with the cycle from which a sub-batch is complete.
    wake
        Called with a cycle in which a step is to be done.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_open: Callable[[int], None],
        on_ready: Callable[[int], None],
        wake: Callable[[int], None],
    ) -> None:
        self._config = config
        self._on_open, self._on_ready, self._wake = on_open, on_ready, wake
        self._missing: dict[tuple[int, int], int] = {}
        self._complete: dict[tuple[int, int], int] = {}  # cycle from which it is
        self._counting: Arrival | None = None  # read in the cycle before
        self._opening: StageContext | None = None
        self._announce_at = 0
        self._announced = 0

    def open(self, cycle: int, context: StageContext) -> None:
        """A context is on offer from ``cycle`` on, as long as it takes."""
        for sub_batch in range(context.sub_batches):
            self._complete.pop((context.number, sub_batch), None)
        self._opening, self._announced = context, 0
        # Offered, then a cycle a bit of the two divisions.
        self._announce_at = cycle + 1 + self._config.item_bits + 1
        self._wake(self._announce_at)

    def complete(self, cycle: int, context: int, sub_batch: int) -> bool:
        """The sub-batch can be selected from in ``cycle``."""
        return self._complete.get((context, sub_batch), cycle + 1) <= cycle

    def step(self, cycle: int, announce: Arrival | None, arrival: Arrival | None) -> str:
        """One cycle: who is served of a selection's announcement and the arrivals.

        Returns ``announce``, ``arrival`` or nothing.
        """
        counting, self._counting = self._counting, None
        if counting is not None:
            key = (counting.context, counting.sub_batch)
            self._set(cycle, key, self._missing[key] - counting.count)
        opening = self._opening
        if opening is not None and cycle >= self._announce_at:
            if opening.first and self._announced < opening.sub_batches:
                if counting is None:
                    key = (opening.number, self._announced)
                    self._set(cycle, key, opening.sizes()[self._announced])
                    self._announced += 1
                self._wake(cycle + 1)
                return ""
            self._opening = None
            self._on_open(cycle)
        if announce is not None:
            if counting is not None:
                return ""
            self._set(cycle, (announce.context, announce.sub_batch), announce.count)
            return "announce"
        if arrival is None or counting is not None:
            return ""
        self._counting = arrival
        self._wake(cycle + 1)
        return "arrival"

    def _set(self, cycle: int, key: tuple[int, int], missing: int) -> None:
        self._missing[key] = missing
        if not missing:
            ready = cycle + Contexts.COUNT_CYCLES - 1  # the count itself takes one
            self._complete[key] = ready
            self._on_ready(ready)
