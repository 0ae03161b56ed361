"""What an engine does in a cycle: busy, or the one reason why it is not."""

from __future__ import annotations

from amaranth.lib import enum

__all__ = ["Cause"]


class Cause(enum.Enum, shape=3):
    """Every cycle of an engine is charged to exactly one of these."""

    IDLE = 0
    """No job held."""
    BUSY = 1
    """A row entered the array."""
    WEIGHTS = 2
    """The next tile is on its way from the weight bank into the array."""
    STREAM = 3
    """The next tile has not landed in the weight bank's ring."""
    DEPENDENCY = 4
    """The inputs of the next tile, or the last outputs of a phase, are still in the pipeline."""
    INPUT = 5
    """Dense inputs of a job are missing."""
    VECTORS = 6
    """The interaction of a job is not finished."""
    HASH = 7
    """Codes for a decoder are being made; only in devices with hash lanes."""
