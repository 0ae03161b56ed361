"""Which sub-batches of which contexts are complete."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .divider import Divider
from .funnel_layouts import (
    SUB_BATCH_BITS,
    arrival_layout,
    cancel_layout,
    context_layout,
    open_layout,
)

__all__ = ["Contexts"]


class Contexts(wiring.Component):
    """Opens contexts, counts their scores and says which may be selected from.

    A sub-batch has a size from the moment it is **announced**: those of a first stage when the
    context is opened, those of a later stage by the selection that forwarded them. Each score that
    comes, and each that a cancelled query will not send, counts it down; at 0 it is complete.
    A context is ready when its current sub-batch is complete: sub-batches are selected in order.

    Flow control: a context is taken when it is open: ``item_bits + 3`` cycles, and one for each
    sub-batch of a first stage, after it was offered. Announcements, cancellations and arrivals are
    taken in this order of priority, arrivals one every second cycle.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i_open
        ``open_layout``. No context is opened twice before it is finished.
    i_announce
        ``arrival_layout``: a sub-batch of an open context and its size.
    i_arrival
        ``arrival_layout``: scores that have come.
    i_cancel
        ``cancel_layout``: scores that will not come; the context keeps nothing from now on.
    ready
        Bit c: context c's current sub-batch is complete.
    final
        Bit c: its survivors are the query's result.
    index
        Context that the next three tell about: ``context`` and ``sub_batch`` one clock later,
        ``aborted`` at once.
    context, sub_batch, aborted
        What is kept of it, its current sub-batch, whether its query is cancelled.
    finish, finish_last
        Pulse: the current sub-batch of ``index`` is selected; it was the last one.
    """

    COUNT_CYCLES = 3
    """From the cycle in which an arrival is taken to the one in which its sub-batch is ready."""

    i_open: stream.Interface
    i_announce: stream.Interface
    i_arrival: stream.Interface
    i_cancel: stream.Interface
    ready: Signal
    final: Signal
    index: Signal
    context: Any
    sub_batch: Signal
    aborted: Signal
    finish: Signal
    finish_last: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._count = config.filter_contexts
        arrival = stream.Signature(arrival_layout(config))
        super().__init__(
            {
                "i_open": In(stream.Signature(open_layout(config))),
                "i_announce": In(arrival),
                "i_arrival": In(arrival),
                "i_cancel": In(stream.Signature(cancel_layout(config))),
                "ready": Out(self._count),
                "final": Out(self._count),
                "index": In(range(self._count)),
                "context": Out(context_layout(config)),
                "sub_batch": Out(SUB_BATCH_BITS),
                "aborted": Out(1),
                "finish": In(1),
                "finish_last": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done = [Signal(1 << SUB_BATCH_BITS, name=f"done_{c}") for c in range(self._count)]
        current = [Signal(SUB_BATCH_BITS, name=f"current_{c}") for c in range(self._count)]
        active = Signal(self._count)
        aborted = Signal(self._count)
        own = Signal(data.StructLayout({"valid": 1, "arrival": arrival_layout(self._config)}))
        taken = Signal()
        opening = Signal()
        # A cycle late: the payload stands, and nothing is counted in a context so soon.
        m.d.sync += opening.eq(self._open(m, own, taken))
        found, last_counted = self._count_down(m, own, taken)
        completed, which = Signal(), Signal.like(last_counted)  # a comparison is in front
        m.d.sync += [completed.eq(found), which.eq(last_counted)]
        payload = self.i_open.payload
        cancel = self.i_cancel
        for c in range(self._count):
            mine = completed & (which.context == c)
            known = done[c] | Mux(mine, 1 << which.sub_batch, 0)
            following = (current[c] + 1)[:SUB_BATCH_BITS]
            here, behind = (
                done[c].bit_select(place, 1) | (mine & (which.sub_batch == place))
                for place in (current[c], following)
            )
            ends = self.finish & (self.index == c)
            # Of the next cycle: the choice among contexts waits for no table.
            m.d.sync += [
                done[c].eq(known),
                self.ready[c].eq(active[c] & ~(ends & self.finish_last) & Mux(ends, behind, here)),
            ]
            with m.If(self.finish & (self.index == c)):
                m.d.sync += current[c].eq(current[c] + 1)
                with m.If(self.finish_last):
                    m.d.sync += active[c].eq(0)
            with m.If(cancel.valid & cancel.ready & (cancel.payload.context == c)):
                m.d.sync += aborted[c].eq(1)
            with m.If(opening & (payload.context == c)):
                m.d.sync += [
                    done[c].eq(0),
                    current[c].eq(0),
                    active[c].eq(1),
                    aborted[c].eq(0),
                    self.final[c].eq(payload.final),
                ]
        m.d.sync += self.sub_batch.eq(Array(current)[self.index])
        m.d.comb += self.aborted.eq(aborted.bit_select(self.index, 1))
        return m

    def _open(self, m: Module, own: Any, taken: Signal) -> Signal:
        """Divide n and k by the number of sub-batches, announce those of a first stage."""
        payload = self.i_open.payload
        width = self._config.item_bits + 1
        kept: memory.Memory = memory.Memory(
            shape=context_layout(self._config), depth=self._count, init=[]
        )
        m.submodules.contexts = kept
        write = kept.write_port()
        read = kept.read_port(domain="sync")
        m.submodules.divide_n = divide_n = Divider(width=width, divisor_width=SUB_BATCH_BITS + 1)
        m.submodules.divide_k = divide_k = Divider(width=width, divisor_width=SUB_BATCH_BITS + 1)
        steps = Signal(range(width + 1))
        number = Signal(SUB_BATCH_BITS)
        opening = Signal()
        m.d.comb += [
            divide_n.dividend.eq(payload.n),
            divide_k.dividend.eq(payload.k),
            divide_n.divisor.eq(payload.sub_batches),
            divide_k.divisor.eq(payload.sub_batches),
            divide_n.start.eq(opening),
            divide_k.start.eq(opening),
            own.arrival.context.eq(payload.context),
            own.arrival.sub_batch.eq(number),
            own.arrival.count.eq(divide_n.quotient + (number < divide_n.remainder)),
            write.addr.eq(payload.context),
            write.data.share.eq(divide_k.quotient),
            write.data.extra.eq(divide_k.remainder),
            read.addr.eq(self.index),
            self.context.eq(read.data),
        ]
        m.d.comb += [getattr(write.data, name).eq(payload[name]) for name, _ in payload.shape()]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += opening.eq(self.i_open.valid)
                m.d.sync += [steps.eq(width), number.eq(0)]
                with m.If(self.i_open.valid):
                    m.next = "DIVIDE"
            with m.State("DIVIDE"):
                m.d.sync += steps.eq(steps - 1)
                with m.If(steps == 1):
                    m.next = "ACCEPT"
                    with m.If(payload.first):
                        m.next = "ANNOUNCE"
            with m.State("ANNOUNCE"):
                m.d.comb += own.valid.eq(1)
                with m.If(taken):
                    m.d.sync += number.eq(number + 1)
                    with m.If(number + 1 == payload.sub_batches):
                        m.next = "ACCEPT"
            with m.State("ACCEPT"):
                m.d.comb += [self.i_open.ready.eq(1), write.en.eq(1)]
                m.next = "IDLE"
        return opening

    def _count_down(self, m: Module, own: Any, taken: Signal) -> tuple[Signal, Any]:
        """Missing scores of each sub-batch; returns: one is complete, and which."""
        layout = arrival_layout(self._config)
        width = self._config.item_bits + 1
        cells: memory.Memory = memory.Memory(
            shape=width, depth=self._count << SUB_BATCH_BITS, init=[]
        )
        m.submodules.missing = cells
        write = cells.write_port()
        read = cells.read_port(domain="sync")
        counting = Signal()  # the answer of the read is there
        counted: Any = Signal(layout)
        announced: Any = Signal(layout)
        which: Any = Signal(layout)
        completed = Signal()
        announce, cancel, arrival = self.i_announce, self.i_cancel, self.i_arrival
        setting = own.valid | announce.valid
        reading = Signal()
        chosen: Any = Signal(layout)
        m.d.comb += [
            announced.eq(Mux(own.valid, own.arrival.as_value(), announce.payload.as_value())),
            taken.eq(own.valid & ~counting),
            announce.ready.eq(~own.valid & ~counting),
            reading.eq(~counting & ~setting & (cancel.valid | arrival.valid)),
            cancel.ready.eq(~counting & ~setting),
            arrival.ready.eq(~counting & ~setting & ~cancel.valid),
            chosen.eq(Mux(cancel.valid, cancel.payload.as_value(), arrival.payload.as_value())),
            read.addr.eq(Cat(chosen.sub_batch, chosen.context)),
            which.eq(Mux(counting, counted.as_value(), announced.as_value())),
            write.addr.eq(Cat(which.sub_batch, which.context)),
            write.data.eq(Mux(counting, read.data - counted.count, announced.count)),
            write.en.eq(counting | setting),
            # Sub-batches of a first stage are never empty.
            completed.eq(
                Mux(
                    counting,
                    read.data == counted.count,
                    announce.valid & ~own.valid & (announce.payload.count == 0),
                )
            ),
        ]
        m.d.sync += [counting.eq(reading), counted.eq(chosen)]
        return completed, which
