"""Choice of the weight chunk to be fetched next, and of the engines that it is for."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.round_robin import RoundRobin
from ..config import Config
from ..interfaces import QUERY_BITS
from .stream_lane import stream_chunk_layout

__all__ = ["StreamChoice"]


class StreamChoice(wiring.Component):
    """One chunk a turn, for every lane whose next chunk it is and whose ring has room for it.

    Urgent lanes go first, then the others, in turns. Lanes of one stream are brought together,
    and from then on one read feeds all of them:

    * Where one that is behind the picked lane has room, it gets the turn; an urgent lane lets only
      those pass that are fewer than ``REACH`` chunks behind.
    * A lane that is not urgent waits while others are behind it, or as far, and have no room.

    No lane's progress depends on another engine's: an urgent lane is kept waiting by reads for
    lanes with room only, fewer than ``REACH`` chunks for each of them, and a lane becomes urgent
    by consuming what it has.

    A turn takes 3 cycles (a choice, a comparison, a chunk on offer until it is taken), fewer than
    the beats of a chunk on the widest bus; one that is handed on takes 3 more.

    Parameters
    ----------
    config
        Sizes of the device.
    count
        Number of lanes, at least 1.

    Members
    -------
    active, room, urgent, chunks, queries
        Of each lane, see `StreamLane`.
    o
        A chunk, the lanes that take it in the cycle of the transfer, and their queries.
    """

    active: Signal
    room: Signal
    urgent: Signal
    chunks: data.View
    queries: data.View
    o: stream.Interface

    REACH = 64
    """16 KB: with 16 bytes a cycle engines that begin within 1000 cycles come together."""

    def __init__(self, *, config: Config, count: int) -> None:
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"count must be an integer of at least 1, not {count!r}")
        self._count = count
        self._chunk = stream_chunk_layout(config)
        chosen = data.StructLayout(
            {
                "chunk": self._chunk,
                "lanes": unsigned(count),
                "queries": unsigned(1 << QUERY_BITS),
            }
        )
        super().__init__(
            {
                "active": In(count),
                "room": In(count),
                "urgent": In(count),
                "chunks": In(data.ArrayLayout(self._chunk, count)),
                "queries": In(data.ArrayLayout(QUERY_BITS, count)),
                "o": Out(stream.Signature(chosen)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.arbiter = arbiter = RoundRobin(count=self._count)
        waiting = Signal(self._count)  # picked, and in no hurry
        hurried = Signal(self._count)
        picked = Signal(self._count)
        select = Signal(self._count)  # whose chunk is looked at next
        chunk: Any = Signal(self._chunk)
        takers = Signal(self._count)  # lanes whose next chunk it is, with room for it
        passed = Signal(self._count)  # lanes that go first
        later = Signal(self._count)  # lanes that will want it and have no room
        hurry = Signal()
        was_urgent = Signal()
        offers = Signal()  # state OFFER
        m.d.comb += [
            hurried.eq(self.room & self.urgent),
            arbiter.requests.eq(Mux(hurried != 0, hurried, self.room & ~waiting)),
            select.eq(picked),
            self.o.payload.chunk.eq(chunk),
            self.o.payload.lanes.eq(takers),
            self.o.payload.queries.eq(self._queries(m)),
            self.o.valid.eq(offers & (passed == 0) & ((later == 0) | was_urgent)),
        ]
        m.d.sync += offers.eq(self.o.valid & ~self.o.ready)
        for number in range(self._count):
            with m.If(select[number]):
                m.d.sync += chunk.eq(self.chunks[number])
        with m.FSM(name="state"):
            with m.State("PICK"):
                m.d.comb += [arbiter.advance.eq(1), select.eq(arbiter.grant)]
                m.d.sync += picked.eq(arbiter.grant)
                with m.If(arbiter.requests != 0):
                    m.next = "COMPARE"
            with m.State("HAND ON"):  # a cycle for the chunk of the lane that is picked instead
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.comb += hurry.eq((picked & self.urgent) != 0)
                m.d.sync += was_urgent.eq(hurry)
                for number in range(self._count):
                    same, behind, near = self._compare(m, number, chunk)
                    room = self.room[number]
                    m.d.sync += [
                        takers[number].eq(same & room),
                        passed[number].eq(behind & room & (near | ~hurry)),
                        later[number].eq((same | behind) & ~room),
                    ]
                m.d.sync += offers.eq(1)
                m.next = "OFFER"
            with m.State("OFFER"):
                with m.If(passed != 0):
                    m.d.sync += picked.eq(passed & (~passed + 1))  # lowest set bit
                    m.next = "HAND ON"
                with m.Elif((later != 0) & ~was_urgent):
                    m.d.sync += waiting.eq(waiting | picked)
                    m.next = "PICK"
                with m.Elif(self.o.ready):
                    m.d.sync += waiting.eq(waiting & ~takers)
                    m.next = "PICK"
        return m

    def _compare(self, m: Module, number: int, chunk: Any) -> tuple[Value, Value, Value]:
        """Whether a lane's next chunk is this one, whether it comes to it later, and soon."""
        mine, active = self.chunks[number], self.active[number]
        lead = Signal(signed(len(chunk.chunk) + 1), name=f"lead_{number}")  # of the picked lane
        m.d.comb += lead.eq(chunk.chunk - mine.chunk)
        same = active & (lead == 0) & (mine.useful == chunk.useful)
        behind = active & (mine.stream == chunk.stream) & (lead > 0)
        if self._count == 1:
            behind = Const(0)  # one lane is never behind itself
        return same, behind, lead < self.REACH

    def _queries(self, m: Module) -> Value:
        """One bit for each query of the lanes that take the chunk."""
        found = []
        for number in range(self._count):
            one_hot = Signal(1 << QUERY_BITS, name=f"query_{number}")
            with m.If(self.o.payload.lanes[number]):
                m.d.comb += one_hot.eq(1 << self.queries[number])
            found.append(one_hot)
        return Cat(Cat(bits[n] for bits in found).any() for n in range(1 << QUERY_BITS))
