"""What the next selection of a context is to do."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from ..program import Target
from .emission import emission_layout
from .funnel_layouts import (
    FRACTION_BITS,
    SUB_BATCH_BITS,
    Policy,
    context_layout,
    selection_layout,
)

__all__ = ["SelectionPlan"]

FRACTION_SHIFT = 16


class SelectionPlan(wiring.Component):
    """From a context and what its selections did so far to the next selection.

    ===========  =====================================================================
    policy       a selection keeps
    ===========  =====================================================================
    ``EXACT``    after the last sub-batch the k best of all. Before, the best
                 ``k * fraction >> 16`` so far, unless a selection before left more than
                 k / 16 of the forwarded behind; and no more than k are listed before the last
    ``QUOTA``    ``k // B`` of the sub-batch, one more in the first ``k % B``
    ``BINNED``   of the sub-batch's 16 bins the upper ones that hold its quota
    final        nothing before the last sub-batch, then the k best of all
    ===========  =====================================================================

    So a list has at most ``min(n, 2 k)`` entries (``BINNED``: n).

    Latency: the outputs hold ``LATENCY`` cycles after ``index`` and ``sub_batch`` were set, until
    ``save``.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    config_write
        Broadcast of LOAD: fractions (``Target.QUOTAS``), 16 words of 16 bits a row.
    index, sub_batch, context, aborted
        The context's number and what ``Contexts`` tells about it (``context`` a clock later).
    save, listed, fallen
        Pulse: the selection is done; the next list's length, candidates left behind.
    quota
        Rank of the last survivor; 0: nothing is kept.
    nothing
        ``quota`` is 0.
    last
        This is the context's last selection.
    selection, job
        For ``Scan`` and ``Emission``; ``job`` without ``ties`` and ``survivors``.
    by_item
        Equal scores need the item digits.
    binned
        The first digit is enough.
    """

    LATENCY = 5

    config_write: Any
    index: Signal
    sub_batch: Signal
    context: Any
    aborted: Signal
    save: Signal
    listed: Signal
    fallen: Signal
    quota: Signal
    nothing: Signal
    last: Signal
    selection: Any
    job: Any
    by_item: Signal
    binned: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._count = config.item_bits + 1
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "index": In(range(config.filter_contexts)),
                "sub_batch": In(SUB_BATCH_BITS),
                "context": In(context_layout(config)),
                "aborted": In(1),
                "save": In(1),
                "listed": In(self._count),
                "fallen": In(self._count),
                "quota": Out(self._count),
                "nothing": Out(1),
                "last": Out(1),
                "selection": Out(selection_layout(config)),
                "job": Out(emission_layout(config)),
                "by_item": Out(1),
                "binned": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        context, selection, job = self.context, self.selection, self.job
        progress = self._progress(m)
        end = self._ends(m)
        exact = Signal()
        halted = Signal()  # too much was forwarded in vain
        links = Signal()
        # What the context says, and what was done so far, is there some cycles before it is used:
        # these are registers.
        m.d.sync += [
            selection.end.eq(Mux(context.first, context.n, end)),
            self.last.eq(self.sub_batch + 1 == context.sub_batches),
            halted.eq(progress.fallen > (context.k >> 4)),
            # Before the last selection the list holds k at most: so it never holds more than 2 k.
            job.room.eq(Mux(links, context.k - progress.listed, (1 << self._count) - 1)),
        ]
        m.d.comb += [
            exact.eq(context.final | (context.policy == Policy.EXACT)),
            self.binned.eq(~exact & (context.policy == Policy.BINNED)),
            self.by_item.eq(~context.first & exact & (self.sub_batch != 0)),
        ]
        self._choose_quota(m, exact, halted)
        m.d.comb += [
            selection.base.eq(context.base),
            selection.first.eq(context.first),
            selection.sub_batches.eq(context.sub_batches),
            selection.sub_batch.eq(self.sub_batch),
            selection.cumulative.eq(exact),
            selection.fresh_from.eq(progress.fresh_from),
            selection.start.eq(progress.start),
            job.next_base.eq(context.next_base),
            job.final.eq(context.final),
            links.eq(exact & ~context.final & ~self.last),
            job.links.eq(links),
            job.flags.eq(exact & ~context.final & (progress.fresh_from != 0)),
            job.drop.eq(self.last),
            job.listed.eq(progress.listed),
        ]
        return m

    def _choose_quota(self, m: Module, exact: Signal, halted: Signal) -> None:
        context = self.context
        fractions: memory.Memory = memory.Memory(
            shape=FRACTION_SHIFT, depth=1 << (FRACTION_BITS + SUB_BATCH_BITS), init=[]
        )
        m.submodules.fractions = fractions
        write, read = fractions.write_port(), fractions.read_port(domain="sync")
        fraction = Signal(FRACTION_SHIFT)  # block memory and multiplier: a cycle each
        early = Signal(self._count + FRACTION_SHIFT)
        share = Signal(self._count)
        quota = Signal(self._count)
        m.d.sync += [
            fraction.eq(read.data),
            early.eq(context.k * fraction),
            self.quota.eq(quota),
            self.nothing.eq(quota == 0),
            share.eq(context.share + (self.sub_batch < context.extra)),
        ]
        enable, address, content = Signal(), Signal.like(write.addr), Signal.like(write.data)
        m.d.sync += [  # LOAD's words come from far
            enable.eq(self.config_write.valid & (self.config_write.target == Target.QUOTAS)),
            address.eq(self.config_write.address),
            content.eq(self.config_write.data),
        ]
        m.d.comb += [
            write.en.eq(enable),
            write.addr.eq(address),
            write.data.eq(content),
            read.addr.eq(Cat(self.sub_batch, context.fractions)),
        ]
        with m.If(self.aborted):
            m.d.comb += quota.eq(0)
        with m.Elif(~exact):
            m.d.comb += quota.eq(share)
        with m.Elif(self.last):
            m.d.comb += quota.eq(context.k)
        with m.Elif(~context.final & ~halted):
            m.d.comb += quota.eq(early[FRACTION_SHIFT:])

    def _progress(self, m: Module) -> Any:
        """What the selections of each context did so far."""
        layout = data.StructLayout(
            {
                "fresh_from": SUB_BATCH_BITS + 1,  # sub-batch after the last one selected from
                "start": self._count,  # position after it
                "listed": self._count,
                "fallen": self._count,
            }
        )
        cells: memory.Memory = memory.Memory(
            shape=layout, depth=self._config.filter_contexts, init=[]
        )
        m.submodules.progress = cells
        write, read = cells.write_port(), cells.read_port(domain="sync")
        now: Any = Signal(layout)
        skipped = self.nothing
        m.d.comb += [
            read.addr.eq(self.index),
            write.addr.eq(self.index),
            write.en.eq(self.save),
            write.data.eq(now),
        ]
        # A context's first selection finds what the one before left in its place.
        m.d.sync += now.eq(Mux(self.sub_batch == 0, 0, read.data.as_value()))
        with m.If(~skipped):
            m.d.comb += [
                write.data.fresh_from.eq(self.sub_batch + 1),
                write.data.listed.eq(self.listed),
                write.data.fallen.eq(self.fallen),
            ]
        with m.If(~skipped | ~self.selection.cumulative):
            m.d.comb += write.data.start.eq(self.selection.end)
        return now

    def _ends(self, m: Module) -> Signal:
        """Where each sub-batch of a later stage ends in its list."""
        cells: memory.Memory = memory.Memory(
            shape=self._count, depth=self._config.filter_contexts << SUB_BATCH_BITS, init=[]
        )
        m.submodules.ends = cells
        write, read = cells.write_port(), cells.read_port(domain="sync")
        end = Signal(self._count)
        m.d.comb += [
            read.addr.eq(Cat(self.sub_batch, self.index)),
            end.eq(read.data),
            write.en.eq(self.save & ~self.context.final),
            write.addr.eq(
                Cat(
                    self.sub_batch,
                    self.context.next_context[: len(self.index)],
                )
            ),
            write.data.eq(self.listed),
        ]
        return end
