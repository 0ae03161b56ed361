"""What host and board say to each other: requests, answers, their numbers.

A request is a frame of ``REQUEST`` and its payload; the answer a frame of the request's sequence
number and operation, the payload, ``flags`` and ``status``. The host has one request under way and
repeats it, same number, when no answer comes. The board does not repeat what changes something: for
the number it has just worked off it only answers again.
"""

from __future__ import annotations

from enum import IntEnum

from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = [
    "ANSWER_BYTES",
    "CHANGES",
    "FLAG_INTERRUPT",
    "HELLO",
    "MAGIC",
    "MAX_PAYLOAD",
    "REQUEST",
    "REQUEST_BYTES",
    "RESET_CYCLES",
    "WAIT_UNIT",
    "BoardStatus",
    "Operation",
]

MAGIC = 0x31425052
"""First word of the answer to HELLO: "RPB1"."""
MAX_PAYLOAD = 1024
"""Bytes of a request's or an answer's payload."""
WAIT_UNIT = 1024
"""Cycles: what ``count`` of WAIT_INTERRUPT counts."""
RESET_CYCLES = 1024
"""Length of a reset of the device: longer than any word of memory is under way."""
FLAG_INTERRUPT = 1
"""Bit of an answer's flags: level of the device's interrupt."""
ANSWER_BYTES = 4
"""Bytes of an answer beside its payload: sequence, operation, flags, status."""


class Operation(IntEnum):
    """What the board is to do."""

    HELLO = 0
    """Say what you are: ``HELLO``."""
    READ_REGISTER = 1
    """``count`` bytes (words of 4) of the device's registers from ``address`` on."""
    WRITE_REGISTER = 2
    """The payload's words to registers from ``address`` on."""
    READ_MEMORY = 3
    """``count`` bytes of device memory."""
    WRITE_MEMORY = 4
    """The payload to device memory."""
    FILL_MEMORY = 5
    """Zero ``count`` words of 8 bytes from ``address``, a multiple of 8, on."""
    WAIT_INTERRUPT = 6
    """Answer when the interrupt is high, or after ``count * WAIT_UNIT`` cycles."""
    RESET = 7
    """Reset the device; memory keeps its contents."""


CHANGES = (
    Operation.WRITE_REGISTER,
    Operation.WRITE_MEMORY,
    Operation.FILL_MEMORY,
    Operation.RESET,
)
"""Operations that are not done again when their request is repeated."""


class BoardStatus(IntEnum):
    """How a request ended."""

    OK = 0
    BAD_OPERATION = 1
    """No ``Operation``."""
    BAD_LENGTH = 2
    """Count zero, beyond ``MAX_PAYLOAD``, no multiple, or not the payload's length."""
    BAD_ADDRESS = 3
    """Not aligned, or outside the memory."""
    BUS_ERROR = 4
    """A register answered with an error; those before it have been written or read."""


REQUEST = data.StructLayout(
    {
        "sequence": unsigned(8),
        "operation": unsigned(8),
        "count": unsigned(16),
        "address": unsigned(32),
    }
)
REQUEST_BYTES = 8

HELLO = data.StructLayout(
    {
        "magic": unsigned(32),
        "log2_memory": unsigned(8),
        "unused": unsigned(24),
        "clock_hz": unsigned(32),
        "baud": unsigned(32),
    }
)
"""Payload of the answer to HELLO."""
