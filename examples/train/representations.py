"""Train MP-Rec's four representations on one split of the demo data; quality in float and int8.

    python -m examples.train.representations --out representations.json

Table, DHE, select and hybrid see the same items in the same order, have the same MLPs and the same
settings, which were not tuned for any of them. AUC and accuracy (of logit > 0) of each held-out
query; means over queries and seeds with bootstrap intervals over queries, of the differences from
tables, too. One core. Each training's result is in the file as soon as there is one; the same
command goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from driver.bench.table import table_text
from driver.quality.metrics import bootstrap
from examples.demo.evaluate import HELD_OUT_QUERIES, Stream
from examples.demo.generate import PARAMETERS, Teacher, table_rows
from examples.train.runs import Runs
from golden import float_model, integer_model
from golden.dataset import Dataset
from golden.dhe import DheStack, float_code
from golden.encoders import random_stack
from golden.model import DenseLayer, Function, Model, ModelShape
from golden.mprec import account, embeddings_of
from golden.quality import auc
from golden.quantise import choose_dense_scale, quantise, quantise_dense
from golden.shape import REPRESENTATIONS, Representation

WIDTH = 16
BATCH = 2048
RATE = 4e-3
TABLE_DECAY = 5e-5
"""As the demo's models of this width."""
CALIBRATION_ITEMS = 4096
PART = 8192
"""Items that are scored at once."""

COLUMNS = {
    "representation": "representation",
    "bytes": "int8 bytes",
    "macs": "MACs/item",
    "auc": "AUC float",
    "auc_int8": "AUC int8",
    "accuracy": "accuracy float",
    "accuracy_int8": "accuracy int8",
    "gain": "AUC - tables', float",
    "gain_int8": "AUC - tables', int8",
}


def shape_of(representation: Representation, decoder: tuple[int, ...]) -> ModelShape:
    """MP-Rec's order of vectors, concatenated, between small MLPs."""
    rows = table_rows()
    embeddings = embeddings_of(representation, rows)
    decoded = {feature for source, feature in embeddings if source == "dhe"}
    return ModelShape(
        name=representation,
        width=WIDTH,
        bottom=(13, 64, WIDTH),
        top=(128, 64, 1),
        rows=rows,
        interaction="cat",
        embeddings=embeddings,
        decoders=tuple(decoder if f in decoded else () for f in range(len(rows))),
    )


def _linears(sizes: Sequence[int]) -> nn.ModuleList:
    linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
    for linear in linears:
        nn.init.xavier_normal_(cast(nn.Linear, linear).weight)
        nn.init.zeros_(cast(nn.Linear, linear).bias)
    return linears


def _exported(linears: nn.ModuleList, last: Function) -> tuple[DenseLayer, ...]:
    return tuple(
        DenseLayer(
            weight=cast(nn.Linear, linear).weight.detach().numpy().copy(),
            bias=cast(nn.Linear, linear).bias.detach().numpy().copy(),
            function=last if k == len(linears) - 1 else "relu",
        )
        for k, linear in enumerate(linears)
    )


