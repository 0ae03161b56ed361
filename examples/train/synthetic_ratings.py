"""Ratings in MovieLens' format with planted preferences, for trials without the real files.

    python -m examples.train.synthetic_ratings ratings.dat --users 600 --items 800

Users and items have hidden vectors of 6 normal numbers. A user rates 20 items and an exponential
number of mean 20 more (at most half of all), drawn without replacement with weights
exp(1.5 u . v / 6^0.5 + popularity), the popularity normal with spread 1; ratings are 3, 4 or 5, a
minute apart. The order of a user's ratings is random, so the last one follows the same taste as
the others and can be predicted from them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

HIDDEN = 6
TASTE = 1.5


def write_ratings(path: Path, *, users: int, items: int, seed: int = 1) -> None:
    """Write a file; ids count from 1."""
    random = np.random.default_rng(seed)
    taste = random.normal(size=(users, HIDDEN))
    kind = random.normal(size=(items, HIDDEN))
    popularity = random.normal(size=items)
    with path.open("w") as stream:
        for user in range(users):
            count = min(items // 2, 20 + int(random.exponential(20)))
            weight = np.exp(TASTE * kind @ taste[user] / HIDDEN**0.5 + popularity)
            chosen = random.choice(items, count, replace=False, p=weight / weight.sum())
            random.shuffle(chosen)
            start = int(random.integers(950_000_000, 1_000_000_000))
            for place, item in enumerate(chosen):
                rating = int(random.integers(3, 6))
                stream.write(f"{user + 1}::{item + 1}::{rating}::{start + 60 * place}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Write synthetic ratings")
    parser.add_argument("path", type=Path)
    parser.add_argument("--users", type=int, default=600)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    write_ratings(arguments.path, users=arguments.users, items=arguments.items, seed=arguments.seed)


if __name__ == "__main__":
    main()
