# amaranth: UnusedElaboratable=no
"""Requests on the line, worked off on a memory and some registers; repeats, refusals, garbage."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from typing import Any

from amaranth.hdl import Elaboratable, Module, Signal
from amaranth.lib import wiring

from driver.board.frames import FrameReader, frame
from hdl.board.block_memory import BlockMemory
from hdl.board.frame_store import FrameStore
from hdl.board.framing import Deframer, Framer
from hdl.board.host_bridge import HostBridge
from hdl.board.protocol import (
    HELLO,
    MAGIC,
    MAX_PAYLOAD,
    REQUEST,
    REQUEST_BYTES,
    RESET_CYCLES,
    BoardStatus,
    Operation,
)
from hdl.control.csr import RegisterFile
from hdl.control.register import Field, Register
from hdl.words import pack_bytes, unpack

from ..support import get_all, put_all, simulate

LOG2_BYTES = 12


def _table() -> list[Register]:
    field = Field(name="value", lsb=0, width=32, description="")
    return [
        Register(name=name, offset=offset, access="rw", description="", fields=(field,))
        for name, offset in (("ONE", 0x10), ("TWO", 0x14))
    ]


class _Dut(Elaboratable):
    """Bytes in, bytes out."""

    def __init__(self) -> None:
        self.deframer, self.store = Deframer(), FrameStore(size=MAX_PAYLOAD + REQUEST_BYTES)
        self.bridge = HostBridge(
            address_bits=12, log2_bytes=LOG2_BYTES, clock_hz=50_000_000, baud=3_000_000
        )
        self.framer = Framer()
        self.memory = BlockMemory(log2_bytes=LOG2_BYTES)
        self.registers = RegisterFile(table=_table())
        self.resets = Signal(16)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for name in ("deframer", "store", "bridge", "framer", "memory", "registers"):
            m.submodules[name] = getattr(self, name)
        wiring.connect(m, self.deframer.o, self.store.i)
        wiring.connect(m, self.store.o, self.bridge.i)
        wiring.connect(m, self.bridge.o, self.framer.i)
        wiring.connect(m, self.bridge.memory, self.memory.port)
        wiring.connect(m, self.bridge.axil, self.registers.bus)
        m.d.comb += self.bridge.length.eq(self.store.length)
        m.d.sync += self.resets.eq(self.resets + self.bridge.reset)
        return m


class _Line:
    """The host's end, as bytes."""

    def __init__(self, dut: _Dut, ctx: Any) -> None:
        self.dut, self.ctx = dut, ctx
        self.reader = FrameReader()
        self.sequence = 40

    async def send(self, line: bytes) -> None:
        await put_all(self.ctx, self.dut.deframer.i, line, stall=0, seed=1)

    async def answer(self) -> bytes:
        found: list[bytes] = []
        while not found:
            found = self.reader.feed(
                bytes(await get_all(self.ctx, self.dut.framer.o, 1, stall=0, seed=1))
            )
        return found[0]

    async def ask(
        self,
        operation: int,
        address: int = 0,
        payload: bytes = b"",
        count: int | None = None,
        repeat: bool = False,
    ) -> tuple[BoardStatus, bytes]:
        self.sequence = (self.sequence + (not repeat)) & 0xFF
        head = {
            "sequence": self.sequence, "operation": operation, "address": address,
            "count": len(payload) if count is None else count,
        }  # fmt: skip
        word = pack_bytes(REQUEST, head)
        await self.send(frame(word + payload))
        got = await self.answer()
        assert got[:2] == bytes([self.sequence, operation])
        return BoardStatus(got[-1]), got[2:-2]


def _play(*tests: Callable[[_Line], Coroutine[Any, Any, None]]) -> _Dut:
    dut = _Dut()

    async def bench(ctx: Any) -> None:
        line = _Line(dut, ctx)
        for test in tests:
            await test(line)

    simulate(dut, bench, cycles=200_000)
    return dut


