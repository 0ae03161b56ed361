# amaranth: UnusedElaboratable=no
"""Engine with a fake grid, loader and weight streamer around it: whole jobs, in CAT mode."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from typing import Any

import pytest

from hdl.config import preset
from hdl.engine.cause import Cause
from hdl.engine.engine import Engine
from hdl.program import Destination, InteractionMode
from tests.hdl.support import simulate

from .support import load_layer, load_stage, random_layer

CONFIG = preset("tiny")
HALF = CONFIG.activation_bytes // 2
WIDTH = 16  # of a vector
DENSE = 13  # dense inputs


@dataclass
class Program:
    """A stage program, the layers it uses and their tile counts."""

    stage: dict[str, int]
    layers: dict[int, dict[str, int]]

    def expected(self, top: bool) -> list[tuple[int, int]]:
        """(parameter, destination) of each tile of a phase, in order."""
        first = self.stage["top_layer" if top else "bottom_layer"]
        count = self.stage["top_layers" if top else "bottom_layers"]
        return [
            (layer["parameter_base"] + n, layer["destination"])
            for layer in (self.layers[first + index] for index in range(count))
            for n in range(layer["output_tiles"])
            for _ in range(layer["input_tiles"])
        ]


def program(rng: random.Random, first: int, *, vectors: int, streamed: bool = False) -> Program:
    """Two bottom layers ending in the dense vector, two top layers ending in the score."""
    bottom = [random_layer(rng, 2, 2), random_layer(rng, 2, 3)]
    top = [random_layer(rng, 3, 1), random_layer(rng, 1, 1)]
    for layer in bottom + top:
        layer["destination"] = Destination.BANK
        layer["parameter_base"] = rng.randrange(400)
    bottom[-1]["destination"] = Destination.DENSE
    top[-1]["destination"] = Destination.SCORE
    layers = dict(enumerate(bottom + top, first))

    def tiles(part: list[dict[str, int]]) -> int:
        return sum(layer["input_tiles"] * layer["output_tiles"] for layer in part)

    stage = {
        "bottom_layer": first,
        "bottom_layers": 2,
        "top_layer": first + 2,
        "top_layers": 2,
        "row_pitch": 16,
        "mode": InteractionMode.CAT,
        "log2_width": 4,
        "vectors": vectors,
        "input_base": 128 * first,
        "output_base": 128 * first + 64,
        "slot_bytes": WIDTH * (1 << (-(-vectors // CONFIG.gather_lanes) - 1).bit_length()),
        "slots": 4,
        "bottom_tiles": tiles(bottom),
        "bottom_weights": 16,
        "top_tiles": tiles(top),
        "top_weights": 48,
        "top_streamed": int(streamed),
        "top_stream": 256 * (first + 1),
        "bottom_stream": 0,
        "ring_base": 256 + 64 * (first % 8),
        "ring_log2_words": 6,
    }
    return Program(stage, layers)


def dense_byte(address: int, lane: int) -> int:
    """Fake dense-vector memory."""
    return (address * 37 + lane * 91 + 5) & 0xFF


class Bench:
    """Everything around an engine, and the checks on what it does."""

    def __init__(self, programs: list[Program], jobs: list[tuple[int, int]], *, unit: int = 0,
                 level: int = 0, stall: float = 0.0, seed: int = 1) -> None:  # fmt: skip
        self.programs, self.jobs, self.unit, self.level = programs, jobs, unit, level
        self.stall, self.seed = stall, seed
        row, column = divmod(unit, CONFIG.grid)
        self.dut = Engine(config=CONFIG, unit=unit, row=row, column=column)
        self.edge = CONFIG.sub_array << level
        rng = random.Random(seed)
        self.dense = [[rng.randbytes(DENSE) for _ in range(rows)] for _, rows in jobs]
        self.vectors = [
            [
                [rng.randbytes(WIDTH) for _ in range(programs[p].stage["vectors"] - 1)]
                for _ in range(rows)
            ]
            for p, rows in jobs
        ]
        self.positions = [37 * index + 3 for index in range(len(jobs))]
        self.values = [[rng.randrange(-32768, 32768) for _ in range(rows)] for _, rows in jobs]
        self.bank = [[0] * CONFIG.activation_bytes for _ in range(self.edge)]
        self.accepted = 0
        self.loaded = False
        self.scores: list[tuple[int, ...]] = []
        self.phases: list[tuple[int, bool]] = []  # job, top; in the order of their first row
        self.streams: list[int] = []
        self.causes: list[Cause] = []
        self.finished = False

    async def send_jobs(self, ctx: Any) -> None:
        dut = self.dut
        ctx.set(dut.level, self.level)
        for number, entry in enumerate(self.programs):
            for index, layer in entry.layers.items():
                await load_layer(ctx, dut, CONFIG, index, layer, unit=self.unit)
            await load_stage(ctx, dut, CONFIG, number, entry.stage, unit=255)
        assert ctx.get(dut.idle) and ctx.get(dut.free)
        for number, (p, rows) in enumerate(self.jobs):
            ctx.set(
                dut.i_job.payload,
                {"unit": self.unit, "slot": number % 2, "program": p, "rows": rows,
                 "position": self.positions[number], "stride": number % 3 + 1,
                 "context": number % 16, "sub_batch": (number + 5) % 16},
            )  # fmt: skip
            ctx.set(dut.i_job.valid, 1)
            await ctx.tick().until(dut.i_job.ready)
            ctx.set(dut.i_job.valid, 0)
            self.accepted += 1
        total = sum(rows for _, rows in self.jobs)
        while len(self.scores) < total or not ctx.get(dut.idle):
            await ctx.tick()
        self.finished = True

    async def send_dense(self, ctx: Any) -> None:
        port = self.dut.i_dense
        for number in range(len(self.jobs)):
            while self.accepted <= number:
                await ctx.tick()
            for row, values in enumerate(self.dense[number]):
                for k in range(0, DENSE, 8):
                    part = [b - 256 if b > 127 else b for b in values[k : k + 8]]
                    ctx.set(
                        port.payload,
                        {"slot": number % 2, "row": row, "k": k, "count": len(part),
                         "last": int(k + 8 >= DENSE), "data": part + [0] * (16 - len(part))},
                    )  # fmt: skip
                    ctx.set(port.valid, 1)
                    await ctx.tick().until(port.ready)
                    ctx.set(port.valid, 0)

    async def send_vectors(self, ctx: Any) -> None:
        dut, rng = self.dut, random.Random(self.seed + 1)
        lanes = CONFIG.gather_lanes
        for number, items in enumerate(self.vectors):
            while self.accepted <= number:
                await ctx.tick()
            for item in items:
                while not ctx.get(dut.can_allocate):
                    await ctx.tick()
                address = ctx.get(dut.allocate_address)
                ctx.set(dut.allocate, 1)
                await ctx.tick()
                ctx.set(dut.allocate, 0)
                for number_in_item, values in enumerate(item, 1):
                    while rng.random() < self.stall:
                        await ctx.tick()
                    k, lane = divmod(number_in_item, lanes)
                    word = {
                        "valid": 1,
                        "unit": self.unit,
                        "address": address + WIDTH * k,
                        "enable": 0xF,
                        "data": int.from_bytes(values, "little"),
                        "item_last": int(number_in_item + lanes > len(item)),
                    }
                    # A word of another engine must leave no trace.
                    for unit in (self.unit ^ 1, self.unit):
                        ctx.set(dut.row_write[lane], word | {"unit": unit})
                        await ctx.tick()
                    ctx.set(dut.row_write[lane], word | {"valid": 0})

    async def take_scores(self, ctx: Any) -> None:
        port, rng = self.dut.o_score, random.Random(self.seed + 2)
        while not self.finished:
            ready = rng.random() >= self.stall
            ctx.set(port.ready, ready)
            valid, payload = (await ctx.tick().sample(port.valid, port.payload))[2:]
            if valid and ready:
                fields = ("context", "sub_batch", "position", "score")
                self.scores.append(tuple(int(payload[name]) for name in fields))

    async def grid(self, ctx: Any) -> None:
        """Banks, dense memory, write-back after a fixed time, weight streams."""
        dut, rng = self.dut, random.Random(self.seed + 3)
        scores: deque[tuple[int, int, int]] = deque()
        tile_dones: deque[int] = deque()
        pages: deque[int] = deque()
        to_land = 0
        now = 0
        running: dict[int, Any] = {}  # by slot: job, top, tiles seen
        position = dict.fromkeys((0, 1), -1)
        address = 0
        ring = -1
        while not self.finished:
            ctx.set(dut.score, {"valid": 0})
            if scores and scores[0][0] <= now:
                _, row, value = scores.popleft()
                ctx.set(dut.score, {"valid": 1, "row": row, "value": value})
            ctx.set(dut.tile_done, bool(tile_dones) and tile_dones[0] <= now)
            if tile_dones and tile_dones[0] <= now:
                tile_dones.popleft()
            ctx.set(dut.page_ready, bool(pages) and pages[0] == now)
            if pages and pages[0] == now:
                pages.popleft()
            write_ready = rng.random() >= self.stall / 2
            ctx.set(dut.bank_write.ready, write_ready)
            ctx.set(
                dut.dense_data, sum(dense_byte(address, n) << (8 * n) for n in range(self.edge))
            )
            ctx.set(dut.o_stream.ready, to_land == 0)
            ctx.set(dut.landed, to_land > 0)
            sampled = await ctx.tick().sample(
                dut.control, dut.bank_write.valid, dut.bank_write.payload, dut.dense_address,
                dut.o_stream.valid, dut.o_stream.payload, dut.cause,
            )  # fmt: skip
            word, written, write, address, asked, stream, cause = sampled[2:]
            self.causes.append(Cause(cause))
            if to_land:
                to_land -= 1
            elif asked:
                to_land = stream.tiles
                self.streams.append(stream.address)
                if stream.ring_base != ring:
                    assert not running and not tile_dones, "two rings in use"
                ring = stream.ring_base
            if written and write_ready:
                for lane in range(self.edge):
                    if write.enable >> lane & 1:
                        wrapped = write.wrapped >> lane & 1
                        at = write.wrapped_address if wrapped else write.address
                        self.bank[lane][at] = write.data[lane] & 0xFF
            if word.valid:
                self.row(word, now, running, position, scores)
                if word.last and word.row == 0:
                    pages.append(now + 9)
                if word.tile_end:
                    tile_dones.append(now + 21)
            now += 1

    def row(self, word: Any, now: int, running: dict[int, Any], position: dict[int, int],
            scores: deque[tuple[int, int, int]]) -> None:  # fmt: skip
        """Check one row against the program of the phase that runs in its slot."""
        slot = word.slot
        if slot not in running:
            # A slot's phases are bottom, top, bottom, top ..; its jobs every second one.
            position[slot] += 1
            job, top = 2 * (position[slot] // 2) + slot, bool(position[slot] % 2)
            self.phases.append((job, top))
            tiles = deque(self.programs[self.jobs[job][0]].expected(top))
            running[slot] = [job, top, tiles, 0]
            self.check_inputs(job, top)
        job, _, tiles, row = running[slot]
        assert (word.parameter, word.destination) == tiles[0]
        assert word.row == row
        if word.destination == Destination.SCORE:
            scores.append((now + 20, row, self.values[job][row]))
        running[slot][3] += 1
        if running[slot][3] == self.jobs[job][1]:
            tiles.popleft()
            running[slot][3] = 0
        if not tiles:
            del running[slot]

    def check_inputs(self, job: int, top: bool) -> None:
        """The phase's inputs are complete in the bank when its first row starts."""
        stage = self.programs[self.jobs[job][0]].stage
        slot = job % 2
        for row in range(self.jobs[job][1]):
            if top:
                base = stage["output_base"]
                pitch = stage["row_pitch"]
                dense = bytes(
                    dense_byte(
                        (slot << CONFIG.dense_address_bits - 1) + k // self.edge * pitch + row,
                        k % self.edge,
                    )
                    for k in range(WIDTH)
                )
                values = dense + b"".join(self.vectors[job][row])
            else:
                base, values = stage["input_base"], self.dense[job][row]
            for k, value in enumerate(values):
                at = (base + k // self.edge * stage["row_pitch"] + row) % HALF + slot * HALF
                assert self.bank[k % self.edge][at] == value, f"job {job}, row {row}, k {k}"

    def run(self) -> None:
        simulate(
            self.dut,
            self.grid,
            self.send_jobs,
            self.send_dense,
            self.send_vectors,
            self.take_scores,
            cycles=8_000,
        )
        assert self.scores == [
            (
                job % 16,
                (job + 5) % 16,
                self.positions[job] + row * (job % 3 + 1),
                self.values[job][row],
            )
            for job, (_, rows) in enumerate(self.jobs)
            for row in range(rows)
        ]
        for top in (False, True):
            assert [job for job, t in self.phases if t == top] == list(range(len(self.jobs)))
        assert self.streams == [
            self.programs[p].stage["top_stream"]
            for p, _ in self.jobs
            if self.programs[p].stage["top_streamed"]
        ]


def test_parameters() -> None:
    with pytest.raises(ValueError, match=r"unit must be in 0\.\.3, not 4"):
        Engine(config=CONFIG, unit=4, row=1, column=1)


@pytest.mark.parametrize(("unit", "level", "stall"), [(0, 1, 0.0), (0, 0, 0.7), (3, 0, 0.3)])
def test_jobs_of_two_programs(unit: int, level: int, stall: float) -> None:
    """Programs with other layers, bases, vector counts, rings; full and short row blocks."""
    rng = random.Random(11)
    programs = [
        program(rng, 0, vectors=3),
        program(rng, 5, vectors=2, streamed=True),
        program(rng, 10, vectors=3, streamed=True),
    ]
    jobs = [(0, 16), (0, 1), (1, 3), (0, 7), (1, 16), (2, 2), (1, 5), (1, 4)]
    Bench(programs, jobs, unit=unit, level=level, stall=stall).run()


def test_two_jobs_overlap() -> None:
    """While the interaction of a job runs, the array works on the other one."""
    bench = Bench([program(random.Random(2), 0, vectors=3)], [(0, 16)] * 4)
    bench.run()
    assert bench.phases[:3] == [(0, False), (1, False), (0, True)]
    busy = bench.causes.count(Cause.BUSY)
    assert busy == 4 * 16 * (4 + 6 + 3 + 1)
    assert set(bench.causes) >= {Cause.IDLE, Cause.INPUT, Cause.VECTORS, Cause.BUSY}


def test_slots() -> None:
    """Two jobs are accepted, a third one is refused while both slots are in use."""
    dut = Engine(config=CONFIG, unit=1, row=0, column=1)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_job.payload, {"rows": 4})
        ctx.set(dut.i_job.valid, 1)
        assert ctx.get(dut.free) and ctx.get(dut.idle)
        await ctx.tick()
        assert ctx.get(dut.free) and not ctx.get(dut.idle)
        await ctx.tick().repeat(30)
        assert not ctx.get(dut.free) and not ctx.get(dut.i_job.ready)
        assert Cause(ctx.get(dut.cause)) == Cause.INPUT

    simulate(dut, bench, cycles=100)
