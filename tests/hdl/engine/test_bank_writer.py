# amaranth: UnusedElaboratable=no
"""Bank writer against a model of the banks, for every engine size."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.config import preset
from hdl.engine.bank_writer import BankWriter, writer_stages
from hdl.interfaces import chunk_layout
from tests.hdl.support import get_all, put_all, simulate

CUT = replace(preset("paper"), interaction_outputs=128)
CASES = [
    ("tiny", (0, 0), 0),
    ("tiny", (0, 0), 1),
    ("tiny", (1, 0), 0),
    ("small", (0, 0), 0),
    ("small", (0, 0), 1),
    ("small", (0, 0), 2),
    ("medium", (2, 2), 0),
    ("medium", (0, 0), 2),
    ("paper", (4, 4), 1),
    ("baseline", (0, 0), 3),  # chunks of up to 128 values, turned in two cycles
    ("cut", (0, 0), 1),  # in pieces of 32
    ("cut", (0, 0), 0),
]


def _chunks(
    rng: random.Random, values: int, rows: int, most: int = 16
) -> list[dict[int | str, Any]]:
    """Chunks of random lengths that cover ``rows`` rows of ``values`` values, in order."""
    chunks: list[dict[int | str, Any]] = []
    slot = rng.randrange(2)
    for row in range(rows):
        k = 0
        while k < values:
            count = min(rng.choice((1, 2, 4, 5, 8, 13, 16, most)), values - k)
            chunks.append(
                {
                    "slot": slot,
                    "row": row,
                    "k": k,
                    "count": count,
                    "last": k + count == values,
                    "data": [rng.randrange(-128, 128) for _ in range(most)],
                }
            )
            k += count
    return chunks


def _expect(
    banks: np.ndarray, chunks: list[dict[int | str, Any]], edge: int, base: int, pitch: int
) -> None:
    half = banks.shape[1] // 2
    for chunk in chunks:
        for n in range(chunk["count"]):
            k = chunk["k"] + n
            address = (base + k // edge * pitch + chunk["row"]) % half
            banks[k % edge, chunk["slot"] * half + address] = chunk["data"][n]


@pytest.mark.parametrize(("name", "anchor", "level"), CASES)
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_both_sources_land(name: str, anchor: tuple[int, int], level: int, stall: float) -> None:
    config = CUT if name == "cut" else preset(name)
    rng = random.Random(f"{name}{anchor}{level}{stall}")
    edge = config.sub_array << level
    most = config.interaction_outputs_at(*anchor)
    layout, dense_layout = chunk_layout(config, most), chunk_layout(config)
    dut = BankWriter(config=config, row=anchor[0], column=anchor[1])
    rows, pitch, dense_pitch = 4, rng.randrange(4, 9), rng.randrange(4, 9)
    half = config.activation_bytes // 2
    values, dense_values = min(70 if most <= 32 else 400, 120 * edge // pitch), 13
    chunks = _chunks(rng, values, rows, most)
    dense = _chunks(rng, dense_values, rows)
    base = rng.randrange(half // 4)
    dense_base = half // 2 + 256
    pieces = sum(-(-chunk["count"] // edge) for chunk in chunks + dense)
    banks = np.full((config.edge, 2 * half), 1000)
    rows_done: list[tuple[str, int]] = []

    async def settings(ctx: Any) -> None:
        ctx.set(dut.level, level)
        ctx.set(dut.chunk_base, base)
        ctx.set(dut.chunk_pitch, pitch)
        ctx.set(dut.dense_base, dense_base)
        ctx.set(dut.dense_pitch, dense_pitch)
        await put_all(ctx, dut.i_chunk, [layout.const(c) for c in chunks], stall=stall, seed=1)

    async def dense_source(ctx: Any) -> None:
        await put_all(ctx, dut.i_dense, [dense_layout.const(c) for c in dense], stall=stall, seed=2)

    async def bank(ctx: Any) -> None:
        for write in await get_all(ctx, dut.bank_write, pieces, stall=stall, seed=3):
            for lane in range(config.largest_edge_at(*anchor)):
                if write.enable >> lane & 1:
                    wrapped = write.wrapped >> lane & 1
                    address = write.wrapped_address if wrapped else write.address
                    banks[lane, address] = write.data[lane]
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.bank_write.valid)

    async def row_pulses(ctx: Any) -> None:
        while len(rows_done) < 2 * rows:
            for source in ("chunk", "dense"):
                pulse = ctx.get(getattr(dut, f"{source}_row"))
                if pulse.valid:
                    rows_done.append((source, pulse.slot))
            await ctx.tick()

    simulate(dut, settings, dense_source, bank, row_pulses)
    model = np.full((config.edge, 2 * half), 1000)
    _expect(model, chunks, edge, base, pitch)
    _expect(model, dense, edge, dense_base, dense_pitch)
    assert np.array_equal(banks, model)
    assert rows_done.count(("chunk", chunks[0]["slot"])) == rows
    assert rows_done.count(("dense", dense[0]["slot"])) == rows


@pytest.mark.parametrize(("name", "level"), [("tiny", 0), ("baseline", 3)])
def test_one_piece_a_cycle_and_stable_payload(name: str, level: int) -> None:
    config = preset(name)
    dut = BankWriter(config=config, row=0, column=0)
    most = config.interaction_outputs_at(0, 0)
    layout = chunk_layout(config, most)
    pieces = 8 * max(1, most // (config.sub_array << level))
    writes: list[int] = []
    held: list[Any] = []

    async def source(ctx: Any) -> None:
        ctx.set(dut.level, level)
        ctx.set(dut.chunk_pitch, 4)
        values = [
            layout.const({"k": most * n, "count": most, "data": [n] * most}) for n in range(8)
        ]
        await put_all(ctx, dut.i_chunk, values, stall=0.0, seed=0)

    async def bank(ctx: Any) -> None:
        while not ctx.get(dut.bank_write.valid):
            await ctx.tick()
        await ctx.tick().repeat(5)  # until it is full
        for _ in range(6):  # refused: the payload must not move
            held.append(ctx.get(dut.bank_write.payload.as_value()))
            await ctx.tick()
        ctx.set(dut.bank_write.ready, 1)
        for _ in range(pieces):
            writes.append(ctx.get(dut.bank_write.valid))
            await ctx.tick()
        assert not ctx.get(dut.bank_write.valid)

    simulate(dut, source, bank, cycles=1000)
    assert len(set(held)) == 1
    assert all(writes)


@pytest.mark.parametrize(("name", "values"), [("tiny", 16), ("baseline", 128)])
def test_cycles_from_chunk_to_write(name: str, values: int) -> None:
    config = preset(name)
    dut = BankWriter(config=config, row=0, column=0)
    layout = chunk_layout(config, values)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.level, config.levels - 1)
        ctx.set(dut.i_chunk.payload, layout.const({"count": 3, "last": 1}))
        ctx.set(dut.i_chunk.valid, 1)
        assert ctx.get(dut.i_chunk.ready)
        for _ in range(writer_stages(values)):
            assert not ctx.get(dut.bank_write.valid)
            await ctx.tick()
            ctx.set(dut.i_chunk.valid, 0)
        assert ctx.get(dut.bank_write.valid)

    simulate(dut, bench, cycles=100)


def test_bad_anchor() -> None:
    with pytest.raises(ValueError, match="column must be in 0..1, not 2"):
        BankWriter(config=preset("tiny"), row=0, column=2)
