"""Counters that the CSRs show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..engine.cause import Cause

__all__ = ["EngineCounters", "EventCounters"]


class EventCounters(wiring.Component):
    """64-bit counters, each adding up to its largest increment in a cycle; wrap around.

    Latency 2 cycles from an event to the count.

    Parameters
    ----------
    events
        Name and largest increment of each counter.

    Members
    -------
    NAME
        In: increment in this cycle.
    NAME_count
        Out: sum since reset.
    """

    def __init__(self, *, events: Mapping[str, int]) -> None:
        for name, largest in events.items():
            if largest < 1:
                raise ValueError(f"increment of {name!r} must be at least 1, not {largest!r}")
        self._events = dict(events)
        members: dict[str, wiring.Member] = {}
        for name, largest in self._events.items():
            members[name] = In(range(largest + 1))
            members[f"{name}_count"] = Out(64)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in self._events:
            # A register in front: the events come from all over the device.
            step = Signal.like(getattr(self, name), name=f"{name}_step")
            count = getattr(self, f"{name}_count")
            m.d.sync += [step.eq(getattr(self, name)), count.eq(count + step)]
        return m


class EngineCounters(wiring.Component):
    """Cycles of every engine by cause; 32 bits each, wrap around.

    Every cycle adds 1 to exactly one counter of each engine, so the counters of an engine always
    have the same sum. Latency 2 cycles to the count, 1 more to ``cycles``.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    causes
        What each engine does in this cycle.
    select
        Engine shown; one that does not exist shows zeros.
    cycles
        Counters of the selected engine, by ``Cause``.
    """

    causes: Any
    select: Signal
    cycles: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "causes": In(data.ArrayLayout(Cause, config.sub_arrays)),
                "select": In(8),
                "cycles": Out(data.ArrayLayout(32, len(Cause))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.cycles.as_value().eq(0)
        for u in range(self._config.sub_arrays):
            cause = Signal(Cause, name=f"cause_{u}")
            counts = Signal(data.ArrayLayout(32, len(Cause)), name=f"counts_{u}")
            m.d.sync += cause.eq(self.causes[u])
            for kind in Cause:
                if kind is Cause.HASH and not self._config.hash_lanes:
                    continue  # stays zero
                with m.If(cause == kind):
                    m.d.sync += counts[kind.value].eq(counts[kind.value] + 1)
            with m.If(self.select == u):
                m.d.sync += self.cycles.eq(counts)
        return m
