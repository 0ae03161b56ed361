"""Record loader: which item is fetched when, and when its dense values and ids leave.

Follows ``hdl/embedding``'s record walker, reader, beat buffer, unpacker and id spreader: an event a
record for the first two, an event a dense chunk or a step of ids for the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hdl.bus.beat_buffer import BEATS, BeatBuffer
from hdl.bus.interleave import channel_number
from hdl.config import Config
from hdl.embedding.record_layouts import chunk_bytes, step_words
from hdl.embedding.record_reader import PARTS, RecordReader
from hdl.embedding.record_unpacker import RecordUnpacker
from hdl.embedding.record_walker import RecordWalker

from .events import Clock, Poll
from .gather import Gather
from .lane_merge import LaneMergeModel, Places
from .memory import FIRST_LOADER, Memory
from .plan import Plan
from .units import EngineSide, LoaderJob, Lookup

__all__ = ["LoadersModel", "round_robin"]

_CREDITS = 4
"""Beats between the buffer's read and the unpacker."""
_PAGE = 4096


@dataclass(eq=False, slots=True)
class _Part:
    """Dense values or ids of one item on their way."""

    job: LoaderJob
    dense: bool
    row: int
    beats: int
    start: int
    """Byte offset of the first value in the first beat."""
    bursts: list[tuple[int, int] | None] = field(default_factory=list)
    """First cycle and beats of each burst, None: not come yet."""
    done: int = 0
    """Beats handed over."""
    pieces: int = 0
    """Dense chunks or steps handed over."""


@dataclass(eq=False)
class _UnitJobs:
    """Jobs of one engine: waiting for the dense pass, and for the id pass."""

    dense: deque[LoaderJob] = field(default_factory=deque)
    ids: deque[LoaderJob] = field(default_factory=deque)
    id_row: int = 0
    freed: int = 0
    """Cycle from which the place of the last job that left is free."""
    known: int = 0
    """Cycle from which the walker knows of the last job that came (``JobTable``'s counts)."""

    def shown(self, queue: deque[LoaderJob], cycle: int) -> bool:
        """The walker sees a job in the queue into which they come."""
        return len(queue) > 1 or (bool(queue) and self.known <= cycle)


def round_robin(candidates: list[int], last: int) -> int:
    """The lowest candidate behind ``last``, else the lowest one."""
    for unit in candidates:
        if unit > last:
            return unit
    return candidates[0]


