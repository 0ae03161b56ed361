"""Code generator: the codes of a row block, as chunks for the activation banks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import chunk_layout
from ..queue import Queue
from .hash_lane import HashLane
from .layouts import ID_BITS, buckets_layout, hash_layout

__all__ = ["CodeGenerator", "code_job_layout"]

QUEUE_DEPTH = 32
"""Codes between the lanes and the banks. What is sent into the lanes always finds room: HashLane
.LATENCY + 1 of them, three cycles through the queue, and four while the banks are written to."""


def code_job_layout(config: Config) -> data.StructLayout:
    """Codes of one feature for one row block."""
    return data.StructLayout(
        {
            "slot": unsigned(1),  # of the engine
            "feature": unsigned(7),  # number of its id in the id store
            "rows": unsigned(config.row_bits + 1),  # 1 .. config.rows
            "groups": unsigned(12),  # ceil(k / lanes)
            "buckets": buckets_layout(),
        }
    )


class CodeGenerator(wiring.Component):
    """Hashes every id of a row block with every hash of a feature.

    The hash is the outer loop and the item the inner one: ``lanes`` hashes at a time meet every
    id, so that constants are needed once a row block and codes of an activation page end one row
    behind the other. Chunks of ``lanes`` codes leave in that order; ``last`` marks the chunk that
    completes its row's page (E values, or the last ones of the row). Codes behind k, where k is
    no multiple of ``lanes``, are those of the padding of ``i_hashes``: their weights are zero.

    ``lanes`` hashes every cycle while ids, constants and room are there. Between two features the
    lanes run empty, HashLane.LATENCY + 4 cycles. An id is read a cycle after ``id_row``.

    Parameters
    ----------
    config
        Device configuration.
    lanes
        Hash lanes, a power of two, at most 16 and ``config.sub_array``.

    Members
    -------
    level
        Partition level of the engine that takes the codes; changes only while ``idle``.
    i_job
        Features of row blocks, in order.
    i_hashes
        Constants: one word of ``lanes`` hashes for each group, held for all rows.
    id_slot, id_feature, id_row, id
        To and from the id store.
    o
        Chunks of int8 codes.
    idle
        No job is held and no code is on its way.
    starved
        A job waits for constants: for counters.
    """

    level: Signal
    i_job: stream.Interface
    i_hashes: stream.Interface
    id_slot: Signal
    id_feature: Signal
    id_row: Signal
    id: Signal
    o: stream.Interface
    idle: Signal
    starved: Signal

    def __init__(self, *, config: Config, lanes: int) -> None:
        if lanes < 1 or lanes & (lanes - 1) or lanes > min(16, config.sub_array):
            raise ValueError(
                f"lanes must be a power of two, at most {min(16, config.sub_array)}, not {lanes!r}"
            )
        self._config = config
        self._lanes = lanes
        super().__init__(
            {
                "level": In(config.level_bits),
                "i_job": In(stream.Signature(code_job_layout(config))),
                "i_hashes": In(stream.Signature(data.ArrayLayout(hash_layout(), lanes))),
                "id_slot": Out(1),
                "id_feature": Out(7),
                "id_row": Out(config.row_bits),
                "id": In(ID_BITS),
                "o": Out(stream.Signature(chunk_layout(config))),
                "idle": Out(1),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        job: Any = Signal(code_job_layout(config))
        sending = Signal()  # rows of the job are still to be sent into the lanes
        held = Signal()  # its chunks are not all out
        row = Signal(config.row_bits)
        group = Signal(12)
        room = Signal(range(QUEUE_DEPTH + 1), init=QUEUE_DEPTH)
        sent = Signal()
        last_row = row + 1 == job.rows
        m.submodules.codes = codes = Queue(shape=8 * self._lanes, depth=QUEUE_DEPTH)
        m.d.comb += [
            self.i_job.ready.eq(~held),
            self.idle.eq(~held),
            self.id_slot.eq(job.slot),
            self.id_feature.eq(job.feature),
            self.id_row.eq(row),
            self.starved.eq(sending & ~self.i_hashes.valid),
            sent.eq(sending & self.i_hashes.valid & (room != 0)),
            self.i_hashes.ready.eq(sent & last_row),
        ]
        with m.If(self.i_job.valid & self.i_job.ready):
            m.d.sync += [job.eq(self.i_job.payload), sending.eq(1), held.eq(1)]
        with m.If(sent):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
        with m.If(sent & last_row):
            m.d.sync += group.eq(group + 1)
            with m.If(group + 1 == job.groups):
                m.d.sync += [group.eq(0), sending.eq(0)]
        taken = self.o.valid & self.o.ready
        m.d.sync += room.eq(room - sent + taken)
        self._hash(m, job, sent, codes)
        self._send(m, job, held, codes)
        return m

    def _hash(self, m: Module, job: Any, sent: Signal, codes: Queue) -> None:
        """Lanes, and which of their cycles mean something."""
        on_way = Signal(HashLane.LATENCY + 1)
        hashes = Signal(self.i_hashes.payload.shape(), reset_less=True)
        m.d.sync += [on_way.eq(Cat(sent, on_way)), hashes.eq(self.i_hashes.payload)]
        for number in range(self._lanes):
            lane = HashLane()
            m.submodules[f"lane_{number}"] = lane
            m.d.comb += [
                lane.id.eq(self.id),
                lane.hash.eq(hashes[number]),
                lane.buckets.eq(job.buckets),
                codes.i.payload.word_select(number, 8).eq(lane.code),
            ]
        m.d.comb += codes.i.valid.eq(on_way[-1])

    def _send(self, m: Module, job: Any, held: Signal, codes: Queue) -> None:
        """Chunks in the order of the rows sent; the job ends with its last chunk."""
        config, lanes = self._config, self._lanes
        row = Signal(config.row_bits)
        group = Signal(12)
        page_end = Signal()
        chunk = self.o.payload
        last_row = row + 1 == job.rows
        last_group = group + 1 == job.groups
        with m.Switch(self.level):
            for level in range(config.levels):
                with m.Case(level):
                    groups = exact_log2((config.sub_array << level) // lanes)
                    m.d.comb += page_end.eq(group[:groups].all())
        m.d.comb += [
            self.o.valid.eq(codes.o.valid),
            codes.o.ready.eq(self.o.ready),
            chunk.slot.eq(job.slot),
            chunk.row.eq(row),
            chunk.k.eq(group << exact_log2(lanes)),
            chunk.count.eq(lanes),
            chunk.last.eq(page_end | last_group),
            *(chunk.data[n].eq(codes.o.payload.word_select(n, 8)) for n in range(lanes)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))
            with m.If(last_row):
                m.d.sync += group.eq(Mux(last_group, 0, group + 1))
            with m.If(last_row & last_group):
                m.d.sync += held.eq(0)
