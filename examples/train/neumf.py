"""Train a NeuMF on MovieLens ratings and write a checkpoint that `rpaccel import` reads.

    python -m examples.train.neumf --data ratings.dat --model movielens1m-small --out small.pt

Each user's latest rating is held out. Every other rating is a positive example, beside
`--negatives` items drawn anew in each pass from those that the user never rated. `--resume` goes on
from the checkpoint to the same result. One core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from driver.data.lines import BadLines
from driver.data.movielens import Ratings, leave_one_out, read_movielens
from driver.errors import UserError
from examples.train.loop import Batch, train
from examples.train.modules import NeuMf
from golden.neumf import NEUMF_SHAPES

BLOCK = 1 << 16


def examples(
    ratings: Ratings, negatives: int, batch: int, seed: int, number: int
) -> Iterator[list[Batch]]:
    """Positive and negative examples of a pass in blocks."""
    training = ~leave_one_out(ratings)
    users = ratings.users[training].astype(np.int64)
    items = ratings.items[training].astype(np.int64)
    count = len(ratings.item_ids)
    rated = np.sort(ratings.users.astype(np.int64) * count + ratings.items)
    order = np.random.default_rng([seed, number]).permutation(len(users))
    for block, chosen in enumerate(np.split(order, range(BLOCK, len(order), BLOCK))):
        random = np.random.default_rng([seed, number, block])
        who = np.repeat(users[chosen], 1 + negatives)
        what = random.integers(0, count, len(who))
        while True:  # draw again what the user has rated, the held-out item among it
            key = who * count + what
            place = np.minimum(np.searchsorted(rated, key), len(rated) - 1)
            wrong = rated[place] == key
            if not wrong.any():
                break
            what[wrong] = random.integers(0, count, int(wrong.sum()))
        labels = np.zeros(len(who), np.float32)
        labels[:: 1 + negatives] = 1
        what[:: 1 + negatives] = items[chosen]
        shuffled = torch.from_numpy(random.permutation(len(who)))
        tensors = [torch.from_numpy(values)[shuffled] for values in (who, what, labels)]
        parts = zip(*(tensor.split(batch) for tensor in tensors), strict=True)
        yield [((user, item), label) for user, item, label in parts]


def main(words: Sequence[str] | None = None, *, stop_after: int | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a NeuMF")
    parser.add_argument("--data", type=Path, required=True, help="ratings.dat or ratings.csv")
    parser.add_argument("--model", choices=list(NEUMF_SHAPES), required=True)
    parser.add_argument("--out", type=Path, required=True, help="checkpoint")
    parser.add_argument("--negatives", type=int, default=4, help="negative examples a positive one")
    parser.add_argument("--passes", type=int, default=10)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    bad = BadLines()
    ratings = read_movielens(arguments.data, bad)
    if bad.text:
        print(bad.text)
    mf, mlp = NEUMF_SHAPES[arguments.model]
    module = NeuMf(len(ratings.user_ids), len(ratings.item_ids), mf, mlp)
    optimiser = torch.optim.Adam(module.parameters(), arguments.rate)

    def blocks(number: int) -> Iterator[list[Batch]]:
        return examples(ratings, arguments.negatives, arguments.batch, arguments.seed, number)

    train(
        module, [optimiser], blocks, passes=arguments.passes, out=arguments.out,
        resume=arguments.resume, stop_after=stop_after,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"neumf: {error}") from None
