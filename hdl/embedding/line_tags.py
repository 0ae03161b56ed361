"""Look-ahead cache tags of one gather lane: every lookup's outcome is decided here, in order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import LINE_BYTES, Config
from ..interfaces import QUERY_BITS
from ..queue import counted
from .lane_layouts import (
    POOL_FIELDS,
    Source,
    filled_layout,
    line_request_layout,
    queue_entry_layout,
    tag_step_layout,
    tagged_id_layout,
)
from .line_choice import (
    CLAIM_BITS,
    LineChoice,
    LineFacts,
    LineVictims,
    facts_layout,
    set_layout,
)
from .line_geometry import LineGeometry

__all__ = ["LineTags", "victim_latency"]

_LOG2_LINE = LINE_BYTES.bit_length() - 1


def victim_latency(config: Config) -> int:
    """Cycles from a lookup's first chance of a match to its decision without one, at the earliest.

    Where a line is a single beat lookups that match nothing must follow each other without a gap,
    or they do not fill the bus: what may be replaced is then found out together with the match.
    """
    return int(LineGeometry(config).beats > 1)


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

    Two stages: the first one reads the set and finds out about each of its lines, the second one
    decides and writes the set back; what may be replaced it knows ``victim_latency`` cycles later
    than what matches. One lookup a cycle, one that matches no line as much longer, and the same
    again for a row of 128 bytes that is not in the static cache: its lines pass as two steps. A
    step stays in the first stage while one that has to do with a line of the same set is in the
    second: it must see what that one writes.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Lookups; ``ready`` is a register.
    o
        Entries for the lookup queue; ``valid`` and ``payload``, never refused: at most
        ``lookup_queue`` of them are still to be read.
    fetch
        Lines to be fetched; offered only in cycles in which the entry leaves as well.
    set, busy
        Set of the step in the first stage; its lines that are being fetched, in the same cycle.
    read_done
        An entry has left the queue and its last read is sent to the memories in this cycle; it
        counts from the next one on.
    filled
        A fetch ends.
    live
        By query number: claims count. A decision goes by that of the cycle before.
    invalidate
        Forget all lines; not while lookups are in flight. Prefetches and fetches may be.
    step, done
        Event: a decision, one cycle later; it was the lookup's last one.
    idle
        No lookup is held, no entry is still to be read.
    """

    i: stream.Interface
    o: Any
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

    LATENCY = 2
    """Cycles from a lookup to its decision, at the earliest; see ``victim_latency``, too."""
    LIVE_LATENCY = 1
    """Cycles from ``live`` to the decisions that go by it."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "i": In(stream.Signature(tagged_id_layout(config))),
                "o": Out(stream.Signature(queue_entry_layout(config), always_ready=True)),
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
        # Tags in a memory survive a reset, lines that were on their way do not arrive any more.
        clearing = Signal(init=1)
        steady = Signal()  # ~clearing, for what follows in the same cycle: clearing feeds hundreds
        cleared = Signal(range(max(2, geometry.sets)))
        with m.If(self.invalidate):
            m.d.sync += [cleared.eq(0), clearing.eq(1), steady.eq(0)]
        with m.Elif(clearing):
            last = cleared == geometry.sets - 1
            m.d.sync += [cleared.eq(cleared + 1), clearing.eq(~last), steady.eq(last)]
        # Whether an entry is sent is known late in a cycle: what counts them hears of it a cycle
        # later.
        late = Signal()  # one more than these was sent
        tail = Signal(geometry.sequence_bits)  # entries sent
        number = Signal.like(tail)  # of the next one
        oldest = Signal(geometry.sequence_bits)  # the first one still to be read after this cycle
        read_done = Signal()
        pending = Signal(range(config.lookup_queue + 2))  # so many are
        most = config.lookup_queue
        self._full = Signal()  # most of them are
        are_most, are_less = (Mux(late, pending == n - 1, pending == n) for n in (most, most - 1))
        m.d.sync += [
            late.eq(self.o.valid),
            self._full.eq((are_most | (are_less & self.o.valid)) & ~read_done),
            tail.eq(tail + late),
            read_done.eq(self.read_done),
            oldest.eq(oldest + self.read_done),
            pending.eq(counted(pending, late, read_done)),
        ]
        m.submodules.facts = facts = LineFacts(config=config)
        m.d.comb += facts.live.eq(self.live)
        step, valid, fire, write = self._look(m, facts, steady)
        known = self._keep(m, facts, step, clearing)
        m.submodules.victims = victims = LineVictims(config=config)
        m.submodules.choice = choice = LineChoice(config=config)
        self._several, self._waited = Signal(), Signal()
        m.d.comb += [
            self.idle.eq(~self._held & ~valid & ~late & (pending == 0)),
            victims.state.eq(known.state),
            victims.busy.eq(known.busy & ~self._ends),
            victims.claimed.eq(self._claimed),
            victims.oldest.eq(oldest),
            victims.tail.eq(tail),
            victims.late.eq(late),
            number.eq(tail + late),
            choice.facts.eq(known),
        ]
        # What may be replaced is found out in the step's first cycle here and good from the next
        # one on, while it waits.
        candidates, several = victims.candidates, victims.several
        if victim_latency(config):
            m.d.sync += self._waited.eq(~self._passes)
        else:
            m.submodules.early = early = LineVictims(config=config)
            m.d.comb += [
                early.state.eq(facts.facts.state),
                early.busy.eq(facts.facts.busy),
                early.claimed.eq(facts.facts.claimed),
                early.oldest.eq(oldest),
                early.tail.eq(number),
                early.late.eq(valid & ~step.id.lookup.prefetch),  # sent in this cycle
                self._waited.eq(1),
            ]
            candidates = Mux(self._passes, early.candidates, candidates)
            several = Mux(self._passes, early.several, several)
        m.d.sync += [choice.candidates.eq(candidates), self._several.eq(several)]
        match, sent = self._decide(m, step, choice, valid & steady, fire)
        m.d.comb += [
            write.addr.eq(Mux(clearing, cleared, step.set)),
            write.en.eq(clearing | (fire & (match | sent))),
        ]
        with m.If(~clearing):
            self._update(m, write.data, known, choice, step, number)

        fresh = Signal(init=1)  # no decision since the lines were invalidated
        m.d.sync += [
            fresh.eq(self.invalidate | (fresh & ~fire)),
            self.done.eq(fire & step.last),
            self.step.pending.eq(pending + late),
            self.step.fresh.eq(fresh),
        ]
        self._event(m, step, fire, match, choice.merged, sent)
        return m

    def _step_layout(self) -> data.StructLayout:
        return data.StructLayout(
            {
                "id": tagged_id_layout(self._config),
                "line": unsigned(self._geometry.address_bits),
                "set": unsigned(self._geometry.set_bits),
                "on_line": unsigned(1),  # the lookup has to do with a line
                "split": unsigned(1),  # with two
                "half": unsigned(1),  # this is the second one
                "last": unsigned(1),  # the lookup's last step
            }
        )

    def _look(self, m: Module, facts: LineFacts, steady: Signal) -> tuple[Any, ...]:
        """First stage; returns the second one's step, "it is one", "it happens", the write port."""
        geometry = self._geometry
        half = Signal()
        self._held = Signal()
        here: Any = Signal(self._step_layout())
        step: Any = Signal(self._step_layout(), reset_less=True)
        valid, fire, move = Signal(), Signal(), Signal()
        passes = Signal()  # the second stage takes what there is, be it a step or not
        held, leaves, next_set = self._hold(m)
        lookup = held.lookup
        here_set = Signal(geometry.set_bits)
        m.d.comb += [
            here.id.eq(held),
            here.line.eq((lookup.address >> _LOG2_LINE) | half),
            here.set.eq(here_set),
            here.on_line.eq(~lookup.zero & ~held.hit),
            here.split.eq(here.on_line & (lookup.log2_row_bytes > _LOG2_LINE)),
            here.half.eq(half),
            here.last.eq(~here.split | half),
            passes.eq(~valid | fire),
            leaves.eq(move & here.last),
            self.set.eq(here.set),
            facts.tag.eq(here.line >> geometry.set_bits),
            facts.on_line.eq(here.on_line),
        ]
        same_set = Signal()
        m.d.comb += [
            same_set.eq(valid & step.on_line & here.on_line & (here.set == step.set)),
            move.eq(self._held & steady & ~same_set & passes),
        ]
        with m.If(move):
            m.d.sync += half.eq(~here.last)
        with m.If(passes):
            m.d.sync += [step.eq(here), valid.eq(move)]
        # The set of the next cycle's step is read in every cycle: what is looked at is never old.
        read_set = Signal.like(here_set)
        other = geometry.set_of((lookup.address >> _LOG2_LINE) | 1)  # of the second half
        with m.If(leaves | ~self._held):
            m.d.comb += read_set.eq(next_set)
        with m.Elif(move):
            m.d.comb += read_set.eq(other)
        with m.Else():
            m.d.comb += read_set.eq(here_set)
        m.d.sync += here_set.eq(read_set)
        self._passes = passes
        return step, valid, fire, self._memories(m, facts, read_set)

    def _hold(self, m: Module) -> tuple[Any, Signal, Value]:
        """Two places in front of the first stage, as in a ``ReadyRegister``.

        Whether a step moves is known late in a cycle: nothing but ``kept`` waits for it. Returns
        the lookup in the first stage, "it leaves", the set of the one behind it.
        """
        geometry = self._geometry
        new: Any = Signal(tagged_id_layout(self._config), reset_less=True)
        old: Any = Signal(tagged_id_layout(self._config), reset_less=True)
        held: Any = Signal.like(new)
        here, kept, leaves = Signal(), Signal(), Signal()
        new_set, coming = Signal(geometry.set_bits), Signal(geometry.set_bits)
        m.d.comb += [
            self.i.ready.eq(~kept),
            self._held.eq(here | kept),
            held.eq(Mux(kept, old.as_value(), new.as_value())),
            coming.eq(geometry.set_of(self.i.payload.lookup.address >> _LOG2_LINE)),
        ]
        with m.If(kept):
            m.d.sync += kept.eq(~leaves)
        with m.Else():
            m.d.sync += [
                old.eq(new),
                here.eq(self.i.valid | (here & ~leaves)),
                kept.eq(self.i.valid & here & ~leaves),
            ]
            with m.If(self.i.valid):
                m.d.sync += [new.eq(self.i.payload), new_set.eq(coming)]
        return held, leaves, Mux(kept, new_set, coming)

    def _keep(self, m: Module, facts: LineFacts, step: Any, clearing: Signal) -> Any:
        """The facts, behind the first stage, kept true while the step waits."""
        geometry, filled = self._geometry, self.filled
        known: Any = Signal(facts_layout(self._config))
        way = filled.line[: geometry.way_bits]
        place = filled.line >> geometry.way_bits
        self._ends = Signal(geometry.ways)  # lines of the step's set whose fetch ends
        self._claimed = Signal(geometry.ways)  # in the next cycle, while the step waits
        for number in range(geometry.ways):
            here = filled.valid & (way == number)
            query = known.state.ways[number].query
            m.d.comb += [
                facts.ends[number].eq(here & (place == self.set)),
                self._ends[number].eq(here & (place == step.set)),
                # A prefetch may be here when lines are invalidated.
                self._claimed[number].eq(
                    known.claims[number] & self.live.bit_select(query, 1) & ~clearing
                ),
            ]
        m.d.comb += facts.error.eq(filled.error)
        wrong = self._ends & filled.error.replicate(geometry.ways)
        with m.If(self._passes):
            m.d.sync += known.eq(facts.facts)
        with m.Else():
            m.d.sync += known.claimed.eq(self._claimed)
            # Written so that the facts need no gate behind them: set back or kept.
            for number in range(geometry.ways):
                with m.If(self._ends[number]):
                    m.d.sync += known.busy[number].eq(0)
                with m.If(step.on_line & (wrong[number] | clearing)):
                    m.d.sync += known.good[number].eq(0)
        with m.If(clearing):
            m.d.sync += [known.state.eq(0), known.claims.eq(0)]
        return known

    def _decide(
        self, m: Module, step: Any, choice: LineChoice, ready: Value, fire: Signal
    ) -> tuple[Signal, Signal]:
        """What the step is, and when it happens: entry and fetch leave together."""
        lookup = step.id.lookup
        match, sent = Signal(), Signal()
        enabled, found, goes = Signal(), Signal(), Signal()
        right = choice.match  # there is no line to be taken
        some = choice.candidates.any()
        m.d.comb += [
            match.eq(step.on_line & choice.match),
            found.eq(some & (~lookup.prefetch | self._several)),
            sent.eq(~right & self._waited & found),
            enabled.eq(ready & (lookup.prefetch | ~self._full)),
            goes.eq(self._waited & (Mux(found, self.fetch.ready, lookup.prefetch))),
            fire.eq(enabled & (right | goes)),
            self.o.valid.eq(
                enabled & ~lookup.prefetch & (right | (self._waited & some & self.fetch.ready))
            ),
            self.fetch.valid.eq(enabled & sent),
            self.fetch.payload.address.eq(step.line),
            self.fetch.payload.line.eq(Cat(choice.way, step.set)),
        ]
        self._entry(m, step, choice.way)
        return match, sent

    def _event(
        self, m: Module, step: Any, fire: Value, match: Value, merged: Value, sent: Value
    ) -> None:
        """The step as traces and counters see it."""
        event, lookup = self.step, step.id.lookup
        live = Signal.like(self.live)  # of the cycle before: what the choice goes by
        m.d.sync += live.eq(self.live)
        m.d.sync += [
            event.valid.eq(fire),
            event.static_hit.eq(step.id.hit),
            event.hit.eq(match),
            event.merged.eq(match & merged),
            event.miss.eq(sent),
            event.dropped.eq(step.on_line & ~match & ~sent),
            event.bad.eq(lookup.bad),
            event.empty.eq(lookup.zero & ~lookup.bad),
            event.half.eq(step.half),
            event.live.eq(live),
        ]
        for name in ("prefetch", "table", "id", "query"):
            m.d.sync += event[name].eq(lookup[name])

    def _memories(self, m: Module, facts: LineFacts, next_set: Value) -> Any:
        """Tags and error bits, read for ``facts`` in every cycle; returns the tags' write port."""
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
            facts.state.eq(read.data),
            facts.busy.eq(self.busy),
            error.addr.eq(next_set),
            facts.failed.eq(error.data.as_value()),
            fill.addr.eq(filled.line >> geometry.way_bits),
            fill.data.as_value().eq(filled.error.replicate(geometry.ways)),
            fill.en.eq(Mux(filled.valid, Const(1) << filled.line[: geometry.way_bits], 0)),
        ]
        return write

    def _entry(self, m: Module, step: Any, way: Value) -> None:
        """The entry that the step sends."""
        held, half = step.id, step.half
        lookup, out = held.lookup, self.o.payload
        m.d.comb += [
            out.target.eq(lookup.target + (half << _LOG2_LINE)),
            out.log2_bytes.eq(Mux(step.split, _LOG2_LINE, lookup.log2_row_bytes)),
            out.source.eq(Mux(held.hit, Source.STATIC, Source.ZERO)),
            out.address.eq(held.address),
            out.half.eq(half),
            out.item_last.eq(lookup.item_last & step.last),
        ]
        with m.If(step.on_line):
            m.d.comb += [
                out.source.eq(Source.LINE),
                out.address.eq(Cat(lookup.address[:_LOG2_LINE], way, step.set)),
            ]
        for name in ("unit", "query", *POOL_FIELDS):
            m.d.comb += out[name].eq(lookup[name])

    def _update(
        self, m: Module, new: Any, facts: Any, choice: LineChoice, step: Any, entry: Value
    ) -> None:
        """The set after the step: claims, last reader, a new tag.

        Each line is worked out as if it were the one, before it is known which one it is.
        """
        lookup, state, match = step.id.lookup, facts.state, choice.match
        most = (1 << CLAIM_BITS) - 1
        m.d.comb += [
            new.eq(state),
            new.turn.eq(Mux(match, state.turn, choice.way + 1)),
        ]
        for number in range(self._geometry.ways):
            old = state.ways[number]
            less, more = Signal(CLAIM_BITS), Signal(CLAIM_BITS)
            m.d.comb += [
                less.eq(Mux(old.claims == 0, 0, old.claims - 1)),
                more.eq(Mux(old.claims == most, most, old.claims + 1)),
            ]
            counts = match & facts.claimed[number]
            way = new.ways[number]
            with m.If(choice.chosen[number]):
                m.d.comb += [way.valid.eq(1), way.tag.eq(step.line >> self._geometry.set_bits)]
                with m.If(lookup.prefetch):
                    m.d.comb += [
                        way.claims.eq(Mux(counts, more, 1)),
                        way.query.eq(lookup.query),
                        way.read.eq(match & old.read),
                    ]
                with m.Else():
                    m.d.comb += [
                        way.claims.eq(Mux(counts, less, 0)),
                        way.read.eq(1),
                        way.last.eq(entry),
                    ]
