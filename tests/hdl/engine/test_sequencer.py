# amaranth: UnusedElaboratable=no
"""Sequencer against a Python walk over the same tiles, and against the array's rules."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.engine.cause import Cause
from hdl.engine.sequencer import Sequencer
from hdl.program import Destination
from tests.hdl.support import simulate

from .support import load_layer, random_layer

TINY = preset("tiny")
UNIT = 2


@dataclass
class Phase:
    """A phase with its layers and the payload that asks for it."""

    layers: list[dict[str, int]]
    payload: dict[str, int]

    @property
    def tiles(self) -> int:
        return sum(layer["input_tiles"] * layer["output_tiles"] for layer in self.layers)


@dataclass
class Tile:
    """A weight tile: where it lies, its rows' control words, what must be written back before."""

    streamed: bool
    address: int
    rows: list[dict[str, int]]
    needs: int
    ends_phase: tuple[int, int] | None


def expected_tiles(config: Config, phases: list[Phase]) -> list[Tile]:
    """The reference: plain nested loops."""
    half = config.activation_bytes // 2
    dense_half = 1 << config.dense_address_bits - 1
    tiles: list[Tile] = []
    written = 0  # output tiles of all that came before
    ring_position = 0
    for phase in phases:
        p = phase.payload
        weights = p["weights"]
        produced = 0  # first output tile of the layer before
        for depth, layer in enumerate(phase.layers):
            for n in range(layer["output_tiles"]):
                for k in range(layer["input_tiles"]):
                    last = k == layer["input_tiles"] - 1
                    rows = []
                    for row in range(p["rows"]):
                        output = layer["output_base"] + n * p["row_pitch"] + row
                        if layer["destination"] == Destination.DENSE:
                            output = output % dense_half + p["slot"] * dense_half
                        else:
                            output = output % half + p["slot"] * half
                        read = layer["input_base"] + k * p["row_pitch"] + row
                        rows.append(
                            {
                                "row": row,
                                "input_address": read % half + p["slot"] * half,
                                "first": int(k == 0),
                                "last": int(last),
                                "tile_end": int(last and row == p["rows"] - 1),
                                "parameter": (layer["parameter_base"] + n) % config.parameter_tiles,
                                "output_address": output,
                                "function": layer["function"],
                                "table": layer["table"],
                                "destination": layer["destination"],
                                "slot": p["slot"],
                            }
                        )
                    if p["streamed"]:
                        mask = (1 << p["ring_log2_words"]) - 1
                        address = p["ring_base"] + (ring_position & mask)
                        ring_position += config.slice_words
                    else:
                        address = weights
                        weights += config.slice_words
                    end = depth == len(phase.layers) - 1 and n == layer["output_tiles"] - 1 and last
                    tiles.append(
                        Tile(
                            bool(p["streamed"]),
                            address % config.weight_words,
                            rows,
                            produced + k + 1 if depth else 0,
                            (p["slot"], p["top"]) if end else None,
                        )
                    )
            produced = written
            written += layer["output_tiles"]
    return tiles


@dataclass
class Log:
    words: list[Any] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    pages: list[int] = field(default_factory=list)  # cycles of page_ready
    landed: list[int] = field(default_factory=list)
    consumed: list[int] = field(default_factory=list)
    done: list[tuple[int, int]] = field(default_factory=list)


def run(
    phases: list[Phase],
    *,
    config: Config = TINY,
    latency: int = 10,
    write_back: int = 7,
    seed: int = 1,
    stream_gap: float = 0.0,
) -> Log:
    """Send all phases to a sequencer with a fake grid and a fake streamer behind it.

    ``latency`` cycles after its row 0 a page can be read, ``write_back`` cycles more after its last
    row the tile is done.
    """
    dut = Sequencer(config=config, unit=UNIT)
    log = Log()
    rng = random.Random(seed)
    finished = False

    async def control(ctx: Any) -> None:
        nonlocal finished
        for phase in phases:
            for index, layer in enumerate(phase.layers):
                await load_layer(ctx, dut, config, phase.payload["layer"] + index, layer, unit=UNIT)
        for phase in phases:
            ctx.set(dut.i.payload, phase.payload)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
        while len(log.done) < len(phases):
            await ctx.tick()
        for _ in range(30):
            await ctx.tick()
        finished = True

    async def grid(ctx: Any) -> None:
        due: deque[int] = deque()
        pages: deque[int] = deque()
        to_land = sum(phase.tiles for phase in phases if phase.payload["streamed"])
        cycle = 0
        while not finished:
            answer = bool(due) and due[0] <= cycle
            if answer:
                due.popleft()
            ctx.set(dut.tile_done, answer)
            ready = bool(pages) and pages[0] == cycle
            if ready:
                log.pages.append(pages.popleft())
            ctx.set(dut.page_ready, ready)
            space = 8 - (len(log.landed) - len(log.consumed))
            land = to_land > 0 and space > 0 and rng.random() >= stream_gap
            ctx.set(dut.landed, land)
            if land:
                to_land -= 1
                log.landed.append(cycle)
            sampled = await ctx.tick().sample(dut.control, dut.cause, dut.consumed, dut.done)
            word, cause, consumed, done = sampled[2:]
            log.words.append(word)
            log.causes.append(Cause(cause))
            if consumed:
                log.consumed.append(cycle)
            if done.valid:
                log.done.append((done.slot, done.top))
            if word.valid and word.last and word.row == 0:
                pages.append(cycle + latency)
            if word.valid and word.tile_end:
                due.append(cycle + latency + write_back)
            cycle += 1

    simulate(dut, control, grid, cycles=60_000)
    return log


