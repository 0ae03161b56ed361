"""Places for block memories and multipliers, found before nextpnr places the logic around them.

Blocks have few sites, in rows far apart, and the whole device takes nine of ten memories. nextpnr's
electrostatic placer moves them to sites one after the other when it is nearly done, which makes all
wires twice as long, by luck of the seed more or less. Here everything is placed roughly, blocks all
at once by assignment; the logic's places are dropped.

::

    nets ---> solve ---> spread logic, assign blocks ---> solve, drawn there ---> ...
              (short wires, all in a heap)                (blocks fixed in the second half)

The first half alternates as SimPL does (Kim, Lee and Markov, 2010).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse.linalg import cg

from .sites import BLOCK_KINDS, Sites
from .spread import Box, spread
from .wires import Coordinates, Nets, nets_of

__all__ = ["place_blocks"]

_AREAS = {"LUT4": 1 / 8, "TRELLIS_FF": 0.05, "CCU2C": 2 / 8, "TRELLIS_DPR16X4": 6 / 8}
"""Of cells, in tiles of eight LUTs; most registers share a place with a LUT."""
_LEAST_AREA = 1e-4
_USABLE = 0.75
"""Of a tile's area, where there is room for it."""
_BORDER = 2
"""Tiles at the edges that hold no logic."""

_ROUGH, _FINE = 40, 25
"""Rounds with free and with fixed blocks; wires hardly become shorter with more."""
_DRAW = 0.01
"""Pull to a cell's spread place in the first round, and by how much it grows with each."""
_FINE_DRAW, _FINE_GROWTH = 0.15, 0.015
_START_ROUNDS, _START_DRAW = 4, 1e-4
_BLOCK_DRAW = 10
"""A block's pull to its site, times that of other cells."""
_STEPS = 60
"""Of the solver: its result need not be exact, the next round starts from it."""
_EXACTNESS = 1e-4


def place_blocks(
    cells: Mapping[str, Any], sites: Mapping[str, Sites], tiles: tuple[int, int], seed: int
) -> dict[str, str]:
    """Site of every block of a flat netlist; a minute or two for the whole device.

    Parameters
    ----------
    cells
        As in Yosys' JSON.
    sites
        From ``block_sites``; as many as there are blocks, or more.
    tiles
        Columns and rows of the die.
    seed
        Of the first places.
    """
    return _Placement(cells, sites, tiles, seed).run()