class Network(nn.Module):
    """Tables, decoders (ReLU, none behind the last layer) or both, then a DLRM; returns logits.

    A decoder sees each id of a batch once. Codes of all rows are constants.
    """

    def __init__(self, shape: ModelShape, seed: int) -> None:
        super().__init__()
        self.shape = shape
        self.bottom, self.top = _linears(shape.bottom), _linears(shape.top_sizes)
        self.tables = nn.ModuleDict()
        for feature in shape.table_features:
            table = nn.Embedding(shape.rows[feature], shape.width)
            nn.init.normal_(table.weight, std=0.3 / shape.width**0.5)
            self.tables[str(feature)] = table
        self.decoders = nn.ModuleDict()
        self.stacks: dict[int, DheStack] = {}
        self.codes: dict[int, torch.Tensor] = {}
        for feature in shape.dhe_features:
            sizes = shape.decoders[feature]
            self.decoders[str(feature)] = _linears(sizes)
            stack = random_stack(sizes, seed=[seed, feature], last="none")
            self.stacks[feature] = stack
            every = np.arange(shape.rows[feature], dtype=np.uint32)
            self.codes[feature] = torch.from_numpy(float_code(stack.encoder, every))

    def _decode(self, feature: int, ids: torch.Tensor) -> torch.Tensor:
        distinct, place = torch.unique(ids, return_inverse=True)
        x = self.codes[feature][distinct]
        layers = cast(nn.ModuleList, self.decoders[str(feature)])
        for k, linear in enumerate(layers):
            x = linear(x)
            if k < len(layers) - 1:
                x = torch.relu(x)
        return x[place]

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = dense
        for linear in self.bottom:
            x = torch.relu(linear(x))
        vectors = [x]
        for source, feature in self.shape.embeddings:
            column = ids[:, feature]
            if source == "table":
                vectors.append(self.tables[str(feature)](column))
            else:
                vectors.append(self._decode(feature, column))
        x = torch.cat(vectors, dim=1)
        for k, linear in enumerate(self.top):
            x = linear(x)
            if k < len(self.top) - 1:
                x = torch.relu(x)
        return x[:, 0]

    def export(self) -> Model:
        """The weights as a golden model."""
        tables = []
        stacks: list[DheStack | None] = []
        for feature in range(len(self.shape.rows)):
            table = np.zeros((0, self.shape.width), np.float32)
            if str(feature) in self.tables:
                found = cast(nn.Embedding, self.tables[str(feature)])
                table = found.weight.detach().numpy().copy()
            tables.append(table)
            stack = self.stacks.get(feature)
            if stack is not None:
                layers = cast(nn.ModuleList, self.decoders[str(feature)])
                stack = replace(stack, decoder=_exported(layers, "none"))
            stacks.append(stack)
        return Model(
            shape=self.shape,
            bottom=_exported(self.bottom, "relu"),
            tables=tuple(tables),
            top=_exported(self.top, "none"),
            stacks=tuple(stacks) if self.stacks else (),
        )


def train(shape: ModelShape, data: Dataset, *, passes: int, seed: int) -> Model:
    """Adam with a one-cycle learning rate."""
    torch.manual_seed(seed)
    network = Network(shape, seed)
    dense = torch.from_numpy(data.dense)
    ids = torch.from_numpy(data.ids.astype(np.int64))
    labels = torch.from_numpy(data.labels.astype(np.float32))
    rest = [p for name, p in network.named_parameters() if not name.startswith("tables")]
    groups: list[dict[str, Any]] = [{"params": rest}]
    if len(network.tables):
        groups.append({"params": [*network.tables.parameters()], "weight_decay": TABLE_DECAY})
    optimiser = torch.optim.Adam(groups, lr=RATE, fused=True)
    batches = len(labels) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, RATE, total_steps=passes * batches, pct_start=0.1
    )
    loss_of = nn.BCEWithLogitsLoss()
    shuffled = torch.Generator().manual_seed(seed)  # the same order for every representation
    for _ in range(passes):
        order = torch.randperm(len(labels), generator=shuffled)
        for batch in order[: batches * BATCH].split(BATCH):
            loss = loss_of(network(dense[batch], ids[batch]), labels[batch])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    return network.export()


def scores_of(model: Model, data: Dataset, calibration: Dataset) -> dict[str, NDArray[Any]]:
    """Score of every item, in float and in integers."""
    scale = choose_dense_scale(calibration.dense)
    quantised = quantise(model, calibration.dense, calibration.ids, dense_scale=scale)
    exact, integer = [], []
    for first in range(0, len(data.labels), PART):
        part = slice(first, first + PART)
        dense, ids = data.dense[part], data.ids[part]
        exact.append(float_model.forward(model, dense, ids)["score"])
        given = quantise_dense(dense, scale)
        integer.append(integer_model.forward(quantised, given, ids)["score"])
    return {"": np.concatenate(exact), "_int8": np.concatenate(integer)}


def by_query(scores: NDArray[Any], data: Dataset) -> dict[str, NDArray[np.float64]]:
    """AUC and accuracy of each query."""
    shape = (-1, data.query_items)
    found, labels = scores.reshape(shape), data.labels.reshape(shape)
    return {
        "auc": np.array([auc(a, b) for a, b in zip(found, labels, strict=True)]),
        "accuracy": ((found > 0) == (labels > 0)).mean(axis=1),
    }


