"""The cocotb test that keeps a board's bench alive behind a pseudo terminal.

Runs inside the simulator's process. Files in the current folder: ``line.json`` in
(``LineSettings``); ``port`` out, the terminal's name, as soon as bytes can be sent. The simulation
ends when a file ``stop`` is there; ``error`` says why it ended earlier.
"""

from __future__ import annotations

import json
import os
import random
import select
import time
import tty
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import Timer

from sim.line import LineSettings

_CHUNK = 64
_STEP_NS = 10_000
"""Simulated time between two looks at the terminal."""
_ROOM = 1 << 13
_IDLE_STEPS = 2000
"""Looks without a byte either way after which the simulation goes at a walk."""
_FORGOTTEN_S = 900.0
"""Nobody has said anything for so long: the other side is gone."""


class _Line:
    """Bytes between the terminal and the bench."""

    def __init__(self, bench: Any, terminal: int, settings: LineSettings) -> None:
        self._bench, self._terminal, self._settings = bench, terminal, settings
        self._rng = random.Random(settings.seed)
        self._put, self._got = 0, 0
        self._pending = bytearray()
        self._from_host = 0

    def _garble(self, data: bytes) -> bytes:
        if not self._settings.faults:
            return data
        out = bytearray()
        for byte in data:
            if self._rng.random() >= self._settings.faults:
                out.append(byte)
                continue
            kind = self._rng.randrange(3)
            if kind:
                out += bytes([byte, byte] if kind == 1 else [byte ^ 1 << self._rng.randrange(8)])
        return bytes(out)

    def receive(self) -> None:
        """Take what the host has sent, as far as the bench has room."""
        if len(self._pending) > _ROOM:
            return
        try:
            data = os.read(self._terminal, 4096)
        except BlockingIOError:
            return
        self._from_host += len(data)
        limit = self._settings.deaf_after
        if limit is None or self._from_host <= limit:
            self._pending += self._garble(data)

    async def exchange(self) -> bool:
        """Move bytes both ways; whether there were any."""
        self.receive()
        bench = self._bench
        moved = bool(self._pending)
        while self._pending and bench.host_free.value.to_unsigned() >= _CHUNK:
            part, self._pending = self._pending[:_CHUNK], self._pending[_CHUNK:]
            bench.host_put_data.value = int.from_bytes(part, "little")
            bench.host_put_count.value = len(part)
            self._put ^= 1
            bench.host_put.value = self._put
            await Timer(1, "ns")
        count = bench.host_got.value.to_unsigned() - self._got
        while count:
            bench.host_get.value = self._got
            await Timer(1, "ns")
            part = bench.host_get_data.value.to_bytes(byteorder="little")[: min(count, _CHUNK)]
            self._got += len(part)
            count -= len(part)
            self._send(self._garble(part))
            moved = True
        return moved

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._terminal, data) :]
            except BlockingIOError:
                return  # nobody reads: a line forgets as well


async def _run(bench: Any, line: _Line, terminal: int) -> None:
    idle = _IDLE_STEPS
    heard = time.monotonic()
    while not bench.host_failed.value:
        if await line.exchange():
            idle, heard = 0, time.monotonic()
        else:
            idle += 1
        if idle >= _IDLE_STEPS:
            select.select([terminal], [], [], 0.02)
            if Path("stop").exists():
                return
            if time.monotonic() - heard > _FORGOTTEN_S:
                raise TimeoutError("nobody has used the line for long")
        await Timer(_STEP_NS, "ns")
    raise RuntimeError("the board broke a rule of its SDRAM, see the simulation's log")


@cocotb.test
async def serve_line(bench: Any) -> None:
    """Open the terminal and pass bytes until told to stop."""
    settings = LineSettings(**json.loads(Path("line.json").read_text()))
    terminal, client = os.openpty()
    tty.setraw(client)
    os.set_blocking(terminal, False)
    await Timer(1, "us")
    part = Path("port.part")
    part.write_text(os.ttyname(client))
    part.rename("port")
    try:
        await _run(bench, _Line(bench, terminal, settings), terminal)
    except Exception as error:
        Path("error").write_text(str(error))
        raise
    finally:
        os.close(client)
        os.close(terminal)
