"""Timing model of LOADs against the front end, in front of a memory of fixed latency."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.program import SUBMISSION, Opcode, Target
from hdl.words import pack_bytes
from sim.timing.dram import Dram
from sim.timing.loads import LoadEntry, LoadsModel
from tests.hdl.control.front_end_bench import SUBMISSIONS, Host

LATENCY = 60
Load = tuple[Target, int, int]
"""Target, address, words."""


def some_loads(count: int) -> list[Load]:
    rng = random.Random(count)
    most = {Target.WEIGHTS: 150, Target.LAYERS: 40, Target.STAGES: 64, Target.PARAMETERS: 200}
    targets = [rng.choice(list(most)) for _ in range(count)]
    return [(t, 0x10000 + 4096 * n, rng.randint(1, most[t])) for n, t in enumerate(targets)]


def measure(config: Config, loads: list[Load]) -> int:
    """Cycles from the new tail to the answer of the last completion."""
    host = Host(config, stall=0.0, size=64)
    host.reads.latency = (LATENCY, LATENCY)
    cycles = 0

    async def bench(ctx: Any) -> None:
        nonlocal cycles
        front = host.front
        ctx.set(front.window_limit, 1 << 30)
        for number, (target, address, words) in enumerate(loads):
            fields = {"opcode": Opcode.LOAD, "address": address, "items": words, "target": target}
            host.store(SUBMISSIONS + 64 * number, pack_bytes(SUBMISSION, fields))
        await ctx.tick().repeat(5)
        ctx.set(front.submission_tail, len(loads))
        while host.completed < len(loads):
            await ctx.tick()
            cycles += 1

    host.run(bench)
    assert len(host.loads) == sum(words for *_, words in loads) and host.failed == 0
    return cycles


def predict(config: Config, loads: list[Load]) -> int:
    dram = Dram(latency=LATENCY, row_cycles=0, refresh_cycles=0, shared_bus=False)
    model = LoadsModel(config, dram)
    entries = [
        LoadEntry(
            submission=SUBMISSIONS + 64 * number,
            address=address,
            words=words,
            wide=target is Target.WEIGHTS,
        )
        for number, (target, address, words) in enumerate(loads)
    ]
    return model.run(tuple(entries))


@pytest.mark.parametrize("name", ["tiny", "small"])
def test_loads_overlap_as_predicted(name: str) -> None:
    """The bench's memory answers writes at once: a difference that all runs have in common."""
    config = preset(name)
    one, many = some_loads(1), some_loads(12)
    apart = predict(config, one) - measure(config, one)
    measured = measure(config, many)
    assert abs(predict(config, many) - measured - apart) <= 2
    words = sum(words for *_, words in many)
    assert measured < words + 16 * len(many) + 2 * LATENCY + 20
