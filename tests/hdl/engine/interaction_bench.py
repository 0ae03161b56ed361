"""Surroundings of an interaction unit in simulation: loader, dense memory, sink, NumPy model."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hdl.config import Config
from hdl.engine.interaction import Interaction, interaction_job_layout
from hdl.engine.interaction_steps import (
    interaction_steps,
    product_lanes,
    product_steps,
    step_lanes,
    step_rows,
)
from hdl.engine.vector_buffer import bank_word_bytes
from hdl.interfaces import config_write_layout, row_write_layout
from hdl.program import ALL_UNITS, DOT_SHIFT_WORDS, InteractionMode, Target, dot_shift_words
from tests.hdl.support import put_all, simulate

Fields = dict[int | str, Any]
Watch = Callable[[Any], Awaitable[None]]


@dataclass(kw_only=True)
class Case:
    """One program and the jobs that run on it."""

    config: Config
    anchor: tuple[int, int]
    level: int
    mode: InteractionMode
    width: int
    vectors: int
    jobs: list[int]
    """Rows of each job."""
    stall: float = 0.0
    """Share of cycles in which ``o`` is refused."""
    loader_stall: float = 0.0
    """Share of cycles in which no embedding word comes."""
    slots: int = 0
    """Ring slots; 0: as many as fit."""
    products: int = 0
    """Pairs of vectors from vector 1 on that are multiplied; with ``CAT``."""
    tail: int = 16
    """With products: values of each of the last two vectors that are copied."""
    dense_read_latency: int = 1
    seed: int = 0
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(repr((self.width, self.vectors, self.seed)))
        row, column = self.anchor
        self.multipliers = self.config.interaction_multipliers_at(row, column)
        self.edge = self.config.sub_array << self.level
        word = bank_word_bytes(self.config, row, column)
        needed = -(-self.vectors // self.config.gather_lanes) * self.width
        self.slot_bytes = max(16, 1 << (needed - 1).bit_length())
        if needed > word:
            self.slot_bytes = -(-needed // word) * word
        fit = min(
            self.config.vector_slots_at(row, column),
            self.config.bank_bytes_at(row, column) // self.slot_bytes,
        )
        assert fit >= 1, "test case does not fit the vector buffer"
        self.slots = min(self.slots or fit, fit)
        self.outputs = self.config.interaction_outputs_at(row, column)
        most = min(self.outputs, self.config.row_outputs)
        limit = min(most, max(1, self.multipliers // self.width), self.edge)
        self.log2_outputs = limit.bit_length() - 1
        self.step_rows = step_rows(self.vectors, self.width, limit, self.multipliers, self.outputs)
        self.steps = interaction_steps(self.vectors, self.width, limit, self.step_rows)
        self.shift_words = dot_shift_words(self.outputs)
        lanes = product_lanes(self.multipliers, self.outputs)
        self.product_base = 7 * self.edge
        self.product_steps = product_steps(self.products, self.width, lanes)
        if self.products:
            self.steps = []
        room = DOT_SHIFT_WORDS // self.shift_words - len(self.steps)
        self.shift_base = self.rng.randrange(room) if self.steps else 0
        self.shifts = np.array(
            [[self.rng.randrange(16) for _ in range(self.outputs)] for _ in self.steps]
        )
        if self.products:  # a shift a step, as the lanes of one multiply with one
            self.shift_base = self.rng.randrange(room - len(self.product_steps))
            self.shifts = np.array(
                [[self.rng.randrange(16)] * self.outputs for _ in self.product_steps]
            )
        numbers = np.random.default_rng(self.seed)
        shape = (sum(self.jobs), self.vectors, self.width)
        self.items = numbers.integers(-127, 128, shape)
        self.items[:, 0] = numbers.integers(-128, 128, (shape[0], self.width))
        if self.products:
            self.items[:, :, : self.width // 2] = numbers.choice(
                (-128, -1, 0, 127), (*shape[:2], self.width // 2)
            )

    def expected(self) -> list[tuple[int, int, list[int]]]:
        """(slot, row, outputs) of every item, in order."""
        return [
            (slot, row, self._outputs(self.items[item]))
            for item, (slot, row) in enumerate(self.places())
        ]

    def places(self) -> list[tuple[int, int]]:
        """(slot, row) of every item."""
        return [(job % 2, row) for job, rows in enumerate(self.jobs) for row in range(rows)]

    @property
    def copied(self) -> int:
        """With products: values that are copied."""
        return (self.vectors - 3 - 2 * self.products) * self.width + 2 * self.tail

    def place(self, number: int) -> int:
        """k of an item's output by its turn."""
        count = self.products * self.width
        return self.product_base + number if number < count else number - count

    def _products(self, vectors: np.ndarray) -> list[int]:
        """Products, then what is copied."""
        outputs = []
        for number, step in enumerate(self.product_steps):
            shift = int(self.shifts[number][0])
            half = 1 << (shift - 1) if shift else 0
            a, b = vectors[1 + 2 * step.pair], vectors[2 + 2 * step.pair]
            for n in range(step.part, step.part + step.count):
                outputs.append(int(np.clip((a[n] * b[n] + half) >> shift, -128, 127)))
        outputs += vectors[1 + 2 * self.products : -2].reshape(-1).tolist()
        return outputs + vectors[-2:, : self.tail].reshape(-1).tolist()

    def _outputs(self, vectors: np.ndarray) -> list[int]:
        if self.products:
            return self._products(vectors)
        if self.mode == InteractionMode.CAT:
            return vectors.reshape(-1).tolist()
        products = vectors @ vectors.T
        outputs = vectors[0].tolist()
        shift_of = {
            step.k + n: int(self.shifts[number][lane])
            for number, step in enumerate(self.steps)
            for n, lane in enumerate(step_lanes(step))
        }
        for i in range(1, self.vectors):
            for j in range(i):
                shift = shift_of[len(outputs)]
                half = 1 << (shift - 1) if shift else 0
                outputs.append(int(np.clip((products[i, j] + half) >> shift, -128, 127)))
        return outputs


