"""Round-robin choice of one requester out of many."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundRobin"]


_MOST_PAIRED = 8
"""Requesters with a register for each pair: quick, and not too many of them."""


class RoundRobin(wiring.Component):
    """Picks one of ``count`` requesters, the first one after the last that was served.

    ``grant`` follows ``requests`` in the same cycle and is one-hot, or 0 without a request. The
    turn moves on only in cycles with ``advance``; nobody waits for more than ``count`` - 1 turns.

    Parameters
    ----------
    count
        Number of requesters, at least 1.

    Members
    -------
    requests
        One bit a requester.
    advance
        The granted requester is served in this cycle.
    grant
        One-hot choice.
    """

    requests: Signal
    advance: Signal
    grant: Signal

    def __init__(self, *, count: int) -> None:
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count must be an integer of at least 1, not {count!r}")
        self._count = count
        super().__init__({"requests": In(count), "advance": In(1), "grant": Out(count)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if 1 < self._count <= _MOST_PAIRED:
            self._pairs(m)
            return m
        later = Signal(self._count)  # requesters behind the one served last
        preferred = Signal(self._count)
        m.d.comb += [
            preferred.eq(self.requests & later),
            # The first one of both, side by side with whether there is a preferred one.
            self.grant.eq(Mux(preferred.any(), _first(preferred), _first(self.requests))),
        ]
        with m.If(self.advance & (self.requests != 0)):
            m.d.sync += later.eq(_above(self.grant))
        return m

    def _pairs(self, m: Module) -> None:
        """For few requesters: a register a pair says who of both comes first."""
        count = self._count
        before: dict[tuple[int, int], Value] = {}
        moves = self.advance & (self.requests != 0)
        for low in range(count):
            for high in range(low + 1, count):
                turned = Signal(name=f"first_{high}_{low}")  # ``high`` comes before ``low``
                with m.If(moves):
                    m.d.sync += turned.eq(self.grant[low:high].any())
                before[low, high], before[high, low] = ~turned, turned
        for me in range(count):
            others = (self.requests[it] & before[it, me] for it in range(count) if it != me)
            m.d.comb += self.grant[me].eq(self.requests[me] & ~Cat(others).any())


def _first(bits: Value) -> Value:
    """The lowest bit that is set."""
    return bits & ~_above(bits)


def _above(bits: Value) -> Value:
    """Bits with a set one below them, by doubling: no carry chain in a grant."""
    above: Value = Cat(Const(0, 1), bits[:-1])
    reach = 1
    while reach < len(bits):
        above = above | Cat(Const(0, reach), above[:-reach])
        reach *= 2
    return above
