"""Record loader: which item is fetched when, and when its dense values and ids leave.

Follows ``hdl/embedding``'s record walker, reader, unpacker and feature table: an event a record for
the first two, an event an id for the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.embedding.feature_table import FeatureTable
from hdl.embedding.record_reader import BUFFER_BYTES, RECORDS
from hdl.embedding.record_walker import RecordWalker
from hdl.queue import Queue

from .events import Clock, Poll
from .gather import Gather
from .memory import Memory
from .plan import Plan
from .units import EngineSide, LoaderJob

__all__ = ["RecordLoaderModel"]

REQUESTER = 1
"""Of the record loader at the read crossbar."""

_Push = tuple[int, int, int, bool, int, int]
"""Arguments of ``Gather.push`` behind the cycle."""


@dataclass(eq=False, slots=True)
class _Part:
    """Dense values or ids of one item on their way."""

    job: LoaderJob
    dense: bool
    row: int
    index: int
    beats: int
    start: int
    """Byte offset of the first value in the first beat."""
    first: int | None = None
    """Cycle of the first beat at the unpacker."""
    done: int = 0
    """Dense chunks or ids handed over."""


@dataclass(eq=False)
class _UnitJobs:
    """Jobs of one engine: waiting for the dense pass, and for the id pass."""

    dense: deque[LoaderJob] = field(default_factory=deque)
    ids: deque[LoaderJob] = field(default_factory=deque)
    id_row: int = 0


def round_robin(candidates: list[int], last: int) -> int:
    """The lowest candidate behind ``last``, else the lowest one."""
    for unit in candidates:
        if unit > last:
            return unit
    return candidates[0]


class RecordLoaderModel:
    """Loader and feature table, in front of the gather lanes.

    Parameters
    ----------
    engines
        By anchor.
    on_place
        Called with the cycle from which a job place is free again.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: Plan,
        memory: Memory,
        gather: Gather,
        engines: Mapping[int, EngineSide],
        on_place: Callable[[int], None],
    ) -> None:
        self._clock, self._config, self._plan = clock, config, plan
        self._memory, self._gather, self._engines = memory, gather, engines
        self._on_place = on_place
        self._jobs = {unit: _UnitJobs() for unit in engines}
        self._units = sorted(engines)
        self._walk = Poll(clock, self._pick)
        self._pick_at = 0
        self._dense_open: tuple[LoaderJob, int] | None = None
        self._dense_last = self._id_last = -1
        # Reader.
        self._read = Poll(clock, self._accept)
        self._offered: tuple[_Part, int, int] | None = None  # part, address, cycle
        self._reader_free = 0
        self._space = BUFFER_BYTES // config.axi_bytes
        self._parts: deque[_Part] = deque()
        # Unpacker and feature table.
        self._step = Poll(clock, self._unpack)
        self._last_taken = -1  # cycle in which the last piece left the unpacker
        # The last two ids at the lanes' door: when they came to it, when a lane took them.
        self._doors = ((-1, -1), (-1, -1))
        self._pending: tuple[int, _Push] | None = None  # an id at the lanes' door, since when

    # -- walker --------------------------------------------------------------------------------
    def room(self, unit: int) -> bool:
        """A job place of the unit is free."""
        jobs = self._jobs[unit]
        opened = self._dense_open
        held = len(jobs.dense) + len(jobs.ids)
        return held + (opened is not None and opened[0].unit == unit) < 2

    def job(self, cycle: int, job: LoaderJob) -> None:
        """A row block is taken in ``cycle``."""
        self._jobs[job.unit].dense.append(job)
        self.wake(cycle + 1)

    def wake(self, cycle: int) -> None:
        """Something that the walker waits for may hold from ``cycle`` on."""
        self._walk.at(max(cycle, self._pick_at))

    def _pick(self, cycle: int) -> None:
        if cycle < self._pick_at or self._offered is not None:
            return
        if self._dense_open is None:
            waiting = [u for u in self._units if self._jobs[u].dense]
            if waiting:
                unit = self._dense_last = round_robin(waiting, self._dense_last)
                self._dense_open = (self._jobs[unit].dense.popleft(), 0)
        if self._dense_open is not None:
            job, row = self._dense_open
            self._send(cycle, job, row, dense=True, index=0)
            return
        ready = [u for u in self._units if self._jobs[u].ids and self._engines[u].can_allocate]
        if not ready:
            return
        unit = self._id_last = round_robin(ready, self._id_last)
        jobs = self._jobs[unit]
        job, row = jobs.ids[0], jobs.id_row
        index = self._engines[unit].allocate_index
        self._clock.at(cycle + RecordWalker.ALLOCATE_CYCLE, self._engines[unit].allocate)
        if not self._plan.stages[job.stage].features:
            self._row_done(cycle + RecordWalker.ALLOCATE_CYCLE, job, row, dense=False)
            return
        self._send(cycle, job, row, dense=False, index=index)

    def _send(self, cycle: int, job: LoaderJob, row: int, *, dense: bool, index: int) -> None:
        plan, size = self._plan, self._config.axi_bytes
        address = job.records + job.items[row] * plan.pitch + (0 if dense else plan.ids_offset)
        length = plan.dense_bytes if dense else 4 * plan.stages[job.stage].features
        start = address % size
        part = _Part(job, dense, row, index, -(-(start + length) // size), start)
        offer = cycle + RecordWalker.SEND_CYCLE
        self._offered = (part, address - start, offer)
        self._read.at(max(offer, self._reader_free))

    def _row_done(self, cycle: int, job: LoaderJob, row: int, *, dense: bool) -> None:
        """The row was handed over in ``cycle``; the next pick is a cycle later."""
        last = row + 1 == job.rows
        jobs = self._jobs[job.unit]
        if dense:
            self._dense_open = None if last else (job, row + 1)
            if last:
                jobs.ids.append(job)
        else:
            jobs.id_row = 0 if last else row + 1
            if last:
                jobs.ids.popleft()
                self._on_place(cycle + 1)
        self._pick_at = cycle + 1
        self._walk.at(self._pick_at)

    # -- reader --------------------------------------------------------------------------------
    def _accept(self, cycle: int) -> None:
        if self._offered is None or cycle < self._reader_free:
            return
        part, address, offer = self._offered
        if cycle < offer or self._space < part.beats or len(self._parts) >= RECORDS:
            return
        self._offered = None
        self._space -= part.beats
        self._parts.append(part)
        request = cycle + 1
        self._clock.at(request, self._request, part, address)
        page = 4096
        bursts = (address + part.beats * self._config.axi_bytes - 1) // page - address // page + 1
        self._reader_free = request + bursts
        self._row_done(cycle, part.job, part.row, dense=part.dense)

    def _request(self, cycle: int, part: _Part, address: int) -> None:
        size, left, first = self._config.axi_bytes, part.beats, True
        while left:
            beats = min(left, (4096 - address % 4096) // size)

            def landed(at: int, count: int, first: bool = first) -> None:
                if first:
                    part.first = at + Queue.BUFFERED_LATENCY
                    if self._parts[0] is part:
                        self._step.at(part.first)

            self._memory.read(cycle, REQUESTER, 0, address, beats, landed)
            left -= beats
            address += beats * size
            cycle += 1
            first = False

    # -- unpacker ------------------------------------------------------------------------------
    def resume(self, cycle: int) -> None:
        """An engine or a lane that refused something may take it from ``cycle`` on."""
        self._step.at(cycle)

    def _unpack(self, cycle: int) -> None:
        """Hand over what can be in this cycle: an id at the lanes' door, or a dense chunk."""
        if self._pending is not None:
            if cycle < self._pending[0]:
                return
            if not self._gather.push(cycle, *self._pending[1]):
                return
            self._doors = (self._doors[1], (self._pending[0], cycle))
            self._pending = None
        while self._parts and (first := self._parts[0].first) is not None:
            part = self._parts[0]
            if part.dense:
                if not self._dense_chunk(cycle, part, first):
                    return
            else:
                self._step.at(self._id(part, first))
                return

    def _dense_chunk(self, cycle: int, part: _Part, first: int) -> bool:
        """One dense chunk, ``first`` being the cycle of the part's first beat; False: wait."""
        size = min(self._config.axi_bytes, 16)
        beat = part.done * size // self._config.axi_bytes
        at = max(self._last_taken + 1, first + beat)
        left = self._plan.dense_bytes - part.done * size
        engine = self._engines[part.job.unit]
        ready = engine.dense_ready(part.job.slot)
        if ready is None:
            return False
        at = max(at, ready)
        if at > cycle:
            self._step.at(at)
            return False
        engine.dense_chunk(at, part.job.slot, part.done * size, min(size, left), left <= size)
        self._last_taken = at
        part.done += 1
        if left <= size:
            self._end(at, part)
        return True

    def _id(self, part: _Part, first: int) -> int:
        """The next id: through the feature table; returns when it is at the lanes' door."""
        size = self._config.axi_bytes
        feature = part.done
        beat = (part.start + 4 * feature) // size
        taken = max(self._last_taken + 1, first + beat)
        # The feature table stands still while a lane refuses the id at its output.
        for came, left in self._doors:
            if came <= taken < left:
                taken = left
        self._last_taken = taken
        came, left = self._doors[1]
        door = taken + FeatureTable.LATENCY + (left - came if taken < came else 0)
        job = part.job
        hit = job.hits[part.row][feature]
        address = job.addresses[part.row][feature]
        self._pending = (door, (feature, job.unit, part.index, hit, address, job.row_bytes))
        part.done += 1
        if part.done == self._plan.stages[job.stage].features:
            self._end(taken, part)
        return door

    def _end(self, cycle: int, part: _Part) -> None:
        self._parts.popleft()
        self._space += part.beats
        if self._offered is not None:
            self._read.at(max(cycle + 1, self._offered[2], self._reader_free))
