"""Rows of cancelled queries that no engine has yet: handed back to the ranking unit."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..ranking.funnel_layouts import CONTEXT_BITS, SUB_BATCH_BITS, cancel_layout

__all__ = ["RowCancel"]


class RowCancel(wiring.Component):
    """Tells the ranking unit of the open groups of cancelled contexts, one after the other.

    Latency: 1 cycle from a group to ``o``; a group every 2 cycles at best.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    cancelled, busy
        Contexts, a bit each: of a cancelled query; the issuer works on it and is waited for.
    left, sub_batch
        Open group of each context: rows, which must only become fewer when ``given`` while it is
        cancelled and not busy.
    some
        Contexts with rows left, a bit each.
    o
        ``cancel_layout``.
    given
        Pulse, one-hot: the open group of this context is cancelled.
    """

    cancelled: Signal
    busy: Signal
    left: Any
    some: Signal
    sub_batch: Any
    o: stream.Interface
    given: Signal

    def __init__(self, *, config: Config) -> None:
        self._contexts = contexts = config.filter_contexts
        super().__init__(
            {
                "cancelled": In(contexts),
                "busy": In(contexts),
                "left": In(data.ArrayLayout(unsigned(config.item_bits + 1), contexts)),
                "some": In(contexts),
                "sub_batch": In(data.ArrayLayout(unsigned(SUB_BATCH_BITS), contexts)),
                "o": Out(stream.Signature(cancel_layout(config))),
                "given": Out(contexts),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        contexts = range(self._contexts)
        wanted = Signal(self._contexts)
        chosen = Signal(self._contexts)  # one-hot
        number = Signal(CONTEXT_BITS)
        m.d.comb += [
            wanted.eq(self.some & self.cancelled & ~self.busy),
            number.eq(
                Cat(
                    Cat(chosen[c] for c in contexts if c >> bit & 1).any()
                    for bit in range(CONTEXT_BITS)
                )
            ),
            self.o.payload.context.eq(number),
            self.o.payload.sub_batch.eq(Array(self.sub_batch[c] for c in contexts)[number]),
            self.o.payload.count.eq(Array(self.left[c] for c in contexts)[number]),
        ]
        with m.FSM(name="state"):
            with m.State("PICK"):
                m.d.sync += chosen.eq(wanted & -wanted)
                with m.If(wanted != 0):
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += self.given.eq(chosen)
                    m.next = "PICK"
        return m
