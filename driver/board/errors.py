"""What a board can do wrong."""

from __future__ import annotations

from sim.errors import SimulationError

__all__ = ["BoardError"]


class BoardError(SimulationError):
    """The board or its line failed; nothing that it said counts. Exit status 1, as a failed run."""
