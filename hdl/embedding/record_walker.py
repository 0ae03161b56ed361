"""Jobs in, parts of item records to be read out: who is served next, and where its record lies."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import job_layout, walked_layout
from ..multiplier import registered_product
from ..queue import Queue
from ..skid import ReadyRegister
from .job_table import JobTable
from .record_layouts import record_task_layout

__all__ = ["RecordWalker", "walker_members"]


def walker_members(config: Config) -> dict[str, Any]:
    """Ports of the walker that the loader passes on unchanged."""
    units = config.sub_arrays
    return {
        "i_job": In(stream.Signature(job_layout(config))),
        "i_prefetch": In(stream.Signature(job_layout(config))),
        "walked": Out(walked_layout()),
        "list_address": Out(config.candidate_bits),
        "list_data": In(config.item_bits),
        "can_allocate": In(units),
        "allocate": Out(units),
        "allocate_address": In(data.ArrayLayout(unsigned(13), units)),
        "allocate_index": In(data.ArrayLayout(unsigned(4), units)),
    }


def _number(one_hot: Value) -> Value:
    """Number of the set bit; 0 without one."""
    width = max(1, (len(one_hot) - 1).bit_length())
    return Cat(
        Cat(bit for number, bit in enumerate(one_hot) if (number >> position) & 1).any()
        for position in range(width)
    )


class RecordWalker(wiring.Component):
    """Walks the rows of all jobs, dense pass first, and allocates vector slots for the id pass.

    Each unit has two places for jobs, and so have prefetches; ``i_job``, ``i_prefetch`` are refused
    while both are in use. A job leaves its place when the id pass of its last row was picked. Rows
    of dense and id passes take turns while there are both; a dense pass goes first when its unit
    has no ids to be walked before: nothing but the dense values keeps that unit's array waiting.
    A row block's dense rows come in order before those of the next, units taking turns. An id row
    is walked when its unit can allocate a slot, units taking turns row by row, prefetches (which
    need no slot) being one unit more; rows of a unit come in order, a unit's next job after all
    rows of the one before. A job without features allocates its slots but sends nothing in the id
    pass; one without dense values has no dense pass.

    Timing: a row a cycle; the same unit's id rows every other cycle, one cycle between the dense
    rows of two jobs, two cycles to see that a job has none.
    Seven stages: pick, allocate, job, list address, item, product, address; then a queue.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job, i_prefetch
        Row blocks, jobs that only fetch ahead; ``rows`` is at least 1.
    o
        Record parts in the order in which they are to be read.
    walked
        Event: an id row of a job with a list, that is no prefetch, is on its way.
    list_address, list_data
        Item lists; data belongs to the address of the cycle before.
    can_allocate, allocate, allocate_address, allocate_index
        One vector buffer a unit: a free slot exists; take it (one cycle); its byte address and
        number, read in the cycle of ``allocate``. ``can_allocate`` is looked at again two cycles
        after the pick, one after ``allocate``.
    idle
        No job is held and no row is on its way.
    """

    i_job: stream.Interface
    i_prefetch: stream.Interface
    o: stream.Interface
    walked: data.View
    list_address: Value
    list_data: Value
    can_allocate: Value
    allocate: Value
    allocate_address: Any
    allocate_index: Any
    idle: Value

    ALLOCATE_CYCLE = 1
    """Cycles from the pick of a row to ``allocate``."""
    SEND_CYCLE = 6 + Queue.BUFFERED_LATENCY
    """Cycles from the pick of a row to its part on offer."""
    TASKS = SEND_CYCLE + 1
    """Rows between pick and reader: a place is free again as many cycles after the pick at the
    earliest, so that they make a row a cycle."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                **walker_members(config),
                "o": Out(stream.Signature(record_task_layout(config))),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.jobs = jobs = JobTable(config=self._config)
        m.submodules.tasks = tasks = Queue(shape=record_task_layout(self._config), depth=self.TASKS)
        wiring.connect(m, wiring.flipped(self.i_job), jobs.i_job)
        wiring.connect(m, wiring.flipped(self.i_prefetch), jobs.i_prefetch)
        # What the reader takes reaches the queue's output register a cycle late.
        m.submodules.late = late = ReadyRegister(shape=record_task_layout(self._config))
        wiring.connect(m, tasks.o, late.i)
        wiring.connect(m, late.o, wiring.flipped(self.o))
        # Places in the queue not yet given to a row; a row without a part gives its place back.
        room = Signal(range(self.TASKS + 1), init=self.TASKS)
        picked = self._pick(m, jobs, room != 0)
        dropped = self._address(m, platform, jobs, tasks, picked)
        taken = self.o.valid & self.o.ready
        # Whether a part is taken is known last: both outcomes are at hand.
        left, more = Signal.like(room), Signal.like(room)
        m.d.comb += [
            left.eq(room + dropped - picked["start"]),
            more.eq(room + dropped + ~picked["start"]),
        ]
        m.d.sync += room.eq(Mux(taken, more, left))
        m.d.comb += self.idle.eq(jobs.idle & (room == self.TASKS))
        return m

    def _pick(self, m: Module, jobs: JobTable, enable: Value) -> dict[str, Signal]:
        """Stage 1, and the registers behind it."""
        config = self._config
        units = config.sub_arrays + 1
        m.submodules.dense_turn = dense_turn = RoundRobin(count=units)
        m.submodules.id_turn = id_turn = RoundRobin(count=units)
        dense_open = Signal()
        dense_rows = Signal()  # there are dense rows to be picked
        dense_first = Signal()  # its unit has no ids to be walked before: the array waits for it
        dense_unit = Signal.like(jobs.dense_unit)
        dense_row = Signal(config.row_bits)
        dense_last = Signal()
        dense_begins = Signal()  # its first row is to be picked
        last_is_next = Signal()  # behind the first one: the last one is
        start = Signal()  # a row is picked in this cycle
        valid = Signal()
        dense = Signal()
        unit = Signal.like(jobs.id_unit)
        row = Signal(config.row_bits)
        place = Signal()
        before = Signal(units)  # whose id row was picked in the cycle before
        m.d.comb += [
            dense_turn.requests.eq(jobs.dense_pending),
            id_turn.requests.eq(
                # Slots for engines; prefetch jobs need none.
                jobs.id_pending & ~before & Cat(self.can_allocate, 1)
            ),
            jobs.dense_unit.eq(dense_unit),
            dense_last.eq(Mux(dense_begins, jobs.dense_single, last_is_next)),
        ]
        ids = id_turn.requests.any()
        choose_dense = Signal()
        m.d.comb += [
            dense_rows.eq(dense_open & ~jobs.dense_none),
            start.eq(enable & (dense_rows | ids)),
            # Else the pass that the row before was not of.
            choose_dense.eq(dense_rows & (~ids | ~dense | dense_first)),
        ]
        m.d.sync += [valid.eq(start), before.eq(0)]
        with m.If(~dense_open & jobs.dense_pending.any()):
            m.d.comb += dense_turn.advance.eq(1)
            m.d.sync += [dense_open.eq(1), dense_unit.eq(_number(dense_turn.grant))]
            m.d.sync += [
                dense_row.eq(0),
                dense_begins.eq(1),
                dense_first.eq((dense_turn.grant & ~jobs.id_pending).any()),
            ]
        with m.If(dense_open & jobs.dense_none):
            m.d.comb += jobs.dense_done.eq(1)
            m.d.sync += dense_open.eq(0)
        with m.If(start & choose_dense):
            m.d.comb += jobs.dense_done.eq(dense_last)
            m.d.sync += [
                dense.eq(1),
                unit.eq(dense_unit),
                row.eq(dense_row),
                place.eq(jobs.dense_place),
                dense_open.eq(~dense_last),
                dense_row.eq(dense_row + 1),
                dense_begins.eq(0),
                last_is_next.eq(dense_row + 2 == jobs.dense_rows),
            ]
        with m.Elif(start):
            m.d.comb += id_turn.advance.eq(1)
            m.d.sync += [
                dense.eq(0), unit.eq(_number(id_turn.grant)), before.eq(id_turn.grant),
            ]  # fmt: skip
        return {
            "start": start, "valid": valid, "dense": dense, "unit": unit,
            "row": row, "place": place,
        }  # fmt: skip

    def _address(
        self, m: Module, platform: object, jobs: JobTable, tasks: Queue, picked: dict[str, Signal]
    ) -> Signal:
        """Stages 2 to 7; returns "a row leaves without a part"."""
        config = self._config
        task = record_task_layout(config)
        dropped = Signal()

        # 2: the id pass's row, its slot; the job is read.
        unit, dense = picked["unit"], picked["dense"]
        id_now = Signal()
        row_2, index_2 = Signal(config.row_bits), Signal(4)
        valid_2, dense_2, unit_2, base_2 = Signal(), Signal(), Signal.like(unit), Signal(13)
        m.d.comb += [
            id_now.eq(picked["valid"] & ~dense),
            jobs.id_unit.eq(unit),
            jobs.id_step.eq(id_now),
            self.allocate.eq(Mux(id_now, 1 << unit, 0)),
            jobs.read.eq(picked["valid"]),
            jobs.read_unit.eq(unit),
            jobs.read_place.eq(Mux(dense, picked["place"], jobs.id_place)),
        ]
        m.d.sync += [
            valid_2.eq(picked["valid"]),
            dense_2.eq(dense),
            unit_2.eq(unit),
            row_2.eq(Mux(dense, picked["row"], jobs.id_row)),
            base_2.eq(self.allocate_address[unit]),
            index_2.eq(self.allocate_index[unit]),
        ]

        # 3: the job; 4: the list is read; 5: the item; 6: the product. A block memory takes half a
        # cycle to give its data. What a part needs goes along.
        job = jobs.job
        position = Signal(config.item_bits)
        fields: Any = Signal(task)
        behind = Signal(config.item_bits)  # the first row
        m.d.comb += [
            # Added up: a multiplier block is slower than these few bits.
            behind.eq(
                sum((Mux(bit, job.stride << place, 0) for place, bit in enumerate(row_2)), Const(0))
            ),
            position.eq(job.position + behind),
            dropped.eq(valid_2 & ~dense_2 & (job.features == 0)),
            fields.dense.eq(dense_2),
            fields.prefetch.eq(job.prefetch),
            fields.unit.eq(unit_2),
            fields.slot.eq(job.slot),
            fields.row.eq(row_2),
            fields.program.eq(job.program),
            fields.query.eq(job.query),
            fields.index.eq(index_2),
            fields.base.eq(base_2),
            fields.bytes.eq(Mux(dense_2, job.dense_bytes, job.features << 2)),
            # Without the item; 64-byte aligned parts.
            fields.address.eq(job.records + Mux(dense_2, 0, job.ids_offset)),
        ]
        valid_3, valid_4, valid_5, valid_6 = Signal(), Signal(), Signal(), Signal()
        first_3, first_4 = Signal(), Signal()
        item_3, item_4 = Signal.like(position), Signal.like(position)
        item_5 = Signal.like(position)
        pitch_3, pitch_4, pitch_5 = Signal(10), Signal(10), Signal(10)
        task_3: Any = Signal(task, reset_less=True)
        task_4: Any = Signal(task, reset_less=True)
        task_5: Any = Signal(task, reset_less=True)
        task_6: Any = Signal(task, reset_less=True)
        # pitch is a multiple of 64: its low bits stay out of the product.
        offset = registered_product(m, platform, item_5, pitch_5, name="offset")
        m.d.sync += [
            valid_3.eq(valid_2 & ~dropped),
            task_3.eq(fields),
            first_3.eq(job.first),
            item_3.eq(position),
            self.walked.valid.eq(valid_2 & ~dense_2 & ~job.first & ~job.prefetch),
            self.walked.context.eq(job.context),
            pitch_3.eq(job.pitch[6:]),
            # The product comes last.
            self.list_address.eq(job.list_base + behind),
            valid_4.eq(valid_3),
            task_4.eq(task_3),
            first_4.eq(first_3),
            item_4.eq(item_3),
            pitch_4.eq(pitch_3),
            valid_5.eq(valid_4),
            task_5.eq(task_4),
            item_5.eq(Mux(first_4, item_4, self.list_data)),
            pitch_5.eq(pitch_4),
            valid_6.eq(valid_5),
            task_6.eq(task_5),
        ]

        # 7: the address. The queue has room, see ``room``.
        m.d.comb += [
            tasks.i.valid.eq(valid_6),
            tasks.i.payload.eq(task_6),
            tasks.i.payload.address.eq(task_6.address + (offset << 6)),
        ]
        return dropped
