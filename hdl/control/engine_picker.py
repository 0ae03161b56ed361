"""Picks an engine for the next row block, round robin."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config

__all__ = ["EnginePicker"]


class EnginePicker(wiring.Component):
    """Finds an engine that may take a job, and its slot.

    While ``search`` is high it looks for a candidate, round robin behind the one picked last.
    ``found`` then stays high, with ``unit`` and ``slot``, until ``take``, which is the promise that
    the job goes to that engine. Slots of an engine alternate 0, 1, 0, 1 .. from reset on. Three
    cycles from a candidate's appearance to ``found``: sample, grant, encode, so that 64 candidates
    are never one long path.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    search
        A job waits. Held until ``found``.
    candidates
        Bit u is set when the engine anchored at u serves the stage and has a free slot. A
        candidate stays one until it is taken, and may be stale for one cycle after that.
    found, unit, slot
        The engine picked.
    take
        Only while ``found``.
    """

    search: Signal
    candidates: Signal
    found: Signal
    unit: Signal
    slot: Signal
    take: Signal

    LATENCY = 3
    """Cycles from a candidate's appearance to ``found``."""

    def __init__(self, *, config: Config) -> None:
        self._units = config.sub_arrays
        super().__init__(
            {
                "search": In(1),
                "candidates": In(self._units),
                "found": Out(1),
                "unit": Out(8),
                "slot": Out(1),
                "take": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waiting = Signal(self._units)
        behind = Signal(self._units)  # engines behind the one picked last
        preferred = Signal(self._units)
        pool = Signal(self._units)
        granted = Signal(self._units)  # one-hot
        slots = Signal(self._units)  # slot of each engine's next job
        number = Signal(8)
        m.d.comb += [
            preferred.eq(waiting & behind),
            pool.eq(Mux(preferred != 0, preferred, waiting)),
        ]
        for bit in range((self._units - 1).bit_length()):
            odd = sum(1 << unit for unit in range(self._units) if unit >> bit & 1)
            m.d.comb += number[bit].eq((granted & odd) != 0)
        with m.FSM():
            with m.State("SAMPLE"):
                m.d.sync += waiting.eq(self.candidates)
                with m.If(self.search & (self.candidates != 0)):
                    m.next = "GRANT"
            with m.State("GRANT"):
                m.d.sync += granted.eq(pool & -pool)  # lowest bit that is set
                m.next = "ENCODE"
            with m.State("ENCODE"):
                m.d.sync += [self.unit.eq(number), self.slot.eq((slots & granted) != 0)]
                m.next = "FOUND"
            with m.State("FOUND"):
                m.d.comb += self.found.eq(1)
                with m.If(self.take):
                    # `behind`: neither the granted bit nor those below it.
                    m.d.sync += [slots.eq(slots ^ granted), behind.eq(~(granted | (granted - 1)))]
                    m.next = "SAMPLE"
        return m
