"""What certainly does not fit, known from the description before any synthesis."""

from __future__ import annotations

from hdl.census import Census

from .devices import Device

__all__ = ["early_excess"]

_RAM_BITS = {"ecp5": 18_432, "ice40": 4_096, "xc7": 36_864, "xcup": 36_864, "cyclonev": 10_240}
"""Bits of a block RAM."""
_LUT_BITS = {"ecp5": 16, "ice40": 0, "xc7": 64, "xcup": 64, "cyclonev": 32}
"""Bits of memory in a LUT, as if all of them could be memory."""
_MULTIPLIER = {"ecp5": (18, 18), "ice40": (16, 16), "xc7": (25, 18), "xcup": (27, 18)}
"""Operand widths of a multiplier block; Cyclone V's holds several narrow ones."""
_LEAST_BITS = 8
"""A narrower multiplication may become logic."""


def early_excess(census: Census, device: Device) -> tuple[str, ...]:
    """Resources of which ``census`` needs more than ``device`` has, whatever synthesis does.

    Lower bounds: memories by their bits, once each, all LUTs taken for memory too; multiplications
    by the blocks that their operands need.
    """
    found = []
    bits = device.brams * _RAM_BITS[device.family] + device.luts * _LUT_BITS[device.family]
    if census.memory_bits > bits:
        found.append(
            f"memory bits: {census.memory_bits} of {bits} in block RAMs and LUTs, "
            f"{census.memory_bits - bits} too many"
        )
    if device.family in _MULTIPLIER:
        wide, narrow = _MULTIPLIER[device.family]
        blocks = sum(
            -(-m.wide // wide) * -(-m.narrow // narrow) * count
            for m, count in census.multipliers.items()
            if m.narrow >= _LEAST_BITS
        )
        if blocks > device.dsps:
            found.append(f"dsps: {blocks} of {device.dsps}, {blocks - device.dsps} too many")
    return tuple(found)
