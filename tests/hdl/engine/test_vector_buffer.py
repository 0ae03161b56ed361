# amaranth: UnusedElaboratable=no
"""Vector buffer: rows landing out of order, ring wrap, dense writes in between, both read ports."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import preset
from hdl.engine.vector_buffer import VectorBuffer, buffer_word_bytes, dense_write_layout
from hdl.interfaces import row_write_layout
from tests.hdl.support import simulate

Fields = dict[int | str, Any]


@pytest.mark.parametrize(
    ("name", "anchor", "slots"), [("tiny", (0, 0), 3), ("small", (0, 0), 16), ("medium", (1, 0), 1)]
)
def test_ring(name: str, anchor: tuple[int, int], slots: int) -> None:
    config = preset(name)
    dut = VectorBuffer(config=config, row=anchor[0], column=anchor[1])
    word = buffer_word_bytes(config, *anchor)
    unit = anchor[0] * config.grid + anchor[1]
    lane = config.lane_bytes
    rng = random.Random(slots)
    slot_bytes = max(word, 256 if slots < 16 else word)
    per_item = slot_bytes // lane - 1  # the first lane word of a slot holds the dense vector
    features = per_item if per_item else 1
    items = 2 * slots + 3
    content = bytearray(config.vector_bytes)
    ring: list[list[Any]] = []  # [address, landed rows] of items in use, oldest first
    read_back: list[bool] = []
    layout, dense_layout = row_write_layout(config), dense_write_layout()
    landed_total = 0

    async def loader(ctx: Any) -> None:
        nonlocal landed_total
        ctx.set(dut.slots, slots)
        ctx.set(dut.slot_bytes, slot_bytes)
        ctx.set(dut.features, features)
        pending: list[tuple[list[Any], int, int, int]] = []
        allocated = 0
        while allocated < items or pending:
            ctx.set(dut.allocate, 0)
            can_allocate = ctx.get(dut.can_allocate)
            assert can_allocate == (len(ring) < slots)
            if can_allocate and allocated < items and rng.random() < 0.4:
                index, address = ctx.get(dut.allocate_index), ctx.get(dut.allocate_address)
                assert index == allocated % slots
                assert address == index * slot_bytes
                entry = [address, 0]
                ring.append(entry)
                rows = [(n % max(1, per_item)) + (per_item > 0) for n in range(features)]
                pending += [(entry, index, address + row * lane, 0) for row in rows]
                allocated += 1
                ctx.set(dut.allocate, 1)
            fields: Fields = {}
            choice = rng.random()
            if pending and choice < 0.5:
                entry, index, address, _ = pending.pop(rng.randrange(len(pending)))
                value = rng.randbytes(lane)
                enable = rng.randrange(1 << lane // 4)
                for n in range(lane):
                    if enable >> n // 4 & 1:
                        content[address + n] = value[n]
                entry[1] += 1
                landed_total += 1
                fields = {
                    "valid": 1, "unit": unit, "address": address, "enable": enable, "last": 1,
                    "data": int.from_bytes(value, "little"), "index": index,
                }  # fmt: skip
            elif choice < 0.8:  # words that must not count: not last, or of another unit
                fields = {"valid": 1, "unit": unit + 1, "enable": 1, "last": 1, "data": 7}
                if rng.random() < 0.5:
                    fields |= {"unit": unit, "enable": 0, "last": 0}
            ctx.set(dut.row_write, layout.const(fields))
            await ctx.tick()
        ctx.set(dut.row_write, layout.const({}))
        ctx.set(dut.allocate, 0)

    async def consumer(ctx: Any) -> None:
        for number in range(items):
            while not ctx.get(dut.ready):
                await ctx.tick()
            address, landed = ring[0]
            assert landed == features, "ready before all rows have landed"
            value = rng.randbytes(16)  # the dense vector, granules 1 and 3 only
            dense: Fields = {
                "address": address, "enable": 0b1010, "data": int.from_bytes(value, "little"),
            }  # fmt: skip
            ctx.set(dut.dense_write.payload, dense_layout.const(dense))
            ctx.set(dut.dense_write.valid, 1)
            await ctx.tick().until(dut.dense_write.ready)
            ctx.set(dut.dense_write.valid, 0)
            for start in (4, 12):
                content[address + start : address + start + 4] = value[start : start + 4]
            for place in range(address, address + slot_bytes, word):
                ctx.set(dut.read_address[0], place // word)
                ctx.set(dut.read_address[1], address // word)
                await ctx.tick()
                for port, base in ((0, place), (1, address)):
                    expected = int.from_bytes(content[base : base + word], "little")
                    assert ctx.get(dut.read_data[port]) == expected
                read_back.append(True)
            ctx.set(dut.release, 1)
            ring.pop(0)
            await ctx.tick()
            ctx.set(dut.release, 0)
            if number == items - 1:
                assert not ctx.get(dut.ready)

    simulate(dut, loader, consumer, cycles=20_000)
    assert landed_total == items * features
    assert len(read_back) == items * slot_bytes // word


def test_no_features_and_clear() -> None:
    dut = VectorBuffer(config=preset("tiny"), row=1, column=1)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.slots, 1)
        ctx.set(dut.slot_bytes, 16)
        for _ in range(3):  # with or without allocation
            assert ctx.get(dut.ready) and ctx.get(dut.can_allocate)
            ctx.set(dut.release, 1)
            await ctx.tick()
        ctx.set(dut.release, 0)
        ctx.set(dut.features, 1)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert ctx.get(dut.can_allocate) and not ctx.get(dut.ready)
        ctx.set(dut.allocate, 1)
        await ctx.tick()
        ctx.set(dut.allocate, 0)
        assert not ctx.get(dut.can_allocate)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert ctx.get(dut.can_allocate)

    simulate(dut, bench, cycles=100)


def test_too_small() -> None:
    with pytest.raises(ValueError, match="vector_bytes must be in 128..8192"):
        VectorBuffer(config=replace(preset("small"), vector_bytes=64), row=0, column=0)
