"""How many items a query asks to rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

__all__ = ["FixedSize", "ListedSizes", "Lognormal", "Sizes"]


class Sizes(Protocol):
    """A law of query sizes."""

    def items(self, random: np.random.Generator, queries: int) -> NDArray[np.int64]:
        """Items of each query, at least 1."""
        ...


@dataclass(frozen=True)
class FixedSize:
    """Every query of the same size."""

    count: int

    def __post_init__(self) -> None:
        if self.count < 1:
            raise UserError(f"items of a query must be at least 1, not {self.count}")

    def items(self, random: np.random.Generator, queries: int) -> NDArray[np.int64]:
        """See `Sizes`."""
        return np.full(queries, self.count, np.int64)


@dataclass(frozen=True, kw_only=True)
class Lognormal:
    """Lognormal sizes of a given mean, rounded and clipped; the clips move the mean a little."""

    mean: float
    sigma: float = 0.5
    smallest: int = 1
    largest: int = 1 << 20

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and self.mean >= 1):
            raise UserError(f"mean items must be at least 1, not {self.mean}")
        if not 0 <= self.sigma <= 4:
            raise UserError(f"sigma of items must be in 0..4, not {self.sigma}")
        if not 1 <= self.smallest <= self.largest:
            raise UserError(
                f"items must be clipped to 1 <= smallest <= largest, not "
                f"{self.smallest}..{self.largest}"
            )

    def items(self, random: np.random.Generator, queries: int) -> NDArray[np.int64]:
        """See `Sizes`."""
        middle = math.log(self.mean) - self.sigma**2 / 2
        drawn = np.rint(random.lognormal(middle, self.sigma, queries))
        return np.clip(drawn, self.smallest, self.largest).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ListedSizes:
    """Sizes of a trace, from its start."""

    listed: NDArray[np.int64]

    def items(self, random: np.random.Generator, queries: int) -> NDArray[np.int64]:
        """See `Sizes`; UserError when the list is shorter."""
        if queries > len(self.listed):
            raise UserError(f"trace: {len(self.listed)} sizes for {queries} queries")
        return self.listed[:queries]
