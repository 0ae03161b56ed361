"""Cancel of one query: the search for it, wherever it is."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["QueryCancel"]

_INDEX_BITS = 16


class QueryCancel(wiring.Component):
    """Looks for the QUERY with a tag among those at work and those submitted and not begun.

    ``go`` starts the search; one that was not over is forgotten. It ends with ``found`` when a
    query at work has the tag, or when an entry with it is about to begin, which then does not. It
    ends with ``unknown`` when all entries that were submitted before ``go`` are begun: a query that
    begins must be at work by the cycle after ``begun``.

    Latency: ``found`` 4 cycles after ``go`` for a query at work.

    Members
    -------
    go, tag
        Pulse: cancel the query with this tag.
    submitted, size
        Entry of the ring behind the last one submitted; entries of the ring.
    begun
        Pulse: an entry is begun or refused.
    hit, refused
        A query at work has ``wanted``; pulse: an entry was refused because it has.
    searching, wanted
        The search is on, for this tag.
    steady
        It is, and ``wanted`` has stood since the cycle before.
    found, unknown
        How the last search ended; both down while it is on, and before the first.
    """

    go: Signal
    tag: Signal
    submitted: Signal
    size: Signal
    begun: Signal
    hit: Signal
    refused: Signal
    searching: Signal
    wanted: Signal
    steady: Signal
    found: Signal
    unknown: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "go": In(1),
                "tag": In(32),
                "submitted": In(_INDEX_BITS),
                "size": In(_INDEX_BITS),
                "begun": In(1),
                "hit": In(1),
                "refused": In(1),
                "searching": Out(1),
                "wanted": Out(32),
                "steady": Out(1),
                "found": Out(1),
                "unknown": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place = Signal(_INDEX_BITS)  # entry that is begun next
        end = Signal(_INDEX_BITS)  # entry behind the last one that may be meant
        with m.If(self.begun):
            m.d.sync += place.eq(Mux(place + 1 >= self.size, 0, place + 1))
        # All queries at work are looked at in one cycle: what it says is used in the next.
        hit, over = Signal(), Signal()
        reached = Signal()
        m.d.sync += [
            hit.eq(self.hit & ~self.go),
            reached.eq((place == end) & ~self.go),
            # As late as what a query is compared with, which takes a cycle more.
            over.eq(reached & ~self.go),
        ]
        stood = Signal()
        m.d.sync += stood.eq(self.searching & ~self.go)
        m.d.comb += self.steady.eq(self.searching & stood)
        with m.If(self.go):
            m.d.sync += [
                self.searching.eq(1),
                self.wanted.eq(self.tag),
                end.eq(self.submitted),
                self.found.eq(0),
                self.unknown.eq(0),
            ]
        with m.Elif(self.searching & (hit | self.refused)):
            m.d.sync += [self.searching.eq(0), self.found.eq(1)]
        # An entry that began in the cycle before is at work by now: ``hit`` would have been up.
        with m.Elif(self.searching & over):
            m.d.sync += [self.searching.eq(0), self.unknown.eq(1)]
        return m
