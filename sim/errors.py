"""What can go wrong around a simulation: a run that failed, or a request that cannot be served."""

from __future__ import annotations

__all__ = ["SimulationError", "SimulatorError"]


class SimulationError(RuntimeError):
    """A build or run failed, ended early or checked nothing; the message names the log file."""


class SimulatorError(ValueError):
    """The request cannot be served: unknown or missing simulator. One line for the user."""
