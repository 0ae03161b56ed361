"""Which engines the partition in force has, and which stages they serve."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config

__all__ = ["EngineMap"]


class EngineMap(wiring.Component):
    """Turns levels and stage masks into one mask of engines for each stage.

    A sub-array is an anchor when its row and column are multiples of its engine's edge. Without
    ``features.fission`` the only engine is the whole grid, anchored at sub-array 0, whatever
    ``levels`` says. Latency 1 cycle.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    levels
        Level of the engine that each sub-array belongs to.
    engine_stages
        Of each anchor: bit s is set when the engine works for stage s.
    engines
        Of each stage: bit u is set when an engine anchored at u works for it.
    """

    levels: data.View
    engine_stages: data.View
    engines: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        units = config.sub_arrays
        super().__init__(
            {
                "levels": In(data.ArrayLayout(config.level_bits, units)),
                "engine_stages": In(data.ArrayLayout(config.max_stages, units)),
                "engines": Out(data.ArrayLayout(units, config.max_stages)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        anchors = []
        for unit in range(config.sub_arrays):
            anchor = Signal(name=f"anchor_{unit}")
            if config.features.fission:
                # Anchors of level l are anchors of all smaller levels too.
                largest = config.largest_level_at(*divmod(unit, config.grid))
                every_level = largest == (1 << config.level_bits) - 1
                m.d.comb += anchor.eq(1 if every_level else self.levels[unit] <= largest)
            else:
                m.d.comb += anchor.eq(unit == 0)
            anchors.append(anchor)
        for stage in range(config.max_stages):
            serves = Cat(self.engine_stages[unit][stage] for unit in range(config.sub_arrays))
            m.d.sync += self.engines[stage].eq(serves & Cat(anchors))
        return m
