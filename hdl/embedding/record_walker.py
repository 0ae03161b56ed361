"""Jobs in, parts of item records to be read out: who is served next, and where its record lies."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import job_layout
from .layouts import record_task_layout

__all__ = ["RecordWalker"]


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

    def __init__(self, *, config: Config) -> None:
        self._config = config
        units = config.sub_arrays
        super().__init__(
            {
                "i_job": In(stream.Signature(job_layout(config))),
                "o": Out(stream.Signature(record_task_layout(config))),
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
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        units = config.sub_arrays
        unit_bits = max(1, (units - 1).bit_length())

        # Jobs of a unit that came in, had their dense pass, had their id pass; modulo 4, of which
        # at most two are open, so equality means "none" and bit 0 names the place.
        counts = data.ArrayLayout(unsigned(2), units)
        accepted, densed, finished = (
            Signal(counts, name=name) for name in ("accepted", "densed", "finished")
        )
        m.d.comb += self.idle.eq(accepted.as_value() == finished.as_value())

        m.submodules.jobs = jobs = memory.Memory(
            shape=job_layout(config), depth=2 * units, init=[]
        )
        new_unit = self.i_job.payload.unit[:unit_bits]
        write = jobs.write_port()
        m.d.comb += [
            self.i_job.ready.eq((accepted[new_unit] ^ finished[new_unit]) != 2),
            write.addr.eq(Cat(accepted[new_unit][0], new_unit)),
            write.data.eq(self.i_job.payload),
            write.en.eq(self.i_job.valid & self.i_job.ready),
        ]
        with m.If(write.en):
            m.d.sync += accepted[new_unit].eq(accepted[new_unit] + 1)

        m.submodules.dense_turn = dense_turn = RoundRobin(count=units)
        m.submodules.id_turn = id_turn = RoundRobin(count=units)
        dense_next = Signal(unit_bits)
        id_next = Signal(unit_bits)
        m.d.comb += [
            dense_next.eq(_number(dense_turn.grant)),
            id_next.eq(_number(id_turn.grant)),
        ]
        for u in range(units):
            m.d.comb += [
                dense_turn.requests[u].eq(accepted[u] != densed[u]),
                id_turn.requests[u].eq((densed[u] != finished[u]) & self.can_allocate[u]),
            ]

        dense = Signal()  # the row being walked is in its dense pass
        dense_open = Signal()  # the dense pass of ``dense_unit`` has rows left
        dense_unit = Signal(unit_bits)
        dense_row = Signal(config.row_bits)
        id_row = Signal(data.ArrayLayout(unsigned(config.row_bits), units))
        unit = Signal(unit_bits)
        place = Signal()
        row = Signal(config.row_bits)
        read = jobs.read_port(domain="sync")
        job = read.data
        m.d.comb += read.addr.eq(Cat(place, unit))

        vector = Signal(13)
        index = Signal(4)
        # pitch is a multiple of 64: leave its low bits out of the product.
        offset = Signal(config.item_bits + 10)
        item = Mux(self.first_stage, self.list_address, self.list_data)
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

        row_done = Signal()
        with m.FSM(name="walk"):
            with m.State("pick"):
                with m.If(dense_open):
                    m.d.sync += [
                        dense.eq(1),
                        unit.eq(dense_unit),
                        place.eq(densed[dense_unit][0]),
                        row.eq(dense_row),
                    ]
                    m.next = "read"
                with m.Elif(dense_turn.requests.any()):
                    m.d.comb += dense_turn.advance.eq(1)
                    m.d.sync += [
                        dense.eq(1),
                        dense_open.eq(1),
                        dense_unit.eq(dense_next),
                        dense_row.eq(0),
                        unit.eq(dense_next),
                        place.eq(densed[dense_next][0]),
                        row.eq(0),
                    ]
                    m.next = "read"
                with m.Elif(id_turn.requests.any()):
                    m.d.comb += id_turn.advance.eq(1)
                    m.d.sync += [
                        dense.eq(0),
                        unit.eq(id_next),
                        place.eq(finished[id_next][0]),
                        row.eq(id_row[id_next]),
                    ]
                    m.next = "read"
            with m.State("read"):
                m.d.comb += read.en.eq(1)
                m.next = "allocate"
            with m.State("allocate"):
                m.d.sync += [
                    self.list_address.eq(job.position + row),
                    vector.eq(self.allocate_address[unit]),
                    index.eq(self.allocate_index[unit]),
                ]
                m.d.comb += self.allocate.bit_select(unit, 1).eq(~dense)
                m.next = "list"
                with m.If(~dense & (job.features == 0)):
                    m.d.comb += row_done.eq(1)
                    m.next = "pick"
            with m.State("list"):
                m.next = "multiply"
            with m.State("multiply"):
                m.d.sync += offset.eq(item * self.pitch[6:])
                m.next = "send"
            with m.State("send"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += row_done.eq(1)
                    m.next = "pick"

        with m.If(row_done):
            last = row + 1 == job.rows
            with m.If(dense):
                m.d.sync += dense_row.eq(row + 1)
                with m.If(last):
                    m.d.sync += [dense_open.eq(0), densed[unit].eq(densed[unit] + 1)]
            with m.Else():
                m.d.sync += id_row[unit].eq(Mux(last, 0, row + 1))
                with m.If(last):
                    m.d.sync += finished[unit].eq(finished[unit] + 1)
        return m
