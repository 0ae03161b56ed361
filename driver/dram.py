"""Named behaviours of device memory (``options.DRAM_MODES``), for simulation and timing model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sim.runner import Memory
from sim.timing import Dram, Ssd

__all__ = ["far_tables", "simulated_memory", "timing_memory"]

HOSTILE_LATENCY = 2000


def simulated_memory(mode: str) -> Memory:
    """Settings of the memory that is simulated beside the Verilog."""
    if mode == "fast":
        return Memory(latency=1, row_cycles=0, refresh_cycles=0)
    if mode == "hostile":
        return Memory(hostile=2, hostile_latency=HOSTILE_LATENCY)
    return Memory()


def far_tables(tables: Sequence[tuple[int, int]], room: int) -> tuple[tuple[int, int], ...]:
    """Ranges of the tables that do not fit ``room`` bytes of device memory, the smallest first.

    Parameters
    ----------
    tables
        Address and bytes of each.
    """
    far = []
    for base, size in sorted(tables, key=lambda table: table[1]):
        room -= size
        if room < 0:
            far.append((base, base + size))
    return tuple(sorted(far))


def timing_memory(mode: str, far: Sequence[tuple[int, int]] = ()) -> Dram:
    """Settings of the timing model's memory; ``far``: addresses that lie on an SSD."""
    dram = Dram(latency=1, row_cycles=0, refresh_cycles=0) if mode == "fast" else Dram()
    return replace(dram, ssd=Ssd(ranges=tuple(far))) if far else dram
