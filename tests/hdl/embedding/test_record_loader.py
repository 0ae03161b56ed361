from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import preset
from hdl.embedding.record_loader import RecordLoader

from ..bus.bench import run
from ..support import PATTERNS, get_all, put_all
from .memory_model import MemoryModel

TINY = preset("tiny")
WIDE = preset("medium")
CONFIGS = {
    8: TINY,
    16: replace(TINY, axi_data_bits=128),
    64: replace(WIDE, grid=2, static_cache_bytes=8192),
}
PITCH = 448
RECORDS = 0x1C0
DENSE = 45
IDS_OFFSET = 52
ITEMS = 48


class VectorBuffers:
    """Allocation in order, release after a while; random refusals."""

    def __init__(self, units: int, *, seed: int, stall: float) -> None:
        self.units, self.stall = units, stall
        self.rng = random.Random(seed)
        # (address, index) of each allocation
        self.log: dict[int, list[tuple[int, int]]] = {u: [] for u in range(units)}

    def server(self, dut: Any) -> Callable[[Any], Any]:
        async def bench(ctx: Any) -> None:
            await self.serve(ctx, dut)

        return bench

    async def serve(self, ctx: Any, dut: Any) -> None:
        count = [0] * self.units
        while True:
            able = 0
            for u in range(self.units):
                # Once a slot is free it stays free until allocated.
                if (ctx.get(dut.can_allocate) >> u) & 1 or self.rng.random() >= self.stall:
                    able |= 1 << u
                ctx.set(dut.allocate_address[u], (count[u] * 112 + u * 16) % 8192)
                ctx.set(dut.allocate_index[u], (count[u] + u) % 16)
            ctx.set(dut.can_allocate, able)
            _, _, allocate = await ctx.tick().sample(dut.allocate)
            for u in range(self.units):
                if (allocate >> u) & 1:
                    assert (able >> u) & 1
                    self.log[u].append(((count[u] * 112 + u * 16) % 8192, (count[u] + u) % 16))
                    count[u] += 1
                    able &= ~(1 << u)
            ctx.set(dut.can_allocate, able)


def make_jobs(
    units: int, *, first_stage: bool, rng: random.Random
) -> tuple[list[dict[str, int]], list[int]]:
    """Jobs covering all positions, units mixed, at most two of one unit in a row."""
    jobs, position = [], 0
    slots = [0] * units
    for number in range(8):
        unit = [0, 3, 0, 1, 3, 2, 1, 1][number] % units
        rows = [5, 1, 6, 7, 2, 4, 8, 3][number]
        jobs.append(
            {
                "unit": unit,
                "slot": slots[unit],
                "program": number % 3,
                "features": [26, 3, 26, 0, 64, 1, 26, 7][number],
                "rows": rows,
                "position": position,
            }
        )
        slots[unit] ^= 1
        position += rows
    item_list = list(range(ITEMS))
    if not first_stage:
        item_list = sorted(rng.sample(range(ITEMS), position))
    return jobs, item_list


