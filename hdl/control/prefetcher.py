"""Has the embedding rows of survivors fetched before their stage asks for them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Module, Mux, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import job_layout, walked_layout
from ..ranking.funnel_layouts import CONTEXT_BITS
from .block_issuer import fill_job
from .layouts import block_layout, context_layout

__all__ = ["Prefetcher"]


class Prefetcher(wiring.Component):
    """Walks the lists of later stages some rows ahead of the lookups, with prefetch jobs.

    A list is fetched from where its lookups are on, ``MARGIN`` rows further, up to ``ahead`` rows
    before them: all lists together claim no more than ``ahead`` rows at a time, so that what was
    fetched stays in the look-ahead cache until it is looked up. The list first in the ring from
    ``oldest`` on goes first. A stage with a free engine needs none: its rows are looked up at once.

    Prefetches are hints: with several engines a stage's rows are not looked up in the order of the
    list; one that comes too late costs a line until its query ends.

    A job every 6 cycles at best, of at most ``rows`` rows.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    opened, number
        A context begins.
    listed
        Items in the list of each context; 0 for first stages.
    walked
        Array of events, one a record loader: a row of a context is looked up.
    flight
        Contexts of queries in flight.
    oldest
        First context of the oldest query.
    stage, available
        Stage of each context; stages that have an engine with a free slot.
    select, context
        Number of a context; its record, one cycle later.
    o
        Jobs; ``unit``, ``slot`` and dense fields mean nothing.
    """

    MARGIN = 4
    """Rows between the pick of a row to look up and its ``walked``, and as many picked since."""

    opened: Signal
    number: Signal
    listed: Any
    walked: Any
    flight: Signal
    oldest: Signal
    stage: Any
    available: Signal
    select: Signal
    context: data.View
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        contexts = config.filter_contexts
        self._count = config.item_bits + 1
        super().__init__(
            {
                "opened": In(1),
                "number": In(CONTEXT_BITS),
                "listed": In(data.ArrayLayout(self._count, contexts)),
                "walked": In(walked_layout()).array(config.record_loaders),
                "flight": In(contexts),
                "oldest": In(CONTEXT_BITS),
                "stage": In(data.ArrayLayout(2, contexts)),
                "available": In(config.max_stages),
                "select": Out(CONTEXT_BITS),
                "context": In(context_layout(config)),
                "o": Out(stream.Signature(job_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        contexts = config.filter_contexts
        self._next = [Signal(self._count, name=f"next_{c}") for c in range(contexts)]
        self._ahead = [Signal(self._count, name=f"ahead_{c}") for c in range(contexts)]
        reserve, fixed = Signal(), Signal()
        rows = Signal(config.row_bits + 1)
        chosen = Signal(contexts)  # one-hot
        wants = self._follow(m, reserve, fixed, chosen, rows)
        behind = Signal(contexts)  # contexts from the oldest one to the end of the numbers
        total = Signal(self._count + 4)
        m.d.sync += [
            behind.eq(((1 << contexts) - 1) << self.oldest),
            total.eq(sum(self._ahead, start=Value.cast(0))),
        ]
        preferred = Mux((wants & behind) != 0, wants & behind, wants)
        number = self.select[: max(1, (contexts - 1).bit_length())]
        position = Array(self._next)[number]
        # Both no more than a block's rows: what is left of the choice is short.
        left, room = Signal(range(config.rows + 1)), Signal(range(config.rows + 1))
        block: Any = Signal(block_layout(config))
        job: Any = Signal(job_layout(config))
        m.d.comb += [
            self.o.payload.eq(job),
            self.o.payload.prefetch.eq(1),
            rows.eq(Mux(left < room, left, room)),
            block.context.eq(self.select),
            block.position.eq(position),
            block.stride.eq(1),
        ]
        with m.FSM(name="state"):
            with m.State("PICK"):
                m.d.sync += chosen.eq(preferred & -preferred)
                with m.If(wants != 0):
                    m.next = "ENCODE"
            with m.State("ENCODE"):
                for bit in range(CONTEXT_BITS):
                    odd = sum(1 << c for c in range(contexts) if c >> bit & 1)
                    m.d.sync += self.select[bit].eq((chosen & odd) != 0)
                m.next = "READ"
            with m.State("READ"):
                m.next = "SIZE"
            with m.State("SIZE"):
                m.d.comb += fixed.eq(1)
                window, listed = self.context.ahead, Array(self.listed)[number]
                m.d.sync += [
                    # Rows looked up as the list was picked may have moved it behind its end.
                    left.eq(_difference(listed, position, config.rows)),
                    room.eq(_difference(window, total, config.rows)),
                ]
                m.next = "FILL"
            with m.State("FILL"):
                # Rows looked up since then are left in the job: they are few, see ``MARGIN``.
                m.d.comb += fixed.eq(1)
                fill_job(m, job, self.context, block, rows)
                m.next = "PICK"
                with m.If((left != 0) & (room != 0)):
                    m.d.comb += reserve.eq(1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "PICK"
        return m

    def _follow(
        self, m: Module, reserve: Signal, fixed: Signal, chosen: Signal, rows: Signal
    ) -> Signal:
        """Next row of each list and the rows fetched before it; returns lists that want more.

        ``fixed``: the chosen list's next row is not to change, but by ``reserve``.
        """
        wants = Signal(self._config.filter_contexts)
        for c in range(self._config.filter_contexts):
            looked_up = Signal(self._count, name=f"looked_up_{c}")
            events = (event.valid & (event.context == c) for event in self.walked)
            step = Signal(range(self._config.record_loaders + 1), name=f"step_{c}")
            place, floor = self._next[c], Signal(self._count, name=f"floor_{c}")
            close = Signal(name=f"close_{c}")  # the lookups have come too close
            m.d.comb += [
                floor.eq(Mux(looked_up == 0, 0, looked_up + self.MARGIN)),
                close.eq(place < floor),
            ]
            m.d.sync += [
                step.eq(sum(events, start=Value.cast(0))),
                looked_up.eq(looked_up + step),
                self._ahead[c].eq(
                    Mux(self.flight[c], Mux(close, self.MARGIN, place - looked_up), 0)
                ),
                wants[c].eq(
                    self.flight[c]
                    & (place < self.listed[c])
                    & ~self.available.bit_select(self.stage[c], 1)
                ),
            ]
            with m.If(reserve & chosen[c]):
                m.d.sync += place.eq(place + rows)
            with m.Elif(close & ~(chosen[c] & fixed)):
                m.d.sync += place.eq(floor)
            with m.If(self.opened & (self.number == c)):
                m.d.sync += [looked_up.eq(0), place.eq(0), wants[c].eq(0)]
        return wants


def _difference(end: Value, start: Value, most: int) -> Value:
    """From ``start`` to ``end``: 0 where it lies behind, ``most``, a power of two, at most."""
    bits = exact_log2(most)
    difference = end - start
    # Its upper bits tell, without a second carry chain.
    return Mux(difference[-1], 0, Mux(difference[bits:].any(), most, difference[:bits]))
