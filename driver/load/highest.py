"""The highest load whose tail latency meets a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from .arrivals import Arrivals, Trace
from .simulate import QUERIES, LoadResult, simulate, sizes_of
from .sizes import Sizes
from .stations import Station, saturation

__all__ = ["HighestLoad", "highest_load"]

_TOLERANCE = 0.005
"""Of the rate."""
_IDLE = 1e-4
"""Of saturation: a load at which queries meet nobody."""


@dataclass(frozen=True)
class HighestLoad:
    """The search's answer."""

    rate: float
    """Queries a second; the next rate tried, at most 0.5 % higher, misses the target."""
    result: LoadResult
    """At that rate."""
    saturation: float
    """Queries a second that the busiest station can do at all."""
    limited_by: str
    """That station."""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "rate": self.rate,
            "saturation": self.saturation,
            "limited_by": self.limited_by,
            "result": self.result.as_json(),
        }


def highest_load(
    stations: Sequence[Station],
    arrivals: Arrivals,
    sizes: Sizes | None,
    *,
    sla_s: float,
    percentile: float = 99.0,
    queries: int = QUERIES,
    seed: int = 1,
) -> HighestLoad:
    """Find the highest rate at which a percentile of the latency is at most ``sla_s``.

    By bisection; every rate sees the same random numbers, so the latency rises with the rate.

    Parameters
    ----------
    arrivals
        The law; its own rate does not matter.

    Raises
    ------
    UserError
        No rate meets the target: the message says the nearest latency, that of an idle system.
        What `simulate` refuses; stations without a queue, which have no highest load.
    """

    def at(rate: float) -> LoadResult:
        return simulate(
            stations, arrivals.at_rate(rate), sizes, queries=queries, seed=seed, sla_s=sla_s
        )

    def meets(result: LoadResult) -> bool:
        return result.stable and result.percentile(percentile).value <= sla_s

    count = min(queries, len(arrivals.seconds)) if isinstance(arrivals, Trace) else queries
    drawn = sizes_of(arrivals, sizes).items(np.random.default_rng([seed, 1]), count)
    most, name = saturation(stations, drawn, seed)
    if not np.isfinite(most):
        raise UserError("no station has a queue: any load meets the target or none does")
    best = at(most * _IDLE)
    if not meets(best):
        nearest = best.percentile(percentile).value
        raise UserError(
            f"no load meets an SLA of {1e3 * sla_s:g} ms at p{percentile:g}: "
            f"an idle system needs {1e3 * nearest:.4g} ms"
        )
    low, high = most * _IDLE, most
    while high - low > _TOLERANCE * high:
        middle = (low + high) / 2
        result = at(middle)
        if meets(result):
            low, best = middle, result
        else:
            high = middle
    return HighestLoad(low, best, most, name)
