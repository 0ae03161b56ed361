"""The partition in force, and the change to another one while engines that stay go on."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config

__all__ = ["PartitionControl", "blocks_of"]


def blocks_of(config: Config, level: int) -> list[list[int]]:
    """Sub-arrays of every place where an engine of ``level`` can be, row-major."""
    size, edge = config.grid, 1 << level
    return [
        [(row + r) * size + column + c for r in range(edge) for c in range(edge)]
        for row in range(0, size, edge)
        for column in range(0, size, edge)
    ]


class PartitionControl(wiring.Component):
    """Holds levels and stage masks; ``apply`` asks for those on ``wanted_*``.

    A legal partition is a quad-tree: all sub-arrays of an engine's square have its level, and the
    square stands at a multiple of its edge. One that is not is dropped: the partition in force
    stays, and ``illegal`` is up until the next ``apply``.

    A legal one is taken square by square. Old and new engines around a sub-array are nested, so the
    larger of the two is a square that nothing else touches: it changes, all of it in one cycle, as
    soon as none of its sub-arrays is in use. Squares that stay as they are, are not waited for and
    not disturbed. ``pending`` is up from the cycle after ``apply`` until the last square has
    changed; a further ``apply`` meanwhile replaces what is still to be changed.

    A sub-array is in use while its engine holds a job (``idle`` down) or a query may still send it
    one (``needed``); both count a cycle late. After ``apply`` the user starts no query until
    ``pending`` has been up and is down again; ``needed`` may rise up to the cycle of ``apply``.

    Latency: ``CHECK_CYCLES`` from ``apply`` to the change when nothing is in use.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    wanted_levels, wanted_stages
        Partition to change to, sampled with ``apply``.
    apply
        Pulse.
    idle
        Bit u: the engine anchored at u holds no job, or no engine is.
    needed
        Bit u: a query may still send a job to the engine anchored at u.
    levels, stages
        Partition in force: level of the engine that each sub-array belongs to, stages that the
        engine anchored there serves.
    pending, illegal
        See above.
    """

    wanted_levels: data.View
    wanted_stages: data.View
    apply: Signal
    idle: Signal
    needed: Signal
    levels: data.View
    stages: data.View
    pending: Signal
    illegal: Signal

    CHECK_CYCLES = 3
    """Cycles from ``apply`` to the new partition: sample, check, change."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        units = config.sub_arrays
        levels = data.ArrayLayout(config.level_bits, units)
        stages = data.ArrayLayout(config.max_stages, units)
        super().__init__(
            {
                "wanted_levels": In(levels),
                "wanted_stages": In(stages),
                "apply": In(1),
                "idle": In(units),
                "needed": In(units),
                "levels": Out(levels),
                "stages": Out(stages),
                "pending": Out(1),
                "illegal": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        units = self._config.sub_arrays
        target: Any = Signal(self.levels.shape())
        target_stages: Any = Signal(self.stages.shape())
        checked = Signal()  # the target is legal
        differs = Signal(units)
        used = Signal(units)
        move = self._moves(m, target, differs, used)
        m.d.comb += differs.eq(
            Cat(
                (self.levels[u] != target[u]) | (self.stages[u] != target_stages[u])
                for u in range(units)
            )
        )
        m.d.sync += used.eq(~self.idle | self.needed)
        with m.If(self.apply):
            m.d.sync += [
                target.eq(self.wanted_levels),
                target_stages.eq(self.wanted_stages),
                self.pending.eq(1),
                self.illegal.eq(0),
                checked.eq(0),
            ]
        with m.Elif(self.pending & ~checked):
            m.d.sync += checked.eq(1)
            with m.If(~self._legal(target)):
                m.d.sync += [self.illegal.eq(1), self.pending.eq(0), checked.eq(0)]
        with m.Elif(self.pending):
            for u in range(units):
                with m.If(move[u]):
                    m.d.sync += self.stages[u].eq(target_stages[u])
                    if self._config.levels > 1:  # else 0, which synthesis then knows
                        m.d.sync += self.levels[u].eq(target[u])
            with m.If((differs & ~Cat(move)) == 0):
                m.d.sync += [self.pending.eq(0), checked.eq(0)]
        return m

    def _legal(self, target: data.View) -> Value:
        """Every square that holds a sub-array of its level holds nothing else."""
        config = self._config
        if not config.features.fission:
            return Value.cast(1)  # one engine, whatever the levels say
        wrong = [target[u] >= config.levels for u in range(config.sub_arrays)]
        for level in range(1, config.levels):
            for square in blocks_of(config, level):
                here = Cat(target[u] == level for u in square)
                wrong.append(here.any() & ~here.all())
        return ~Cat(wrong).any()

    def _moves(self, m: Module, target: data.View, differs: Signal, used: Signal) -> list[Value]:
        """Whether each sub-array changes now: something differs in its square, nothing is used."""
        config = self._config
        if not config.features.fission:
            # Only the stages of the one engine count.
            return [~used[0]] * config.sub_arrays
        moves: list[list[Value]] = [[] for _ in range(config.sub_arrays)]
        for level in range(config.levels):
            for square in blocks_of(config, level):
                free = Signal(name=f"free_{level}_{square[0]}")
                m.d.comb += free.eq(
                    Cat(differs[u] for u in square).any() & ~Cat(used[u] for u in square).any()
                )
                for u in square:
                    moves[u].append(free)
        if config.levels == 1:
            return [move for (move,) in moves]
        return [
            Cat(moves[u]).bit_select(Mux(self.levels[u] > target[u], self.levels[u], target[u]), 1)
            for u in range(config.sub_arrays)
        ]
