from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.embedding.record_loader import RecordLoader

from ..bus.bench import run
from ..support import PATTERNS, get_all, put_all
from .memory_model import MemoryModel

TINY = preset("tiny")
SMALL = preset("small")
WIDE = replace(
    preset("medium"),
    grid=2,
    static_cache_bytes=1 << 14,
    look_ahead_bytes=0,
    max_items=1024,
    filter_lanes=4,
)
CONFIGS = {
    "one lane": replace(TINY, gather_lanes=1),
    "a beat a step": TINY,
    "lanes in turns": replace(TINY, gather_lanes=8, static_cache_bytes=1 << 14, look_ahead_bytes=0),
    "steps of a beat": WIDE,
    "channels": replace(
        WIDE, gather_lanes=32, axi_channels=4, static_cache_bytes=1 << 14, look_ahead_bytes=0
    ),
}
DENSE = 45
ITEMS = 64


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
        able = promised = 0
        while True:
            for u in range(self.units):
                if able >> u & 1:
                    promised |= 1 << u  # a slot that was seen free stays free until allocated
                elif self.rng.random() >= self.stall:
                    able |= 1 << u
                ctx.set(dut.allocate_address[u], (count[u] * 112 + u * 16) % 8192)
                ctx.set(dut.allocate_index[u], (count[u] + u) % 16)
            ctx.set(dut.can_allocate, able)
            _, _, allocate = await ctx.tick().sample(dut.allocate)
            for u in range(self.units):
                if (allocate >> u) & 1:
                    assert (promised >> u) & 1
                    self.log[u].append(((count[u] * 112 + u * 16) % 8192, (count[u] + u) % 16))
                    count[u] += 1
                    able &= ~(1 << u)
                    promised &= ~(1 << u)


