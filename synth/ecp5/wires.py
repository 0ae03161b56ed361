"""Nets of a netlist as arrays, for placement: half perimeters and the quadratic model of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

__all__ = ["MAX_PINS", "Coordinates", "Nets", "nets_of"]

Coordinates = NDArray[np.float64]
"""Column or row of every cell, in tiles."""

MAX_PINS = 300
"""Nets of more cells (clock, reset) are everywhere anyway."""

_NEAREST = 0.5
"""Cells nearer than this, in tiles, pull as if they were this far: the model divides by it."""


def nets_of(cells: Mapping[str, Any]) -> list[list[int]]:
    """Cells of every net that is worth a wire, as positions in ``cells``, ascending."""
    members: dict[int, set[int]] = defaultdict(set)
    for index, cell in enumerate(cells.values()):
        for bits in cell["connections"].values():
            for bit in bits:
                if isinstance(bit, int):  # constants are text
                    members[bit].add(index)
    return [sorted(net) for net in members.values() if 2 <= len(net) <= MAX_PINS]


class Nets:
    """Nets with two cells or more.

    Parameters
    ----------
    nets
        Cells of each.
    cells
        How many there are in all.
    """

    def __init__(self, nets: Sequence[Sequence[int]], cells: int) -> None:
        self.cells = cells
        self._sizes = np.array([len(net) for net in nets])
        self._pins = np.concatenate([np.asarray(net) for net in nets])
        """Cells, net after net."""
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]])
        self._net = np.repeat(np.arange(len(nets)), self._sizes)

    def length(self, place: Coordinates) -> float:
        """Sum of the nets' extents in one direction."""
        at = place[self._pins]
        ends = np.maximum.reduceat(at, self._starts) - np.minimum.reduceat(at, self._starts)
        return float(ends.sum())

    def pulls(self, place: Coordinates) -> tuple[Any, Coordinates]:
        """Matrix of a quadratic form that is ``length`` at ``place``, and its diagonal.

        Every cell of a net is tied to the net's two outermost ones, with a weight of one over the
        distance (bound-to-bound model: Spindler, Schlichtmann and Johannes, Kraftwerk2, 2008).
        """
        at = place[self._pins]
        order = np.lexsort((at, self._net))
        low = order[self._starts][self._net]
        high = order[self._starts + self._sizes - 1][self._net]
        pin = np.arange(len(at))
        inner = (pin != low) & (pin != high)
        ends = [np.concatenate([pin[pin != low], pin[inner]]),
                np.concatenate([low[pin != low], high[inner]])]  # fmt: skip
        weight = 1 / (self._sizes[self._net[ends[0]]] - 1)
        weight = weight / np.maximum(np.abs(at[ends[0]] - at[ends[1]]), _NEAREST)
        first, second = self._pins[ends[0]], self._pins[ends[1]]
        diagonal = np.zeros(self.cells)
        for pinned in (first, second):
            diagonal += np.bincount(pinned, weight, self.cells)
        rows, columns = np.concatenate([first, second]), np.concatenate([second, first])
        ties = sparse.coo_matrix(
            (-np.concatenate([weight, weight]), (rows, columns)), shape=(self.cells, self.cells)
        )
        return ties.tocsr() + sparse.diags(diagonal), diagonal

    def others(self, chosen: NDArray[np.intp]) -> tuple[NDArray[np.intp], ...]:
        """Nets of each chosen cell without the cell itself.

        Returns
        -------
        owners, pins, starts
            Net after net: the position in ``chosen`` it is for; its other cells from ``starts`` on.
        """
        position = np.full(self.cells, -1)
        position[chosen] = np.arange(len(chosen))
        mine = np.flatnonzero(position[self._pins] >= 0)
        sizes = self._sizes[self._net[mine]]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
        within = np.arange(sizes.sum()) - np.repeat(starts, sizes)
        pins = self._pins[np.repeat(self._starts[self._net[mine]], sizes) + within]
        keep = pins != np.repeat(self._pins[mine], sizes)
        first = np.concatenate([[0], np.cumsum(sizes - 1)[:-1]])
        return position[self._pins[mine]], pins[keep], first
