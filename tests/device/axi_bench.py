"""cocotb side of test_axi_models: a foreign master and memory around the device's own pins.

Files in the current folder: ``job.json`` (steps of `sim.job`), ``image.bin``, ``bench.json`` (pins
and sizes); ``results.json`` out. Runs inside the simulator's process.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge, with_timeout
from cocotbext.axi import AxiBus, AxiLiteBus, AxiLiteMaster, AxiRam

PERIOD_NS = 4


def stalls(seed: int) -> Iterator[bool]:
    """Pauses at random: phases of 32 cycles, from none to nearly always."""
    rng = random.Random(seed)
    for _ in itertools.count():
        odds = rng.choice((0.0, 0.25, 0.5, 0.9))
        for _ in range(32):
            yield rng.random() < odds


class Host:
    """Plays the steps of a job through the foreign models."""

    def __init__(self, dut: Any, *, memory_bytes: int, seed: int) -> None:
        self.dut = dut
        words = {"reset_active_level": False}
        self.master = AxiLiteMaster(
            AxiLiteBus.from_prefix(dut, "s_axil"), dut.aclk, dut.aresetn, **words
        )
        self.memory = AxiRam(
            AxiBus.from_prefix(dut, "m_axi"), dut.aclk, dut.aresetn, size=memory_bytes, **words
        )
        self.values: dict[str, int] = {}
        self.dumps: dict[str, str] = {}
        write, read = self.master.write_if, self.master.read_if
        ram_write, ram_read = self.memory.write_if, self.memory.read_if
        channels = (
            write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel,
            ram_write.aw_channel, ram_write.w_channel, ram_write.b_channel, ram_read.ar_channel,
            ram_read.r_channel,
        )  # fmt: skip
        for number, channel in enumerate(channels):
            channel.set_pause_generator(stalls(seed * 100 + number))

    async def play(self, step: dict[str, Any]) -> None:
        words = dict(step)
        await getattr(self, words.pop("op"))(**words)

    async def write(self, address: int, data: int) -> None:
        await self.master.write_dword(address, data)

    async def read(self, address: int, key: str) -> None:
        self.values[key] = await self.master.read_dword(address)

    async def wait_register(
        self, address: int, value: int, mask: int, clear: list[int], timeout: int, **_: Any
    ) -> None:
        """Sleep until the interrupt, clear it, look; as `sim.host` does."""
        while await self.master.read_dword(address) & mask != value:
            if not self.dut.irq.value:
                await with_timeout(RisingEdge(self.dut.irq), timeout * PERIOD_NS, "ns")
            await self.master.write_dword(*clear)

    async def dump(self, address: int, count: int, key: str) -> None:
        self.dumps[key] = self.memory.read(address, count).hex()


@cocotb.test
async def play_job(dut: Any) -> None:
    """Reset the device and play the job."""
    bench = json.loads(Path("bench.json").read_text())
    host = Host(dut, memory_bytes=bench["memory_bytes"], seed=bench["seed"])
    host.memory.write(0, Path("image.bin").read_bytes())
    dut.aresetn.value = 0
    Clock(dut.aclk, PERIOD_NS, "ns").start()
    await ClockCycles(dut.aclk, 8)
    dut.aresetn.value = 1
    await ClockCycles(dut.aclk, 2)
    for step in json.loads(Path("job.json").read_text()):
        await host.play(step)
    Path("results.json").write_text(json.dumps({"values": host.values, "memory": host.dumps}))
