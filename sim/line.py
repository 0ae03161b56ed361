"""What a simulated serial line does to the bytes on it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LineSettings"]


@dataclass(frozen=True)
class LineSettings:
    """Faults of the line, for tests."""

    faults: float = 0.0
    """Probability that a byte is lost, or changed, or doubled; each way."""
    seed: int = 1
    deaf_after: int | None = None
    """Bytes from the host after which the line is dead."""