class _Blocks:
    """All blocks of one kind."""

    def __init__(self, cells: NDArray[np.intp], sites: Sites, nets: Nets) -> None:
        self.cells = cells
        self.sites = sites
        self._owners, self._pins, self._starts = nets.others(cells)

    def put(self, places: Sequence[Coordinates], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
        """Move the cells to the chosen sites."""
        for axis, place in enumerate(places):
            place[self.cells] = self.sites.positions[chosen, axis]
        return chosen

    def nearest(self, places: Sequence[Coordinates]) -> NDArray[np.intp]:
        """Sites with the least sum of distances to ``places`` of all cells."""
        distance = np.zeros((len(self.cells), len(self.sites.names)))
        for axis, place in enumerate(places):
            distance += np.abs(place[self.cells][:, None] - self.sites.positions[:, axis])
        return self._assign(distance)

    def shortest(self, places: Sequence[Coordinates]) -> NDArray[np.intp]:
        """Sites with the shortest nets, all other cells staying where they are."""
        length = np.zeros((len(self.cells), len(self.sites.names)))
        for axis, place in enumerate(places):
            where, of_site = np.unique(self.sites.positions[:, axis], return_inverse=True)
            at = place[self._pins]
            low = np.minimum.reduceat(at, self._starts)[:, None]
            high = np.maximum.reduceat(at, self._starts)[:, None]
            extents = np.zeros((len(self.cells), len(where)))
            np.add.at(extents, self._owners, np.maximum(high, where) - np.minimum(low, where))
            length += extents[:, of_site]
        return self._assign(length)

    @staticmethod
    def _assign(cost: NDArray[np.float64]) -> NDArray[np.intp]:
        chosen: NDArray[np.intp] = linear_sum_assignment(cost)[1]
        return chosen


class _Placement:
    """Places of all cells, round after round."""

    def __init__(
        self,
        cells: Mapping[str, Any],
        sites: Mapping[str, Sites],
        tiles: tuple[int, int],
        seed: int,
    ) -> None:
        self._names = list(cells)
        kinds = np.array([cell["type"] for cell in cells.values()])
        self._nets = Nets(nets_of(cells), len(kinds))
        self._kinds = [
            _Blocks(found, sites[kind], self._nets)
            for kind in BLOCK_KINDS
            if len(found := np.flatnonzero(kinds == kind))
        ]
        self._is_block = np.isin(kinds, list(BLOCK_KINDS))
        self._blocks, self._logic = np.flatnonzero(self._is_block), np.flatnonzero(~self._is_block)
        areas = np.full(len(kinds), _LEAST_AREA)
        for kind, area in _AREAS.items():
            areas[kinds == kind] = area
        self._areas = areas[self._logic]
        columns, rows = tiles
        self._box = Box(_BORDER, columns - _BORDER, _BORDER, rows - _BORDER)
        self._random = np.random.default_rng(seed)

    def run(self) -> dict[str, str]:
        """All rounds; the last assignment counts."""
        places, chosen = self._rough(), []
        for n in range(_FINE):
            chosen = [kind.put(places, kind.shortest(places)) for kind in self._kinds]
            draw = np.full(len(self._is_block), _FINE_DRAW + n * _FINE_GROWTH)
            targets = self._spread(places)
            places = [self._around(*each, draw) for each in zip(places, targets, strict=True)]
        return {
            self._names[cell]: kind.sites.names[site]
            for kind, taken in zip(self._kinds, chosen, strict=True)
            for cell, site in zip(kind.cells, taken, strict=True)
        }

    def _rough(self) -> list[Coordinates]:
        """The first half: places of all cells with the blocks free."""
        places = self._start()
        targets = self._spread(places)
        for axis, (low, high) in enumerate(self._box.sides):
            order = np.argsort(np.argsort(places[axis])) / len(self._is_block)
            targets[axis][self._blocks] = (low + order * (high - low))[self._blocks]
        for n in range(1, _ROUGH):
            for kind in self._kinds:
                kind.put(targets, kind.nearest(targets if n == 1 else places))
            draw = np.where(self._is_block, _BLOCK_DRAW, 1.0) * _DRAW * n
            places = [self._drawn(*each, draw) for each in zip(places, targets, strict=True)]
            targets = self._spread(places)
        return places

    def _start(self) -> list[Coordinates]:
        """Almost nothing holds the cells: a heap in the middle, but in the order of their nets."""
        places = []
        for low, high in self._box.sides:
            middle = np.full(len(self._is_block), (low + high) / 2)
            place = self._random.normal(middle, (high - low) / 10)
            for _ in range(_START_ROUNDS):
                place = self._drawn(place, middle, np.full(len(middle), _START_DRAW))
            places.append(place)
        return places

    def _spread(self, places: list[Coordinates]) -> list[Coordinates]:
        """Targets: logic with room for all of it; blocks where they are."""
        targets = [place.copy() for place in places]
        density = max(_USABLE, self._areas.sum() / self._box.area)
        column, row = (place[self._logic] for place in places)
        found = spread(column, row, self._areas, self._box, density)
        for target, place in zip(targets, found, strict=True):
            target[self._logic] = place
        return targets

    def _drawn(self, place: Coordinates, target: Coordinates, draw: Coordinates) -> Coordinates:
        """Short nets, every cell drawn to its target."""
        matrix, anchor = self._pulled(place, target, draw)
        return _solve(matrix, anchor * target, place)

    def _around(self, place: Coordinates, target: Coordinates, draw: Coordinates) -> Coordinates:
        """The same with the blocks fixed."""
        matrix, anchor = self._pulled(place, target, draw)
        rows = matrix[self._logic]
        right = (anchor * target)[self._logic] - rows[:, self._blocks] @ place[self._blocks]
        result = place.copy()
        result[self._logic] = _solve(rows[:, self._logic], right, place[self._logic])
        return result

    def _pulled(
        self, place: Coordinates, target: Coordinates, draw: Coordinates
    ) -> tuple[Any, Coordinates]:
        """Matrix of nets and draws, and the draws' part of its diagonal."""
        matrix, diagonal = self._nets.pulls(place)
        anchor = np.where(diagonal == 0, 1, draw / np.maximum(np.abs(place - target), 1))
        return (matrix + sparse.diags(anchor)).tocsr(), anchor


def _solve(matrix: Any, right: Coordinates, start: Coordinates) -> Coordinates:
    found, _ = cg(
        matrix, right, x0=start, rtol=_EXACTNESS, maxiter=_STEPS,
        M=sparse.diags(1 / matrix.diagonal()),
    )  # fmt: skip
    result: Coordinates = found
    return result
