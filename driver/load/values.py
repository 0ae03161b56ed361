"""What a backlog costs: the value of waiting work on one platform, by load.

A query on an accurate, slow path keeps the queries behind it waiting, and some of them miss their
target. How many depends on the backlog and on the load, and is the solution of a Markov decision
problem: the backlog, seen at Poisson arrivals, with the platform's paths as actions and correct
predictions inside the target as the reward. It is solved by policy iteration on a grid of
backlogs, once for each of a few loads, before any query comes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOADS", "BacklogValues", "backlog_values"]

LOADS = tuple(round(0.05 * step, 2) for step in range(1, 31))
"""Of what the platform's fastest path can do."""
_CELLS = 90
"""Of the grid of backlogs, from none to the target. Matrices of this size are below what a BLAS
starts threads for, which on a busy machine cost far more than they save."""
_FINER = 8
"""Lookups take the nearest point of a finer grid: interpolation would double a decision's time."""
_ROUNDS = 6
"""Of policy iteration; it has settled before."""

Grid = NDArray[np.float64]


@dataclass(frozen=True)
class BacklogValues:
    """Correct predictions still to come from the work's state right after a dispatch."""

    step_s: float
    """Of the backlog grid, that of the solution refined by interpolation."""
    by_load: list[list[float]]
    """[load, backlog]: relative to none. From none to the target, then the target's value once
    more for as many backlogs: a lookup needs no check."""


def _decay(load_rate: float, step: float, cells: int) -> Grid:
    """[x, w]: weights that turn values at backlogs w into the value a Poisson gap after x.

    G(x) = E[h(max(x - gap, 0))] with h linear between the points: G' = rate (h - G).
    """
    a = load_rate * step
    kept = float(np.exp(-a))
    near = 1 - (1 - kept) / a  # of the point itself
    far = (1 - kept) / a - kept  # of the point below
    weights = np.zeros((cells + 1, cells + 1))
    weights[0, 0] = 1.0
    for x in range(1, cells + 1):
        weights[x] = kept * weights[x - 1]
        weights[x, x - 1] += far
        weights[x, x] += near
    return weights


def backlog_values(
    latency: Grid, occupied: Grid, reward: Grid, *, sla_s: float, busy_s: float
) -> BacklogValues:
    """Solve for every load of `LOADS`.

    Parameters
    ----------
    latency, occupied, reward
        [path, size]: seconds to the result, seconds of the server, correct predictions; of typical
        query sizes, all equally likely.
    sla_s
        Target.
    busy_s
        Mean seconds of the fastest path: load 1 is one query in this time.
    """
    step = sla_s / _CELLS
    backlog = np.arange(_CELLS + 1) * step
    sizes = latency.shape[1]
    # [path, size, backlog]: where the dispatch leads, and whether it is in time.
    after = np.minimum((backlog + occupied[:, :, None]) / step, _CELLS)
    cell = np.minimum(after.astype(int), _CELLS - 1)
    part = after - cell
    late = backlog + latency[:, :, None] > sla_s * (1 + 1e-12)
    by_load = []
    ahead = np.zeros(_CELLS + 1)
    for load in LOADS:
        decay = _decay(load / busy_s, step, _CELLS)
        # The policy of the load before is nearly the right one.
        for _ in range(_ROUNDS):
            gain = reward[:, :, None] + (1 - part) * ahead[cell] + part * ahead[cell + 1]
            gain[late] = -np.inf
            best = gain.argmax(axis=0)  # [size, backlog]
            served = np.isfinite(gain.max(axis=0))
            moves, rewards = _policy(best, served, reward, cell, part)
            # Not `@`: a BLAS would start threads for this one.
            moves = np.einsum("bx,xa->ba", moves, decay)
            ahead_now = decay @ _relative(moves / sizes, rewards / sizes)
            settled = np.abs(ahead_now - ahead).max() <= 1e-9 * (1 + np.abs(ahead_now).max())
            ahead = ahead_now
            if settled:
                break
        at = (np.arange(2 * _CELLS * _FINER + 2) + 0.5) / _FINER
        by_load.append(np.interp(at, np.arange(_CELLS + 1), ahead - ahead[0]).tolist())
    return BacklogValues(step / _FINER, by_load)


def _policy(
    best: NDArray[np.intp],
    served: NDArray[np.bool_],
    reward: Grid,
    cell: NDArray[np.int_],
    part: Grid,
) -> tuple[Grid, Grid]:
    """[before, after] moves by dispatches and rewards of a policy, summed over sizes."""
    points = _CELLS + 1
    size, here = np.indices(best.shape)
    # A refused query leaves the backlog as it is.
    left = np.where(served, cell[best, size, here], np.minimum(here, _CELLS - 1))
    right = np.where(served, part[best, size, here], (here == _CELLS) * 1.0)
    at = here * points + left
    moves = np.zeros((points, points))
    np.add.at(moves.reshape(-1), at, 1 - right)
    np.add.at(moves.reshape(-1), at + 1, right)
    rewards: Grid = np.where(served, reward[best, size], 0.0).sum(axis=0)
    return moves, rewards


def _relative(moves: Grid, rewards: Grid) -> Grid:
    """Relative values of a policy: (I - P) h + g = r, h[0] = 0."""
    count = len(rewards)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = np.eye(count) - moves
    system[:count, count] = 1.0
    system[count, 0] = 1.0
    return np.asarray(np.linalg.solve(system, np.append(rewards, 0.0))[:count])
