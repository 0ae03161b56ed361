"""All scores as they come, where one engine scores and the host filters."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring

from ..config import Config
from .layouts import return_members

__all__ = ["Bypass"]


class Bypass(wiring.Component):
    """Lets all n scores through in the order in which they come.

    For a device with one engine, whose scores come in the order of positions. Latency 1 cycle, one
    score a cycle. The next start is taken after ``last`` was.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i_start
        Stream of ``return_start_layout``.
    i_score
        Stream of ``position_score_layout``; refused without a start and after the n-th score.
    o
        Stream of ``survivor_layout``; ``last`` on the n-th.
    """

    i_start: stream.Interface
    i_score: stream.Interface
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(return_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        missing = Signal(self._config.item_bits + 1)  # scores still to come
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.i_start.ready.eq((missing == 0) & ~self.o.valid),
            self.i_score.ready.eq((missing != 0) & free),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(self.i_score.valid & (missing != 0))
        with m.If(self.i_score.valid & self.i_score.ready):
            m.d.sync += [
                self.o.payload.position.eq(self.i_score.payload.position),
                self.o.payload.score.eq(self.i_score.payload.score),
                self.o.payload.last.eq(missing == 1),
                missing.eq(missing - 1),
            ]
        with m.If(self.i_start.valid & self.i_start.ready):
            m.d.sync += missing.eq(self.i_start.payload.n)
        return m
