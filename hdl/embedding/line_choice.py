"""The choice within a set of the look-ahead cache: which line matches, which may be replaced."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS
from .line_geometry import LineGeometry

__all__ = ["CLAIM_BITS", "LineChoice", "set_layout"]

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


class LineChoice(wiring.Component):
    """Compares a set with a tag; combinational.

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
    state, tag
        The set and what is looked for.
    busy
        Lines that are being fetched.
    failed
        Lines whose fetch ended with an error: they match nothing.
    live
        By query number: claims count.
    tail, pending
        Number of the next queue entry; entries before it that are still to be read.
    match, merged, claimed
        A line matches; it is being fetched; it is claimed.
    victim, spare
        Without match: a lookup, a prefetch finds a line to take.
    way
        The line that matches, else the one to take.
    """

    state: Any
    tag: Value
    busy: Value
    failed: Value
    live: Value
    tail: Value
    pending: Value
    match: Value
    merged: Value
    claimed: Value
    victim: Value
    spare: Value
    way: Value

    def __init__(self, *, config: Config) -> None:
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "state": In(set_layout(config)),
                "tag": In(geometry.tag_bits),
                "busy": In(geometry.ways),
                "failed": In(geometry.ways),
                "live": In(1 << QUERY_BITS),
                "tail": In(geometry.sequence_bits),
                "pending": In(range(config.lookup_queue + 1)),
                "match": Out(1),
                "merged": Out(1),
                "claimed": Out(1),
                "victim": Out(1),
                "spare": Out(1),
                "way": Out(geometry.way_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways = self._geometry.ways
        match, claimed, free = Signal(ways), Signal(ways), Signal(ways)
        for number in range(ways):
            way = self.state.ways[number]
            # Entries tail - pending .. tail - 1 are still to be read.
            age = Signal(self._geometry.sequence_bits, name=f"age_{number}")
            to_read = way.valid & way.read & (age < self.pending)
            m.d.comb += [
                age.eq(way.last - (self.tail - self.pending)),
                match[number].eq(way.valid & (way.tag == self.tag) & ~self.failed[number]),
                claimed[number].eq(
                    way.valid & (way.claims != 0) & self.live.bit_select(way.query, 1)
                ),
                free[number].eq(~to_read & ~self.busy[number]),
            ]
        unclaimed, several, candidates = Signal(ways), Signal(), Signal(ways)
        m.d.comb += [
            unclaimed.eq(~claimed),
            several.eq((unclaimed & (unclaimed - 1)) != 0),
            candidates.eq(free & Mux(unclaimed == 0, (1 << ways) - 1, unclaimed)),
            self.match.eq(match != 0),
            self.merged.eq((match & self.busy) != 0),
            self.claimed.eq((match & claimed) != 0),
            self.victim.eq(candidates != 0),
            self.spare.eq((candidates != 0) & several),
        ]
        # The first candidate at or after the set's turn, else the first one; a match goes first.
        later, pool = Signal(ways), Signal(ways)
        m.d.comb += later.eq(candidates & (((1 << ways) - 1) << self.state.turn)[:ways])
        with m.If(match != 0):
            m.d.comb += pool.eq(match)
        with m.Elif(later != 0):
            m.d.comb += pool.eq(later)
        with m.Else():
            m.d.comb += pool.eq(candidates)
        for number in reversed(range(ways)):
            with m.If(pool[number]):
                m.d.comb += self.way.eq(number)
        return m