def layout(config: Config) -> dict[str, int]:
    """Where a record's parts lie: pitch with records over page ends, ids behind the dense bytes."""
    lanes = config.gather_lanes
    word = -(-DENSE // 4)
    while word % lanes != 1 % lanes:
        word += 1
    size = 4 * (word + 70)
    step = config.record_alignment
    pitch = -(-size // step) * step
    # Query 1's item 30, of 64 ids, crosses a page.
    page = -(-32 * pitch // 4096) * 4096
    return {
        "records": (page - 4 * word - 8) // step * step - 31 * pitch,
        "pitch": pitch,
        "dense_bytes": DENSE,
        "ids_offset": 4 * word,
    }


def make_jobs(config: Config, *, first: bool, rng: random.Random) -> list[dict[str, int]]:
    """Jobs covering all positions, units mixed, strides, two queries with records of their own; two
    without dense values among those of their units."""
    place = layout(config)
    jobs, position = [], 0
    slots = [0] * 4
    for number in range(9):
        unit = [0, 3, 0, 1, 0, 3, 2, 1, 1][number]
        rows = [5, 1, 6, 7, 5, 2, 4, 8, 3][number]
        stride = [1, 1, 2, 1, 1, 3, 1, 1, 1][number]
        query = number % 2
        jobs.append(
            {
                **place,
                "unit": unit,
                "slot": slots[unit],
                "program": number % 3,
                "features": [26, 3, 26, 0, 9, 64, 1, 26, 7][number],
                "rows": rows,
                "position": position,
                "stride": stride,
                "first": first,
                "list_base": 7 * query,
                "records": place["records"] + query * place["pitch"],
                "query": query,
                "prefetch": number == 4,
                "dense_bytes": 0 if number in (2, 7) else DENSE,
            }
        )
        if number != 4:
            slots[unit] ^= 1
        position += rows * stride
    return jobs


@pytest.mark.parametrize(
    ("name", "pattern", "first"),
    [
        *((name, "some", False) for name in CONFIGS),
        ("a beat a step", "none", True),
        pytest.param("a beat a step", "heavy", True, marks=pytest.mark.slow),
        pytest.param("channels", "heavy", True, marks=pytest.mark.slow),
    ],
)
def test_both_passes(name: str, pattern: str, first: bool) -> None:
    config = CONFIGS[name]
    lanes = config.gather_lanes
    rng = random.Random(name)
    stall = PATTERNS[pattern]
    dut = RecordLoader(config=config)
    jobs = make_jobs(config, first=first, rng=rng)
    item_list = [rng.randrange(ITEMS) for _ in range(128)]
    item_list[7 + 30] = 30
    contents = bytearray(rng.randbytes(jobs[1]["records"] + ITEMS * jobs[0]["pitch"] + 512))
    device = MemoryModel(
        config, contents, stall=0.2 if stall else 0.0, tags_are_channels=True, seed=3
    )
    buffers = VectorBuffers(4, seed=2, stall=stall)

    def record(job: dict[str, int], row: int) -> int:
        position = job["position"] + row * job["stride"]
        item = position if first else item_list[job["list_base"] + position]
        return job["records"] + item * job["pitch"]

    piece = min(config.axi_bytes, 16)
    chunks = []
    # Of a unit (4: fetching ahead) and lane: (program, query, k, id, row of the unit).
    ids: dict[tuple[int, int], list[tuple[int, int, int, int, int]]] = {}
    rows_of = [0] * 5
    for job in jobs:
        unit = 4 if job["prefetch"] else job["unit"]
        for row in range(job["rows"]):
            base = record(job, row)
            for k in range(0, 0 if unit == 4 else job["dense_bytes"], piece):
                count = min(piece, DENSE - k)
                values = [v - 256 if v > 127 else v for v in contents[base + k : base + k + count]]
                chunks.append((job["unit"], job["slot"], row, k, count, k + count == DENSE, values))
            for f in range(job["features"]):
                at = base + job["ids_offset"] + 4 * f
                value = int.from_bytes(contents[at : at + 4], "little")
                k, lane = divmod(1 + f, lanes)
                ids.setdefault((unit, lane), []).append(
                    (job["program"], job["query"], k, value, rows_of[unit])
                )
            rows_of[unit] += 1
    events: list[tuple[str, int]] = []

    async def setup(ctx: Any) -> None:
        await put_jobs(ctx, dut, jobs, stall=stall, seed=3)

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
        assert changes == len(jobs) - 4  # one fetches ahead, two have no dense values

    def lane_bench(lane: int) -> Callable[[Any], Any]:
        async def sparse(ctx: Any) -> None:
            wanted = {u: ids.get((u, lane), []) for u in range(5)}
            got: dict[int, list[Any]] = {u: [] for u in range(5)}
            for n in range(sum(len(v) for v in wanted.values())):
                port = dut.o_id[lane]
                (value,) = await get_all(ctx, port, 1, stall=stall, seed=500 + 99 * lane + n)
                unit = 4 if value.prefetch else value.unit
                got[unit].append(value)
                events.append(("id", unit))
            for u in range(5):
                assert [(g.program, g.query, g.k, g.id) for g in got[u]] == [
                    w[:4] for w in wanted[u]
                ]
            for u in range(4):
                slots = [buffers.log[u][w[4]] for w in wanted[u]]
                assert [(g.base, g.index) for g in got[u]] == slots

        return sparse

    async def finish(ctx: Any) -> None:
        while not all(len(buffers.log[u]) == rows_of[u] for u in range(4)) or not ctx.get(dut.idle):
            await ctx.tick()

    benches = [setup, dense, *(lane_bench(lane) for lane in range(lanes)), finish]
    run(dut, benches, [device.server(dut.read), buffers.server(dut), item_memory])

    size = config.axi_bytes

    def beats(start: int, length: int) -> int:
        return (start + length - 1) // size - start // size + 1

    want = 0
    for job in jobs:
        for row in range(job["rows"]):
            base = record(job, row)
            want += 0 if job["prefetch"] or not job["dense_bytes"] else beats(base, DENSE)
            if job["features"]:
                want += beats(base + job["ids_offset"], 4 * job["features"])
    assert device.beats == want, "only the beats needed"
    assert any(
        a[0] + a[1] * size == b[0] and b[0] % 4096 == 0
        for a, b in zip(device.requests, device.requests[1:], strict=False)
    ), "a record crossed a page"
    first_id = {u: next(n for n, e in enumerate(events) if e == ("id", u)) for u in range(4)}
    first_dense = {u: next(n for n, e in enumerate(events) if e == ("dense", u)) for u in range(4)}
    assert all(first_dense[u] < first_id[u] for u in range(4))


async def put_jobs(
    ctx: Any, dut: RecordLoader, jobs: list[dict[str, int]], *, stall: float, seed: int
) -> None:
    """Row blocks and prefetches, each at its port, in their order."""
    for number, job in enumerate(jobs):
        port = dut.i_prefetch if job["prefetch"] else dut.i_job
        await put_all(ctx, port, [job], stall=stall, seed=seed + number)


def plain_job(config: Config, **fields: int) -> dict[str, int]:
    """A job of the first stage with 26 ids behind 4 dense bytes."""
    place = {"records": 0, "pitch": 4 * config.record_alignment, "dense_bytes": 4}
    job = {"unit": 1, "features": 26, "rows": 16, "stride": 1, "first": 1, "ids_offset": 4}
    return {**place, **job, **fields}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_beat_a_cycle(name: str) -> None:
    """Steps without pause over a memory of 100 cycles' latency, prefetch in the gaps."""
    config = CONFIGS[name]
    lanes, words = config.gather_lanes, config.axi_bytes // 4
    dut = RecordLoader(config=config)
    device = MemoryModel(config, bytearray(1 << 17), latency=100, stall=0.0, tags_are_channels=True)
    buffers = VectorBuffers(4, seed=2, stall=0.0)
    features = 63 if words > 8 else 15
    jobs = [
        plain_job(config, unit=unit, features=features, position=16 * n, prefetch=unit == 4)
        for n, unit in enumerate([0, 1, 2, 4])
    ]
    ends = []
    begins = []

    async def bench(ctx: Any) -> None:
        await put_jobs(ctx, dut, jobs, stall=0.0, seed=1)

    async def dense(ctx: Any) -> None:
        await get_all(ctx, dut.o_dense, 48, stall=0.0, seed=1)

    async def ids(ctx: Any) -> None:
        for lane in range(lanes):
            ctx.set(dut.o_id[lane].ready, 1)
        count, cycle = 0, 0
        while count < 64 * features:
            cycle += 1
            _, _, *valid = await ctx.tick().sample(*(dut.o_id[n].valid for n in range(lanes)))
            if any(valid) and not count:
                begins.append(cycle)
            count += sum(valid)
        ends.append(cycle)

    run(dut, [bench, dense, ids], [device.server(dut.read), buffers.server(dut)])
    step = min(words, lanes)
    steps = 64 * -(-(features + (step > 1)) // step)
    # The model mixes channels at random: beats of the oldest channel come a quarter of the time.
    slack = 1.02 if config.axi_channels == 1 else 1.5
    # 48 dense rows of one beat come in between.
    assert steps <= ends[0] - begins[0] + 1 <= slack * (steps + 48) + 8


def test_bad_beat_is_reported() -> None:
    config = TINY
    dut = RecordLoader(config=config)
    device = MemoryModel(config, bytearray(4096), stall=0.0, tags_are_channels=True, error_at=256)
    seen = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.can_allocate, 15)
        job = plain_job(config, unit=0, features=0, rows=2, dense_bytes=8, query=5)
        ctx.set(dut.o_dense.ready, 1)
        await put_all(ctx, dut.i_job, [job], stall=0.0, seed=1)
        await ctx.tick()
        while not ctx.get(dut.idle):
            if ctx.get(dut.bus_error):
                seen.append(ctx.get(dut.bus_error))
            await ctx.tick()

    run(dut, [bench], [device.server(dut.read)])
    assert seen == [1 << 5]
