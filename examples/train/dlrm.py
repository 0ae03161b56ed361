"""Train a DLRM on a click log and write a checkpoint in the names of the public reference.

    python -m examples.train.dlrm --data demo --model RMsmall --out rmsmall.pt
    python -m examples.train.dlrm --data train.txt --model RMlarge --max-rows 1000000 --out l.pt

`--data` takes Criteo text (one file, or one a day; the part of the end is left for evaluation, as
`rpaccel evaluate` leaves it), a data set file, or `demo`: the training items of the demo's
generator. Batches are drawn from blocks of 65536 items, shuffled by seed, pass and block; the file
is streamed. `--resume` goes on from the checkpoint to the same result. One core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from driver.data.criteo import read_criteo
from driver.data.lines import BadLines, time_split
from driver.data.vocabulary import HashedVocabulary
from driver.errors import UserError
from driver.files import read_dataset
from examples.demo.evaluate import Stream
from examples.demo.generate import PARAMETERS, Teacher, table_rows
from examples.train.loop import Batch, train
from examples.train.modules import Dlrm
from golden.dataset import Dataset, dense_values
from golden.model import ModelShape, named_shape

BLOCK = 1 << 16
Items = tuple[NDArray[np.float32], NDArray[np.uint32], NDArray[np.uint8]]


def criteo_items(paths: list[Path], rows: Sequence[int], share: float) -> Iterator[Items]:
    """The training part of Criteo text in blocks."""
    vocabulary = HashedVocabulary(tuple(rows))
    bad = BadLines()
    held: list[Items] = []
    count = 0
    for part in read_criteo(time_split(paths, share)[0], bad):
        held.append((dense_values(part.counts), vocabulary.ids(part.values), part.labels))
        count += len(part.labels)
        if count >= BLOCK:
            yield _join(held)
            held, count = [], 0
    if held:
        yield _join(held)
    if bad.text:
        print(bad.text)


def _join(parts: list[Items]) -> Items:
    dense, ids, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    return dense, ids, labels


def dataset_items(data: Dataset) -> Iterator[Items]:
    """A data set in blocks."""
    for first in range(0, len(data.labels), BLOCK):
        part = slice(first, first + BLOCK)
        yield data.inputs(part), data.ids[part], data.labels[part]


def batches_of(items: Items, size: int, seed: list[int]) -> list[Batch]:
    """A block in random order, cut into batches; the last one may be short."""
    order = np.random.default_rng(seed).permutation(len(items[2]))
    dense, ids, labels = (torch.from_numpy(part) for part in (
        items[0], items[1].astype(np.int64), items[2].astype(np.float32)
    ))  # fmt: skip
    return [
        ((dense[chosen], ids[chosen]), labels[chosen])
        for chosen in torch.from_numpy(order).split(size)
    ]


def shape_of(arguments: argparse.Namespace) -> ModelShape:
    """Sizes of the model to be trained."""
    rows = table_rows() if arguments.data == ["demo"] else None
    if rows is None:
        return named_shape(arguments.model, max_rows=arguments.max_rows)
    return named_shape(arguments.model, rows=rows)


def main(words: Sequence[str] | None = None, *, stop_after: int | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a DLRM")
    parser.add_argument("--data", nargs="+", required=True, help="demo, data set or Criteo text")
    parser.add_argument("--model", choices=["RMsmall", "RMmed", "RMlarge"], default="RMsmall")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint")
    parser.add_argument("--max-rows", type=int, default=100_000, help="cap on a table's rows")
    parser.add_argument("--share", type=float, default=1 / 7, help="share left for evaluation")
    parser.add_argument("--items", type=int, default=PARAMETERS.train_items, help="of the demo")
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=2e-3, help="learning rate of the MLPs")
    parser.add_argument("--table-rate", type=float, default=3e-2, help="and of the tables")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)
    torch.sparse.check_sparse_tensor_invariants.disable()  # said, or PyTorch warns of it
    torch.manual_seed(arguments.seed)
    shape = shape_of(arguments)
    module = Dlrm(shape.rows, shape.bottom, shape.top)
    optimisers: list[torch.optim.Optimizer] = [
        torch.optim.Adam([*module.bot_l.parameters(), *module.top_l.parameters()], arguments.rate),
        torch.optim.Adagrad(module.emb_l.parameters(), arguments.table_rate),
    ]
    stored: Dataset | None = None
    if arguments.data == ["demo"]:
        stored, _ = Teacher().items(arguments.items, stream=Stream.TRAIN)
    elif len(arguments.data) == 1 and arguments.data[0].endswith(".npz"):
        stored = read_dataset(arguments.data[0])

    def blocks(number: int) -> Iterator[list[Batch]]:
        if stored is not None:
            source = dataset_items(stored)
        else:
            source = criteo_items([Path(p) for p in arguments.data], shape.rows, arguments.share)
        for block, items in enumerate(source):
            yield batches_of(items, arguments.batch, [arguments.seed, number, block])

    train(
        module, optimisers, blocks, passes=arguments.passes, out=arguments.out,
        resume=arguments.resume, stop_after=stop_after,
    )  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        raise SystemExit(f"dlrm: {error}") from None
