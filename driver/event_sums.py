"""Counters of the device against the sums of what its units told."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["compare_sums"]


def compare_sums(what: str, sums: Mapping[str, int], counters: Mapping[str, int]) -> str | None:
    """First counter that is not its events' sum, in words that begin with ``what``; or None."""
    for name, value in sums.items():
        if counters[name] != value:
            return f"{what}: {name} is {counters[name]}, the events' sum is {value}"
    return None
