"""Round-robin choice of one requester out of many."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RoundRobin"]


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
