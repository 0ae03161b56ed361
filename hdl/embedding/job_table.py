"""Row blocks that wait for their passes: two places a unit, and two for fetching ahead."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout

__all__ = ["JobTable"]


class JobTable(wiring.Component):
    """Holds up to two jobs a unit and knows which pass comes next for each.

    ``i_job`` is refused while both places of its unit are in use. A unit's jobs pass through in
    order: first the dense pass, then the id pass, which gives the place free. Prefetches, jobs of
    ``i_prefetch``, are those of one more unit, number ``config.sub_arrays``; they have no dense
    pass and wait while a row block comes in.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job, i_prefetch
        Row blocks; jobs that only fetch ahead, ``prefetch`` set.
    dense_pending, id_pending
        One bit a unit: it has a job whose dense pass is to be done; one whose id pass is.
    dense_unit, dense_rows, dense_place, dense_none, dense_single, dense_done
        A unit; rows and place of its oldest job that waits for the dense pass, whether its records
        have no dense values, whether it has one row only, all from the cycle after that in which it
        is ``dense_pending`` on; that pass is over.
    id_unit, id_place, id_step, id_row
        The same for the id pass, place by place; a row is walked, not in the first cycle in which
        the unit is ``id_pending`` and not in two cycles in a row; its number. The pass is over with
        the job's last one.
    read, read_unit, read_place, job
        Read a job, not in the first cycle in which it is pending; it is there from the cycle after
        ``read`` on. A place that was given free in
        the cycle before still holds its job. Its ``list_base`` is the list address of row 0.
    idle
        No job is held.
    """

    i_job: stream.Interface
    i_prefetch: stream.Interface
    dense_pending: Value
    id_pending: Value
    dense_unit: Value
    dense_rows: Value
    dense_place: Value
    dense_none: Value
    dense_single: Value
    dense_done: Value
    id_unit: Value
    id_place: Value
    id_step: Value
    id_row: Value
    read: Value
    read_unit: Value
    read_place: Value
    job: Any
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._units = config.sub_arrays + 1
        self._unit_bits = (self._units - 1).bit_length()
        rows = config.row_bits + 1
        passes: dict[str, Any] = {}
        for name in ("dense", "id"):
            passes |= {
                f"{name}_pending": Out(self._units),
                f"{name}_unit": In(self._unit_bits),
                f"{name}_place": Out(1),
            }
        super().__init__(
            {
                "i_job": In(stream.Signature(job_layout(config))),
                "i_prefetch": In(stream.Signature(job_layout(config))),
                **passes,
                "dense_rows": Out(rows),
                "dense_none": Out(1),
                "dense_single": Out(1),
                "dense_done": In(1),
                "id_step": In(1),
                "id_row": Out(self._config.row_bits),
                "read": In(1),
                "read_unit": In(self._unit_bits),
                "read_place": In(1),
                "job": Out(job_layout(config)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units = self._units
        # Jobs of a unit that came in, had their dense pass, had their id pass; modulo 4, of which
        # at most two are open, so equality means "none" and bit 0 names the place.
        counts = data.ArrayLayout(unsigned(2), units)
        accepted: Any = Signal(counts)
        densed: Any = Signal(counts)
        finished: Any = Signal(counts)
        m.d.comb += self.idle.eq(accepted.as_value() == finished.as_value())
        for u in range(units):
            m.d.comb += [
                self.dense_pending[u].eq(accepted[u] != densed[u]),
                self.id_pending[u].eq(densed[u] != finished[u]),
            ]

        shape = job_layout(self._config)
        jobs: Any = memory.Memory(shape=shape, depth=1 << (self._unit_bits + 1), init=[])
        m.submodules.jobs = jobs
        # Rows beside the jobs: a pass must know its last row before its job is read.
        rows: Any = Signal(data.ArrayLayout(unsigned(self._config.row_bits + 1), 2 * units))
        none = Signal(2 * units)
        new: Any = Signal(shape, reset_less=True)
        new_unit = Signal(self._unit_bits)
        come = Signal()
        blocks, ahead = self.i_job, self.i_prefetch
        write = jobs.write_port()
        m.d.comb += [
            new_unit.eq(Mux(blocks.valid, blocks.payload.unit, units - 1)),
            # Two apart, modulo 4.
            blocks.ready.eq((accepted[blocks.payload.unit] ^ finished[blocks.payload.unit]) != 2),
            ahead.ready.eq(~blocks.valid & ((accepted[units - 1] ^ finished[units - 1]) != 2)),
            come.eq((blocks.valid & blocks.ready) | (ahead.valid & ahead.ready)),
        ]
        with m.If(come):
            m.d.sync += accepted[new_unit].eq(accepted[new_unit] + 1)
            with m.If(~blocks.valid):
                m.d.sync += densed[units - 1].eq(densed[units - 1] + 1)
        # Written a cycle after the counts: nobody looks at a job in the first cycle in which these
        # show it.
        m.d.sync += [
            new.eq(Mux(blocks.valid, blocks.payload.as_value(), ahead.payload.as_value())),
            write.addr.eq(Cat(accepted[new_unit][0], new_unit)),
            write.en.eq(come),
        ]
        held: Any = Signal(shape)  # as it is in the table
        m.d.comb += [
            held.eq(new),
            held.list_base.eq(new.list_base + new.position),
            write.data.eq(held),
        ]
        with m.If(write.en):
            m.d.sync += [
                rows[write.addr].eq(new.rows),
                none.bit_select(write.addr, 1).eq(new.dense_bytes == 0),
            ]

        self._next_dense(m, densed, rows, none, write, new)
        read = jobs.read_port(domain="sync")
        m.d.comb += [
            read.addr.eq(Cat(self.read_place, self.read_unit)),
            read.en.eq(self.read),
            self.job.eq(read.data),
        ]
        m.d.comb += self.id_place.eq(finished[self.id_unit][0])
        with m.If(self.dense_done):
            m.d.sync += densed[self.dense_unit].eq(densed[self.dense_unit] + 1)

        # Whether a unit's row is its job's last one has a register: it is known the cycle after
        # the row before, or after the job is written.
        id_row: Any = Signal(data.ArrayLayout(unsigned(self._config.row_bits), units))
        last = Signal(units)
        for u in range(units):
            place = finished[u][0]
            written = write.en & (write.addr == Cat(place, Const(u, self._unit_bits)))
            walked = id_row[u] + 1 == Mux(place, rows[2 * u + 1], rows[2 * u])
            m.d.sync += last[u].eq(Mux(written, new.rows == 1, walked))
        m.d.comb += self.id_row.eq(id_row[self.id_unit])
        with m.If(self.id_step):
            with m.If(last.bit_select(self.id_unit, 1)):
                m.d.sync += [
                    id_row[self.id_unit].eq(0),
                    finished[self.id_unit].eq(finished[self.id_unit] + 1),
                ]
            with m.Else():
                m.d.sync += id_row[self.id_unit].eq(id_row[self.id_unit] + 1)
        return m

    def _next_dense(
        self, m: Module, densed: Any, rows: Any, none: Signal, write: memory.WritePort, new: Any
    ) -> None:
        """Each unit's next job for the dense pass, in registers.

        They are right from the cycle after a pass or a write on, and a pass begins two after it.
        """
        units = self._units
        place = Signal(units)
        count: Any = Signal(data.ArrayLayout(rows.shape().elem_shape, units), name="dense_count")
        empty, single = Signal(units), Signal(units)
        for u in range(units):
            here = densed[u][0]
            written = write.en & (write.addr == Cat(here, Const(u, self._unit_bits)))
            kept = Mux(here, rows[2 * u + 1], rows[2 * u])
            m.d.sync += [
                place[u].eq(here),
                count[u].eq(Mux(written, new.rows, kept)),
                single[u].eq(Mux(written, new.rows, kept) == 1),
                empty[u].eq(
                    Mux(written, new.dense_bytes == 0, Mux(here, none[2 * u + 1], none[2 * u]))
                ),
            ]
        m.d.comb += [
            self.dense_place.eq(place.bit_select(self.dense_unit, 1)),
            self.dense_rows.eq(count[self.dense_unit]),
            self.dense_none.eq(empty.bit_select(self.dense_unit, 1)),
            self.dense_single.eq(single.bit_select(self.dense_unit, 1)),
        ]
