"""The queries at work: where each one's results go, and which of its writes are not answered."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS
from .write_share import WriteShare, result_answer_layout

__all__ = ["QueryPlaces", "queries_at_once"]


def queries_at_once(config: Config) -> int:
    """Queries that the core works on side by side: where the host filters it is one."""
    return config.queries_in_flight if config.features.on_chip_filter else 1


class QueryPlaces(wiring.Component):
    """A place for each query from its begin to its completion.

    Queries get the numbers 0 .. N - 1 in turns, as the core numbers them; they end in that order.
    A place is taken with ``begin`` and given back with ``end``, which is always the oldest one's.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    begin, result, tag
        Pulse: a query begins, only with ``free``; its results go to this address; its tag. Address
        and tag stand in the cycle before as well.
    free, idle
        There is a place; no place is taken.
    query, address
        A query's number; where its results go, in the same cycle.
    asked, asked_query
        Pulse: a burst of results of this query is on its way from now on.
    answers
        The memory's answers to these bursts.
    oldest
        Number of the oldest query at work.
    written, error
        All bursts of ``oldest`` so far are answered; one of the answers was an error.
    end
        Pulse: ``oldest`` is completed.
    clear
        The next query has number 0 again; only while no place is taken.
    cancel, wanted, hit
        While ``cancel`` is up, queries at work with the tag ``wanted``, which was the same in the
        cycle before, are marked; there is one.
    marked, oldest_marked
        Queries at work that are marked, a bit each; ``oldest`` is.
    """

    begin: Signal
    result: Signal
    tag: Signal
    free: Signal
    idle: Signal
    query: Signal
    address: Signal
    asked: Signal
    asked_query: Signal
    answers: Any
    oldest: Signal
    written: Signal
    error: Signal
    end: Signal
    clear: Signal
    cancel: Signal
    wanted: Signal
    hit: Signal
    marked: Signal
    oldest_marked: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "begin": In(1),
                "result": In(config.address_bits),
                "tag": In(32),
                "free": Out(1, init=1),  # type: ignore[call-arg]  # not in the stubs
                "idle": Out(1, init=1),  # type: ignore[call-arg]
                "query": In(QUERY_BITS),
                "address": Out(config.address_bits),
                "asked": In(1),
                "asked_query": In(QUERY_BITS),
                "answers": In(data.ArrayLayout(result_answer_layout(), config.axi_channels)),
                "oldest": Out(QUERY_BITS),
                "written": Out(1, init=1),  # type: ignore[call-arg]  # not in the stubs
                "error": Out(1),
                "end": In(1),
                "clear": In(1),
                "cancel": In(1),
                "wanted": In(32),
                "hit": Out(1),
                "marked": Out(1 << QUERY_BITS),
                "oldest_marked": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        places = queries_at_once(config)
        bits = max(1, (places - 1).bit_length())
        taken = Signal(range(places + 1))
        still_taken = Signal.like(taken)  # in the next cycle
        number = Signal(bits)  # of the next query
        query = self.query[:bits]
        # On their way to the memory, waiting in the result writer (at most 2), or not answered.
        most = config.axi_channels * WriteShare.OUTSTANDING + 2
        addresses: Any = Array(
            Signal(config.address_bits, name=f"address_{q}") for q in range(places)
        )
        open_bursts: Any = Array(Signal(range(most + 1), name=f"open_{q}") for q in range(places))
        closed = Signal(places)  # no open bursts, in the next cycle
        oldest = Signal(bits)  # in the next cycle
        errors = Signal(places)
        used = Signal(places)
        hits = Signal(places)
        marked = Signal(places)
        m.d.sync += [
            taken.eq(still_taken),
            self.free.eq(still_taken != places),
            self.idle.eq(still_taken == 0),
        ]
        m.d.comb += [
            still_taken.eq(taken + self.begin - self.end),
            self.address.eq(addresses[query] if places > 1 else addresses[0]),
            self.hit.eq(hits.any()),
            self.marked.eq(marked & used),
        ]
        with m.If(self.begin):
            m.d.sync += number.eq(_next(number, places))
        now = self.oldest[:bits]
        m.d.comb += oldest.eq(Mux(self.end, _next(now, places), now))
        with m.If(self.clear):
            m.d.comb += oldest.eq(0)
            m.d.sync += number.eq(0)
        # Looked up ahead. An error is known a cycle after the answer: no completion is as quick.
        m.d.sync += [
            self.oldest.eq(oldest),
            self.written.eq(closed.bit_select(oldest, 1)),
            self.error.eq(errors.bit_select(oldest, 1)),
            self.oldest_marked.eq((marked | hits).bit_select(oldest, 1)),
        ]
        for q in range(places):
            mine = [answer.valid & (answer.query[:bits] == q) for answer in self.answers]
            failed = [here & a.error for here, a in zip(mine, self.answers, strict=True)]
            asked = self.asked & (self.asked_query[:bits] == q)
            answered = Signal(range(len(mine) + 1), name=f"answered_{q}")
            still_open = Signal(range(most + 1), name=f"still_open_{q}")
            m.d.comb += [
                answered.eq(sum(mine, Value.cast(0))),
                still_open.eq(open_bursts[q] + asked - answered),
            ]
            m.d.sync += open_bursts[q].eq(still_open)
            # As many are answered as are open: compared with what is open a cycle ahead.
            are_open = Signal(len(mine) + 1, init=1, name=f"are_open_{q}")
            m.d.sync += are_open.eq(Cat(still_open == n for n in range(len(mine) + 1)))
            m.d.comb += closed[q].eq(
                Cat(
                    (answered == n) & Mux(asked, are_open[n - 1] if n else 0, are_open[n])
                    for n in range(len(mine) + 1)
                ).any()
            )
            with m.If(Cat(failed).any()):
                m.d.sync += errors[q].eq(1)
            tag = Signal(32, name=f"tag_{q}")
            ends = self.end & (now == q)
            meant = Signal(name=f"meant_{q}")
            m.d.sync += meant.eq(tag == self.wanted)
            # One that is completed in this very cycle is not found any more.
            m.d.comb += hits[q].eq(self.cancel & used[q] & ~ends & meant)
            with m.If(ends):
                m.d.sync += used[q].eq(0)
            with m.If(hits[q]):
                m.d.sync += marked[q].eq(1)
            # Whether a query begins is known late; where its results go is there before.
            with m.If(self.free & (number == q)):
                m.d.sync += [addresses[q].eq(self.result), tag.eq(self.tag)]
            with m.If(self.begin & (number == q)):
                m.d.sync += [used[q].eq(1), errors[q].eq(0), marked[q].eq(0)]
        return m


def _next(number: Value, count: int) -> Value:
    """The number after ``number`` in a ring of ``count``."""
    return Mux(number == count - 1, 0, number + 1)
