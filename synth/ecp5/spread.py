"""Spreads logic over a die: cells keep their order and come as close as the room allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .wires import Coordinates

__all__ = ["Box", "spread"]

_FEW = 6
"""Cells that are no longer divided."""
_INSIDE = 1e-3
"""From the edge of their part, in tiles: what was moved belongs to one part."""


@dataclass(frozen=True)
class Box:
    """Rectangle in tiles."""

    left: float
    right: float
    low: float
    high: float

    @property
    def area(self) -> float:
        return (self.right - self.left) * (self.high - self.low)

    @property
    def sides(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.left, self.right), (self.low, self.high)

    @property
    def is_wide(self) -> bool:
        return self.right - self.left >= self.high - self.low

    def halves(self) -> tuple[Box, Box]:
        """Cut across the longer side."""
        if self.is_wide:
            cut = (self.left + self.right) / 2
            return replace(self, right=cut), replace(self, left=cut)
        cut = (self.low + self.high) / 2
        return replace(self, high=cut), replace(self, low=cut)


def spread(
    column: Coordinates, row: Coordinates, area: Coordinates, box: Box, density: float
) -> tuple[Coordinates, Coordinates]:
    """New places: no half of a half of ... of ``box`` holds more than ``density`` of its area.

    Halves are as in recursive bisection; the cut moves from the middle only as far as a full half
    makes it, so what is not crowded stays where it is. Where both halves are full they get equal
    areas.

    Parameters
    ----------
    column, row, area
        Of the cells; areas in tiles.
    """
    columns, rows = column.copy(), row.copy()
    stack = [(np.arange(len(column)), box)]
    while stack:
        cells, part = stack.pop()
        if len(cells) <= _FEW or part.area <= 1:
            columns[cells] = np.clip(column[cells], part.left + _INSIDE, part.right - _INSIDE)
            rows[cells] = np.clip(row[cells], part.low + _INSIDE, part.high - _INSIDE)
            continue
        key = (column if part.is_wide else row)[cells]
        order = np.argsort(key, kind="stable")
        lower, upper = part.halves()
        middle = lower.right if part.is_wide else lower.high
        natural = int(np.searchsorted(key[order], middle))
        count = _cut(np.cumsum(area[cells[order]]), natural, density * lower.area)
        for chosen, half in ((order[:count], lower), (order[count:], upper)):
            if len(chosen):
                stack.append((cells[chosen], half))
    return columns, rows


def _cut(areas: NDArray[np.float64], natural: int, capacity: float) -> int:
    """How many cells go to the lower half; ``areas`` are sums from the first cell on."""
    total = areas[-1]
    below = areas[natural - 1] if natural else 0.0
    if total > 2 * capacity:
        return int(np.searchsorted(areas, total / 2))
    if below > capacity:
        return int(np.searchsorted(areas, capacity))
    if total - below > capacity:
        return int(np.searchsorted(areas, total - capacity))
    return natural
