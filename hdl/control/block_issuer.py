"""Hands row blocks to engines and record loaders: which stage of which query comes next."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import job_layout
from ..ranking.funnel_layouts import CONTEXT_BITS
from .engine_picker import EnginePicker
from .layouts import block_layout, context_layout

__all__ = ["BlockIssuer", "fill_job"]


def fill_job(m: Module, job: Any, context: Any, block: Any, rows: Any) -> None:
    """The fields of a job that follow from its context and its rows; a register's next value."""
    m.d.sync += [
        job.program.eq(context.program),
        job.features.eq(context.features),
        job.rows.eq(rows),
        job.position.eq(block.position),
        job.stride.eq(block.stride),
        job.context.eq(block.context),
        job.sub_batch.eq(block.sub_batch),
        job.query.eq(context.query),
        job.first.eq(context.first),
        job.list_base.eq(context.base),
        job.records.eq(context.records),
        job.pitch.eq(context.pitch),
        job.dense_bytes.eq(context.dense_bytes),
        job.ids_offset.eq(context.ids_offset),
    ]


class BlockIssuer(wiring.Component):
    """Sends row blocks, one after the other: to the engine first, then to its record loader.

    A context is ready when it has an open group and an engine of its stage has a free slot. The
    ready context first in the ring from ``oldest`` on wins: the oldest query, and in it the latest
    stage. So no query waits for a younger one, and the funnel drains. A stage's engines take turns.

    An engine always knows a job before the first byte of it can arrive. A block every
    ``BLOCK_CYCLES`` cycles at best.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    pending
        Contexts with rows to give away.
    oldest
        Number of the first context of the oldest query.
    stage
        Stage of each context.
    engines
        Of each stage: bit u is set when the engine anchored at u serves it.
    free
        Bit u is set when the engine anchored at u has a free slot; up to date in the cycle after
        the engine took a job.
    select, context, block
        Number of the context in work; its record and its open group, one cycle later.
    take, rows
        Rows of ``select`` are given away.
    busy
        The context in work, one-hot.
    available
        Stages that have an engine with a free slot; one cycle behind ``free``.
    o_engine_job, o_loader_job
        The same job for the engine ``unit`` and the record loaders.
    """

    BLOCK_CYCLES = 10

    pending: Signal
    oldest: Signal
    stage: Any
    engines: Any
    free: Signal
    select: Signal
    context: data.View
    block: data.View
    take: Signal
    rows: Signal
    busy: Signal
    available: Signal
    o_engine_job: stream.Interface
    o_loader_job: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        contexts = config.filter_contexts
        job = stream.Signature(job_layout(config))
        super().__init__(
            {
                "pending": In(contexts),
                "oldest": In(CONTEXT_BITS),
                "stage": In(data.ArrayLayout(2, contexts)),
                "engines": In(data.ArrayLayout(config.sub_arrays, config.max_stages)),
                "free": In(config.sub_arrays),
                "select": Out(CONTEXT_BITS),
                "context": In(context_layout(config)),
                "block": In(block_layout(config)),
                "take": Out(1),
                "rows": Out(config.row_bits + 1),
                "busy": Out(contexts),
                "available": Out(config.max_stages),
                "o_engine_job": Out(job),
                "o_loader_job": Out(job),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.picker = picker = EnginePicker(config=config)
        job: Any = Signal(job_layout(config))
        rows = Signal(config.row_bits + 1)
        chosen = self._choose(m)
        block = self.block
        m.d.comb += [
            picker.candidates.eq(Array(self.engines)[self.context.stage] & self.free),
            rows.eq(Mux(block.left < self.context.rows, block.left, self.context.rows)),
            self.rows.eq(job.rows),
            self.o_engine_job.payload.eq(job),
            self.o_loader_job.payload.eq(job),
        ]
        m.d.sync += self.take.eq(0)
        with m.FSM(name="state"):
            with m.State("SAMPLE"):
                m.d.sync += self.busy.eq(0)
                with m.If((self._ready & self.pending) != 0):
                    m.d.sync += self.busy.eq(chosen)
                    m.next = "ENCODE"
            with m.State("ENCODE"):
                for bit in range(CONTEXT_BITS):
                    odd = sum(1 << c for c in range(config.filter_contexts) if c >> bit & 1)
                    m.d.sync += self.select[bit].eq((self.busy & odd) != 0)
                m.next = "READ"
            with m.State("READ"):
                m.next = "PICK"
            with m.State("PICK"):
                m.d.comb += [picker.search.eq(1), picker.take.eq(picker.found)]
                fill_job(m, job, self.context, block, rows)
                m.d.sync += [job.unit.eq(picker.unit), job.slot.eq(picker.slot)]
                with m.If(picker.found):
                    m.next = "ENGINE"
            with m.State("ENGINE"):
                m.d.comb += self.o_engine_job.valid.eq(1)
                with m.If(self.o_engine_job.ready):
                    m.d.sync += self.take.eq(1)  # ``select`` and ``rows`` hold for three cycles
                    m.next = "LOADER"
            with m.State("LOADER"):
                m.d.comb += self.o_loader_job.valid.eq(1)
                with m.If(self.o_loader_job.ready):
                    m.next = "SAMPLE"
        return m

    def _choose(self, m: Module) -> Signal:
        """One-hot choice among the ready contexts, the first one from the oldest on."""
        contexts = self._config.filter_contexts
        self._ready = Signal(contexts)
        behind = Signal(contexts)  # contexts from the oldest one to the end of the numbers
        preferred = Signal(contexts)
        pool = Signal(contexts)
        chosen = Signal(contexts)
        m.d.sync += [
            self.available.eq(Cat((mask & self.free) != 0 for mask in self.engines)),
            behind.eq(((1 << contexts) - 1) << self.oldest),
            self._ready.eq(
                Cat(
                    self.pending[c] & self.available.bit_select(self.stage[c], 1)
                    for c in range(contexts)
                )
            ),
        ]
        m.d.comb += [
            # Sampled one cycle ago: what was given away since then is none any more.
            preferred.eq(self._ready & self.pending & behind),
            pool.eq(Mux(preferred != 0, preferred, self._ready & self.pending)),
            chosen.eq(pool & -pool),
        ]
        return chosen
