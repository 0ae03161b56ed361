"""What can go wrong on the way to an FPGA."""

from __future__ import annotations

__all__ = ["SynthesisError"]


class SynthesisError(ValueError):
    """A tool is missing or stopped, or a device, unit or value is not one that there is."""