def test_requests() -> None:
    rng = random.Random(1)
    copy = bytearray(1 << LOG2_BYTES)

    async def hello(line: _Line) -> None:
        status, found = await line.ask(Operation.HELLO)
        view = unpack(HELLO, found)
        assert status == BoardStatus.OK
        assert (view.magic, view.log2_memory, view.clock_hz) == (MAGIC, LOG2_BYTES, 50_000_000)

    async def memory(line: _Line) -> None:
        for size in (1, 7, 8, 9, 16, 200, 3):
            at = rng.randrange(len(copy) - size)
            data = rng.randbytes(size)
            copy[at : at + size] = data
            assert await line.ask(Operation.WRITE_MEMORY, at, data) == (BoardStatus.OK, b"")
        assert (await line.ask(Operation.FILL_MEMORY, 1024, count=20))[0] == BoardStatus.OK
        copy[1024:1184] = bytes(160)
        for at, size in ((0, 1), (5, 3), (7, 2), (3, MAX_PAYLOAD), (len(copy) - 9, 9)):
            status, found = await line.ask(Operation.READ_MEMORY, at, count=size)
            assert status == BoardStatus.OK and found == copy[at : at + size]

    async def registers(line: _Line) -> None:
        data = rng.randbytes(8)
        assert await line.ask(Operation.WRITE_REGISTER, 0x10, data) == (BoardStatus.OK, b"")
        assert await line.ask(Operation.READ_REGISTER, 0x10, count=8) == (BoardStatus.OK, data)
        # The second word is no register: what went before is done, the error is told.
        status, _ = await line.ask(Operation.WRITE_REGISTER, 0x14, bytes(12))
        assert status == BoardStatus.BUS_ERROR
        status, found = await line.ask(Operation.READ_REGISTER, 0x10, count=12)
        assert status == BoardStatus.BUS_ERROR and found == data[:4] + bytes(4)
        status, _ = await line.ask(Operation.READ_REGISTER, 0x800, count=4)
        assert status == BoardStatus.BUS_ERROR

    async def interrupt(line: _Line) -> None:
        status, found = await line.ask(Operation.WAIT_INTERRUPT, count=2)
        assert (status, found) == (BoardStatus.OK, b"")
        line.ctx.set(line.dut.bridge.interrupt, 1)
        await line.ask(Operation.WAIT_INTERRUPT, count=65535)

    async def reset(line: _Line) -> None:
        assert (await line.ask(Operation.RESET))[0] == BoardStatus.OK
        assert line.ctx.get(line.dut.resets) == RESET_CYCLES

    _play(hello, memory, registers, interrupt, reset)


def test_refusals() -> None:
    end = 1 << LOG2_BYTES
    cases = [
        (8, 0, b"", 0, BoardStatus.BAD_OPERATION),
        (255, 0, b"xy", 2, BoardStatus.BAD_OPERATION),
        (Operation.HELLO, 0, b"x", 0, BoardStatus.BAD_LENGTH),
        (Operation.HELLO, 4, b"", 0, BoardStatus.BAD_ADDRESS),
        (Operation.READ_MEMORY, 0, b"", 0, BoardStatus.BAD_LENGTH),
        (Operation.READ_MEMORY, 0, b"", MAX_PAYLOAD + 1, BoardStatus.BAD_LENGTH),
        (Operation.READ_MEMORY, end - 3, b"", 4, BoardStatus.BAD_ADDRESS),
        (Operation.READ_MEMORY, 0xFFFFFFFF, b"", 4, BoardStatus.BAD_ADDRESS),
        (Operation.WRITE_MEMORY, 0, b"1234", 5, BoardStatus.BAD_LENGTH),
        (Operation.WRITE_MEMORY, end, b"1", 1, BoardStatus.BAD_ADDRESS),
        (Operation.FILL_MEMORY, 4, b"", 1, BoardStatus.BAD_ADDRESS),
        (Operation.FILL_MEMORY, 8, b"", end // 8, BoardStatus.BAD_ADDRESS),
        (Operation.WRITE_REGISTER, 0x10, b"123", 3, BoardStatus.BAD_LENGTH),
        (Operation.WRITE_REGISTER, 0x12, b"1234", 4, BoardStatus.BAD_ADDRESS),
        (Operation.READ_REGISTER, 0xFFC, b"", 8, BoardStatus.BAD_ADDRESS),
        (Operation.WAIT_INTERRUPT, 0, b"", 0, BoardStatus.BAD_LENGTH),
    ]

    async def refused(line: _Line) -> None:
        for operation, address, payload, count, status in cases:
            found = await line.ask(operation, address, payload, count)
            assert found == (status, b""), operation
        assert (await line.ask(Operation.READ_MEMORY, 0, count=16))[1] == bytes(16)

    _play(refused)


def test_repeated_requests_change_nothing_twice() -> None:
    async def repeats(line: _Line) -> None:
        await line.ask(Operation.WRITE_MEMORY, 64, b"once")
        # Would the board do it again, this text would be there: only the number tells it.
        assert await line.ask(Operation.WRITE_MEMORY, 64, b"more", repeat=True) == (
            BoardStatus.OK, b"",
        )  # fmt: skip
        assert (await line.ask(Operation.READ_MEMORY, 64, count=4))[1] == b"once"
        status, _ = await line.ask(Operation.WRITE_REGISTER, 0x800, bytes(4))
        assert status == BoardStatus.BUS_ERROR
        assert (await line.ask(Operation.WRITE_REGISTER, 0x10, bytes(4), repeat=True))[
            0
        ] == BoardStatus.BUS_ERROR
        found = [
            await line.ask(Operation.READ_MEMORY, 64, count=4, repeat=r) for r in (False, True)
        ]
        assert found[0] == found[1] == (BoardStatus.OK, b"once")

    async def garbage(line: _Line) -> None:
        rng = random.Random(3)
        await line.send(rng.randbytes(300) + b"\x7e")
        await line.send(frame(b"short"))
        await line.send(frame(rng.randbytes(MAX_PAYLOAD + 9)))
        await line.ctx.tick().repeat(50)
        assert (await line.ask(Operation.READ_MEMORY, 64, count=4))[1] == b"once"

    _play(repeats, garbage)
