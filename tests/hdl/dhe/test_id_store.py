# amaranth: UnusedElaboratable=no
"""Id store: records cut into chunks as the loaders do, read back by slot, feature and row."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.config import preset
from hdl.dhe.id_store import IdStore
from tests.hdl.support import get_all, simulate


def chunks(record: bytes, slot: int, row: int, piece: int) -> list[dict[str, Any]]:
    found = []
    for k in range(0, len(record), piece):
        part = record[k : k + piece]
        padded = [b - 256 if b > 127 else b for b in part.ljust(16, b"\0")]
        last = k + piece >= len(record)
        found.append(
            {"slot": slot, "row": row, "k": k, "count": len(part), "last": last, "data": padded}
        )
    return found


@pytest.mark.parametrize("name", ["tiny", "small", "medium"])
@pytest.mark.parametrize("count", [1, 3, 26])
def test_values_pass_and_ids_stay(name: str, count: int) -> None:
    config = preset(name)
    piece = min(config.axi_bytes, 16)
    dut = IdStore(config=config, ids=26)
    rng = random.Random(count)
    rows, dense = 5, 13
    ids = {
        (slot, row): [rng.getrandbits(32) for _ in range(count)]
        for slot in range(2)
        for row in range(rows)
    }
    sent = []
    for (slot, row), of_row in ids.items():
        values = bytes(rng.randrange(256) for _ in range(dense)).ljust(16, b"\0")
        sent += chunks(values + b"".join(x.to_bytes(4, "little") for x in of_row), slot, row, piece)
    passed = [chunk for chunk in sent if chunk["k"] < 16]
    done = []

    async def send(ctx: Any) -> None:
        ctx.set(dut.first[0], 16)
        ctx.set(dut.first[1], 16)
        for chunk in sent:
            ctx.set(dut.i.payload, chunk)
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        await ctx.tick()
        for (slot, row), of_row in ids.items():
            for feature, expected in enumerate(of_row):
                ctx.set(dut.slot, slot)
                ctx.set(dut.row, row)
                ctx.set(dut.feature, feature)
                await ctx.tick()
                assert ctx.get(dut.id) == expected

    async def take(ctx: Any) -> None:
        got = await get_all(ctx, dut.o, len(passed), stall=0.5, seed=3)
        for chunk, expected in zip(got, passed, strict=True):
            assert (chunk.slot, chunk.row, chunk.k) == tuple(
                expected[key] for key in ("slot", "row", "k")
            )
            assert chunk.last == (expected["k"] + piece == 16)
            assert list(chunk.data) == expected["data"]

    async def watch(ctx: Any) -> None:
        async for _, _, valid, slot in ctx.tick().sample(dut.row_done.valid, dut.row_done.slot):
            if valid:
                done.append(slot)

    simulate(dut, send, take, background=[watch])
    assert done == [0] * rows + [1] * rows


def test_a_slot_without_ids_passes_everything() -> None:
    config = preset("tiny")
    dut = IdStore(config=config, ids=4)
    sent = chunks(bytes(range(40)), 1, 2, 8)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.first[0], 16)
        ctx.set(dut.first[1], IdStore.NO_IDS)
        ctx.set(dut.o.ready, 1)
        for chunk in sent:
            ctx.set(dut.i.payload, chunk)
            ctx.set(dut.i.valid, 1)
            assert ctx.get(dut.o.valid) and ctx.get(dut.i.ready)
            assert ctx.get(dut.o.payload.last) == chunk["last"]
            await ctx.tick()
            assert not ctx.get(dut.row_done.valid)

    simulate(dut, bench)


@pytest.mark.parametrize("ids", [0, 129])
def test_number_of_ids_is_checked(ids: int) -> None:
    with pytest.raises(ValueError, match=f"ids must be in 1..128, not {ids}"):
        IdStore(config=preset("tiny"), ids=ids)