class _Loader:
    """One record loader."""

    def __init__(self, owner: LoadersModel, number: int, units: list[int]) -> None:
        self._owner, self._number = owner, number
        self._clock, self._config, self._plan = owner.clock, owner.config, owner.plan
        self._engines = owner.engines
        self._prefetch = owner.prefetch_unit
        self._jobs = {unit: _UnitJobs() for unit in (*units, self._prefetch)}
        self._units = units
        # Walker.
        self._walk = Poll(self._clock, self._pick)
        self._room = RecordWalker.TASKS
        self._dense_open: tuple[LoaderJob, int] | None = None
        self._dense_last = self._id_last = -1
        self._was_dense = False  # the row picked last
        self._dense_first = False  # the open dense pass goes before id rows
        self._picked: tuple[int, int] = (-1, -1)  # cycle and unit of the last id row
        self._row_at = -1  # cycle of the last row of either pass
        # Reader.
        self._read = Poll(self._clock, self._accept)
        self._tasks: deque[tuple[_Part, int, int]] = deque()  # part, address, cycle on offer
        self._counted: tuple[_Part, int, int] | None = None  # taken; from which cycle on
        self._reader_free = 0
        self._space = BEATS
        self._parts: deque[_Part] = deque()
        # Unpacker.
        self._step = Poll(self._clock, self._unpack)
        self._taken_beats: deque[int] = deque([-(1 << 30)] * _CREDITS)
        self._shown = -1  # cycle in which the last beat came to the unpacker
        self._opened_at = 0  # cycle in which the latest dense pass was opened
        self._beat: int | None = None  # the same of the beat in work
        self._last_taken = -1  # cycle in which the last piece left the unpacker
        self._left: list[tuple[int, Lookup]] | None = None  # of the step in work: lane, lookup
        # Dense chunks on their way to their engines: on offer from which cycle, of whom, from which
        # byte on.
        self._chunks: deque[tuple[int, _Part, int]] = deque()
        self._chunk_places = Places(RecordUnpacker.DENSE_PLACES)
        self._hand = Poll(self._clock, self._hand_over)
        self._last_handed = -1

    # -- walker --------------------------------------------------------------------------------
    def room(self, cycle: int, unit: int) -> bool:
        """A job place of the unit is free."""
        jobs = self._jobs[unit]
        opened = self._dense_open
        held = len(jobs.dense) + len(jobs.ids) + (jobs.freed > cycle)
        return held + (opened is not None and opened[0].unit == unit) < 2

    def job(self, cycle: int, job: LoaderJob) -> None:
        """A row block is taken in ``cycle``; rows to be fetched ahead have no dense pass."""
        jobs = self._jobs[job.unit]
        (jobs.ids if job.prefetch else jobs.dense).append(job)
        jobs.known = cycle + 1
        self._walk.at(cycle + 1)

    def wake(self, cycle: int) -> None:
        """Something that the walker waits for may hold from ``cycle`` on."""
        self._walk.at(cycle)

    def _pick(self, cycle: int) -> None:
        if self._row_at == cycle:  # woken once more in the same cycle
            self._walk.at(cycle + 1)
            return
        opened = self._dense_open
        if opened is not None and not self._plan.dense_bytes:
            if cycle < self._opened_at + 2:
                self._walk.at(self._opened_at + 2)
            else:  # seen to have no dense rows: its ids are next
                self._jobs[opened[0].unit].ids.append(opened[0])
                opened = self._dense_open = None
        if opened is None:
            waiting = [u for u in self._units if self._jobs[u].shown(self._jobs[u].dense, cycle)]
            if waiting:
                unit = self._dense_last = round_robin(waiting, self._dense_last)
                jobs = self._jobs[unit]
                self._dense_first = not jobs.ids and jobs.freed <= cycle
                self._dense_open = (self._jobs[unit].dense.popleft(), 0)
                self._walk.at(cycle + 1)
                self._opened_at = cycle
        if not self._room:
            return
        # The unit of the cycle before is left out: what it allocated shows a cycle later.
        before = self._picked[1] if self._picked[0] == cycle - 1 else -1
        ready = [
            u
            for u in self._units
            if u != before and self._jobs[u].ids and self._engines[u].can_allocate(cycle)
        ]
        ahead = self._jobs[self._prefetch]
        if before != self._prefetch and ahead.shown(ahead.ids, cycle):
            ready.append(self._prefetch)  # the last unit, and in need of no slot
        if not self._plan.dense_bytes:
            opened = None
        if opened is not None and (not ready or not self._was_dense or self._dense_first):
            self._was_dense = True
            self._pick_dense(cycle, *opened)
        elif ready:
            self._was_dense = False
            self._pick_ids(cycle, round_robin(ready, self._id_last))
        elif before < 0:
            return
        self._walk.at(cycle + 1)

    def _pick_dense(self, cycle: int, job: LoaderJob, row: int) -> None:
        last = row + 1 == job.rows
        self._dense_open = None if last else (job, row + 1)
        if last:
            self._jobs[job.unit].ids.append(job)
        self._send(cycle, job, row, dense=True)

    def _pick_ids(self, cycle: int, unit: int) -> None:
        jobs = self._jobs[unit]
        job, row = jobs.ids[0], jobs.id_row
        self._id_last = unit
        self._picked = (cycle, unit)
        if not job.prefetch:
            self._clock.at(cycle + RecordWalker.ALLOCATE_CYCLE, self._engines[unit].allocate)
            self._owner.on_walked(cycle, job.context)
        last = row + 1 == job.rows
        jobs.id_row = 0 if last else row + 1
        if last:
            jobs.ids.popleft()
            # The next job's rows come after this one's anyway; the place is free in two cycles.
            jobs.freed = cycle + 2
            self._owner.on_place(cycle + 2)
        self._send(cycle, job, row, dense=False)

    def _send(self, cycle: int, job: LoaderJob, row: int, *, dense: bool) -> None:
        plan, size = self._plan, self._config.axi_bytes
        self._row_at = cycle
        self._room -= 1
        if not dense and not plan.stages[job.stage].features:
            self._clock.at(cycle + 3, self._free_task)
            return
        address = job.records + job.items[row] * plan.pitch + (0 if dense else plan.ids_offset)
        length = plan.dense_bytes if dense else 4 * plan.stages[job.stage].features
        start = address % size
        part = _Part(job, dense, row, -(-(start + length) // size), start)
        offer = cycle + RecordWalker.SEND_CYCLE
        self._tasks.append((part, address - start, offer))
        self._read.at(offer)

    def _free_task(self, cycle: int) -> None:
        self._room += 1
        self._walk.at(cycle)

    # -- reader --------------------------------------------------------------------------------
    def _accept(self, cycle: int) -> None:
        """Begin the part whose beats are counted, and count those of the next one."""
        if self._counted is not None and not self._begin(cycle, *self._counted):
            return
        if self._tasks and self._tasks[0][2] <= cycle:
            part, address, _ = self._tasks.popleft()
            self._clock.at(cycle + 1, self._free_task)
            begins = cycle + RecordReader.LATENCY - 1
            self._counted = part, address, begins
            self._read.at(max(begins, self._reader_free))
        elif self._tasks:
            self._read.at(self._tasks[0][2])

    def _begin(self, cycle: int, part: _Part, address: int, counted: int) -> bool:
        if cycle < max(counted, self._reader_free):
            return False
        if self._space < part.beats or len(self._parts) >= PARTS:
            return False
        self._counted = None
        self._space -= part.beats
        self._parts.append(part)
        self._clock.at(cycle + 1, self._request, part, address)
        size = self._config.axi_bytes
        bursts = (address + part.beats * size - 1) // _PAGE - address // _PAGE + 1
        part.bursts = [None] * bursts
        # The last burst may leave in the cycle in which the next part is accepted.
        self._reader_free = cycle + bursts
        return True

    def _request(self, cycle: int, part: _Part, address: int) -> None:
        size, left = self._config.axi_bytes, part.beats
        for number in range(len(part.bursts)):
            beats = min(left, (_PAGE - address % _PAGE) // size)

            def landed(at: int, count: int, number: int = number) -> None:
                part.bursts[number] = (at, count)
                if self._parts[0] is part:
                    self._step.at(at + BeatBuffer.LATENCY)

            channel = channel_number(self._config, address)
            requester = FIRST_LOADER + self._number
            self._owner.memory.read(cycle, requester, channel, address, beats, landed)
            left -= beats
            address += beats * size
            cycle += 1

    # -- unpacker ------------------------------------------------------------------------------
    def resume(self, cycle: int) -> None:
        """An engine or a lane that refused something may take it from ``cycle`` on."""
        if self._parts:
            self._step.at(cycle)
        if self._chunks:
            self._hand.at(cycle)

    def _show(self, part: _Part) -> int | None:
        """Cycle in which the part's next beat comes to the unpacker; None: not known yet."""
        if self._beat is None:
            number = part.done
            for burst in part.bursts:
                if burst is None:
                    return None
                first, count = burst
                if number < count:
                    arrival = first + number
                    break
                number -= count
            # A beat leaves the buffer when a place behind it is free, one a cycle.
            self._beat = self._shown = max(
                arrival + BeatBuffer.LATENCY,
                self._shown + 1,
                self._taken_beats[0] + BeatBuffer.LATENCY,
            )
        return self._beat

    def _beat_taken(self, cycle: int, part: _Part) -> None:
        self._beat = None
        part.done += 1
        self._taken_beats.popleft()
        self._taken_beats.append(cycle)
        self._clock.at(cycle + 1, self._beat_freed)

    def _beat_freed(self, cycle: int) -> None:
        self._space += 1
        self._read.at(cycle)

    def _unpack(self, cycle: int) -> None:
        """Hand over what can be in this cycle."""
        while self._parts:
            part = self._parts[0]
            shown = self._show(part)
            if shown is None:
                return
            at = max(shown, self._last_taken + 1)
            if at > cycle:
                self._step.at(at)
                return
            if not (self._dense_chunk(cycle, part) if part.dense else self._ids(cycle, part)):
                return

    def _dense_chunk(self, cycle: int, part: _Part) -> bool:
        """One dense chunk; False: wait."""
        size, beat_bytes = chunk_bytes(self._config), self._config.axi_bytes
        if not self._chunk_places.room(cycle):
            return False
        done = part.pieces * size
        last = self._plan.dense_bytes - done <= size
        self._chunk_places.put()
        offer = cycle + RecordUnpacker.DENSE_LATENCY
        self._chunks.append((offer, part, done))
        self._hand.at(offer)
        self._last_taken = cycle
        part.pieces += 1
        if last or (done + size) % beat_bytes == 0:
            self._beat_taken(cycle, part)
        if last:
            self._parts.popleft()
        return True

    def _hand_over(self, cycle: int) -> None:
        """The oldest dense chunk to its engine."""
        if not self._chunks:
            return
        offer, part, done = self._chunks[0]
        if (at := max(offer, self._last_handed + 1)) > cycle:
            self._hand.at(at)
            return
        slot, engine = part.job.slot, self._engines[part.job.unit]
        ready = engine.dense_ready(cycle, slot, done)
        if ready is None:
            return
        if ready > cycle:
            self._hand.at(ready)
            return
        left, size = self._plan.dense_bytes - done, chunk_bytes(self._config)
        engine.dense_chunk(cycle, slot, done, min(size, left), left <= size)
        self._last_handed = cycle
        self._chunks.popleft()
        self._chunk_places.take(cycle)
        self.resume(cycle + 1)

    def _ids(self, cycle: int, part: _Part) -> bool:
        """A step of ids, as far as the lanes take them; False: wait."""
        owner, words = self._owner, self._owner.words
        if self._left is None:
            # The first id is in the first step; what is before it in that step is none.
            lead = part.start // 4 % words
            first = part.pieces * words - lead
            self._left = owner.step(part.job, part.row, first)
        kept = []
        for lane, lookup in self._left:
            merge = owner.merges[lane]
            if merge.room(cycle, self._number):
                merge.put(cycle, self._number, lookup)
            else:
                kept.append((lane, lookup))
        self._left = kept
        if kept:
            return False
        self._left = None
        self._last_taken = cycle
        part.pieces += 1
        per_beat = self._config.axi_bytes // 4 // words
        skipped, lead = divmod(part.start // 4, words)
        features = self._plan.stages[part.job.stage].features
        last = part.pieces * words - lead >= features
        if last or (part.pieces + skipped) % per_beat == 0:
            self._beat_taken(cycle, part)
        if last:
            self._parts.popleft()
        return True


class LoadersModel:
    """All record loaders, in front of the gather lanes.

    Parameters
    ----------
    engines
        By anchor.
    levels
        Partition level of each engine.
    on_place
        Called with the cycle from which a job place is free again.
    on_walked
        (cycle, context): an id row of a row block is picked.
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
        on_walked: Callable[[int, int], None],
    ) -> None:
        self.on_walked = on_walked
        self.clock, self.config, self.plan = clock, config, plan
        self.memory, self.gather, self.engines = memory, gather, engines
        self.on_place = on_place
        self.prefetch_unit = config.sub_arrays
        """The unit of jobs that fetch ahead."""
        self._turn = 0  # loader of the next one
        self.words = step_words(config)
        """Ids of a step."""
        self._of = {
            e.unit: config.loader_of(e.row, e.column, e.level)
            for e in plan.engines
            if e.unit in engines
        }
        self._loaders = [
            _Loader(self, n, sorted(u for u, loader in self._of.items() if loader == n))
            for n in range(config.record_loaders)
        ]
        self.merges = [
            LaneMergeModel(clock, config, self._pusher(lane), self._lane_room)
            for lane in range(config.gather_lanes)
        ]

    def _pusher(self, lane: int) -> Callable[[int, Lookup], None]:
        def push(cycle: int, lookup: Lookup) -> None:
            self.gather.push(cycle, lane, lookup)

        return push

    def _lane_room(self, loader: int, cycle: int) -> None:
        self._loaders[loader].resume(cycle)

    def lane_taken(self, cycle: int, lane: int) -> None:
        """A gather lane takes its oldest lookup in ``cycle``."""
        self.merges[lane].taken(cycle)

    def step(self, job: LoaderJob, row: int, first: int) -> list[tuple[int, Lookup]]:
        """Lanes and lookups of the ids from number ``first`` on that one step hands over."""
        lanes = self.config.gather_lanes
        stage = self.plan.stages[job.stage]
        hits, addresses = job.hits[row], job.addresses[row]
        out = []
        for f in range(max(first, 0), min(first + self.words, stage.features)):
            lookup = Lookup(
                job.unit, hits[f], addresses[f], job.row_bytes, stage.ends[f], job.prefetch,
                job.query, stage.sums[f], addresses[f] < 0, job.stage,
            )  # fmt: skip
            out.append(((1 + f) % lanes, lookup))
        return out

    def _loader_of(self, job: LoaderJob) -> _Loader:
        return self._loaders[self._turn if job.prefetch else self._of[job.unit]]

    def room(self, cycle: int, job: LoaderJob) -> bool:
        """A place for the job is free."""
        return self._loader_of(job).room(cycle, job.unit)

    def room_ahead(self, cycle: int, block: LoaderJob | None) -> bool:
        """A job that fetches ahead is taken, ``block`` being on offer to its loader meanwhile."""
        loader = self._loaders[self._turn]
        if block is not None and self._loader_of(block) is loader:
            return False
        return loader.room(cycle, self.prefetch_unit)

    def job(self, cycle: int, job: LoaderJob) -> None:
        """A job is taken in ``cycle``."""
        self._loader_of(job).job(cycle, job)
        if job.prefetch:
            self._turn = (self._turn + 1) % len(self._loaders)

    def wake(self, cycle: int) -> None:
        """A vector slot of some engine may be free from ``cycle`` on."""
        for loader in self._loaders:
            loader.wake(cycle)

    def resume(self, cycle: int) -> None:
        """An engine that refused a dense chunk may take it from ``cycle`` on."""
        for loader in self._loaders:
            loader.resume(cycle)