class Bench:
    """Runs a case and checks every chunk; ``row_cycles`` says when each item was through."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.dut = Interaction(
            config=case.config,
            row=case.anchor[0],
            column=case.anchor[1],
            dense_read_latency=case.dense_read_latency,
        )
        self.rows: list[tuple[int, int, list[int]]] = []
        self.unit = case.anchor[0] * case.config.grid + case.anchor[1]
        self.chunks = 0
        self.done = 0
        self.row_cycles: list[int] = []
        self.finished = False

    def run(self, limit: int = 20_000, watch: Watch | None = None) -> None:
        """Run to the end; ``watch`` looks on in the background."""
        benches = (self._jobs, self._load, self._dense, self._sink)
        simulate(self.dut, *benches, cycles=limit, background=(watch,) if watch else ())
        assert self.rows == self.case.expected()
        assert self.done == len(self.case.jobs)

    async def _setup(self, ctx: Any) -> None:
        case, dut = self.case, self.dut
        ctx.set(dut.level, case.level)
        ctx.set(dut.slots, case.slots)
        ctx.set(dut.slot_bytes, case.slot_bytes)
        ctx.set(dut.features, case.vectors - 1)
        ctx.set(dut.clear, 1)
        layout = config_write_layout(case.config)
        unit = self.unit
        first = case.shift_base * case.shift_words
        for number, shifts in enumerate(case.shifts.reshape(-1, 16)):
            word = sum(int(shift) << 4 * n for n, shift in enumerate(shifts))
            base: Fields = {"valid": 1, "address": first + number}
            # Words for others must not stick.
            for target, to, value in (
                (Target.DOT_SHIFTS, case.rng.choice((unit, ALL_UNITS)), word),
                (Target.DOT_SHIFTS, unit + 1, 0),
                (Target.LAYERS, unit, 0),
            ):
                fields: Fields = base | {"target": target.value, "unit": to, "data": value}
                ctx.set(dut.config_write, layout.const(fields))
                await ctx.tick()
        ctx.set(dut.config_write, layout.const({}))
        await ctx.tick()
        ctx.set(dut.clear, 0)

    async def _jobs(self, ctx: Any) -> None:
        case = self.case
        await self._setup(ctx)
        layout = interaction_job_layout(case.config)
        for number, rows in enumerate(case.jobs):
            stage: Fields = {
                "mode": case.mode.value,
                "log2_width": case.width.bit_length() - 1,
                "vectors": case.vectors,
                "log2_outputs": case.log2_outputs,
                "shift_base": case.shift_base,
                "row_pitch": max(case.jobs),
            }
            if case.products:
                stage |= {
                    "products": case.products,
                    "product_base": case.product_base,
                    "copied": case.copied // 16,
                    "tail": case.tail // 16,
                }
            # A slot is free again, and written, when all items of the job before are through.
            while len(self.rows) < sum(case.jobs[: max(0, number - 1)]):
                await ctx.tick()
            await ctx.tick().repeat(2)
            job = layout.const({"slot": number % 2, "rows": rows, "stage": stage})
            await put_all(ctx, self.dut.i_job, [job], stall=0.0, seed=case.seed)

    def _words(self, item: int, address: int) -> list[list[Fields]]:
        """Row words of an item's sparse vectors, a list a lane, in order."""
        case = self.case
        size, lanes = case.config.lane_bytes, case.config.gather_lanes
        words: list[list[Fields]] = [[] for _ in range(lanes)]
        for number in range(1, case.vectors):
            vector = case.items[item, number]
            for start in range(0, case.width, size):
                part = vector[start : start + size].astype(np.int8).tobytes()
                place = address + number // lanes * case.width + start
                inside = place % size
                noise = case.rng.getrandbits(8 * inside)
                last = number + lanes >= case.vectors and start + size >= case.width
                words[number % lanes].append(
                    {
                        "valid": 1,
                        "unit": self.unit,
                        "address": place - inside,
                        "enable": (1 << len(part) // 4) - 1 << inside // 4,
                        "data": int.from_bytes(part, "little") << 8 * inside | noise,
                        "item_last": last,
                    }
                )
        return words

    async def _load(self, ctx: Any) -> None:
        """Allocates as early as possible; every lane goes on at its own pace."""
        case, dut = self.case, self.dut
        layout = row_write_layout(case.config)
        lanes = range(case.config.gather_lanes)
        pending: list[list[Fields]] = [[] for _ in lanes]
        # A lane that is slower than the others.
        stalls = [case.loader_stall ** case.rng.choice((1, 0.3)) for _ in lanes]
        item = 0
        while ctx.get(dut.clear) == 0:
            await ctx.tick()
        while ctx.get(dut.clear) == 1:
            await ctx.tick()
        while item < len(case.items) or any(pending):
            take = item < len(case.items) and ctx.get(dut.can_allocate)
            ctx.set(dut.allocate, bool(take))
            for lane in lanes:
                word: Fields = {}
                if pending[lane] and case.rng.random() >= stalls[lane]:
                    word = pending[lane].pop(0)
                elif case.rng.random() < 0.5:  # another engine's word
                    word = {"valid": 1, "unit": self.unit + 1, "enable": 0xF, "item_last": 1}
                ctx.set(dut.row_write[lane], layout.const(word))
            if take:
                index, address = ctx.get(dut.allocate_index), ctx.get(dut.allocate_address)
                assert address == item % case.slots * case.slot_bytes
                assert index == item % case.slots % 16
                for queue, words in zip(pending, self._words(item, address), strict=True):
                    queue += words
                item += 1
            await ctx.tick()
        ctx.set(dut.allocate, 0)
        for lane in lanes:
            ctx.set(dut.row_write[lane], layout.const({}))

    async def _dense(self, ctx: Any) -> None:
        """Synchronous memory of the dense vectors; absent lanes hold noise."""
        case, dut = self.case, self.dut
        half = 1 << case.config.dense_address_bits - 1
        lanes = np.random.default_rng(1).integers(-128, 128, (case.config.edge, 2 * half))
        pitch = max(case.jobs)
        stored: set[int] = set()
        order = case.places()
        data: list[int] = [0] * case.dense_read_latency
        while not self.finished:
            # Both slots are reused by later jobs: an item's values are there from the time on
            # that the item one job back is through.
            for item, (slot, row) in enumerate(order):
                if item not in stored and self._job_of(item) <= self._job_of(len(self.rows)) + 1:
                    stored.add(item)
                    for k, value in enumerate(case.items[item, 0]):
                        place = slot * half + k // case.edge * pitch + row
                        lanes[k % case.edge, place] = value
            address = ctx.get(dut.dense_address)
            data.append(int.from_bytes(lanes[:, address].astype(np.int8).tobytes(), "little"))
            await ctx.tick()
            data.pop(0)
            ctx.set(dut.dense_data, data[0])

    def _job_of(self, item: int) -> int:
        job = 0
        while job < len(self.case.jobs) and item >= self.case.jobs[job]:
            item -= self.case.jobs[job]
            job += 1
        return job

    async def _sink(self, ctx: Any) -> None:
        case, dut = self.case, self.dut
        rng = random.Random(case.seed)
        partial: list[int] = []
        held = None
        cycle = 0
        total = len(case.items)
        while len(self.rows) < total:
            ready = rng.random() >= case.stall
            ctx.set(dut.o.ready, ready)
            if ctx.get(dut.o.valid):
                chunk = ctx.get(dut.o.payload)
                assert held is None or held == chunk.as_bits(), "payload moved while refused"
                held = None if ready else chunk.as_bits()
                if ready:
                    assert chunk.k == case.place(len(partial))
                    assert 1 <= chunk.count <= case.outputs
                    partial += [chunk.data[n] for n in range(chunk.count)]
                    self.chunks += 1
                    if chunk.last:
                        self.rows.append((chunk.slot, chunk.row, partial))
                        self.row_cycles.append(cycle)
                        partial = []
            else:
                assert held is None, "valid fell before the transfer"
            self.done += ctx.get(dut.o_done)
            cycle += 1
            await ctx.tick()
        for _ in range(20):
            self.done += ctx.get(dut.o_done)
            assert not ctx.get(dut.o.valid)
            await ctx.tick()
        self.finished = True
