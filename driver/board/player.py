"""Plays a job on a board: what the simulator's ``bench_main`` does over its pins, over a line."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

from sim.job import Job, JobResult

from .errors import BoardError
from .link import Link

__all__ = ["load_image", "play"]

_ZEROS = 64
"""Zero bytes in a row that are cheaper to fill than to send."""
_RUN = re.compile(rb"\x00{%d,}" % _ZEROS)
_STUCK_S = 120.0
"""A wait without any change of what is waited for."""


def _pieces(image: bytes) -> list[tuple[int, int, bool]]:
    """Ranges of the image as (start, end, all zero); zero ranges begin and end at words."""
    found: list[tuple[int, int, bool]] = []
    at = 0
    for run in _RUN.finditer(image):
        start, end = -(-run.start() // 8) * 8, run.end() // 8 * 8
        if start > at:
            found.append((at, start, False))
        found.append((start, end, True))
        at = end
    if at < len(image):
        found.append((at, len(image), False))
    return found


def load_image(link: Link, image: bytes, progress: Callable[[str], None]) -> None:
    """Write ``image`` to device memory from address 0.

    Raises
    ------
    BoardError
        It is larger than the memory; or the line failed.
    """
    if len(image) > link.memory_bytes:
        raise BoardError(f"{len(image)} bytes do not fit the board's memory of {link.memory_bytes}")
    pieces = _pieces(image)
    total = sum(end - start for start, end, zero in pieces if not zero)
    done, shown = 0, time.monotonic()
    for start, end, zero in pieces:
        if zero:
            link.zero_memory(start, end - start)
            continue
        for at in range(start, end, 1 << 14):
            part = image[at : min(end, at + (1 << 14))]
            link.write_memory(at, part)
            done += len(part)
            if time.monotonic() - shown > 5:
                progress(f"  {done} of {total} bytes")
                shown = time.monotonic()


class _Player:
    """Plays steps and collects what they bring. The host has no clock of the device: no cycles."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.values: dict[str, int] = {}
        self.memory: dict[str, bytes] = {}

    def play(self, step: dict[str, Any]) -> None:
        words = dict(step)
        getattr(self, words.pop("op"))(**words)

    def write(self, address: int, data: int) -> None:
        self.link.write_register(address, data)

    def read(self, address: int, key: str) -> None:
        self.values[key] = self.link.read_register(address)

    def wait_interrupt(self, timeout: int) -> None:
        end = time.monotonic() + _STUCK_S
        while not self.link.wait_interrupt():
            if time.monotonic() > end:
                raise BoardError(f"no interrupt for {_STUCK_S:g} s")

    def wait_register(
        self,
        address: int,
        value: int,
        mask: int,
        at_least: bool,
        interval: int | None,
        clear: list[int] | None,
        timeout: int,
    ) -> None:
        changed, last = time.monotonic(), -1
        while True:
            found = self.link.read_register(address) & mask
            if found == value or (at_least and found > value):
                return
            if found != last:
                changed, last = time.monotonic(), found
            if time.monotonic() - changed > _STUCK_S:
                raise BoardError(
                    f"register {address:#x} stays {found:#x} for {_STUCK_S:g} s, not {value:#x}"
                )
            if interval is None and self.link.wait_interrupt() and clear is not None:
                self.link.write_register(*clear)

    def memory_write(self, address: int, data: str) -> None:
        self.link.write_memory(address, bytes.fromhex(data))

    def memory_read(self, address: int, count: int, key: str) -> None:
        self.memory[key] = self.link.read_memory(address, count)

    def dump(self, address: int, count: int, key: str) -> None:
        self.memory[key] = self.link.read_memory(address, count)

    def idle(self, cycles: int) -> None:
        time.sleep(cycles / self.link.clock_hz)

    def reset(self) -> None:
        self.link.reset()


def play(link: Link, job: Job) -> JobResult:
    """Reset the device and play the job's steps; the result has no cycles.

    Raises
    ------
    BoardError
        The line failed, the board refused, or a wait saw no progress.
    """
    player = _Player(link)
    link.reset()
    for step in job.steps:
        player.play(step)
    return JobResult(values=player.values, memory=player.memory, cycles=[], outstanding=0)
