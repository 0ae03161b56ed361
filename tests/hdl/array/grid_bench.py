"""Bench of the grid: loads it, runs engines of every size from a reference sequencer, checks all.

Control words are given cycle by cycle at the closest spacing the grid allows; every value that
leaves a column, every score, every dense-vector byte and the cycle of every ``tile_done`` is
checked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from amaranth.hdl import Cat, Value
from amaranth.lib.wiring import Flow

from hdl.array.grid import Grid
from hdl.array.timing import DENSE_LATENCY, WRITE_STAGE
from hdl.config import Config
from hdl.interfaces import config_write_layout, control_word_layout
from hdl.program import ALL_UNITS, PARAMETER, Destination, Function, Target
from hdl.words import pack
from tests.hdl.array.sequencer_model import Engine, Job, Layer, random_layer
from tests.hdl.support import put_all, simulate

__all__ = [
    "Bench",
    "Recording",
    "Shape",
    "make_job",
    "make_short_job",
    "make_tables",
    "run_partitions",
]


class Recording:
    """What every port carried before each clock edge of a run; the trace is left out."""

    def __init__(self) -> None:
        self.inputs: dict[str, int] = {}
        """Width of each input, the first in the lowest bits."""
        self.outputs: dict[str, int] = {}
        self.cycles: list[tuple[int, int]] = []
        """All inputs, all outputs."""
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    async def run(self, ctx: Any, grid: Grid) -> None:
        sides: tuple[list[Value], list[Value]] = ([], [])
        for path, member, port in grid.signature.flatten(grid):
            if path[0] != "trace":
                is_input = member.flow is Flow.In
                value = Value.cast(port)
                widths = self.inputs if is_input else self.outputs
                widths["__".join(str(part) for part in path)] = len(value)
                sides[0 if is_input else 1].append(value)
        sample = ctx.tick().sample(Cat(sides[0]), Cat(sides[1]))
        async for _, _, inputs, outputs in sample:
            self.cycles.append((inputs, outputs))
            if self._stopped:
                return


class Bench:
    """Loads a grid's memories, runs the engines' schedules and checks all that comes out."""

    def __init__(self, grid: Grid, config: Config, engines: list[Engine], tables: Any) -> None:
        self.grid, self.config, self.engines, self.tables = grid, config, engines, tables
        self.scores: dict[int, list[tuple[int, int, int]]] = {e.anchor: [] for e in engines}
        self.tile_ends: dict[int, list[int]] = {e.anchor: [] for e in engines}
        self.pages: dict[int, list[int]] = {e.anchor: [] for e in engines}
        self.traced: dict[tuple[int, int, int, int], int] = {}
        self.refused = 0
        self.cycle = 0

    def levels(self) -> list[int]:
        levels = [0] * self.config.sub_arrays
        for engine in self.engines:
            for row in range(engine.unit_edge):
                for column in range(engine.unit_edge):
                    levels[engine.unit(row, column)] = engine.level
        return levels

    async def write(self, ctx: Any, target: Target, unit: int, address: int, word: Any) -> None:
        ctx.set(
            self.grid.config_write,
            {"valid": 1, "target": target, "unit": unit, "address": address, "data": word},
        )
        await ctx.tick()
        ctx.set(self.grid.config_write, config_write_layout(self.config).const(None))

    async def load(self, ctx: Any) -> None:
        """Tables to all units, weights by both ways, parameters, the first job's inputs."""
        ctx.set(self.grid.levels, self.levels())
        for index, table in enumerate(self.tables):
            raw = table.astype(np.int8).tobytes()
            for word in range(32):
                value = int.from_bytes(raw[8 * word : 8 * word + 8], "little")
                await self.write(ctx, Target.ACTIVATION_TABLE, ALL_UNITS, 32 * index + word, value)
        for number, engine in enumerate(self.engines):
            await self.load_engine(ctx, engine, streamed=number % 2 == 0)
            await self.send_inputs(ctx, engine, 0)

    async def load_engine(self, ctx: Any, engine: Engine, *, streamed: bool) -> None:
        """Weights and parameters of one engine."""
        for unit, address, word in engine.weight_words():
            if streamed:
                addresses = [0] * self.config.sub_arrays
                addresses[unit] = address
                fields = {"valid": 1, "mask": 1 << unit, "addresses": addresses, "data": word}
                ctx.set(self.grid.weight_write, fields)
                await ctx.tick()
                ctx.set(self.grid.weight_write.valid, 0)
            else:
                await self.write(ctx, Target.WEIGHTS, unit, address, word)
        for unit, address, parameter in engine.parameter_words():
            bits = pack(PARAMETER, parameter)
            await self.write(ctx, Target.PARAMETERS, unit, address, bits)

    async def send_inputs(self, ctx: Any, engine: Engine, job: int) -> None:
        port = getattr(self.grid, f"bank_write_{engine.anchor}")
        writes = engine.bank_writes(engine.jobs[job], np.random.default_rng(engine.anchor))
        await put_all(ctx, port, writes, stall=0.2, seed=engine.anchor)

    async def run(self, ctx: Any) -> None:
        """Show the scheduled control words and log everything the grid hands out."""
        await self.load(ctx)
        end = max(engine.schedule() + self.grid.latency(engine.level) for engine in self.engines)
        layout = control_word_layout(self.config)
        for self.cycle in range(end + 1):
            for engine in self.engines:
                if self.cycle in engine.words or self.cycle - 1 in engine.words:
                    fields: Any = engine.words.get(self.cycle)
                    ctx.set(getattr(self.grid, f"control_{engine.anchor}"), layout.const(fields))
            self._log(ctx)
            await ctx.tick()

    def _log(self, ctx: Any) -> None:
        for engine in self.engines:
            u = engine.anchor
            score = ctx.get(getattr(self.grid, f"score_{u}"))
            if score.valid:
                self.scores[u].append((self.cycle, score.row, score.value))
            if ctx.get(getattr(self.grid, f"tile_done_{u}")):
                self.tile_ends[u].append(self.cycle)
            if ctx.get(getattr(self.grid, f"page_ready_{u}")):
                self.pages[u].append(self.cycle)
            port = getattr(self.grid, f"bank_write_{u}")
            self.refused += ctx.get(port.valid & ~port.ready)
        layout = self.grid.trace.shape()
        bits = ctx.get(self.grid.trace.as_value())
        width = layout.elem_shape.size
        index = 0
        while bits:
            if bits & 1:
                value = layout.elem_shape.from_bits(bits & ((1 << width) - 1))
                self.traced[index, value.slot, value.parameter, value.row] = value.value
            bits >>= width
            index += 1

    # -- checks --------------------------------------------------------------------------------
    def check(self) -> None:
        for engine in self.engines:
            for job in engine.jobs:
                for number, layer in enumerate(job.layers):
                    self._check_trace(engine, job, number, layer)
            self._check_scores(engine)
            latency = self.grid.latency(engine.level)
            assert self.tile_ends[engine.anchor] == [end + latency for end in engine.tile_ends]
            ahead = self.grid.turnaround(engine.level) - 2
            assert self.pages[engine.anchor] == [begin + ahead for begin in engine.page_begins]
            assert engine.bubbles_inside_layers == 0

    def _check_trace(self, engine: Engine, job: Job, number: int, layer: Layer) -> None:
        size = self.config.sub_array
        expected = job.outputs[number]
        base = engine.parameter_base(engine.jobs.index(job), number)
        actual = np.zeros_like(expected)
        for channel in range(expected.shape[1]):
            tile, lane = divmod(channel, engine.edge)
            index = engine.unit(engine.unit_edge - 1, lane // size) * size + lane % size
            for row in range(job.rows):
                actual[row, channel] = self.traced[index, job.slot, base + tile, row]
        where = f"engine {engine.anchor}, job {engine.jobs.index(job)}, layer {number}"
        np.testing.assert_array_equal(actual, expected, err_msg=where)

    def _check_scores(self, engine: Engine) -> None:
        delay = engine.edge + WRITE_STAGE
        expected = [
            (cycle + delay, word["row"])
            for cycle, word in sorted(engine.words.items())
            if word.get("last") and word["destination"] == Destination.SCORE
        ]
        values = [
            int(value)
            for job in engine.jobs
            for layer, outputs in zip(job.layers, job.outputs, strict=True)
            if layer.destination == Destination.SCORE
            for value in outputs[:, 0]
        ]
        actual = self.scores[engine.anchor]
        assert [entry[:2] for entry in actual] == expected
        assert [entry[2] for entry in actual] == values

    async def check_dense(self, ctx: Any, engine: Engine, job: Job) -> None:
        """Read the DENSE layer's outputs back through the engine's dense port."""
        (outputs,) = (
            outputs
            for layer, outputs in zip(job.layers, job.outputs, strict=True)
            if layer.destination == Destination.DENSE
        )
        address = getattr(self.grid, f"dense_address_{engine.anchor}")
        port = getattr(self.grid, f"dense_data_{engine.anchor}")
        for row in range(job.rows):
            for page in range(-(-outputs.shape[1] // engine.edge)):
                slot = job.slot << (self.config.dense_address_bits - 1)
                ctx.set(address, slot + page * job.rows + row)
                await ctx.tick().repeat(DENSE_LATENCY)
                values = outputs[row, page * engine.edge : (page + 1) * engine.edge]
                got = ctx.get(port)
                assert [got[lane] for lane in range(len(values))] == values.tolist()


def make_tables(rng: np.random.Generator) -> Any:
    return rng.integers(-128, 128, (4, 256))


def make_job(
    rng: np.random.Generator, tables: Any, edge: int, rows: int, *, slot: int = 0, wait: int = 0
) -> Job:
    """Several K and N tiles, ragged sizes, all functions and all destinations."""
    inputs, hidden, dense = 2 * edge + 3, 3 * edge - 1, edge + 2
    layers = [
        random_layer(rng, inputs, hidden, function=Function.RELU),
        random_layer(rng, hidden, 2 * edge, function=Function.TABLE, table=2, source=0),
        random_layer(rng, 2 * edge, dense, destination=Destination.DENSE, source=1),
        random_layer(rng, 2 * edge, edge, function=Function.TABLE, table=1, source=1),
        random_layer(rng, edge, 1, destination=Destination.SCORE, source=3),
    ]
    values = rng.integers(-128, 128, (rows, inputs))
    return Job(inputs=values, layers=layers, tables=tables, slot=slot, not_before=wait)


def make_short_job(rng: np.random.Generator, tables: Any, edge: int, rows: int) -> Job:
    """Two K and two N tiles and all destinations, for grids that simulate slowly."""
    layers = [
        random_layer(rng, edge + 3, edge + 1, function=Function.RELU),
        random_layer(rng, edge + 1, edge + 2, destination=Destination.DENSE, source=0),
        random_layer(rng, edge + 1, 1, destination=Destination.SCORE, source=0),
    ]
    values = rng.integers(-128, 128, (rows, edge + 3))
    return Job(inputs=values, layers=layers, tables=tables)


Shape = tuple[int, int, int, int]
"""An engine: anchor, level, rows of its job, start cycle."""


def run_partitions(
    config: Config,
    partitions: list[list[Shape]],
    seed: int,
    job: Callable[..., Job] = make_job,
    recording: Recording | None = None,
) -> Grid:
    """One partition after the other on one grid, all engines of a partition at the same time."""
    rng = np.random.default_rng(seed)
    tables = make_tables(rng)
    grid = Grid(config=config, trace=True)
    benches = []
    for shapes in partitions:
        engines = [
            Engine(
                grid=grid,
                config=config,
                anchor=anchor,
                level=level,
                jobs=[job(rng, tables, config.sub_array << level, rows)],
                start=start,
            )
            for anchor, level, rows, start in shapes
        ]
        benches.append(Bench(grid, config, engines, tables))

    async def main(ctx: Any) -> None:
        for bench in benches:
            await bench.run(ctx)
            bench.check()
            for engine in bench.engines:
                await bench.check_dense(ctx, engine, engine.jobs[0])
        if recording is not None:
            recording.stop()

    async def record(ctx: Any) -> None:
        if recording is not None:
            await recording.run(ctx, grid)

    # The recording comes first: it must be waiting when the first cycle begins.
    simulate(grid, record, main)
    return grid
