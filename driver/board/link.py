"""Requests over a board's serial line: answers that can be trusted, or an error."""

from __future__ import annotations

import time
from typing import Any, Protocol

from hdl.board.protocol import (
    ANSWER_BYTES,
    FLAG_INTERRUPT,
    HELLO,
    MAGIC,
    MAX_PAYLOAD,
    REQUEST,
    WAIT_UNIT,
    BoardStatus,
    Operation,
)
from hdl.words import pack_bytes, unpack

from ..errors import UserError
from .errors import BoardError
from .frames import FrameReader, frame

__all__ = ["Link", "Line", "open_port"]

_TRIES = 8
"""Requests sent before the line is given up."""
_FILL_WORDS = 0xFFFF
_HELLO_S = 10.0
"""Longest wait for the answer to the first request."""
_WAIT_S = 0.02
"""Longest that the board is asked to wait for the interrupt: a lost answer costs no more."""


class Line(Protocol):
    """A byte line; pyserial's ``Serial`` is one."""

    timeout: float | None

    def read(self, size: int) -> bytes: ...
    def write(self, data: bytes) -> int | None: ...
    def close(self) -> None: ...

    @property
    def in_waiting(self) -> int: ...


def open_port(port: str, baud: int) -> Line:
    """Open a serial port.

    Raises
    ------
    UserError
        pyserial is not installed, or the port cannot be opened.
    """
    try:
        import serial
    except ModuleNotFoundError:
        raise UserError(
            "pyserial is not installed: install the extra 'board' (pip install 'rpaccel[board]')"
        ) from None
    try:
        line: Line = serial.Serial(port, baud, timeout=0.05, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        raise UserError(f"cannot open port {port}: {error}") from None
    return line


class Link:
    """One request at a time, repeated until its answer comes.

    Every frame has a CRC-32 and the request's number, so that no garbled or late answer is taken;
    the board does not do twice what changes something.

    Parameters
    ----------
    line
        The serial line.
    timeout
        Seconds to wait for an answer, beside the time that the bytes take.

    Attributes
    ----------
    retries
        Requests that had to be repeated.
    """

    def __init__(self, line: Line, *, timeout: float = 0.5) -> None:
        self._line, self._timeout = line, timeout
        self._reader = FrameReader()
        self._sequence = time.monotonic_ns() & 0xFF
        self.retries = 0
        self.interrupt = False
        self._baud = 0.0
        # A board that has just started may miss the first request: it must not cost a whole time.
        self._timeout = min(timeout, _HELLO_S)
        hello = unpack(HELLO, self._request(Operation.HELLO))
        self._timeout = timeout
        if hello.magic != MAGIC:
            raise BoardError(f"the board answers with {hello.magic:08x}, not {MAGIC:08x}")
        self.memory_bytes = 1 << hello.log2_memory
        self.clock_hz = int(hello.clock_hz)
        self._baud = float(hello.baud)

    def close(self) -> None:
        """Close the line."""
        self._line.close()

    # -- what the board can do -----------------------------------------------------------------
    def write_register(self, address: int, value: int) -> None:
        """Write a register of 32 bits."""
        self._request(Operation.WRITE_REGISTER, address, value.to_bytes(4, "little"))

    def read_register(self, address: int) -> int:
        """Read a register of 32 bits."""
        return int.from_bytes(self._request(Operation.READ_REGISTER, address, count=4), "little")

    def write_memory(self, address: int, data: bytes) -> None:
        """Write device memory."""
        for at in range(0, len(data), MAX_PAYLOAD):
            part = data[at : at + MAX_PAYLOAD]
            self._request(Operation.WRITE_MEMORY, address + at, part)

    def read_memory(self, address: int, count: int) -> bytes:
        """Read device memory."""
        parts = []
        for at in range(0, count, MAX_PAYLOAD):
            size = min(MAX_PAYLOAD, count - at)
            parts.append(self._request(Operation.READ_MEMORY, address + at, count=size))
        return b"".join(parts)

    def zero_memory(self, address: int, count: int) -> None:
        """Zero device memory; both are multiples of 8."""
        for at in range(0, count, 8 * _FILL_WORDS):
            words = min(_FILL_WORDS, (count - at) // 8)
            self._request(Operation.FILL_MEMORY, address + at, count=words)

    def wait_interrupt(self) -> bool:
        """Wait for the interrupt, a fiftieth of a second at most; returns its level."""
        units = max(1, int(_WAIT_S * self.clock_hz / WAIT_UNIT))
        self._request(Operation.WAIT_INTERRUPT, count=min(units, 0xFFFF), extra=_WAIT_S)
        return self.interrupt

    def reset(self) -> None:
        """Reset the device; its memory keeps its contents."""
        self._request(Operation.RESET)

    # -- the line ------------------------------------------------------------------------------
    def _request(
        self,
        operation: Operation,
        address: int = 0,
        payload: bytes = b"",
        *,
        count: int | None = None,
        extra: float = 0.0,
    ) -> bytes:
        """Send until answered; returns the answer's payload.

        Raises
        ------
        BoardError
            No answer after ``_TRIES``, or the board refuses.
        """
        self._sequence = (self._sequence + 1) & 0xFF
        head = {
            "sequence": self._sequence, "operation": operation, "address": address,
            "count": len(payload) if count is None else count,
        }  # fmt: skip
        sent = frame(pack_bytes(REQUEST, head) + payload)
        wait = self._timeout + extra
        if self._baud:
            wait += 10 * (2 * len(sent) + MAX_PAYLOAD) / self._baud
        for attempt in range(_TRIES):
            self.retries += attempt > 0
            self._write(sent)
            answer = self._answer(operation, wait)
            if answer is not None:
                return self._checked(answer, operation, address)
        raise BoardError(
            f"no answer to {operation.name} at {address:#x} in {_TRIES} tries: wrong port, line "
            f"lost, or garbled ({self._reader.bad} bad frames)"
        )

    def _write(self, data: bytes) -> None:
        try:
            while data:
                data = data[self._line.write(data) or 0 :]
        except (OSError, ValueError) as error:
            raise BoardError(f"the serial line is lost: {error}") from None

    def _read(self) -> bytes:
        try:
            return self._line.read(max(1, self._line.in_waiting))
        except (OSError, ValueError, TypeError) as error:
            raise BoardError(f"the serial line is lost: {error}") from None

    def _answer(self, operation: Operation, wait: float) -> bytes | None:
        """The answer to the request that was sent last; others are late ones, thrown away."""
        end = time.monotonic() + wait
        expected = bytes([self._sequence, operation])
        while True:
            for found in self._reader.feed(self._read()):
                if len(found) >= ANSWER_BYTES and found[:2] == expected:
                    return found
            if time.monotonic() > end:
                return None

    def _checked(self, answer: bytes, operation: Operation, address: int) -> bytes:
        flags, status = answer[-2], answer[-1]
        self.interrupt = bool(flags & FLAG_INTERRUPT)
        if status != BoardStatus.OK:
            known: Any = {s.value: s.name for s in BoardStatus}
            name = known.get(status, f"status {status}")
            raise BoardError(f"the board refuses {operation.name} at {address:#x}: {name}")
        return answer[2:-2]
