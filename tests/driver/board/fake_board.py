"""A board in Python behind a byte line that may lose, change or double bytes."""

from __future__ import annotations

import random

from driver.board.frames import FrameReader, frame
from hdl.board.protocol import (
    CHANGES,
    HELLO,
    MAGIC,
    MAX_PAYLOAD,
    REQUEST,
    REQUEST_BYTES,
    BoardStatus,
    Operation,
)
from hdl.words import pack_bytes, unpack

__all__ = ["FakeBoard"]


class FakeBoard:
    """Looks like a serial port; answers in no time, or not at all."""

    def __init__(self, *, faults: float = 0.0, seed: int = 1, magic: int = MAGIC) -> None:
        self.timeout: float | None = 0.0
        self.memory = bytearray(1 << 16)
        self.registers: dict[int, int] = {}
        self.writes: list[tuple[int, int]] = []
        self.interrupt = False
        self.resets = 0
        self.copies = 1
        """Of every answer."""
        self.dead = False
        self.lost = False
        self._faults, self._rng, self._magic = faults, random.Random(seed), magic
        self._reader = FrameReader()
        self._out = bytearray()
        self._last: tuple[int, int] | None = None

    # -- the line ------------------------------------------------------------------------------
    @property
    def in_waiting(self) -> int:
        return len(self._out)

    def close(self) -> None:
        pass

    def write(self, data: bytes) -> int:
        if self.lost:
            raise OSError("device disconnected")
        if not self.dead:
            for request in self._reader.feed(self._garble(data)):
                self._out += self._garble(frame(self._work(request)) * self.copies)
        return len(data)

    def read(self, size: int) -> bytes:
        part = bytes(self._out[:size])
        del self._out[:size]
        return part

    def _garble(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            kind = self._rng.randrange(3) if self._rng.random() < self._faults else 3
            out += (b"", bytes([byte ^ 4]), bytes([byte, byte]), bytes([byte]))[kind]
        return bytes(out)

    # -- the board -----------------------------------------------------------------------------
    def _work(self, request: bytes) -> bytes:
        head = unpack(REQUEST, request[:REQUEST_BYTES])
        number, operation = int(head.sequence), int(head.operation)
        status, payload = BoardStatus.OK, b""
        if operation not in CHANGES or self._last is None or self._last[0] != number:
            status, payload = self._do(
                operation, int(head.address), int(head.count), request[REQUEST_BYTES:]
            )
        else:
            status = BoardStatus(self._last[1])
        self._last = (number, status)
        return bytes([number, operation]) + payload + bytes([self.interrupt, status])

    def _do(
        self, operation: int, address: int, count: int, payload: bytes
    ) -> tuple[BoardStatus, bytes]:
        assert count <= MAX_PAYLOAD or operation in (
            Operation.FILL_MEMORY,
            Operation.WAIT_INTERRUPT,
        )
        match operation:
            case Operation.HELLO:
                words = {"magic": self._magic, "log2_memory": 16, "clock_hz": 10**6, "baud": 10**6}
                return BoardStatus.OK, pack_bytes(HELLO, words)
            case Operation.WRITE_REGISTER:
                if address >= 0x100:
                    return BoardStatus.BUS_ERROR, b""
                self.registers[address] = int.from_bytes(payload, "little")
                self.writes.append((address, self.registers[address]))
            case Operation.READ_REGISTER:
                return BoardStatus.OK, self.registers.get(address, 0).to_bytes(4, "little")
            case Operation.WRITE_MEMORY:
                self.memory[address : address + count] = payload
            case Operation.READ_MEMORY:
                if address + count > len(self.memory):
                    return BoardStatus.BAD_ADDRESS, b""
                return BoardStatus.OK, bytes(self.memory[address : address + count])
            case Operation.FILL_MEMORY:
                self.memory[address : address + 8 * count] = bytes(8 * count)
            case Operation.RESET:
                self.resets += 1
        return BoardStatus.OK, b""
