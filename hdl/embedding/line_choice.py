"""The choice within a set of the look-ahead cache: which line matches, which may be replaced.

In two halves with a register between them: what can be said of each line by itself, and the choice.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS
from .line_geometry import LineGeometry

__all__ = [
    "CLAIM_BITS", "LineChoice", "LineFacts", "facts_layout", "set_layout", "several_unclaimed",
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
    geometry = LineGeometry(config)
    ways = unsigned(geometry.ways)
    return data.StructLayout(
        {
            "state": set_layout(config),
            "match": ways,  # it has the tag
            "to_read": ways,  # by an entry of the queue
            "before": data.ArrayLayout(geometry.sequence_bits, geometry.ways),  # entries before it
            "claims": ways,  # its count of claims is not 0
            "claimed": ways,  # by a query that was live in the cycle before
            "all_claimed": unsigned(1),
            "several": unsigned(1),  # more than one line is not claimed
            "busy": ways,  # being fetched
            "failed": ways,  # its last fetch that ended had an error
            "good": ways,  # it has the tag and its data is right, or still comes
            "free": ways,  # nobody is to read it, and it is not being fetched
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
    tag
        What is looked for.
    oldest, tail, pushed
        Number of the oldest queue entry that is still to be read after this cycle, and of the next
        one to be pushed; it is pushed in this cycle.
    live
        By query number: claims count.
    facts
        See ``facts_layout``; ``busy`` and ``failed`` are those of this cycle, ``good`` and ``free``
        follow from these.
    """

    state: Any
    busy: Value
    failed: Value
    tag: Value
    oldest: Value
    tail: Value
    pushed: Value
    live: Value
    facts: Any

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        self._most = config.lookup_queue
        super().__init__(
            {
                "state": In(set_layout(config)),
                "busy": In(geometry.ways),
                "failed": In(geometry.ways),
                "tag": In(geometry.tag_bits),
                "oldest": In(geometry.sequence_bits),
                "tail": In(geometry.sequence_bits),
                "pushed": In(1),
                "live": In(1 << QUERY_BITS),
                "facts": Out(facts_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        facts = self.facts
        m.d.comb += [
            facts.state.eq(self.state),
            facts.busy.eq(self.busy),
            facts.failed.eq(self.failed),
        ]
        for number in range(self._geometry.ways):
            way = self.state.ways[number]
            # Entries oldest .. tail - 1 are still to be read: counted from oldest on, a number not
            # above the most there may be; counted from tail on, a negative one.
            age = Signal(self._geometry.sequence_bits, name=f"age_{number}")
            ahead = Signal(self._geometry.sequence_bits, name=f"ahead_{number}")
            read = way.valid & way.read
            few = age[self._most.bit_length() :] == 0
            m.d.comb += [
                age.eq(way.last - self.oldest),
                ahead.eq(way.last - self.tail),
                facts.match[number].eq(way.valid & (way.tag == self.tag)),
                facts.to_read[number].eq(
                    read & few & (ahead[-1] | ((way.last == self.tail) & self.pushed))
                ),
                facts.before[number].eq(age),
                facts.claims[number].eq(way.valid & (way.claims != 0)),
                facts.claimed[number].eq(facts.claims[number] & self.live.bit_select(way.query, 1)),
            ]
        m.d.comb += [
            facts.all_claimed.eq(facts.claimed.all()),
            facts.several.eq(several_unclaimed(facts.claimed)),
        ]
        return m


def several_unclaimed(claimed: Value) -> Value:
    """More than one line is not claimed."""
    ways = len(claimed)
    return Cat(~claimed[n] & ~claimed[n + 1 :].all() for n in range(ways - 1)).any()


class LineChoice(wiring.Component):
    """What becomes of a lookup, from the facts of its set; combinational.

    A line is **free** when no entry of the queue is still to read it and it is not being fetched.
    Victims are taken in turns, from ``turn`` on:

    * a lookup takes the first free line that nobody claims; where all lines of the set are claimed,
      the first free one;
    * a prefetch takes the first free line that nobody claims, but never the last unclaimed one.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    facts
        The set. Lines whose fetch ended with an error match nothing.
    match, merged, claimed
        A line matches; it is being fetched; it is claimed.
    victim, spare
        Without match: a lookup, a prefetch finds a line to take.
    chosen, way
        The line that matches, else the one to take: one bit a line, its number.
    """

    facts: Any
    match: Value
    merged: Value
    claimed: Value
    victim: Value
    spare: Value
    chosen: Value
    way: Value

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "facts": In(facts_layout(config)),
                "match": Out(1),
                "merged": Out(1),
                "claimed": Out(1),
                "victim": Out(1),
                "spare": Out(1),
                "chosen": Out(geometry.ways),
                "way": Out(geometry.way_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways = self._geometry.ways
        facts = self.facts
        match, claimed, free = facts.good, facts.claimed, facts.free
        candidates = Signal(ways)
        unclaimed = (free & ~claimed).any()
        m.d.comb += [
            candidates.eq(free & (~claimed | facts.all_claimed.replicate(ways))),
            self.match.eq(match != 0),
            self.merged.eq((match & facts.busy) != 0),
            self.claimed.eq((match & claimed) != 0),
            # Shorter than by way of the candidates.
            self.victim.eq(unclaimed | (facts.all_claimed & free.any())),
            self.spare.eq(unclaimed & facts.several),
        ]
        # The first candidate at or after the set's turn, else the first one; a match goes first.
        later = Signal(ways)
        m.d.comb += later.eq(candidates & (((1 << ways) - 1) << facts.state.turn)[:ways])
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
