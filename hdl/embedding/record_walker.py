"""Jobs in, parts of item records to be read out: who is served next, and where its record lies."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import job_layout
from .job_table import JobTable
from .layouts import record_task_layout

__all__ = ["RecordWalker", "walker_members"]


def walker_members(config: Config) -> dict[str, Any]:
    """Ports of the walker that loader and embedding unit pass on unchanged."""
    units = config.sub_arrays
    return {
        "i_job": In(stream.Signature(job_layout(config))),
        "records": In(config.address_bits),
        "pitch": In(16),
        "dense_bytes": In(8),
        "ids_offset": In(12),
        "first_stage": In(1),
        "list_address": Out(config.item_bits),
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

    Each unit has two places for jobs; ``i_job`` is refused while both of its unit are in use. A job
    leaves its place when the id pass of its last row has been handed over. Dense passes win: a row
    block's dense rows are walked in order and without a break, units taking turns. An id row is
    walked when its unit can allocate a slot, units taking turns row by row; rows of a unit come in
    order, a unit's next job after all rows of the one before. A job without features allocates its
    slots but sends nothing in the id pass.

    Timing: six cycles a row (pick, read the job, allocate, list, multiply, hand over).

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job
        Row blocks; ``rows`` is at least 1.
    o
        Record parts in the order in which they are to be read.
    records, pitch, dense_bytes, ids_offset, first_stage
        Query context, stable while jobs are outstanding. ``dense_bytes`` is at least 1.
    list_address, list_data
        Item list; data belongs to the address of the cycle before.
    can_allocate, allocate, allocate_address, allocate_index
        One vector buffer a unit: a free slot exists; take it (one cycle); its byte address and
        number, valid with ``can_allocate``.
    idle
        No job is held.
    """

    i_job: stream.Interface
    o: stream.Interface
    records: Value
    pitch: Value
    dense_bytes: Value
    ids_offset: Value
    first_stage: Value
    list_address: Value
    list_data: Value
    can_allocate: Value
    allocate: Value
    allocate_address: Any
    allocate_index: Any
    idle: Value

    ALLOCATE_CYCLE = 2
    """Cycles from the pick of a row to ``allocate``."""
    SEND_CYCLE = 5
    """Cycles from the pick of a row to its part on offer; the next pick is the cycle after it
    was taken."""

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
        config = self._config
        units = config.sub_arrays
        m.submodules.jobs = jobs = JobTable(config=config)
        m.submodules.dense_turn = dense_turn = RoundRobin(count=units)
        m.submodules.id_turn = id_turn = RoundRobin(count=units)
        wiring.connect(m, wiring.flipped(self.i_job), jobs.i_job)

        dense = Signal()  # the row being walked is in its dense pass
        unit = Signal.like(jobs.unit)
        row = Signal(config.row_bits)
        vector = Signal(13)
        index = Signal(4)
        row_done = Signal()
        job = jobs.job
        last = row + 1 == job.rows
        m.d.comb += [
            self.idle.eq(jobs.idle),
            dense_turn.requests.eq(jobs.dense_pending),
            id_turn.requests.eq(jobs.id_pending & self.can_allocate),
            jobs.unit.eq(unit),
            jobs.dense.eq(dense),
            jobs.done.eq(row_done & last),
        ]

        # Where each pass stands: one open row block for the dense pass, one a unit for the id pass.
        dense_open = Signal()
        dense_unit = Signal.like(unit)
        dense_row = Signal.like(row)
        id_row: Any = Signal(data.ArrayLayout(unsigned(config.row_bits), units))
        with m.If(row_done & dense):
            m.d.sync += [dense_open.eq(~last), dense_row.eq(Mux(last, 0, row + 1))]
        with m.Elif(row_done):
            m.d.sync += id_row[unit].eq(Mux(last, 0, row + 1))

        with m.FSM(name="walk"):
            with m.State("pick"):
                next_id = _number(id_turn.grant)
                with m.If(dense_open):
                    m.d.sync += [dense.eq(1), unit.eq(dense_unit), row.eq(dense_row)]
                    m.next = "read"
                with m.Elif(dense_turn.grant.any()):
                    m.d.comb += dense_turn.advance.eq(1)
                    next_dense = _number(dense_turn.grant)
                    m.d.sync += [dense_open.eq(1), dense_unit.eq(next_dense)]
                    m.d.sync += [dense.eq(1), unit.eq(next_dense), row.eq(0)]
                    m.next = "read"
                with m.Elif(id_turn.grant.any()):
                    m.d.comb += id_turn.advance.eq(1)
                    m.d.sync += [dense.eq(0), unit.eq(next_id), row.eq(id_row[next_id])]
                    m.next = "read"
            with m.State("read"):
                m.d.comb += jobs.read.eq(1)
                m.next = "allocate"
            with m.State("allocate"):
                m.d.comb += self.allocate.bit_select(unit, 1).eq(~dense)
                m.d.sync += [
                    self.list_address.eq(job.position + row),
                    vector.eq(self.allocate_address[unit]),
                    index.eq(self.allocate_index[unit]),
                ]
                m.next = "list"
                with m.If(~dense & (job.features == 0)):
                    m.d.comb += row_done.eq(1)
                    m.next = "pick"
            with m.State("list"):
                m.next = "multiply"
            with m.State("multiply"):
                m.next = "send"
            with m.State("send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += row_done.eq(1)
                    m.next = "pick"

        # Registered in every cycle; the one that counts is "multiply", with the list's answer.
        # pitch is a multiple of 64: its low bits stay out of the product.
        offset = Signal(config.item_bits + 10)
        item = Mux(self.first_stage, self.list_address, self.list_data)
        with m.If(~self.o.valid):
            m.d.sync += offset.eq(item * self.pitch[6:])
        task = self.o.payload
        m.d.comb += [
            task.dense.eq(dense),
            task.unit.eq(unit),
            task.slot.eq(job.slot),
            task.row.eq(row),
            task.program.eq(job.program),
            task.index.eq(index),
            task.vector.eq(vector),
            task.bytes.eq(Mux(dense, self.dense_bytes, job.features << 2)),
            task.address.eq(self.records + (offset << 6) + Mux(dense, 0, self.ids_offset)),
        ]
        return m
