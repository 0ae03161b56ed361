"""Simulation with benches that end and models that run beside them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from amaranth.sim import Simulator

__all__ = ["run"]

Bench = Callable[[Any], Awaitable[None]]


def run(
    dut: Any, benches: Sequence[Bench], background: Sequence[Bench], cycles: int = 60_000
) -> None:
    """Like ``support.simulate`` with background benches."""
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    done: list[Bench] = []
    ticks = 0

    def wrap(bench: Bench) -> Bench:
        async def inner(ctx: Any) -> None:
            await bench(ctx)
            done.append(bench)

        return inner

    async def watchdog(ctx: Any) -> None:
        nonlocal ticks
        async for _ in ctx.tick():
            ticks += 1

    for bench in benches:
        sim.add_testbench(wrap(bench))
    for bench in [*background, watchdog]:
        sim.add_testbench(bench, background=True)
    while sim.advance():
        if ticks > cycles:
            raise TimeoutError(f"{len(done)} of {len(benches)} benches done")
    assert len(done) == len(benches)
