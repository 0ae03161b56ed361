"""Row blocks to engines and loaders; follows ``hdl/control/block_issuer.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hdl.config import Config
from hdl.control.engine_picker import EnginePicker

from .contexts import StageContext
from .engine import EngineModel
from .events import Clock, Poll
from .loader import LoadersModel, round_robin
from .plan import Plan
from .prefetcher import PrefetcherModel
from .units import LoaderJob
from .work_table import Group, WorkTableModel

__all__ = ["BlockIssuerModel", "job_of"]

_PICK = 3
"""A context is chosen, its number encoded, its record read."""


def job_of(plan: Plan, group: Group, rows: int, *, unit: int, slot: int, records: int) -> LoaderJob:
    """The first ``rows`` rows of a group."""
    context = group.context
    stop = group.position + rows * group.stride
    block = slice(group.position, stop, group.stride)
    return LoaderJob(
        unit=unit,
        slot=slot,
        stage=context.stage,
        rows=rows,
        query=context.place,
        context=context.number,
        sub_batch=group.sub_batch,
        position=group.position,
        stride=group.stride,
        records=records,
        items=context.items[block],
        hits=context.hits[block],
        addresses=context.addresses[block],
        row_bytes=plan.stages[context.stage].row_bytes,
        held=context.held[block],
    )


class BlockIssuerModel:
    """One row block after the other.

    Parameters
    ----------
    engines
        By anchor.
    oldest
        (cycle): first context of the oldest query.
    records
        (query): where its item records lie.
    on_job
        (cycle, context, job): an engine takes a job.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: Plan,
        engines: Mapping[int, EngineModel],
        loaders: LoadersModel,
        *,
        oldest: Callable[[int], int],
        records: Callable[[int], int],
        on_job: Callable[[int, StageContext, LoaderJob], None],
    ) -> None:
        self._clock, self._config, self._plan = clock, config, plan
        self._engines, self._oldest, self._records = engines, oldest, records
        self._on_job = on_job
        self.work = WorkTableModel(clock, lambda cycle: self._sample.at(cycle + 1), self._is_busy)
        self._loaders = loaders
        self.prefetcher: PrefetcherModel | None = None
        self._sample = Poll(clock, self._choose)
        self._search = Poll(clock, self._pick)
        self._load = Poll(clock, self._hand_over)
        self._state = "SAMPLE"
        self._since = 0
        self._busy: tuple[int, int] | None = None  # since when, context
        self._was_busy = (-1, -1)  # until when, context
        self._context: StageContext | None = None
        self._job: LoaderJob | None = None
        self._slots = {unit: 0 for unit in engines}
        self._last = -1
        self._taken: dict[int, int] = {}  # cycle in which an engine took a job last
        self._units = {
            stage: sorted(u for u, engine in engines.items() if stage in engine.plan.programs)
            for stage in range(len(plan.stages))
        }

    def _is_busy(self, cycle: int, number: int) -> bool:
        """The issuer works on the context in ``cycle``."""
        if self._busy is not None and self._busy[1] == number and self._busy[0] <= cycle:
            return True
        return self._was_busy[1] == number and cycle <= self._was_busy[0]

    def freed(self, cycle: int) -> None:
        """An engine has a free slot from ``cycle`` on."""
        self._search.at(cycle)
        self._sample.at(cycle + 2)
        if self.prefetcher is not None:
            self.prefetcher.freed(cycle)

    def _was_free(self, cycle: int, unit: int) -> bool:
        """The engine had a free slot in ``cycle``, which lies a few cycles back."""
        taken = self._taken.get(unit)
        # From when the picker saw it until it was taken.
        seen = taken is not None and taken - EnginePicker.LATENCY - 1 <= cycle <= taken
        return seen or self._engines[unit].free(cycle)

    def available(self, cycle: int, stage: int) -> bool:
        """The stage had an engine with a free slot in ``cycle``."""
        return any(self._was_free(cycle, unit) for unit in self._units[stage])

    def _choose(self, cycle: int) -> None:
        """SAMPLE: what was ready a cycle ago, by the engines of two cycles ago."""
        if self._state != "SAMPLE" or cycle < self._since:
            return
        if self._busy is not None:
            self._was_busy, self._busy = (cycle, self._busy[1]), None
            self.work.wake(cycle + 1)
        before = {context.number for context in self.work.pending(cycle - 1)}
        ready = [
            context
            for context in self.work.pending(cycle)
            if context.number in before and self.available(cycle - 2, context.stage)
        ]
        if not ready:
            return
        oldest = self._oldest(cycle - 1)
        chosen = min(ready, key=lambda c: (c.number < oldest, c.number))
        self._busy = (cycle + 1, chosen.number)
        self._context, self._state, self._since = chosen, "PICK", cycle + _PICK
        self._search.at(self._since)

    def _pick(self, cycle: int) -> None:
        """PICK: an engine with a free slot, in turns."""
        if self._state != "PICK" or cycle < self._since:
            return
        context = self._context
        assert context is not None
        free = [u for u in self._units[context.stage] if self._engines[u].free(cycle)]
        if not free:
            return
        unit = self._last = round_robin(free, self._last)
        group = self.work.open_group(context)
        rows = min(group.rows, self._plan.stages[context.stage].rows)
        self._job = job_of(
            self._plan,
            group,
            rows,
            unit=unit,
            slot=self._slots[unit],
            records=self._records(context.query),
        )
        self._slots[unit] ^= 1
        self._state = "ENGINE"
        self._clock.at(cycle + EnginePicker.LATENCY + 1, self._send)

    def _send(self, cycle: int) -> None:
        """ENGINE: it takes the job."""
        job, context = self._job, self._context
        assert job is not None and context is not None
        self._engines[job.unit].start(cycle, job)
        self._taken[job.unit] = cycle
        self.work.take(cycle, context, job.rows)
        self._on_job(cycle, context, job)
        if self.prefetcher is not None:
            self.prefetcher.taken(cycle)
        self._state, self._since = "LOADER", cycle + 1
        self._load.at(cycle + 1)

    def place(self, cycle: int) -> None:
        """A loader may take a job from ``cycle`` on."""
        self._load.at(cycle)
        if self.prefetcher is not None:
            self.prefetcher.wake(cycle)

    def offered(self, cycle: int) -> LoaderJob | None:
        """The row block that is on offer to its loader."""
        return self._job if self._state == "LOADER" and cycle >= self._since else None

    def _hand_over(self, cycle: int) -> None:
        """LOADER."""
        job = self.offered(cycle)
        if job is None or not self._loaders.room(cycle, job):
            return
        self._loaders.job(cycle, job)
        self._state, self._since = "SAMPLE", cycle + 1
        self._sample.at(cycle + 1)
        if self.prefetcher is not None:
            self.prefetcher.wake(cycle + 1)
