"""Look-ahead cache tags of one gather lane: every lookup's outcome is decided here, in order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import LINE_BYTES, Config
from ..interfaces import QUERY_BITS
from .lane_layouts import (
    POOL_FIELDS,
    Source,
    filled_layout,
    line_request_layout,
    queue_entry_layout,
    tag_step_layout,
    tagged_id_layout,
)
from .line_choice import CLAIM_BITS, LineChoice, set_layout
from .line_geometry import LineGeometry

__all__ = ["LineTags"]

_LOG2_LINE = LINE_BYTES.bit_length() - 1


class LineTags(wiring.Component):
    """Finds the line of a lookup that the static cache does not hold, or allocates one.

    A tag is written when its line is requested, so a later lookup of the line is a hit whether or
    not the data has come (``merged`` when not). Lookups leave as queue entries in their order;
    prefetches leave nothing behind but a claim on the line. See ``LineChoice`` for what may be
    replaced. A lookup that finds no line to take waits: the entries of the queue are read and
    fetches end whatever it does. A prefetch is dropped.

    A claim counts prefetches whose lookup is still to come; it holds while its query (that of the
    latest prefetch) is ``live``. A line whose fetch ended with an error is no match any more; those
    that matched before read it as an error. After a reset and after ``invalidate`` all lines are
    invalidated, a set a cycle, before the next lookup is decided.

    One lookup a cycle (two cycles for a row of 128 bytes that is not in the static cache), latency
    one cycle. Tags are read one cycle ahead and written back transparently, so that back-to-back
    lookups of a set see each other.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Lookups.
    o
        Entries for the lookup queue.
    fetch
        Lines to be fetched; offered only in cycles in which the entry leaves as well.
    set, busy
        Set of the lookup in work; its lines that are being fetched, in the same cycle.
    read_done
        An entry has left the queue and its last read has been sent to the memories.
    filled
        A fetch ends.
    live
        By query number: claims count.
    invalidate
        Forget all lines; not while lookups are in flight. Prefetches and fetches may be.
    step, done
        Event: a decision, one cycle later; it was the lookup's last one.
    idle
        No lookup is held, no entry is still to be read.
    """

    i: stream.Interface
    o: stream.Interface
    fetch: stream.Interface
    set: Signal
    busy: Signal
    read_done: Signal
    filled: data.View
    live: Signal
    invalidate: Signal
    step: data.View
    done: Signal
    idle: Value

    LATENCY = 1
    """Cycles from a lookup to its decision, at the earliest."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "i": In(stream.Signature(tagged_id_layout(config))),
                "o": Out(stream.Signature(queue_entry_layout(config))),
                "fetch": Out(stream.Signature(line_request_layout(config))),
                "set": Out(geometry.set_bits),
                "busy": In(geometry.ways),
                "read_done": In(1),
                "filled": In(filled_layout(config)),
                "live": In(1 << QUERY_BITS),
                "invalidate": In(1),
                "step": Out(tag_step_layout(config)),
                "done": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, geometry = self._config, self._geometry
        m.submodules.choice = choice = LineChoice(config=config)
        held: Any = Signal(tagged_id_layout(config))
        held_valid = Signal()
        half = Signal()  # second step of a row of two lines
        lookup = held.lookup
        line = Signal(geometry.address_bits)
        on_line = Signal()  # the lookup has to do with a line
        split = Signal()  # with two
        fire, last = Signal(), Signal()  # the step happens; it is the lookup's last one
        # Tags in a memory survive a reset, lines that were on their way do not arrive any more.
        clearing = Signal(init=1)
        cleared = Signal(range(max(2, geometry.sets)))
        ready = Signal()  # a lookup to be decided on
        m.d.comb += [
            ready.eq(held_valid & ~clearing),
            on_line.eq(~lookup.zero & ~held.hit),
            split.eq(on_line & (lookup.log2_row_bytes > _LOG2_LINE)),
            line.eq((lookup.address >> _LOG2_LINE) | half),
            self.set.eq(geometry.set_of(line)),
            last.eq(~split | half),
            self.i.ready.eq((~held_valid | (fire & last)) & ~clearing),
        ]
        with m.If(self.i.ready):
            m.d.sync += [held_valid.eq(self.i.valid), held.eq(self.i.payload), half.eq(0)]
        with m.Elif(fire):
            m.d.sync += half.eq(1)

        # The set of the next cycle's step is read in every cycle: what is decided on is never old.
        next_line = Signal.like(line)
        new_line = self.i.payload.lookup.address >> _LOG2_LINE
        m.d.comb += next_line.eq(Mux(self.i.ready, new_line, line | fire))
        write = self._memories(m, choice, geometry.set_of(next_line))

        tail = Signal(geometry.sequence_bits)  # entries sent
        pending = Signal(range(config.lookup_queue + 1))  # of these, still to be read
        pushed = self.o.valid & self.o.ready
        m.d.sync += [tail.eq(tail + pushed), pending.eq(pending + pushed - self.read_done)]
        m.d.comb += [
            choice.tag.eq(line >> geometry.set_bits),
            choice.busy.eq(self.busy),
            choice.live.eq(self.live),
            choice.tail.eq(tail),
            choice.pending.eq(pending),
            self.idle.eq(~held_valid & (pending == 0)),
        ]

        # What the step is, and when it happens: entry and fetch leave together.
        match = Signal()
        sent = Signal()
        m.d.comb += [
            match.eq(on_line & choice.match),
            sent.eq(on_line & ~choice.match & Mux(lookup.prefetch, choice.spare, choice.victim)),
            self.o.valid.eq(
                ready & ~lookup.prefetch & (~on_line | match | (sent & self.fetch.ready))
            ),
            self.fetch.valid.eq(ready & sent & (lookup.prefetch | self.o.ready)),
        ]
        with m.If(lookup.prefetch):
            m.d.comb += fire.eq(ready & (~sent | self.fetch.ready))
        with m.Else():
            m.d.comb += fire.eq(self.o.valid & self.o.ready)
        m.d.comb += [
            self.fetch.payload.address.eq(line),
            self.fetch.payload.line.eq(Cat(choice.way, self.set)),
            write.addr.eq(Mux(clearing, cleared, self.set)),
            write.en.eq(clearing | (fire & (match | sent))),
        ]
        with m.If(self.invalidate):
            m.d.sync += [cleared.eq(0), clearing.eq(1)]
        with m.Elif(clearing):
            m.d.sync += [cleared.eq(cleared + 1), clearing.eq(cleared != geometry.sets - 1)]
        self._entry(m, held, on_line, split, half, choice.way)
        with m.If(~clearing):
            self._update(m, write.data, choice, lookup, match, tail)

        fresh = Signal(init=1)  # no decision since the lines were invalidated
        m.d.sync += [
            fresh.eq(self.invalidate | (fresh & ~fire)),
            self.done.eq(fire & last),
            self.step.pending.eq(pending),
            self.step.fresh.eq(fresh),
        ]
        self._event(m, held, fire, half, on_line, match, choice.merged, sent)
        return m

    def _event(
        self,
        m: Module,
        held: Any,
        fire: Value,
        half: Value,
        on_line: Value,
        match: Value,
        merged: Value,
        sent: Value,
    ) -> None:
        """The step as traces and counters see it."""
        event, lookup = self.step, held.lookup
        m.d.sync += [
            event.valid.eq(fire),
            event.static_hit.eq(held.hit),
            event.hit.eq(match),
            event.merged.eq(match & merged),
            event.miss.eq(sent),
            event.dropped.eq(on_line & ~match & ~sent),
            event.bad.eq(lookup.bad),
            event.empty.eq(lookup.zero & ~lookup.bad),
            event.half.eq(half),
            event.live.eq(self.live),
        ]
        for name in ("prefetch", "table", "id", "query"):
            m.d.sync += event[name].eq(lookup[name])

    def _memories(self, m: Module, choice: LineChoice, next_set: Value) -> Any:
        """Tags and error bits, read for ``choice`` in every cycle; returns the tags' write port."""
        geometry = self._geometry
        tags: Any = memory.Memory(shape=set_layout(self._config), depth=geometry.sets, init=[])
        m.submodules.tags = tags
        write = tags.write_port()
        read = tags.read_port(domain="sync", transparent_for=(write,))
        # A line's bit is written when its fetch ends; until then it belongs to the line before.
        errors: Any = memory.Memory(
            shape=data.ArrayLayout(1, geometry.ways), depth=geometry.sets, init=[]
        )
        m.submodules.errors = errors
        fill = errors.write_port(granularity=1)
        error = errors.read_port(domain="sync", transparent_for=(fill,))
        filled = self.filled
        m.d.comb += [
            read.addr.eq(next_set),
            choice.state.eq(read.data),
            error.addr.eq(next_set),
            choice.failed.eq(error.data.as_value() & ~self.busy),
            fill.addr.eq(filled.line >> geometry.way_bits),
            fill.data.as_value().eq(filled.error.replicate(geometry.ways)),
            fill.en.eq(Mux(filled.valid, Const(1) << filled.line[: geometry.way_bits], 0)),
        ]
        return write

    def _entry(
        self, m: Module, held: Any, on_line: Value, split: Value, half: Value, way: Value
    ) -> None:
        """The entry that the step sends."""
        lookup, out = held.lookup, self.o.payload
        m.d.comb += [
            out.target.eq(lookup.target + (half << _LOG2_LINE)),
            out.log2_bytes.eq(Mux(split, _LOG2_LINE, lookup.log2_row_bytes)),
            out.source.eq(Mux(held.hit, Source.STATIC, Source.ZERO)),
            out.address.eq(held.address),
            out.half.eq(half),
            out.item_last.eq(lookup.item_last & (~split | half)),
        ]
        with m.If(on_line):
            m.d.comb += [
                out.source.eq(Source.LINE),
                out.address.eq(Cat(lookup.address[:_LOG2_LINE], way, self.set)),
            ]
        for name in ("unit", "query", *POOL_FIELDS):
            m.d.comb += out[name].eq(lookup[name])

    def _update(
        self, m: Module, new: Any, choice: LineChoice, lookup: Any, match: Value, tail: Value
    ) -> None:
        """The set after the step: claims, last reader, a new tag."""
        old = choice.state.ways[choice.way]
        most = (1 << CLAIM_BITS) - 1
        claims = Mux(choice.claimed & match, old.claims, 0)
        m.d.comb += [
            new.eq(choice.state),
            new.turn.eq(Mux(match, choice.state.turn, choice.way + 1)),
        ]
        way = new.ways[choice.way]
        m.d.comb += [way.valid.eq(1), way.tag.eq(choice.tag)]
        with m.If(lookup.prefetch):
            m.d.comb += [
                way.claims.eq(Mux(claims == most, most, claims + 1)),
                way.query.eq(lookup.query),
                way.read.eq(match & old.read),
            ]
        with m.Else():
            m.d.comb += [
                way.claims.eq(Mux(claims == 0, 0, claims - 1)),
                way.read.eq(1),
                way.last.eq(tail),
            ]
