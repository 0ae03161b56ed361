"""Scores back in the order of positions, where several engines score and the host filters."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring

from ..config import Config
from .layouts import return_members

__all__ = ["InOrder"]


class InOrder(wiring.Component):
    """Collects n scores that come in any order, then hands all of them over, position 0 first.

    Flow control: ``i_score`` is never refused between the start and the n-th score, and refused
    otherwise. ``o`` may stall for ever. The next start is taken after ``last`` was taken.

    Latency, in cycles from the one in which the n-th score is taken, when ``o`` never stalls: the
    score at position p is taken ``FIXED_CYCLES + p`` cycles later.

    Parameters
    ----------
    config
        Device sizes: ``max_items``.

    Members
    -------
    i_start
        Stream of ``return_start_layout``; 1 <= n <= max_items is the sender's promise.
    i_score
        Stream of ``position_score_layout``, each position below n once.
    o
        Stream of ``survivor_layout``; ``last`` on the n-th.
    """

    FIXED_CYCLES = 3
    """State, memory output, output register."""

    i_start: stream.Interface
    i_score: stream.Interface
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(return_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        scores: memory.Memory = memory.Memory(shape=16, depth=config.max_items, init=[])
        m.submodules.scores = scores
        write = scores.write_port()
        read = scores.read_port(domain="sync")
        missing = Signal(config.item_bits + 1)  # scores still to come
        left = Signal(config.item_bits + 1)  # positions still to be read
        address = Signal(config.item_bits)
        reading = Signal()
        advance = Signal()
        m.d.comb += [
            write.en.eq(self.i_score.valid & self.i_score.ready),
            write.addr.eq(self.i_score.payload.position),
            write.data.eq(self.i_score.payload.score),
            advance.eq(~self.o.valid | self.o.ready),
            read.addr.eq(address),
            read.en.eq(advance),
        ]
        asked: Signal = Signal(config.item_bits)  # position in the memory's output
        ends = Signal()
        with m.If(advance):
            m.d.sync += [
                reading.eq(0),
                asked.eq(address),
                ends.eq(left == 1),
                self.o.valid.eq(reading),
                self.o.payload.position.eq(asked),
                self.o.payload.score.eq(read.data),
                self.o.payload.last.eq(ends),
            ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i_start.ready.eq(1)
                m.d.sync += [
                    missing.eq(self.i_start.payload.n),
                    left.eq(self.i_start.payload.n),
                    address.eq(0),
                ]
                with m.If(self.i_start.valid):
                    m.next = "COLLECT"
            with m.State("COLLECT"):
                m.d.comb += self.i_score.ready.eq(1)
                with m.If(self.i_score.valid):
                    m.d.sync += missing.eq(missing - 1)
                    with m.If(missing == 1):
                        m.next = "RETURN"
            with m.State("RETURN"):
                with m.If(advance & (left != 0)):
                    m.d.sync += [reading.eq(1), address.eq(address + 1), left.eq(left - 1)]
                with m.If(self.o.valid & self.o.ready & self.o.payload.last):
                    m.next = "IDLE"
        return m
