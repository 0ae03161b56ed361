"""Shared simulation helpers: stream drivers with random stalls and a watchdog."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from amaranth.sim import Simulator

__all__ = ["get_all", "put_all", "simulate"]

PATTERNS = {"none": 0.0, "some": 0.3, "heavy": 0.8}
"""Share of cycles in which a side stalls."""


async def put_all(ctx: Any, port: Any, values: Iterable[Any], *, stall: float, seed: int) -> None:
    """Send ``values`` into stream ``port``, idling with probability ``stall`` before each."""
    rng = random.Random(seed)
    for value in values:
        while rng.random() < stall:
            await ctx.tick()
        ctx.set(port.payload, value)
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)


async def get_all(ctx: Any, port: Any, count: int, *, stall: float, seed: int) -> list[Any]:
    """Take ``count`` payloads from stream ``port``, not ready with probability ``stall``."""
    rng = random.Random(seed)
    out = []
    for _ in range(count):
        while rng.random() < stall:
            await ctx.tick()
        ctx.set(port.ready, 1)
        (payload,) = await ctx.tick().sample(port.payload).until(port.valid)
        ctx.set(port.ready, 0)
        out.append(payload)
    return out


def simulate(
    dut: Any,
    *benches: Callable[..., Any],
    cycles: int = 100_000,
    vcd: str | None = None,
    background: Iterable[Callable[..., Any]] = (),
) -> None:
    """Run all ``benches`` (async, taking ctx) to their end; fail after ``cycles`` clock cycles.

    ``background`` benches are not waited for.
    """
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    done = [False] * len(benches)

    def wrap(index: int, bench: Callable[..., Any]) -> Callable[..., Any]:
        async def run(ctx: Any) -> None:
            await bench(ctx)
            done[index] = True

        return run

    for index, bench in enumerate(benches):
        sim.add_testbench(wrap(index, bench))

    for bench in background:
        sim.add_testbench(bench, background=True)

    ticks = 0

    async def watchdog(ctx: Any) -> None:
        nonlocal ticks
        async for _ in ctx.tick():
            ticks += 1

    sim.add_testbench(watchdog, background=True)

    def run() -> None:
        while sim.advance():
            if ticks > cycles:
                raise TimeoutError(f"benches not done after {cycles} cycles: {done}")

    if vcd is None:
        run()
    else:
        with sim.write_vcd(vcd):
            run()
    assert all(done)
