"""The cocotb test that plays a job (see `job`). Runs inside the simulator's process.

Files in the current folder: ``job.json`` in; ``results.json`` and ``dump.bin`` out; ``progress``
holds the cycle reached. `RPACCEL_TIME_LIMIT` bounds the seconds that the run may take.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import SimTimeoutError, Timer, with_timeout

from sim.bench import CLOCK_PERIOD_NS
from sim.host import Host

HEARTBEAT_CYCLES = 65536
"""Cycles between two looks at the wall clock: rare enough to cost nothing."""


class _Player:
    """Plays steps and collects what they bring."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.values: dict[str, int] = {}
        self.memory: dict[str, str] = {}
        self.dumps: list[tuple[str, int]] = []
        self.cycles: list[int] = []

    async def play(self, step: dict[str, Any]) -> None:
        words = dict(step)
        cycle = await getattr(self, words.pop("op"))(**words)
        self.cycles.append(self.host.cycle if cycle is None else cycle)

    async def write(self, address: int, data: int) -> int:
        return await self.host.write(address, data)

    async def read(self, address: int, key: str) -> None:
        self.values[key] = await self.host.read(address)

    async def wait_interrupt(self, timeout: int) -> int:
        return await with_timeout(self.host.wait_interrupt(), timeout * CLOCK_PERIOD_NS, "ns")

    async def wait_register(
        self,
        address: int,
        value: int,
        mask: int,
        at_least: bool,
        interval: int | None,
        clear: list[int] | None,
        timeout: int,
    ) -> int:
        end = self.host.cycle + timeout
        seen = self.host.cycle
        while True:
            found = await self.host.read(address) & mask
            if found == value or (at_least and found > value):
                return seen
            if self.host.cycle >= end:
                raise SimTimeoutError(f"register {address:#x} is {found:#x}, not {value:#x}")
            if interval is not None:
                await self.host.cycles(interval)
                seen = self.host.cycle
            else:
                seen = await self.wait_interrupt(end - self.host.cycle)
                if clear is not None:
                    await self.host.write(*clear)

    async def memory_write(self, address: int, data: str) -> None:
        await self.host.memory_write(address, bytes.fromhex(data))

    async def memory_read(self, address: int, count: int, key: str) -> None:
        self.memory[key] = (await self.host.memory_read(address, count)).hex()

    async def dump(self, address: int, count: int, key: str) -> None:
        await self.host.memory_dump(address, count)
        self.dumps.append((key, count))

    async def idle(self, cycles: int) -> None:
        await self.host.cycles(cycles)

    async def reset(self) -> None:
        await self.host.reset()

    def results(self) -> dict[str, Any]:
        return {
            "values": self.values,
            "memory": self.memory,
            "dumps": self.dumps,
            "cycles": self.cycles,
            "outstanding": self.host.outstanding,
        }


async def _heartbeat(host: Host, limit: float) -> None:
    """Report progress and end a run that takes too long."""
    start = time.monotonic()
    while True:
        await Timer(HEARTBEAT_CYCLES * CLOCK_PERIOD_NS, "ns")
        Path("progress").write_text(str(host.cycle))
        if time.monotonic() - start > limit:
            raise SimTimeoutError(f"more than {limit:g} s, at cycle {host.cycle}")


def _write_error(message: str) -> None:
    Path("results.json").write_text(json.dumps({"error": message}))


async def _guarded(name: str, work: Any) -> None:
    """Leave the reason in the results when `work` fails; the test then fails with it."""
    try:
        await work
    except Exception as error:
        _write_error(f"{name}: {error or type(error).__name__}")
        raise


@cocotb.test
async def play_job(bench: Any) -> None:
    """Reset the device and play the job."""
    await Timer(1, "step")  # the bench's initial values are there from now on
    host = Host(bench)
    player = _Player(host)
    limit = float(os.environ.get("RPACCEL_TIME_LIMIT", "inf"))
    cocotb.start_soon(_guarded("time limit", _heartbeat(host, limit)))
    cocotb.start_soon(_guarded("bus", host.watch_rules()))
    await host.reset()
    for number, step in enumerate(json.loads(Path("job.json").read_text())):
        await _guarded(f"step {number} {step} at cycle {host.cycle}", player.play(step))
    Path("results.json").write_text(json.dumps(player.results()))