@pytest.mark.parametrize("axi_bytes", CONFIGS)
@pytest.mark.parametrize(
    ("pattern", "first_stage"), [("none", True), ("some", False), ("heavy", True)]
)
def test_both_passes(axi_bytes: int, pattern: str, first_stage: bool) -> None:
    config = CONFIGS[axi_bytes]
    rng = random.Random(axi_bytes)
    stall = PATTERNS[pattern]
    dut = RecordLoader(config=config)
    contents = bytearray(rng.randbytes(RECORDS + ITEMS * PITCH + 64))
    jobs, item_list = make_jobs(4, first_stage=first_stage, rng=rng)
    device = MemoryModel(config, contents, stall=0.2 if stall else 0.0, ordered=True)
    buffers = VectorBuffers(4, seed=2, stall=stall)

    def record(job: dict[str, int], row: int) -> int:
        return RECORDS + item_list[job["position"] + row] * PITCH

    piece = min(axi_bytes, 16)
    chunks = []
    # (program, feature, id, number of the row in the unit)
    ids: dict[int, list[tuple[int, int, int, int]]] = {u: [] for u in range(4)}
    rows_of = [0] * 4
    for job in jobs:
        for row in range(job["rows"]):
            base = record(job, row)
            for k in range(0, DENSE, piece):
                count = min(piece, DENSE - k)
                values = [v - 256 if v > 127 else v for v in contents[base + k : base + k + count]]
                chunks.append((job["unit"], job["slot"], row, k, count, k + count == DENSE, values))
            for f in range(job["features"]):
                at = base + IDS_OFFSET + 4 * f
                value = int.from_bytes(contents[at : at + 4], "little")
                ids[job["unit"]].append((job["program"], f, value, rows_of[job["unit"]]))
            rows_of[job["unit"]] += 1

    events = []

    async def setup(ctx: Any) -> None:
        ctx.set(dut.records, RECORDS)
        ctx.set(dut.pitch, PITCH)
        ctx.set(dut.dense_bytes, DENSE)
        ctx.set(dut.ids_offset, IDS_OFFSET)
        ctx.set(dut.first_stage, first_stage)
        await put_all(ctx, dut.i_job, jobs, stall=stall, seed=3)

    async def item_memory(ctx: Any) -> None:
        while True:
            _, _, address = await ctx.tick().sample(dut.list_address)
            ctx.set(dut.list_data, item_list[address] if address < len(item_list) else 0)

    async def dense(ctx: Any) -> None:
        got: list[Any] = []
        for _ in chunks:
            (value,) = await get_all(ctx, dut.o_dense, 1, stall=stall, seed=4 + len(got))
            c = value.chunk
            got.append(
                (value.unit, c.slot, c.row, c.k, c.count, bool(c.last), list(c.data)[: c.count])
            )
            events.append(("dense", value.unit))
        # Units may change places, but a unit's own chunks come in order, blocks whole.
        for u in range(4):
            assert [g for g in got if g[0] == u] == [c for c in chunks if c[0] == u]
        changes = sum(a[:2] != b[:2] or b[2] < a[2] for a, b in zip(got, got[1:], strict=False))
        assert changes == len(jobs) - 1

    async def sparse(ctx: Any) -> None:
        got: dict[int, list[Any]] = {u: [] for u in range(4)}
        for n in range(sum(len(v) for v in ids.values())):
            (value,) = await get_all(ctx, dut.o_id, 1, stall=stall, seed=500 + n)
            got[value.unit].append(value)
            events.append(("id", value.unit))
        for u in range(4):
            want = [(program, f, value, *buffers.log[u][row]) for program, f, value, row in ids[u]]
            assert [(g.program, g.feature, g.id, g.address, g.index) for g in got[u]] == want
            assert len(buffers.log[u]) == rows_of[u]
        while not ctx.get(dut.idle):
            await ctx.tick()

    benches = [setup, dense, sparse]
    background = [
        device.server(dut.read),
        buffers.server(dut),
        item_memory,
    ]
    run(dut, benches, background)

    def beats(start: int, length: int) -> int:
        return (start + length - 1) // axi_bytes - start // axi_bytes + 1

    want = sum(
        beats(record(job, row), DENSE)
        + (beats(record(job, row) + IDS_OFFSET, 4 * job["features"]) if job["features"] else 0)
        for job in jobs
        for row in range(job["rows"])
    )
    assert device.beats == want, "only the beats needed"
    assert any(
        a[0] + a[1] * axi_bytes == b[0] and b[0] % 4096 == 0
        for a, b in zip(device.requests, device.requests[1:], strict=False)
    ), "a record crossed a page"
    first_id = {u: next(n for n, e in enumerate(events) if e == ("id", u)) for u in range(4)}
    first_dense = {u: next(n for n, e in enumerate(events) if e == ("dense", u)) for u in range(4)}
    assert all(first_dense[u] < first_id[u] for u in range(4))


def test_several_records_in_flight() -> None:
    config = TINY
    dut = RecordLoader(config=config)
    contents = bytearray(random.Random(1).randbytes(1 << 14))
    device = MemoryModel(config, contents, latency=100, stall=0.0, ordered=True)
    buffers = VectorBuffers(4, seed=2, stall=0.0)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.pitch, 256)
        ctx.set(dut.dense_bytes, 13)
        ctx.set(dut.ids_offset, 64)
        ctx.set(dut.first_stage, 1)
        job = {"unit": 1, "slot": 0, "program": 0, "features": 26, "rows": 16, "position": 0}
        await put_all(ctx, dut.i_job, [job], stall=0.0, seed=1)

    async def dense(ctx: Any) -> None:
        await get_all(ctx, dut.o_dense, 32, stall=0.0, seed=1)

    async def sparse(ctx: Any) -> None:
        await get_all(ctx, dut.o_id, 16 * 26, stall=0.0, seed=1)

    background = [
        device.server(dut.read),
        buffers.server(dut),
    ]
    # One id a cycle, one record's walk, and the memory's latency twice.
    run(dut, [bench, dense, sparse], background, cycles=16 * 26 + 16 * 8 + 2 * 130)
    assert device.most_outstanding >= 4


def test_bad_beat_is_reported() -> None:
    config = TINY
    dut = RecordLoader(config=config)
    device = MemoryModel(config, bytearray(4096), stall=0.0, ordered=True, error_at=64)
    seen = 0

    async def bench(ctx: Any) -> None:
        nonlocal seen
        ctx.set(dut.pitch, 64)
        ctx.set(dut.dense_bytes, 8)
        ctx.set(dut.first_stage, 1)
        ctx.set(dut.can_allocate, 15)
        job = {"unit": 0, "slot": 0, "program": 0, "features": 0, "rows": 2, "position": 0}
        ctx.set(dut.o_dense.ready, 1)
        await put_all(ctx, dut.i_job, [job], stall=0.0, seed=1)
        await ctx.tick()
        while not ctx.get(dut.idle):
            seen += ctx.get(dut.bus_error)
            await ctx.tick()

    run(dut, [bench], [device.server(dut.read)])
    assert seen == 1
