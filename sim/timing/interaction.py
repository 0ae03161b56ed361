"""Interaction of an engine: when items are copied, stepped through and written to the banks.

Follows ``hdl/engine``'s dense copier, step generator and bank writer, an event an item and a few
additions a chunk. The array's write-backs go first at the banks (`BankWindows`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.array.timing import DENSE_LATENCY, WRITE_STAGE
from hdl.config import Config
from hdl.engine.interaction import SPARE_CREDITS, interaction_latency
from hdl.engine.interaction_steps import (
    interaction_steps,
    product_lanes,
    product_steps,
    step_rows,
)
from hdl.engine.vector_bank import COPY_BYTES
from hdl.queue import Queue

from .array import ArraySchedule
from .bank_writer import BankWriterModel, Passing, RowEnd
from .events import Clock, Poll
from .plan import EnginePlan, ProgramPlan

__all__ = ["BankWindows", "Chunk", "InteractionModel", "item_chunks"]

_PAST = 8
"""Chunks that came before now and are still remembered."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One step's outputs."""

    k: int
    count: int
    cycles: int
    """Cycles of the step."""


def item_chunks(program: ProgramPlan, multipliers: int, outputs: int) -> list[Chunk]:
    """The steps of one item in order, at a unit of so many multipliers and outputs."""
    copied = program.width * (1 if program.dot else program.vectors)
    products = []
    if program.products:
        copied = program.copied
        lanes = product_lanes(multipliers, outputs)
        products = [
            Chunk(program.product_base + step.k, step.count, 1)
            for step in product_steps(program.products, program.width, lanes)
        ]
    chunks = [Chunk(k, min(COPY_BYTES, copied - k), 1) for k in range(0, copied, COPY_BYTES)]
    if program.dot:
        cycles = max(1, program.width // multipliers)
        rows = step_rows(program.vectors, program.width, program.outputs, multipliers, outputs)
        chunks += [
            Chunk(step.k, step.count, cycles)
            for step in interaction_steps(program.vectors, program.width, program.outputs, rows)
        ]
    return products + chunks


class BankWindows:
    """Cycles in which the array writes its outputs back, lane by lane.

    A row that enters the array in cycle c is written to lane n of the banks in cycle
    c + 1 + E + n + WRITE_STAGE; other writes to that lane wait.
    """

    def __init__(self, clock: Clock, edge: int) -> None:
        self._clock, self._edge = clock, edge
        self._delay = ArraySchedule.CONTROL_LATENCY + edge + WRITE_STAGE
        self._windows: deque[tuple[int, int]] = deque()  # first and last row at lane 0
        self.history: deque[tuple[int, int]] | None = None
        """The same, kept for `taken` where it is not None."""

    def taken(self, first: int, last: int) -> int:
        """Cycles from ``first`` to ``last`` in which a lane in the middle is written.

        Later calls must not ask for cycles before ``first``.
        """
        history, lane = self.history, self._edge // 2
        assert history is not None
        while history and history[0][1] + lane < first:
            history.popleft()
        count = 0
        for start, end in history:
            if start + lane > last:
                break
            count += max(0, min(end + lane, last) - max(start + lane, first) + 1)
        return count

    def add(self, start: int, rows: int) -> None:
        """Rows of an output tile for the banks: ``rows`` from cycle ``start`` on."""
        first = start + self._delay
        if self.history is not None:
            self.history.append((first, first + rows - 1))
        windows = self._windows
        if windows and windows[-1][1] == first - 1:
            windows[-1] = (windows[-1][0], first + rows - 1)
        else:
            windows.append((first, first + rows - 1))

    def free(self, cycle: int, lane: int, count: int) -> int:
        """First cycle from ``cycle`` on in which ``count`` lanes from ``lane`` on are free.

        Lanes wrap around. Never asked for what lies before now.
        """
        windows, edge = self._windows, self._edge
        now = self._clock.now
        while windows and windows[0][1] + edge <= now:
            windows.popleft()
        end = lane + count
        for first, last in windows:
            if cycle < first:
                break
            if end > edge:  # both ends of the lanes: the windows of the two parts overlap or not
                if first <= cycle <= last + end - edge - 1:
                    cycle = last + end - edge
                if first + lane <= cycle <= last + edge - 1:
                    cycle = last + edge
            elif first + lane <= cycle <= last + end - 1:
                cycle = last + end
        return cycle


@dataclass(eq=False, kw_only=True)
class InteractionJob:
    """A row block whose bottom phase is done."""

    slot: int
    rows: int
    program: ProgramPlan
    chunks: list[Chunk]


class InteractionModel:
    """One engine's interaction unit and bank writer.

    Parameters
    ----------
    windows
        Write-backs of the engine's array, by slot.
    ready
        Whether the oldest item's vectors are there.
    row_lands
        (cycle, bank): whether an embedding row word is written to the bank of the vector buffer.
    on_idle
        The copier can take a job from this cycle on.
    on_release
        The oldest item's slot is given back in this cycle.
    on_row
        (cycle, slot): pulse, a row's last chunk was written.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: EnginePlan,
        windows: tuple[BankWindows, BankWindows],
        *,
        ready: Callable[[], bool],
        row_lands: Callable[[int, int], bool],
        on_idle: Callable[[int], None],
        on_release: Callable[[int], None],
        on_row: Callable[[int, int], None],
    ) -> None:
        self._clock, self._windows = clock, windows
        self._ready, self._row_lands = ready, row_lands
        self._on_idle, self._on_release, self._on_row = on_idle, on_release, on_row
        self._edge = config.sub_array << plan.level
        multipliers = config.interaction_multipliers_at(plan.row, plan.column)
        outputs = config.interaction_outputs_at(plan.row, plan.column)
        latency = interaction_latency(multipliers, outputs)
        self._credits = latency + SPARE_CREDITS
        # Step, its register, pipeline, chunk queue.
        self._to_writer = 1 + latency + Queue.BUFFERED_LATENCY
        # How far steps may be worked out ahead: write-backs of phases that are not queued yet come
        # later than a tile's load, its way through the array and the write.
        self._ahead = config.tile_interval + self._edge
        # Copier.
        self.idle_from = 0
        self._job: InteractionJob | None = None
        self._row = 0
        self._part = 0
        self._vector = 0
        self._banks = config.gather_lanes
        self._item_at = 0
        self._offered: int | None = None  # cycle from which the item is on offer
        self._waits_steps = False
        # Generator.
        self._generator_free: int | None = 0  # cycle from which an item is taken
        self._take = Poll(clock, self._try_take)
        self._steps: tuple[list[Chunk], int, int, bool] | None = None  # chunks, next, slot, last
        self._step_at = -1  # cycle of the last step
        self._writer = BankWriterModel(
            edge=self._edge,
            outputs=outputs,
            free=tuple(window.free for window in windows),
            remembered=self._ahead + self._credits + _PAST,
        )
        self.accepted: deque[Passing] | None = None
        """Chunks at the bank writer, kept for `taken` where it is not None."""

    # -- copier --------------------------------------------------------------------------------
    @property
    def busy(self) -> bool:
        """The copier holds a job."""
        return self._job is not None

    def start(self, cycle: int, job: InteractionJob) -> None:
        """The copier takes the job in ``cycle``."""
        self._job, self._row = job, 0
        self._clock.at(cycle + 1, self._item)

    def _item(self, cycle: int) -> None:
        """State ITEM."""
        assert self._job is not None
        self._item_at = cycle
        self._part = self._vector = 0
        if self._job.program.products:  # no dense vector: on offer in the next cycle
            self._offered = cycle + 1
            self._take.at(cycle + 1)
            return
        if self._job.program.slots == 1:
            if self._generator_free is None:
                self._waits_steps = True
                return
            cycle = max(cycle, self._generator_free + 1)  # busy falls after the last step
        # READ for the memory's latency and a cycle, then WRITE.
        self._clock.at(cycle + 1 + DENSE_LATENCY + 1, self._copy)

    def _copy(self, cycle: int) -> None:
        """State WRITE: one unit of a vector, while no row lands in its bank."""
        assert self._job is not None
        if self._row_lands(cycle, self._vector % self._banks):
            self._clock.at(cycle + 1, self._copy)
            return
        self._part += min(self._edge, COPY_BYTES)
        program = self._job.program
        done = self._part >= program.width
        if done and program.decoders and self._vector + 1 < program.vectors:
            self._part, done = 0, False
            self._vector = self._vector + 1 if self._vector else program.features + 1
        if not done:
            self._clock.at(cycle + 1 + DENSE_LATENCY + 1, self._copy)
            return
        self._offered = cycle + 1
        self._take.at(cycle + 1)

    def wake(self, cycle: int) -> None:
        """The oldest item's vectors may be complete from ``cycle`` on."""
        if self._offered is not None and self._generator_free is not None:
            self._take.at(max(cycle, self._offered, self._generator_free))

    def _try_take(self, cycle: int) -> None:
        job = self._job
        if job is None or self._offered is None or self._generator_free is None:
            return
        at = max(self._offered, self._generator_free)
        if at > cycle:
            self._take.at(at)
            return
        if not self._ready():
            return
        self._offered = None
        last = self._row + 1 == job.rows
        self._steps = (job.chunks, 0, job.slot, last)
        self._generator_free = None
        self._step_at = cycle
        if last:
            self._job = None
            self.idle_from = cycle + 1
            self._on_idle(cycle + 1)
        else:
            self._row += 1
            self._clock.at(cycle + 1, self._item)
        self._run_steps(cycle)

    def taken(self, first: int, last: int) -> int:
        """Writes of chunks that were accepted from ``first`` to ``last``.

        Later calls must not ask for cycles before ``first``.
        """
        accepted = self.accepted
        assert accepted is not None
        while accepted and accepted[0].accepted < first:
            accepted.popleft()
        count = 0
        for passing in accepted:
            if passing.accepted > last:
                break
            count += -(-passing.count // self._edge)
        return count

    # -- steps and chunks ----------------------------------------------------------------------
    def _run_steps(self, cycle: int) -> None:
        """Steps up to some cycles ahead; the rest later."""
        assert self._steps is not None
        chunks, position, slot, last = self._steps
        limit = cycle + self._ahead
        step, credits_max, to_writer = self._step_at, self._credits, self._to_writer
        writer, latest = self._writer, self._writer.latest
        end, last_chunk = RowEnd(), len(chunks) - 1
        for index in range(position, len(chunks)):
            chunk = chunks[index]
            at = step + 1
            if len(latest) >= credits_max:
                at = max(at, latest[-credits_max].accepted + 2)
            if at > limit:
                self._steps = (chunks, index, slot, last)
                self._step_at = step
                self._clock.at(max(cycle + 1, at - self._ahead // 2), self._run_steps)
                return
            step = at + chunk.cycles - 1
            ends = end if index == last_chunk else None
            passing = writer.chunk(step + to_writer, slot, chunk.k, chunk.count, ends)
            if self.accepted is not None:
                self.accepted.append(passing)
        self._step_at = step
        self._steps = None
        self._clock.at(max(step, cycle), self._released, step)
        self._clock.at(max(end.written + 1, cycle), self._row_written, slot, end)

    def _row_written(self, cycle: int, slot: int, end: RowEnd) -> None:
        """Pulse, unless dense chunks have put the row's last write off meanwhile."""
        if end.written + 1 > cycle:
            self._clock.at(end.written + 1, self._row_written, slot, end)
            return
        self._on_row(cycle, slot)

    def _released(self, cycle: int, step: int) -> None:
        """The item's last step: the slot is free, the next item is taken in this cycle."""
        self._generator_free = step
        self._on_release(cycle)
        if self._waits_steps:
            self._waits_steps = False
            self._item(max(cycle, self._item_at))
        self.wake(cycle)

    # -- dense inputs --------------------------------------------------------------------------
    def dense_ready(self, cycle: int) -> int:
        """Cycle from ``cycle`` on in which the bank writer may take a dense chunk."""
        return self._writer.dense_ready(cycle)

    def dense_chunk(self, cycle: int, slot: int, k: int, count: int) -> int:
        """A dense chunk is taken in ``cycle``; returns the cycle of its last write."""
        return self._writer.dense(cycle, slot, k, count)