def check(log: Log, phases: list[Phase], config: Config = TINY) -> None:
    """Every rule of the array and every field of every word."""
    tiles = expected_tiles(config, phases)
    interval = config.tile_interval
    loaded = active = row = -1
    shadow: tuple[int, int] | None = None  # tile, cycle of its load
    tile, started, row = 0, -interval, 0
    for cycle, (word, cause) in enumerate(zip(log.words, log.causes, strict=True)):
        assert bool(word.valid) == (cause == Cause.BUSY)
        if word.valid:
            assert active == tile, f"cycle {cycle}: tile {tile} on the weights of {active}"
            got = {name: getattr(word, name) for name in tiles[tile].rows[row]}
            assert got == tiles[tile].rows[row], f"cycle {cycle}, tile {tile}, row {row}"
            if row == 0:
                assert cycle >= started + interval
                started = cycle
                # The word is registered: one cycle before it the page was ready.
                assert sum(t + 2 <= cycle for t in log.pages) >= tiles[tile].needs
            row += 1
            if row == len(tiles[tile].rows):
                tile, row = tile + 1, 0
        else:
            assert not word.tile_end
        if word.swap:
            assert row == 0, "swap in the middle of a tile"
            assert shadow is not None and cycle >= shadow[1] + interval
            active, shadow = shadow[0], None
        if word.load:
            assert shadow is None
            loaded += 1
            shadow = (loaded, cycle)
            assert word.load_address == tiles[loaded].address
    assert tile == len(tiles) and row == 0 and loaded == len(tiles) - 1
    assert log.done == [t.ends_phase for t in tiles if t.ends_phase]
    streamed = sum(t.streamed for t in tiles)
    assert len(log.consumed) == len(log.landed) == streamed
    assert all(land < use for land, use in zip(log.landed, log.consumed, strict=True))


def phase(
    rng: random.Random,
    first: int,
    shape: list[int],
    *,
    rows: int,
    streamed: bool = False,
    ring_log2_words: int = 5,
    slot: int = 0,
    top: int = 0,
) -> Phase:
    """A chain of layers: ``shape`` are the page counts of its tensors."""
    layers = [random_layer(rng, k, n) for k, n in zip(shape, shape[1:], strict=False)]
    result = Phase(layers, {})
    result.payload = {
        "layer": first,
        "layers": len(layers),
        "tiles": result.tiles,
        "weights": rng.randrange(64),
        "streamed": int(streamed),
        "stream": 0,
        "slot": slot,
        "rows": rows,
        "row_pitch": rng.randrange(rows, 40),
        "top": top,
        "ring_base": 96,
        "ring_log2_words": ring_log2_words,
    }
    return result


def chain(
    rng: random.Random,
    count: int,
    *,
    rows: list[int],
    streamed: list[bool],
    shapes: list[list[int]],
) -> list[Phase]:  # noqa: E501
    phases, first = [], 3
    for index in range(count):
        shape = rng.choice(shapes)
        phases.append(
            phase(rng, first, shape, rows=rng.choice(rows), streamed=rng.choice(streamed),
                  slot=index % 2, top=rng.randrange(2))
        )  # fmt: skip
        first += len(shape) - 1
    return phases


def test_parameters() -> None:
    with pytest.raises(ValueError, match=r"unit must be in 0\.\.3, not 4"):
        Sequencer(config=TINY, unit=4)


