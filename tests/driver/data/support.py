"""Small log files for tests."""

from __future__ import annotations

import numpy as np

__all__ = ["criteo_line", "criteo_lines"]


def criteo_line(random: np.random.Generator) -> list[str]:
    """Fields of a line: missing values, negative counts, long counts, short and upper-case ids."""
    counts = [str(int(random.geometric(0.02)) - 2) for _ in range(13)]
    counts[3] = str(int(random.integers(0, 1 << 32)))
    ids = [f"{int(random.integers(0, 1 << 32)):08x}" for _ in range(26)]
    ids[2] = ids[2].upper()
    ids[5] = ids[5][: int(random.integers(1, 9))]
    fields = [str(int(random.random() < 0.3)), *counts, *ids]
    return [fields[0]] + ["" if random.random() < 0.1 else text for text in fields[1:]]


def criteo_lines(count: int, seed: int = 1) -> list[str]:
    """Well-formed lines without their newlines."""
    random = np.random.default_rng(seed)
    return ["\t".join(criteo_line(random)) for _ in range(count)]
