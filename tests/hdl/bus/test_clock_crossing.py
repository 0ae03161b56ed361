# amaranth: UnusedElaboratable=no
"""AXI from one clock to another: nothing lost, doubled or out of order, at any ratio of clocks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import ClockDomain, Elaboratable, Module, Shape
from amaranth.lib.wiring import Out, Signature
from amaranth.sim import Simulator

from hdl.bus.axi import axi4_signature, axi_lite_signature
from hdl.bus.clock_crossing import CHANNELS, CROSSING_DEPTH, AxiCrossing, channel_members
from hdl.config import preset

AXI = axi4_signature(preset("tiny"))
LITE = axi_lite_signature(address_bits=12)
WORDS = 60


class Crossing(Elaboratable):
    """With the two domains it needs."""

    def __init__(self, signature: Signature) -> None:
        self.crossing = AxiCrossing(signature=signature, manager="left", subordinate="right")
        self.left, self.right = ClockDomain("left"), ClockDomain("right")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += [self.left, self.right]
        m.submodules.crossing = self.crossing
        return m


def values(signature: Signature, names: list[str], rng: random.Random) -> dict[str, int]:
    widths = {n: Shape.cast(signature.members[n].shape).width for n in names}
    return {name: rng.getrandbits(width) for name, width in widths.items()}


def run(
    signature: Signature, periods: tuple[float, float], stalls: tuple[float, float], seed: int
) -> tuple[dict[str, list[Any]], dict[str, list[Any]], dict[str, float]]:
    """Random words over all channels at once; what was sent, what came, and each channel's time."""
    top = Crossing(signature)
    rng = random.Random(seed)
    sent = {
        channel: [values(signature, names, rng) for _ in range(WORDS)]
        for channel, names in channel_members(signature).items()
    }
    got: dict[str, list[Any]] = {channel: [] for channel in CHANNELS}
    took: dict[str, float] = {}
    sim = Simulator(top)
    sim.add_clock(periods[0], domain="left")
    sim.add_clock(periods[1], domain="right", phase=periods[1] / 3)

    def benches(channel: str) -> tuple[Any, Any]:
        forth = signature.members[f"{channel}valid"].flow == Out
        source, target = top.crossing.i, top.crossing.o
        here, there = "left", "right"
        if not forth:
            (source, target), (here, there) = (target, source), (there, here)
        draws = [random.Random(seed + n) for n in range(2)]

        async def send(ctx: Any) -> None:
            for word in sent[channel]:
                while draws[0].random() < stalls[0]:
                    await ctx.tick(here)
                for name, value in word.items():
                    ctx.set(getattr(source, name), value)
                ctx.set(getattr(source, f"{channel}valid"), 1)
                await ctx.tick(here).until(getattr(source, f"{channel}ready"))
                ctx.set(getattr(source, f"{channel}valid"), 0)

        async def take(ctx: Any) -> None:
            ticks = first = 0
            while len(got[channel]) < WORDS:
                ticks += 1
                ready = draws[1].random() >= stalls[1]
                ctx.set(getattr(target, f"{channel}ready"), ready)
                names = list(sent[channel][0])
                ports = [getattr(target, name) for name in names]
                found = await ctx.tick(there).sample(getattr(target, f"{channel}valid"), *ports)
                if ready and found[2]:
                    got[channel].append(dict(zip(names, found[3:], strict=True)))
                    first = first or ticks
            took[channel] = (ticks - first) * periods[there == "right"]

        return send, take

    for channel in CHANNELS:
        for bench in benches(channel):
            sim.add_testbench(bench)
    steps = 0
    while len(took) < len(CHANNELS):
        sim.advance()
        steps += 1
        assert steps < 200 * WORDS * max(periods) / min(periods), {c: len(got[c]) for c in CHANNELS}
    return sent, got, took


@pytest.mark.parametrize("signature", [AXI, LITE], ids=["axi4", "lite"])
@pytest.mark.parametrize("periods", [(1e-6, 1e-6), (3e-6, 1e-6), (1e-6, 7.3e-6)])
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.4, 0.4)])
def test_every_channel_in_order(
    signature: Signature, periods: tuple[float, float], stalls: tuple[float, float]
) -> None:
    sent, got, _ = run(signature, periods, stalls, seed=3)
    assert got == sent


@pytest.mark.parametrize("periods", [(1e-6, 1e-6), (1e-6, 1.1e-6), (2.3e-6, 1e-6)])
def test_a_word_a_cycle_of_the_slower_clock(periods: tuple[float, float]) -> None:
    _, _, took = run(AXI, periods, (0.0, 0.0), seed=4)
    assert WORDS > 3 * CROSSING_DEPTH
    for channel, seconds in took.items():
        cycles = seconds / max(periods)
        assert cycles <= WORDS + 1, channel


def test_one_domain_needs_no_crossing() -> None:
    with pytest.raises(ValueError, match="two clock domains, not 'sync' twice"):
        AxiCrossing(signature=LITE, manager="sync", subordinate="sync")