@pytest.mark.parametrize("streamed", [False, True])
def test_no_bubble(streamed: bool) -> None:
    """R >= tile_interval, inputs at hand: one row a cycle over tiles, layers and phases."""
    rng = random.Random(5)
    shapes = [[2, 3, 2, 2], [1, 2, 3], [3, 2], [1, 4, 2, 3]]
    phases = chain(rng, 6, rows=[16], streamed=[streamed], shapes=shapes)
    log = run(phases, latency=11)
    check(log, phases)
    busy = [cycle for cycle, word in enumerate(log.words) if word.valid]
    assert len(busy) == 16 * sum(p.tiles for p in phases)
    assert busy == list(range(busy[0], busy[0] + len(busy)))


def test_short_tiles_cost_the_interval() -> None:
    """R below tile_interval: a tile every tile_interval cycles, the rest charged to weights."""
    phases = chain(random.Random(6), 3, rows=[3], streamed=[False], shapes=[[3, 4]])
    log = run(phases, latency=4)
    check(log, phases)
    first = [cycle for cycle, word in enumerate(log.words) if word.valid and word.row == 0]
    assert {b - a for a, b in zip(first, first[1:], strict=False)} == {TINY.tile_interval}
    inside = log.causes[first[0] : first[-1]]
    assert set(inside) == {Cause.BUSY, Cause.WEIGHTS}


def test_dependency_is_charged() -> None:
    """Layers of one tile wait for row 0 of the layer before, not for its last row."""
    phases = chain(random.Random(7), 1, rows=[16], streamed=[False], shapes=[[1, 1, 1, 1]])
    log = run(phases, latency=25)
    check(log, phases)
    stalls = [c for c, cause in enumerate(log.causes) if cause == Cause.DEPENDENCY]
    # The page is ready at ``latency``; a cycle later it counts, one more and the word is out.
    assert len(stalls) == 2 * (25 + 2 - 16)


def test_pages_that_open_in_time_cost_nothing() -> None:
    """A page that opens while the tile that makes it still streams: no bubble between layers."""
    phases = chain(random.Random(7), 2, rows=[16], streamed=[False], shapes=[[1, 1, 1, 1]])
    log = run(phases, latency=14, write_back=40)
    check(log, phases)
    busy = [cycle for cycle, word in enumerate(log.words) if word.valid]
    assert busy == list(range(busy[0], busy[0] + 2 * 3 * 16))


def test_starved_stream_is_charged() -> None:
    phases = chain(random.Random(8), 2, rows=[16], streamed=[True], shapes=[[3, 2]])
    log = run(phases, latency=5, stream_gap=0.98)
    check(log, phases)
    assert log.causes.count(Cause.STREAM) > 50


@pytest.mark.parametrize("seed", range(6))
def test_random_phases(seed: int) -> None:
    rng = random.Random(seed)
    shapes = [[rng.randrange(1, 4) for _ in range(rng.randrange(2, 6))] for _ in range(5)]
    phases = chain(rng, 8, rows=[1, 2, 7, 12, 16], streamed=[False, True], shapes=shapes)
    log = run(
        phases, latency=rng.choice([3, 9, 30, 80]), seed=seed, stream_gap=rng.choice([0, 0.9])
    )
    check(log, phases)


def test_other_units_layers_are_ignored() -> None:
    """A LOAD for another unit and one beyond the table leave the layers alone."""
    rng = random.Random(9)
    phases = chain(rng, 1, rows=[3], streamed=[False], shapes=[[2, 2]])
    dut = Sequencer(config=TINY, unit=UNIT)
    rows: list[Any] = []

    async def bench(ctx: Any) -> None:
        await load_layer(ctx, dut, TINY, 3, phases[0].layers[0], unit=255)
        other = random_layer(rng, 1, 1)
        await load_layer(ctx, dut, TINY, 3, other, unit=0)
        await load_layer(ctx, dut, TINY, 3 + TINY.max_layers, other, unit=UNIT)
        ctx.set(dut.i.payload, phases[0].payload)
        ctx.set(dut.i.valid, 1)
        await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        while len(rows) < 12:
            (word,) = (await ctx.tick().sample(dut.control))[2:]
            if word.valid:
                rows.append(word)

    simulate(dut, bench, cycles=2000)
    expected = [row for tile in expected_tiles(TINY, phases) for row in tile.rows]
    assert [{n: getattr(w, n) for n in e} for w, e in zip(rows, expected, strict=True)] == expected
