"""Weight bank and activation bank on their own: timing of the chains and write priority."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hdl.array.activation_bank import ActivationBank
from hdl.array.timing import ACTIVATION_LATENCY, DENSE_LATENCY
from hdl.array.weight_bank import WeightBank
from hdl.config import Config, preset
from tests.hdl.support import simulate

TINY = preset("tiny")
SIZE = TINY.sub_array


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_weight_bank_loads_slices_at_the_closest_interval(name: str) -> None:
    """Two words a slice (tiny) and one (small); the east neighbour's load comes S cycles later."""
    config: Config = preset(name)
    size, interval = config.sub_array, config.tile_interval
    dut = WeightBank(config=config)
    rng = np.random.default_rng(4)
    count = 6
    slices = rng.integers(-128, 128, (count, size, size), dtype=np.int8)
    base = config.weight_words - count * config.slice_words  # up to the last word
    addresses = [base + index * config.slice_words for index in range(count)]
    order = [3, 0, 5, 1, 1, 4]
    seen = []
    east = []

    async def bench(ctx: Any) -> None:
        raw = slices.tobytes()
        for word in range(count * config.slice_words):
            part = raw[word * config.axi_bytes : (word + 1) * config.axi_bytes]
            value = int.from_bytes(part, "little")
            ctx.set(dut.write, {"valid": 1, "address": base + word, "data": value})
            await ctx.tick()
        ctx.set(dut.write.valid, 0)
        for cycle in range((len(order) + 2) * interval):
            tile, phase = divmod(cycle, interval)
            load = phase == 0 and tile < len(order)
            ctx.set(dut.load, load)
            ctx.set(dut.load_address, addresses[order[tile]] if load else 0)
            if ctx.get(dut.load_out):
                east.append((cycle, ctx.get(dut.load_address_out)))
            select = ctx.get(dut.shadow_select)
            if select:
                row = ctx.get(dut.shadow_row)
                seen.append((cycle, select, [row[j] for j in range(size)]))
            await ctx.tick()

    simulate(dut, bench)
    assert east == [(t * interval + size, addresses[index]) for t, index in enumerate(order)]
    assert seen == [
        (t * interval + size + 1 + row, 1 << row, slices[index, row].tolist())
        for t, index in enumerate(order)
        for row in range(size)
    ]


@pytest.mark.parametrize("memories_of_a_lane", [1, 2])
def test_activation_bank_against_a_model(memories_of_a_lane: int) -> None:
    """Random words, write-backs and bank writes; every lane is a memory with its own skew.

    With a memory a slot, both may be written in one cycle.
    """
    config = replace(TINY, activation_memories=memories_of_a_lane)
    dut = ActivationBank(config=config)
    rng = random.Random(5)
    cycles, span = 600, 24  # few addresses: reads meet writes
    top = 1 << (TINY.dense_address_bits - 1)
    upper = TINY.activation_bytes // 2 - span // 2  # places from here on are the second slot's

    def place(at: int) -> int:
        return at if at < span // 2 else upper + at

    words = [(place(rng.randrange(span)), rng.random() < 0.3) for _ in range(cycles)]
    backs = []
    for _ in range(cycles):
        kind, at = rng.choice(["bank", "dense", None, None]), rng.randrange(span)
        backs.append((kind, at if kind == "dense" else place(at), rng.randint(0, 1)))
    backs[-SIZE - 1 :] = [(None, 0, 0)] * (SIZE + 1)  # all have landed at the end
    results = [[rng.randint(-128, 127) for _ in range(SIZE)] for _ in range(cycles)]
    memories = [[0] * TINY.activation_bytes for _ in range(SIZE)]
    taken: list[dict[int, int]] = [{} for _ in range(SIZE)]
    dense: list[dict[int, int]] = [{} for _ in range(SIZE)]
    expected: dict[tuple[int, int], int] = {}
    conflicts = both = collisions = 0

    def write_back(cycle: int, lane: int) -> tuple[tuple[Any, int, int], int] | None:
        """What lane takes in this cycle: lane i is i cycles behind."""
        start = cycle - lane
        return (backs[start], results[cycle][lane]) if start >= 0 else None

    def drive(ctx: Any, cycle: int) -> dict[str, Any]:
        address, swap = words[cycle]
        ctx.set(
            dut.control, {"input_address": address, "swap": swap, "valid": 1, "row": cycle % 16}
        )
        kind, address, slot = backs[cycle]
        ctx.set(
            dut.write_back,
            {"bank": kind == "bank", "dense": kind == "dense", "address": address, "slot": slot},
        )
        ctx.set(dut.results, results[cycle])
        slot = rng.randint(0, 1) * span // 2
        request: dict[str, Any] = {
            "enable": 0,
            "wrapped": rng.getrandbits(SIZE),
            "address": place(slot + rng.randrange(span // 2)),
            "wrapped_address": place(slot + rng.randrange(span // 2)),
            "data": [rng.randint(-128, 127) for _ in range(SIZE)],
        }
        ctx.set(dut.write, request)
        if rng.random() < 0.5:
            request["enable"] = rng.getrandbits(SIZE) & ~ctx.get(dut.busy)
            ctx.set(dut.write, request)
        return request

    async def bench(ctx: Any) -> None:
        nonlocal conflicts, both, collisions
        for cycle in range(cycles):
            request = drive(ctx, cycle)
            if cycle >= SIZE:
                out = ctx.get(dut.control_out)
                assert (out.input_address, out.swap) == words[cycle - SIZE]
                assert out.row == (cycle - SIZE) % 16
            for lane in range(SIZE):
                source = cycle - lane
                if source >= 0:
                    expected[cycle + ACTIVATION_LATENCY, lane] = memories[lane][words[source][0]]
                if (cycle, lane) in expected:
                    assert ctx.get(dut.activations[lane]) == expected[cycle, lane]
                    swap = words[source - ACTIVATION_LATENCY][1]
                    assert ctx.get(dut.swaps[lane]) == swap
                back = write_back(cycle, lane)
                writes_bank = back is not None and back[0][0] == "bank"
                middle = TINY.activation_bytes // 2
                busy = writes_bank
                if back is not None and memories_of_a_lane == 2:
                    busy &= (back[0][1] < middle) == (request["address"] < middle)
                assert ctx.get(dut.busy[lane]) == busy
                conflicts += busy
                both += writes_bank and bool(request["enable"] >> lane & 1)
                # What was taken in the cycle before is written now.
                if source >= 0 and words[source][0] in taken[lane]:
                    del expected[cycle + ACTIVATION_LATENCY, lane]  # open
                    collisions += 1
                for where, value in taken[lane].items():
                    memories[lane][where] = value
                taken[lane] = {}
                if back is not None and writes_bank:
                    taken[lane][back[0][1]] = back[1]
                if request["enable"] >> lane & 1:
                    wrapped = request["wrapped"] >> lane & 1
                    where = request["wrapped_address"] if wrapped else request["address"]
                    taken[lane][where] = request["data"][lane]
                if back is not None and back[0][0] == "dense":
                    dense[lane][back[0][2] * top + back[0][1]] = back[1]
            await ctx.tick()
        ctx.set(dut.write_back, {})
        for address in sorted(set.intersection(*(set(lane) for lane in dense))):
            ctx.set(dut.dense_address, address)
            await ctx.tick().repeat(DENSE_LATENCY)
            for lane in range(SIZE):
                assert ctx.get(dut.dense_data[lane]) == dense[lane][address]

    simulate(dut, bench)
    assert conflicts > 100
    assert collisions < cycles * SIZE // 4
    assert (both > 50) == (memories_of_a_lane == 2)
