"""Every legal partition of a grid: engines with layers of their own at work at the same time.

Half of the engines get weights, parameters and inputs while the others compute. Exactness and
cycles are checked as in ``test_grid``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from driver.partition import Partition, legal_partitions
from hdl.array.grid import Grid
from hdl.config import Config
from hdl.program import Destination, Function
from tests.hdl.array.grid_bench import Bench, make_tables
from tests.hdl.array.sequencer_model import Engine, Job, random_layer
from tests.hdl.array.test_grid import SMALL, TINY
from tests.hdl.support import simulate


def varied_job(rng: np.random.Generator, tables: Any, edge: int, most_rows: int) -> Job:
    """Sizes drawn at random: one to three tiles each way, ragged; every destination."""
    inputs, hidden = (int(rng.integers(1, 2 * edge + 2)) for _ in range(2))
    functions = [Function.NONE, Function.RELU, Function.TABLE]
    layers = [
        random_layer(rng, inputs, hidden, function=functions[rng.integers(3)], table=1),
        random_layer(
            rng, hidden, int(rng.integers(1, edge + 3)), destination=Destination.DENSE, source=0
        ),
        random_layer(rng, hidden, 1, destination=Destination.SCORE, source=0),
    ]
    rows = int(rng.integers(1, most_rows + 1))
    return Job(inputs=rng.integers(-128, 128, (rows, inputs)), layers=layers, tables=tables)


class Staggered(Bench):
    """A bench whose ``late`` engines are loaded while the others compute."""

    def __init__(self, grid: Grid, config: Config, engines: list[Engine], tables: Any) -> None:
        super().__init__(grid, config, engines, tables)
        self.late = engines[1::2]
        self.loading: tuple[int, int] | None = None
        self.shown = False
        # A write a cycle, inputs with stalls: time enough, and a start of each engine's own.
        start = 40
        for engine in self.late:
            words = len(list(engine.weight_words())) + len(list(engine.parameter_words()))
            start += words + 4 * engine.jobs[0].inputs.size + 20
            engine.start = start

    async def load(self, ctx: Any) -> None:
        all_engines, early = self.engines, [e for e in self.engines if e not in self.late]
        self.engines = early
        ctx.set(self.grid.levels, self.levels())
        await super().load(ctx)
        self.engines = all_engines
        ctx.set(self.grid.levels, self.levels())
        self.shown = True

    async def load_late(self, ctx: Any) -> None:
        """The late engines' memories, one engine after the other, each before its start."""
        begin = self.cycle
        for engine in self.late:
            await self.load_engine(ctx, engine, streamed=False)
            await self.send_inputs(ctx, engine, 0)
            assert self.cycle < engine.start - self.config.tile_interval
        self.loading = (begin, self.cycle)

    def check(self) -> None:
        super().check()
        if self.late:
            assert self.loading is not None
            early = [e for e in self.engines if e not in self.late]
            first, last = self.loading
            at_work = [c for e in early for c in e.words if first <= c <= last]
            assert at_work, "nobody computed while the late engines were loaded"


def run_all(config: Config, partitions: list[Partition], *, most_rows: int, seed: int) -> None:
    """One partition after the other on one grid."""
    rng = np.random.default_rng(seed)
    tables = make_tables(rng)
    grid = Grid(config=config, trace=True)
    benches = []
    for partition in partitions:
        engines = []
        for index in rng.permutation(len(partition.engines)):
            place = partition.engines[index]
            job = varied_job(rng, tables, config.sub_array << place.level, most_rows)
            engines.append(
                Engine(
                    grid=grid, config=config, anchor=place.unit, level=place.level, jobs=[job],
                    start=int(rng.integers(0, 30)),
                )
            )  # fmt: skip
        benches.append(Staggered(grid, config, engines, tables))

    async def main(ctx: Any) -> None:
        for bench in benches:
            await bench.run(ctx)
            bench.check()
            for engine in bench.engines:
                await bench.check_dense(ctx, engine, engine.jobs[0])

    async def late(ctx: Any) -> None:
        for bench in benches:
            while not bench.shown:
                await ctx.tick()
            await bench.load_late(ctx)

    simulate(grid, main, late)


def test_every_partition_of_a_2x2_grid() -> None:
    partitions = legal_partitions(TINY)
    assert len(partitions) == 2
    run_all(TINY, [partitions[n] for n in (0, 1, 0)], most_rows=8, seed=21)


@pytest.mark.slow
def test_every_partition_of_a_4x4_grid() -> None:
    """Up to turns and reflections."""
    partitions = legal_partitions(SMALL, up_to_symmetry=True)
    assert len(partitions) == 7
    run_all(SMALL, partitions, most_rows=14, seed=22)