def _interval(values: NDArray[np.float64]) -> dict[str, float]:
    found = bootstrap(values.tolist(), seed=1)
    assert found is not None
    return found.json()


def _told(interval: dict[str, float]) -> str:
    return f"{interval['mean']:.4f} ({interval['low']:.4f} .. {interval['high']:.4f})"


def measure(
    *, decoder: tuple[int, ...], seeds: int, passes: int, items: int, queries: int, out: Path | None
) -> list[dict[str, Any]]:
    """Train what ``out`` does not hold yet; returns rows of the table."""
    runs = Runs(
        out,
        {"decoder": list(decoder), "passes": passes, "items": items, "queries": queries},
    )
    teacher = Teacher()
    data, _ = teacher.items(items, stream=Stream.TRAIN)
    held_out, _ = teacher.items(queries * PARAMETERS.query_items, stream=Stream.HELD_OUT)
    calibration, _ = teacher.items(CALIBRATION_ITEMS, stream=Stream.CALIBRATION)

    def run(representation: Representation, seed: int) -> dict[str, list[float]]:
        """One training: each measure of each held-out query."""
        start = time.perf_counter()
        model = train(shape_of(representation, decoder), data, passes=passes, seed=seed)
        print(f"{representation}, seed {seed}: {time.perf_counter() - start:.0f} s", flush=True)
        return {
            name + kind: values.tolist()
            for kind, scores in scores_of(model, held_out, calibration).items()
            for name, values in by_query(scores, held_out).items()
        }

    found: dict[Representation, list[dict[str, list[float]]]] = {r: [] for r in REPRESENTATIONS}
    for seed in range(seeds):  # a seed of each: what is there early can be compared
        for representation in REPRESENTATIONS:
            made = runs.get(f"{representation}.{seed}", partial(run, representation, seed))
            found[representation].append(made)
    rows = _rows(decoder, found)
    runs.write(rows=rows)
    return rows


def _rows(
    decoder: tuple[int, ...], found: dict[Representation, list[dict[str, list[float]]]]
) -> list[dict[str, Any]]:
    """Means over seeds, with intervals over queries."""
    rows: list[dict[str, Any]] = []
    means = {
        representation: {name: np.mean([run[name] for run in runs], axis=0) for name in runs[0]}
        for representation, runs in found.items()
    }
    for representation, values in means.items():
        shape = shape_of(representation, decoder)
        gains = {
            f"gain{kind}": _interval(values["auc" + kind] - means["table"]["auc" + kind])
            for kind in ("", "_int8")
        }
        rows.append(
            {
                "representation": representation,
                "macs": shape.macs,
                "bytes": account(shape, value_bytes=1)["bytes"],
                **{name: _interval(mean) for name, mean in values.items()},
                **gains,
                "auc_by_seed": [float(np.mean(run["auc"])) for run in found[representation]],
            }
        )
    return rows


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Quality of table, DHE, select and hybrid")
    parser.add_argument("--decoder", default=f"256-64-{WIDTH}", help="hashes, then layers")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--items", type=int, default=PARAMETERS.train_items, help="to train on")
    parser.add_argument("--queries", type=int, default=HELD_OUT_QUERIES, help="held out")
    parser.add_argument("--out", type=Path, help="JSON file of results")
    arguments = parser.parse_args(words)
    decoder = tuple(map(int, arguments.decoder.split("-")))
    if decoder[-1] != WIDTH:
        raise SystemExit(f"representations: the decoder must end in {WIDTH}, not {decoder[-1]}")
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # weights that decay towards zero are slow to multiply
    try:
        rows = measure(
            decoder=decoder, seeds=arguments.seeds, passes=arguments.passes,
            items=arguments.items, queries=arguments.queries, out=arguments.out,
        )  # fmt: skip
    except ValueError as error:
        raise SystemExit(f"representations: {error}") from error
    text = [{k: _told(v) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]
    print(table_text(COLUMNS, text))


if __name__ == "__main__":
    main()
