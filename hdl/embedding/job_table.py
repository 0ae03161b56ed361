"""Row blocks that wait for their passes: two places a unit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout

__all__ = ["JobTable"]


class JobTable(wiring.Component):
    """Holds up to two jobs a unit and knows which pass comes next for each.

    ``i_job`` is refused while both places of its unit are in use. A unit's jobs pass through in
    order: first the dense pass, then the id pass, which gives the place free.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_job
        Row blocks.
    dense_pending, id_pending
        One bit a unit: it has a job whose dense pass is to be done; one whose id pass is.
    unit, dense, read
        Read the oldest job of ``unit`` that waits for its dense pass, or else for its id pass.
    job
        The job read last, from the cycle after ``read`` on.
    done
        The pass named by ``unit`` and ``dense`` is over.
    idle
        No job is held.
    """

    i_job: stream.Interface
    dense_pending: Value
    id_pending: Value
    unit: Value
    dense: Value
    read: Value
    job: Any
    done: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        units = config.sub_arrays
        self._unit_bits = max(1, (units - 1).bit_length())
        super().__init__(
            {
                "i_job": In(stream.Signature(job_layout(config))),
                "dense_pending": Out(units),
                "id_pending": Out(units),
                "unit": In(self._unit_bits),
                "dense": In(1),
                "read": In(1),
                "job": Out(job_layout(config)),
                "done": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units = self._config.sub_arrays
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
        jobs: Any = memory.Memory(shape=shape, depth=2 * units, init=[])
        m.submodules.jobs = jobs
        new_unit = self.i_job.payload.unit[: self._unit_bits]
        write = jobs.write_port()
        m.d.comb += [
            # Two apart, modulo 4.
            self.i_job.ready.eq((accepted[new_unit] ^ finished[new_unit]) != 2),
            write.addr.eq(Cat(accepted[new_unit][0], new_unit)),
            write.data.eq(self.i_job.payload),
            write.en.eq(self.i_job.valid & self.i_job.ready),
        ]
        with m.If(write.en):
            m.d.sync += accepted[new_unit].eq(accepted[new_unit] + 1)

        read = jobs.read_port(domain="sync")
        place = Mux(self.dense, densed[self.unit][0], finished[self.unit][0])
        m.d.comb += [
            read.addr.eq(Cat(place, self.unit)),
            read.en.eq(self.read),
            self.job.eq(read.data),
        ]
        with m.If(self.done & self.dense):
            m.d.sync += densed[self.unit].eq(densed[self.unit] + 1)
        with m.Elif(self.done):
            m.d.sync += finished[self.unit].eq(finished[self.unit] + 1)
        return m
