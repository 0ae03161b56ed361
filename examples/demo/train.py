"""Train the demo models with PyTorch and write the shipped files.

    python -m examples.demo.train data       writes the shipped queries and calibration items
    python -m examples.demo.train ship       the same, then trains and writes one of each model
    python -m examples.demo.train seeds      five seeds of RMsmall and RMlarge, held-out NDCG
    python -m examples.demo.train validate   trains one of each, quality on the validation items

One core, one to three minutes a model. Settings were chosen on the validation items; the held-out
items serve only for the figures in README.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from examples.demo.evaluate import (
    CALIBRATION_FILE,
    HELD_OUT_QUERIES,
    QUERIES_FILE,
    Stream,
    model_file,
    popularity_scores,
    query_ndcg,
    score_all,
)
from examples.demo.generate import PARAMETERS, Teacher, table_rows
from examples.demo.torch_model import TorchModel
from golden.dataset import Dataset, save_dataset
from golden.model import Model, named_shape
from golden.model_files import save_model
from golden.quality import auc

SHIPPED_QUERIES = 128
CALIBRATION_ITEMS = 8192
VALIDATION_QUERIES = 60
SEEDS = 5
STUDENT_T = 2.776
"""97.5 % quantile for four degrees of freedom."""
BATCH = 1024
TABLE_DECAY = 5e-5
SETTINGS = {"RMsmall": (6e-3, 3), "RMmed": (4e-3, 3), "RMlarge": (2e-3, 2)}
"""Highest learning rate, passes over the training items."""


def train(name: str, data: Dataset, *, seed: int) -> Model:
    """Adam with a one-cycle learning rate; on one machine the same seed gives the same model."""
    rate, passes = SETTINGS[name]
    torch.manual_seed(seed)
    network = TorchModel(named_shape(name, rows=table_rows()))
    dense = torch.from_numpy(data.dense)
    ids = torch.from_numpy(data.ids.astype(np.int64))
    labels = torch.from_numpy(data.labels.astype(np.float32))
    optimiser = torch.optim.Adam(
        [
            {"params": [*network.bottom.parameters(), *network.top.parameters()]},
            # Rows that are seldom seen would otherwise learn the noise of their few labels.
            {"params": network.tables.parameters(), "weight_decay": TABLE_DECAY},
        ],
        lr=rate,
        fused=True,
    )
    batches = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, rate, total_steps=passes * batches, pct_start=0.1
    )
    loss_of = torch.nn.BCEWithLogitsLoss()
    for _ in range(passes):
        order = torch.randperm(len(labels))
        for batch in order[: batches * BATCH].split(BATCH):
            loss = loss_of(network(dense[batch], ids[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.export()


def timed_training(name: str, data: Dataset, seed: int) -> Model:
    start = time.perf_counter()
    model = train(name, data, seed=seed)
    print(f"{name} seed {seed}: trained in {time.perf_counter() - start:.0f} s", flush=True)
    return model


def write_data(teacher: Teacher, folder: Path) -> None:
    """Write the first held-out queries and the calibration items."""
    held_out, _ = teacher.items(HELD_OUT_QUERIES * PARAMETERS.query_items, stream=Stream.HELD_OUT)
    count = SHIPPED_QUERIES * PARAMETERS.query_items
    part = Dataset(
        counts=held_out.counts[:count],
        ids=held_out.ids[:count],
        labels=held_out.labels[:count],
        query_items=held_out.query_items,
    )
    save_dataset(folder / QUERIES_FILE, part)
    calibration, _ = teacher.items(CALIBRATION_ITEMS, stream=Stream.CALIBRATION)
    save_dataset(folder / CALIBRATION_FILE, calibration)


def ship(teacher: Teacher, folder: Path) -> None:
    """Write data, and one trained model of each shape."""
    write_data(teacher, folder)
    data, _ = teacher.items(PARAMETERS.train_items, stream=Stream.TRAIN)
    for name in SETTINGS:
        save_model(folder / model_file(name), timed_training(name, data, 0), storage="float16")
    total = sum(path.stat().st_size for path in folder.glob("*.npz"))
    print(f"shipped files: {total / 1e6:.2f} MB")


def validate(teacher: Teacher) -> None:
    """Quality on the validation items, for choosing settings."""
    data, _ = teacher.items(PARAMETERS.train_items, stream=Stream.TRAIN)
    items, _ = teacher.items(VALIDATION_QUERIES * PARAMETERS.query_items, stream=Stream.VALIDATION)
    for name in SETTINGS:
        scores = score_all(timed_training(name, data, 0), items)
        quality = query_ndcg(scores, items).mean()
        print(f"{name}: validation NDCG {quality:.4f}, AUC {auc(scores, items.labels):.4f}")


def seeds(teacher: Teacher) -> None:
    """Held-out NDCG@16 over five seeds of the small and the large model."""
    data, _ = teacher.items(PARAMETERS.train_items, stream=Stream.TRAIN)
    items, probability = teacher.items(
        HELD_OUT_QUERIES * PARAMETERS.query_items, stream=Stream.HELD_OUT
    )
    means: dict[str, NDArray[np.float64]] = {}
    for name in ("RMsmall", "RMlarge"):
        means[name] = np.array(
            [
                query_ndcg(score_all(timed_training(name, data, seed), items), items).mean()
                for seed in range(SEEDS)
            ]
        )
    random = np.random.default_rng(0).random(len(items.labels))
    print("\n| ranking | " + " | ".join(f"seed {s}" for s in range(SEEDS)) + " | mean |")
    print("| --- |" + " --- |" * (SEEDS + 1))
    for name, values in means.items():
        cells = " | ".join(f"{v:.4f}" for v in values)
        print(f"| {name} | {cells} | {values.mean():.4f} |")
    gain = means["RMlarge"] - means["RMsmall"]
    half = STUDENT_T * gain.std(ddof=1) / np.sqrt(SEEDS)
    cells = " | ".join(f"{v:.4f}" for v in gain)
    print(f"| RMlarge - RMsmall | {cells} | {gain.mean():.4f} ± {half:.4f} (95 %) |")
    print(f"\ntrue click probability: {query_ndcg(probability, items).mean():.4f}")
    print(f"popularity: {query_ndcg(popularity_scores(data, items), items).mean():.4f}")
    print(f"random order: {query_ndcg(random, items).mean():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo models")
    parser.add_argument("what", choices=["data", "ship", "seeds", "validate"])
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parent, help="folder of the files"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    teacher = Teacher()
    if arguments.what == "data":
        write_data(teacher, arguments.out)
    elif arguments.what == "ship":
        ship(teacher, arguments.out)
    elif arguments.what == "seeds":
        seeds(teacher)
    else:
        validate(teacher)


if __name__ == "__main__":
    main()
