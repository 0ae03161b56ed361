"""A job: what the host does in one simulation, as data that crosses the process boundary.

The process that prepares a run builds a ``Job``; the simulator's process plays it (`bench_main`)
and writes the results. Each step's cycle is recorded, so that latencies are exact.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Job", "JobResult"]

DEFAULT_TIMEOUT = 10_000_000
"""Cycles after which a wait is an error."""


@dataclass(frozen=True)
class JobResult:
    """What a run brought back."""

    values: dict[str, int]
    """Registers read, by key."""
    memory: dict[str, bytes]
    """Memory read or dumped, by key."""
    cycles: list[int]
    """Cycle at which each step of the job was done (for a register: was accepted)."""
    outstanding: int
    """AXI requests not answered when the job ended."""


@dataclass
class Job:
    """Steps in order. Every method appends one and returns its number in ``JobResult.cycles``."""

    steps: list[dict[str, Any]] = field(default_factory=list)

    def _add(self, op: str, **words: Any) -> int:
        self.steps.append({"op": op, **words})
        return len(self.steps) - 1

    def write(self, address: int, data: int) -> int:
        """Write a register."""
        return self._add("write", address=address, data=data)

    def read(self, address: int, key: str) -> int:
        """Read a register into ``values[key]``."""
        return self._add("read", address=address, key=key)

    def wait_interrupt(self, *, timeout: int = DEFAULT_TIMEOUT) -> int:
        """Sleep until the interrupt pin is high."""
        return self._add("wait_interrupt", timeout=timeout)

    def wait_register(
        self,
        address: int,
        value: int,
        *,
        mask: int = 0xFFFFFFFF,
        at_least: bool = False,
        interval: int | None = None,
        clear: tuple[int, int] | None = None,
        timeout: int = DEFAULT_TIMEOUT,
    ) -> int:
        """Read a register until ``(register & mask) == value``, or ``>= value`` with `at_least`.

        Between reads the host sleeps until the interrupt, or `interval` cycles when given; after an
        interrupt it writes `clear` (address, data), if given, before it reads again.
        """
        return self._add(
            "wait_register", address=address, value=value, mask=mask, at_least=at_least,
            interval=interval, clear=clear, timeout=timeout,
        )  # fmt: skip

    def memory_write(self, address: int, data: bytes) -> int:
        """Write a few bytes of device memory, at once."""
        return self._add("memory_write", address=address, data=data.hex())

    def memory_read(self, address: int, count: int, key: str) -> int:
        """Read a few bytes of device memory into ``memory[key]``, at once."""
        return self._add("memory_read", address=address, count=count, key=key)

    def dump(self, address: int, count: int, key: str) -> int:
        """Read much device memory into ``memory[key]``, at once; whole memory words."""
        return self._add("dump", address=address, count=count, key=key)

    def idle(self, cycles: int) -> int:
        """Sleep."""
        return self._add("idle", cycles=cycles)

    def reset(self) -> int:
        """Pull the reset pin. Every job begins with one."""
        return self._add("reset")

    def to_json(self) -> str:
        """The steps as text."""
        return json.dumps(self.steps)
