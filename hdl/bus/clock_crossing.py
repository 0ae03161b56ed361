"""AXI between two clocks: a queue a channel."""

from __future__ import annotations

import re
from typing import Any

from amaranth.hdl import Cat, Module, Shape
from amaranth.lib import wiring
from amaranth.lib.fifo import AsyncFIFO
from amaranth.lib.wiring import In, Member, Out, Signature

__all__ = ["CHANNELS", "CROSSING_DEPTH", "AxiCrossing", "channel_members"]

CHANNELS = ("aw", "w", "b", "ar", "r")
CROSSING_DEPTH = 16
"""Words of a channel's queue. A pointer is seen three cycles of the other clock later, and its
answer as many back: eight words would just keep a channel full at equal clocks; the next power of
two leaves room for clocks that drift."""


def channel_members(signature: Signature) -> dict[str, list[str]]:
    """Payload signals of each channel of AXI4 or AXI4-Lite."""
    found: dict[str, list[str]] = {channel: [] for channel in CHANNELS}
    for name in signature.members:
        match = re.match(r"(aw|ar|w|r|b)(.+)", name)
        assert match is not None, name
        if match[2] not in ("valid", "ready"):
            found[match[1]].append(name)
    return found


class AxiCrossing(wiring.Component):
    """Carries all channels of an AXI port from one clock to another, in order.

    A channel is an asynchronous queue with Gray-coded pointers (Amaranth's ``AsyncFIFO``); nothing
    passes between channels, so what AXI allows on one side it allows on the other.

    Latency: two to three cycles of the receiving clock a channel. Throughput: a word a cycle of the
    slower clock. Both domains must be reset together and leave reset in any order.

    Parameters
    ----------
    signature
        AXI port, manager's side.
    manager, subordinate
        Clock domains of the two sides.

    Members
    -------
    i
        Where the manager is connected.
    o
        Towards the subordinate.
    """

    i: Any
    o: Any

    def __init__(self, *, signature: Signature, manager: str, subordinate: str) -> None:
        if manager == subordinate:
            raise ValueError(f"a crossing needs two clock domains, not {manager!r} twice")
        self._axi = signature
        self._manager, self._subordinate = manager, subordinate
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for channel, names in channel_members(self._axi).items():
            valid = self._axi.members[f"{channel}valid"]
            assert isinstance(valid, Member)
            # A request leaves the manager, an answer comes to it.
            domains = (self._manager, self._subordinate)
            source, target = self.i, self.o
            if valid.flow != Out:
                domains, (source, target) = domains[::-1], (target, source)
            queue = AsyncFIFO(
                width=sum(Shape.cast(self._width(name)).width for name in names),
                depth=CROSSING_DEPTH, w_domain=domains[0], r_domain=domains[1],
            )  # fmt: skip
            m.submodules[channel] = queue
            m.d.comb += [
                queue.w_data.eq(Cat(getattr(source, name) for name in names)),
                queue.w_en.eq(getattr(source, f"{channel}valid")),
                getattr(source, f"{channel}ready").eq(queue.w_rdy),
                Cat(getattr(target, name) for name in names).eq(queue.r_data),
                getattr(target, f"{channel}valid").eq(queue.r_rdy),
                queue.r_en.eq(getattr(target, f"{channel}ready")),
            ]
        return m

    def _width(self, name: str) -> Any:
        member = self._axi.members[name]
        assert isinstance(member, Member)
        return member.shape
