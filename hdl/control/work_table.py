"""What each context has left to do: the open row ranges of all stages in work."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..ranking.funnel_layouts import CONTEXT_BITS, SUB_BATCH_BITS, cancel_layout, forward_layout
from .layouts import block_layout, context_layout
from .query_check import MOST_SUB_BATCHES
from .row_cancel import RowCancel

__all__ = ["WorkTable"]


class WorkTable(wiring.Component):
    """Keeps one open **group** of rows a context, and the groups behind it.

    First stage: group i is sub-batch i, the items i, i + B, i + 2 B, .. of the query. Later stages:
    each report of the ranking unit that adds items adds a group of consecutive positions; up to 16
    of them wait. When a group has been given away, the next one is opened, a few cycles later, one
    context at a time. A row block is cut from one group, so it never mixes sub-batches.

    A cancelled context gives nothing away any more: each of its groups is handed to ``o_cancel`` as
    it is opened. Row blocks that were given away before are worked on to their end.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    opened, number, context
        A context begins.
    i_forward
        Growth of lists; always taken.
    pending
        Bit c is set when context c has an open group.
    select, block
        Number of a context; its open group, one cycle later.
    take, rows
        ``rows`` rows of ``select`` are given away. ``select`` must be stable one cycle before.
    busy
        Contexts that the issuer works on, a bit each.
    open
        Contexts that have, or may get, rows to give away.
    listed
        Items in the list of each later context.
    cancelled
        Contexts whose query is cancelled, a bit each; up until it is retired.
    o_cancel
        Rows that will not be worked on, for the ranking unit.
    """

    opened: Signal
    number: Signal
    context: data.View
    i_forward: stream.Interface
    pending: Signal
    select: Signal
    block: data.View
    take: Signal
    rows: Signal
    busy: Signal
    open: Signal
    listed: Any
    cancelled: Signal
    o_cancel: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        contexts = config.filter_contexts
        super().__init__(
            {
                "opened": In(1),
                "number": In(CONTEXT_BITS),
                "context": In(context_layout(config)),
                "i_forward": In(stream.Signature(forward_layout(config))),
                "pending": Out(contexts),
                "select": In(CONTEXT_BITS),
                "block": Out(block_layout(config)),
                "take": In(1),
                "rows": In(config.row_bits + 1),
                "busy": In(contexts),
                "open": Out(contexts),
                "listed": Out(data.ArrayLayout(config.item_bits + 1, contexts)),
                "cancelled": In(contexts),
                "o_cancel": Out(stream.Signature(cancel_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        contexts = config.filter_contexts
        bits = range(contexts)
        count = config.item_bits + 1

        def registers(width: int, name: str) -> list[Signal]:
            return [Signal(width, name=f"{name}_{c}") for c in bits]

        self._left = registers(count, "left")
        self._some = registers(1, "some")  # left != 0: many wait for that
        self._position = registers(count, "position")  # of the next row, given away up to here
        self._sub_batch = registers(SUB_BATCH_BITS, "sub_batch")  # of the open group
        self._begun = registers(5, "begun")  # groups opened
        self._known = registers(5, "known")  # groups there are
        self._first = Signal(contexts)
        self._complete = Signal(contexts)  # all groups are known
        self._active = Signal(contexts)
        # First stage: how its sub-batches are cut.
        self._sub_batches = registers(5, "sub_batches")
        self._quotient = registers(count, "quotient")
        self._remainder = registers(4, "remainder")
        group = data.StructLayout({"rows": count, "sub_batch": SUB_BATCH_BITS})
        groups: Any = memory.Memory(shape=group, depth=contexts * MOST_SUB_BATCHES, init=[])
        m.submodules.groups = groups
        self._open(m)
        self._listen(m, groups.write_port())
        self._refill(m, groups.read_port(domain="sync"))
        self._give(m)
        m.submodules.cancel = cancel = RowCancel(config=config)
        m.d.comb += [cancel.cancelled.eq(self.cancelled), cancel.busy.eq(self.busy)]
        wiring.connect(m, cancel.o, wiring.flipped(self.o_cancel))
        for c in bits:
            m.d.comb += [
                cancel.left[c].eq(self._left[c]),
                cancel.some[c].eq(self._some[c]),
                cancel.sub_batch[c].eq(self._sub_batch[c]),
            ]
            with m.If(cancel.given[c]):
                m.d.sync += [self._left[c].eq(0), self._some[c].eq(0)]
        return m

    def _open(self, m: Module) -> None:
        """A context starts: first stages with all their groups, later ones with none."""
        context = self.context
        for c in range(self._config.filter_contexts):
            with m.If(self.opened & (self.number == c)):
                m.d.sync += [
                    self._active[c].eq(1),
                    self._first[c].eq(context.first),
                    self._complete[c].eq(context.first),
                    self._left[c].eq(0),
                    self._some[c].eq(0),
                    self._position[c].eq(0),
                    self.listed[c].eq(0),
                    self._begun[c].eq(0),
                    self._known[c].eq(Mux(context.first, context.sub_batches, 0)),
                    self._sub_batches[c].eq(Mux(context.first, context.sub_batches, 1)),
                    self._quotient[c].eq(context.quotient),
                    self._remainder[c].eq(context.remainder),
                ]

    def _listen(self, m: Module, write: Any) -> None:
        """Messages of the ranking unit become groups."""
        message = self.i_forward.payload
        number = message.next_context[: max(1, (self._config.filter_contexts - 1).bit_length())]
        known: Any = Array(self._known)
        more = Signal()
        group: Any = write.data
        closes = self.i_forward.valid & message.last & ~message.final
        m.d.comb += [
            self.i_forward.ready.eq(1),
            more.eq(self.i_forward.valid & ~message.final & (message.added != 0)),
            write.addr.eq(Cat(known[number][:4], number)[: len(write.addr)]),
            group.rows.eq(message.added),
            group.sub_batch.eq(message.sub_batch),
            write.en.eq(more),
        ]
        for c in range(self._config.filter_contexts):
            with m.If(more & (number == c)):
                m.d.sync += [
                    self.listed[c].eq(message.count),
                    self._known[c].eq(self._known[c] + 1),
                ]
            with m.If(closes & (number == c)):
                m.d.sync += self._complete[c].eq(1)

    def _refill(self, m: Module, read: Any) -> None:
        """Opens the next group of a context that has given its last one away."""
        contexts = self._config.filter_contexts
        m.submodules.turn = turn = RoundRobin(count=contexts)
        wanted = Signal(contexts)
        chosen = Signal(contexts)  # one-hot
        number = Signal(range(max(2, contexts)))
        loading = Signal()
        m.d.comb += wanted.eq(
            Cat(
                self._active[c]
                & ~self._some[c]
                & (self._begun[c] != self._known[c])
                & ~self.busy[c]
                for c in range(contexts)
            )
        )
        begun: Any = Array(self._begun)
        for bit in range(len(number)):
            odd = sum(1 << c for c in range(contexts) if c >> bit & 1)
            m.d.comb += number[bit].eq((chosen & odd) != 0)
        m.d.comb += read.addr.eq(Cat(begun[number][:4], number)[: len(read.addr)])
        with m.FSM(name="refill"):
            with m.State("PICK"):
                m.d.comb += [turn.requests.eq(wanted), turn.advance.eq(1)]
                m.d.sync += chosen.eq(turn.grant)
                with m.If(wanted != 0):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "APPLY"
            with m.State("APPLY"):
                m.d.comb += loading.eq(1)
                m.next = "PICK"
        for c in range(contexts):
            with m.If(loading & chosen[c]):
                extra = self._begun[c] < self._remainder[c]
                # Every group has rows.
                m.d.sync += [self._begun[c].eq(self._begun[c] + 1), self._some[c].eq(1)]
                with m.If(self._first[c]):
                    m.d.sync += [
                        self._left[c].eq(self._quotient[c] + extra),
                        self._position[c].eq(self._begun[c]),
                        self._sub_batch[c].eq(self._begun[c]),
                    ]
                with m.Else():
                    m.d.sync += [
                        self._left[c].eq(read.data.rows),
                        self._sub_batch[c].eq(read.data.sub_batch),
                    ]

    def _give(self, m: Module) -> None:
        """The open group of the selected context, and rows taken from it."""
        contexts = self._config.filter_contexts
        left, position = Array(self._left), Array(self._position)
        strides = Array(self._sub_batches)
        number = self.select[: max(1, (contexts - 1).bit_length())]
        m.d.sync += [
            self.block.context.eq(self.select),
            self.block.sub_batch.eq(Array(self._sub_batch)[number]),
            self.block.position.eq(position[number]),
            self.block.left.eq(left[number]),
            self.block.stride.eq(strides[number]),
        ]
        # At most max_items + 16: the next row may lie behind the last item.
        # A cycle later than ``left``: the product is a register. The next group and the next block
        # of the context are more than two cycles away.
        step = Signal(self._config.item_bits + 1)
        taken, selected = Signal(contexts), Signal(contexts)
        m.d.sync += step.eq(self.rows * self.block.stride)
        for c in range(contexts):
            m.d.sync += selected[c].eq(self.select == c)  # it stands for longer
            mine = self.take & selected[c]
            m.d.sync += taken[c].eq(mine)
            with m.If(mine):
                m.d.sync += [
                    self._left[c].eq(self._left[c] - self.rows),
                    self._some[c].eq(self._left[c] != self.rows),
                ]
            with m.If(taken[c]):
                m.d.sync += self._position[c].eq(self._position[c] + step)
            given = self._complete[c] & (self._begun[c] == self._known[c]) & ~self._some[c]
            m.d.comb += self.pending[c].eq(self._some[c] & ~self.cancelled[c])
            # A cycle late when it falls, never when it rises.
            begins = self.opened & (self.number == c)
            m.d.sync += self.open[c].eq(begins | (self._active[c] & ~given))
