"""cocotb side of test_sdram: random words against a copy, with the chip watching the rules.

Files in the current folder: ``case.json`` in, ``results.json`` out.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, Timer


class _Port:
    """The memory's port, one packed request."""

    def __init__(self, dut: Any, address_bits: int) -> None:
        self.dut, self.address_bits = dut, address_bits

    async def request(self, address: int, write: int = 0, data: int = 0, strobe: int = 0) -> None:
        bits = self.address_bits
        word = address | write << bits | data << (bits + 1) | strobe << (bits + 65)
        self.dut.request_payload.value = word
        self.dut.request_valid.value = 1
        taken = False
        while not taken:
            # A little after the middle of a cycle stands what its end takes.
            await Timer(1, "ns")
            taken = bool(self.dut.request_ready.value)
            await FallingEdge(self.dut.clk)
        self.dut.request_valid.value = 0


def _addresses(rng: random.Random, bits: int) -> list[int]:
    """Runs, jumps between rows of a bank, both ends."""
    out = [0, (1 << bits) - 1]
    for _ in range(40):
        base = rng.choice([0, rng.randrange(1 << bits), 5 << 9, 6 << 9])
        out += [(base + n) % (1 << bits) for n in range(rng.choice([1, 1, 3, 16]))]
    return out


@cocotb.test
async def words(dut: Any) -> None:
    case = json.loads(Path("case.json").read_text())
    rng = random.Random(case["seed"])
    bits, stall = case["address_bits"], case["stall"]
    port = _Port(dut, bits)
    copy: dict[int, int] = {}
    expected: list[int] = []
    got: list[int] = []
    cycles = 0
    done = False
    edge = FallingEdge(dut.clk)

    async def take() -> None:
        while not done or len(got) < len(expected):
            await FallingEdge(dut.clk)
            dut.data_ready.value = rng.random() >= stall
            await Timer(1, "ns")
            if dut.data_valid.value and dut.data_ready.value:
                got.append(dut.data_payload.value.to_unsigned())

    async def watch() -> None:
        nonlocal cycles
        while True:
            await FallingEdge(dut.clk)
            cycles += 1
            assert not dut.failed.value, "a rule of the chip was broken"

    dut.request_valid.value = 0
    await edge
    taker = cocotb.start_soon(take())
    cocotb.start_soon(watch())
    for address in _addresses(rng, bits):
        while rng.random() < stall:
            await edge
        if rng.random() < 0.5 or address not in copy:
            data, strobe = rng.getrandbits(64), rng.choice([0xFF, 0xFF, 0x3C, 0x01])
            if address not in copy:
                strobe = 0xFF  # the chip does not start with zeros
            mask = sum(0xFF << 8 * b for b in range(8) if strobe >> b & 1)
            copy[address] = copy.get(address, 0) & ~mask | data & mask
            await port.request(address, 1, data, strobe)
        else:
            await port.request(address)
            expected.append(copy[address])
    for address in copy:
        await port.request(address)
        expected.append(copy[address])
    # Words of one open row, to count cycles; a pause, so that refreshes come in idleness too.
    for _ in range(2000):
        await edge
    for n in range(64):
        await port.request(n, 1, n, 0xFF)
    start = cycles
    for n in range(64):
        await port.request(n)
        expected.append(n)
    streamed = cycles - start
    done = True
    await taker
    assert got == expected
    Path("results.json").write_text(json.dumps({"words": len(got), "streamed": streamed}))
