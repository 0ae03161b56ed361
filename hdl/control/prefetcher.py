"""Has the embedding rows of survivors fetched before their stage asks for them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout
from ..queue import Queue
from ..ranking.funnel_layouts import CONTEXT_BITS
from .block_issuer import fill_job
from .layouts import block_layout, context_layout

__all__ = ["GROUPS_AHEAD", "Prefetcher"]

GROUPS_AHEAD = 16
"""Groups that wait: the sub-batches of one query. Behind them groups go without prefetch."""


class Prefetcher(wiring.Component):
    """Turns every new group of a later stage into prefetch jobs for the record loaders.

    Prefetches are hints: a group that finds the queue full is dropped, its lookups will miss.
    Jobs have ``prefetch`` set and at most ``rows`` of the largest row block; the unit is that of
    the job's number, so that loaders take turns.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    grown
        Event: a context got a group.
    select, context
        Number of a context; its record, one cycle later.
    o
        Jobs.
    """

    grown: data.View
    select: Signal
    context: data.View
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "grown": In(data.StructLayout({"valid": 1, "block": block_layout(config)})),
                "select": Out(CONTEXT_BITS),
                "context": In(context_layout(config)),
                "o": Out(stream.Signature(job_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.groups = groups = Queue(shape=block_layout(config), depth=GROUPS_AHEAD)
        block: Any = Signal(block_layout(config))
        job: Any = Signal(job_layout(config))
        rows = Signal(config.row_bits + 1)
        m.d.comb += [
            groups.i.payload.eq(self.grown.block),
            groups.i.valid.eq(self.grown.valid),
            self.select.eq(block.context),
            rows.eq(Mux(block.left < config.rows, block.left, config.rows)),
            self.o.payload.eq(job),
            self.o.payload.prefetch.eq(1),
        ]
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += groups.o.ready.eq(1)
                m.d.sync += block.eq(groups.o.payload)
                with m.If(groups.o.valid):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "FILL"
            with m.State("FILL"):
                fill_job(m, job, self.context, block, rows)
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [
                        block.position.eq(block.position + rows),
                        block.left.eq(block.left - rows),
                        job.unit.eq(job.unit + 1),
                    ]
                    m.next = "FILL"
                    with m.If(block.left == rows):
                        m.next = "IDLE"
        return m
