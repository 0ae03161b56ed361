"""The choice within a set of the look-ahead cache: which line matches, which may be replaced.

In parts with registers between them: what can be said of each line by itself, which ones may be
replaced, and the choice.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS
from .line_geometry import LineGeometry

__all__ = [
    "CLAIM_BITS", "LineChoice", "LineFacts", "LineVictims", "facts_layout", "set_layout",
]  # fmt: skip

CLAIM_BITS = 3
"""Width of a line's count of prefetches whose lookup has not come; it saturates."""


def set_layout(config: Config) -> data.StructLayout:
    """A set of the tag memory."""
    geometry = LineGeometry(config)
    way = data.StructLayout(
        {
            "valid": unsigned(1),
            "tag": unsigned(geometry.tag_bits),
            "read": unsigned(1),  # by a queue entry since the line was allocated
            "last": unsigned(geometry.sequence_bits),  # number of the last such entry
            "claims": unsigned(CLAIM_BITS),
            "query": unsigned(QUERY_BITS),  # of the latest prefetch
        }
    )
    return data.StructLayout(
        {"ways": data.ArrayLayout(way, geometry.ways), "turn": unsigned(geometry.way_bits)}
    )


def facts_layout(config: Config) -> data.StructLayout:
    """What is known of each line of a set."""
    ways = unsigned(LineGeometry(config).ways)
    return data.StructLayout(
        {
            "state": set_layout(config),
            "claims": ways,  # its count of claims is not 0
            "claimed": ways,  # by a query that was live in the cycle before
            "busy": ways,  # being fetched
            # It has the tag and its data is right, or still comes; all of them where no line is
            # wanted.
            "good": ways,
        }
    )


class LineFacts(wiring.Component):
    """Facts of a set in the next cycle; combinational.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    state, busy, failed
        The set as it is now; its lines that are being fetched, or were with an error.
    ends, error
        Lines whose fetch ends in this cycle, and with an error.
    tag, on_line
        What is looked for; a line is wanted at all.
    live
        By query number: claims count.
    facts
        See ``facts_layout``.
    """

    state: Any
    busy: Value
    failed: Value
    ends: Value
    error: Value
    tag: Value
    on_line: Value
    live: Value
    facts: Any

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "state": In(set_layout(config)),
                "busy": In(geometry.ways),
                "failed": In(geometry.ways),
                "ends": In(geometry.ways),
                "error": In(1),
                "tag": In(geometry.tag_bits),
                "on_line": In(1),
                "live": In(1 << QUERY_BITS),
                "facts": Out(facts_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        facts = self.facts
        m.d.comb += [facts.state.eq(self.state), facts.busy.eq(self.busy & ~self.ends)]
        for number in range(self._geometry.ways):
            way = self.state.ways[number]
            match = way.valid & (way.tag == self.tag)
            wrong = Mux(self.ends[number], self.error, self.failed[number] & ~self.busy[number])
            claims = way.valid & (way.claims != 0)
            m.d.comb += [
                facts.good[number].eq((match & ~wrong) | ~self.on_line),
                facts.claims[number].eq(claims),
                facts.claimed[number].eq(claims & self.live.bit_select(way.query, 1)),
            ]
        return m


class LineVictims(wiring.Component):
    """What may be replaced in a set in the next cycle; combinational.

    A line is **free** when no entry of the queue is still to read it and it is not being fetched.

    * A lookup takes a free line that nobody claims; where all lines of the set are claimed, a free
      one.
    * A prefetch takes a free line that nobody claims, but never the last unclaimed one.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    state, busy, claimed
        The set; its lines that are being fetched, those that are claimed.
    oldest, tail, late
        Number of the oldest queue entry that is still to be read after this cycle, and of the next
        one to be pushed, or with ``late`` of the one before that.
    candidates
        Lines that a lookup may take.
    several
        More than one line is not claimed: a prefetch may take the candidates.
    """

    state: Any
    busy: Value
    claimed: Value
    oldest: Value
    tail: Value
    late: Value
    candidates: Value
    several: Value

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        self._most = config.lookup_queue
        super().__init__(
            {
                "state": In(set_layout(config)),
                "busy": In(geometry.ways),
                "claimed": In(geometry.ways),
                "oldest": In(geometry.sequence_bits),
                "tail": In(geometry.sequence_bits),
                "late": In(1),
                "candidates": Out(geometry.ways),
                "several": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        claimed, ways = self.claimed, self._geometry.ways
        for number in range(ways):
            way = self.state.ways[number]
            # Entries oldest .. tail - 1 are still to be read: counted from oldest on, a number not
            # above the most there may be; counted from tail on, a negative one.
            age = Signal(self._geometry.sequence_bits, name=f"age_{number}")
            ahead = Signal(self._geometry.sequence_bits, name=f"ahead_{number}")
            few = age[self._most.bit_length() :] == 0
            sent = ahead[-1] | (self.late & (way.last == self.tail))
            to_read = way.valid & way.read & few & sent
            m.d.comb += [
                age.eq(way.last - self.oldest),
                ahead.eq(way.last - self.tail),
                self.candidates[number].eq(
                    ~to_read & ~self.busy[number] & (~claimed[number] | claimed.all())
                ),
            ]
        m.d.comb += self.several.eq(
            Cat(~claimed[n] & ~claimed[n + 1 :].all() for n in range(ways - 1)).any()
        )
        return m


class LineChoice(wiring.Component):
    """What becomes of a lookup, from the facts of its set; combinational.

    Victims are taken in turns: the first candidate from the set's turn on.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    facts
        The set. Lines whose fetch ended with an error match nothing.
    candidates
        Lines to take without a match, see ``LineVictims``.
    match, merged
        A line matches, or none is wanted; it is being fetched.
    chosen, way
        The line that matches, else the one to take: one bit a line, its number.
    """

    facts: Any
    candidates: Value
    match: Value
    merged: Value
    chosen: Value
    way: Value

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "facts": In(facts_layout(config)),
                "candidates": In(geometry.ways),
                "match": Out(1),
                "merged": Out(1),
                "chosen": Out(geometry.ways),
                "way": Out(geometry.way_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways = self._geometry.ways
        match, candidates = self.facts.good, self.candidates
        m.d.comb += [
            self.match.eq(match != 0),
            self.merged.eq((match & self.facts.busy) != 0),
        ]
        # The first candidate at or after the set's turn, else the first one; a match goes first.
        later = Signal(ways)
        m.d.comb += later.eq(candidates & (((1 << ways) - 1) << self.facts.state.turn)[:ways])
        first = [
            Cat(bits[n] & ~bits[:n].any() for n in range(ways))
            for bits in (match, later, candidates)
        ]
        with m.If(match != 0):
            m.d.comb += self.chosen.eq(first[0])
        with m.Elif(later != 0):
            m.d.comb += self.chosen.eq(first[1])
        with m.Else():
            m.d.comb += self.chosen.eq(first[2])
        m.d.comb += self.way.eq(
            Cat(
                Cat(self.chosen[n] for n in range(ways) if (n >> bit) & 1).any()
                for bit in range(self._geometry.way_bits)
            )
        )
        return m
