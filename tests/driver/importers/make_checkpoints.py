"""Small checkpoints written by PyTorch, and what PyTorch computes with them.

    python -m tests.driver.importers.make_checkpoints           writes checkpoints/
    python -m tests.driver.importers.make_checkpoints --check   recomputes and compares

Modules have the parameter names that public implementations give theirs; they are built of
PyTorch's own layers, nothing of `golden`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

CHECKPOINTS = Path(__file__).parent / "checkpoints"
ITEMS = 16


class Reference(nn.Module):
    """Names of the public DLRM reference."""

    def __init__(
        self, rows: list[int], bottom: list[int], top: list[int], interaction: str
    ) -> None:
        super().__init__()
        self.interaction = interaction
        width = bottom[-1]
        vectors = len(rows) + 1
        inputs = vectors * width
        if interaction == "dot":
            inputs = width + vectors * (vectors - 1) // 2
        self.emb_l = nn.ModuleList(nn.EmbeddingBag(n, width, mode="sum") for n in rows)
        self.bot_l = mlp(bottom, nn.ReLU)
        self.top_l = mlp([inputs, *top], nn.Sigmoid)

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = self.bot_l(dense)
        offsets = torch.arange(len(ids))
        vectors = torch.stack(
            [x, *(table(ids[:, t], offsets) for t, table in enumerate(self.emb_l))], dim=1
        )
        if self.interaction == "dot":
            products = torch.bmm(vectors, vectors.transpose(1, 2))
            pairs = [(i, j) for i in range(vectors.shape[1]) for j in range(i)]
            columns = [products[:, i, j] for i, j in pairs]
            joined = torch.cat([x, torch.stack(columns, dim=1)], dim=1)
        else:
            joined = vectors.flatten(1)
        return self.top_l[:-1](joined)[:, 0]  # the logit, before the sigmoid


def mlp(sizes: list[int], last: Callable[[], nn.Module]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU() if k < len(sizes) - 2 else last()]
    return nn.Sequential(*layers)


class Perceptron(nn.Module):
    """A layer with TorchRec's name."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self._linear = nn.Linear(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self._linear(x))


class Perceptrons(nn.Module):
    def __init__(self, sizes: list[int]) -> None:
        super().__init__()
        self._mlp = nn.Sequential(
            *(Perceptron(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self._mlp(x)
        return out


class TorchRec(nn.Module):
    """Names and pair order of TorchRec's DLRM."""

    def __init__(self, rows: dict[str, int], dense: list[int], over: list[int]) -> None:
        super().__init__()
        width, vectors = dense[-1], len(rows) + 1
        inputs = width + vectors * (vectors - 1) // 2
        bags = nn.ModuleDict({k: nn.EmbeddingBag(n, width, mode="sum") for k, n in rows.items()})
        self.sparse_arch = nn.Module()
        self.sparse_arch.embedding_bag_collection = nn.Module()
        self.sparse_arch.embedding_bag_collection.embedding_bags = bags
        self.dense_arch = nn.Module()
        self.dense_arch.model = Perceptrons(dense)
        self.over_arch = nn.Module()
        self.over_arch.model = nn.Sequential(
            Perceptrons([inputs, *over[:-1]]), nn.Linear(over[-2], over[-1])
        )
        self.bags = [bags[key] for key in rows]

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = self.dense_arch.model(dense)
        rows = [table(ids[:, t : t + 1]) for t, table in enumerate(self.bags)]
        vectors = torch.stack([x, *rows], dim=1)
        i, j = torch.triu_indices(vectors.shape[1], vectors.shape[1], offset=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2))[:, i, j]
        out: torch.Tensor = self.over_arch.model(torch.cat([x, products], dim=1))[:, 0]
        return out


class NeuMfByName(nn.Module):
    """A NeuMF with the given names; `{}` of a table's name is for user or item."""

    def __init__(
        self, mf: str, mlp_table: str, layers: str, last: str, dropout: bool, mlp_first: bool
    ) -> None:
        super().__init__()
        users, items, width, sizes = 11, 17, 6, [16, 10, 4]
        self.names = [mf.format("user"), mf.format("item")]
        self.names += [mlp_table.format("user"), mlp_table.format("item")]
        for name, rows, columns in zip(
            self.names, [users, items] * 2, [width] * 2 + [sizes[0] // 2] * 2, strict=True
        ):
            self.add_module(name, nn.Embedding(rows, columns))
        steps: list[nn.Module] = []
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            steps += [nn.Dropout(0.0)] * dropout + [nn.Linear(inputs, outputs), nn.ReLU()]
        self.add_module(layers, nn.Sequential(*steps))
        self.add_module(last, nn.Linear(width + sizes[-1], 1))
        self.layers, self.last, self.mlp_first = layers, last, mlp_first

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        rows = [getattr(self, name)(ids[:, t]) for t, name in enumerate(self.names)]
        branches = [rows[0] * rows[1], getattr(self, self.layers)(torch.cat(rows[2:], dim=1))]
        joined = torch.cat(branches[::-1] if self.mlp_first else branches, dim=1)
        out: torch.Tensor = getattr(self, self.last)(joined)[:, 0]
        return out


def cases() -> Iterator[tuple[str, nn.Module, list[int], int, Callable[[nn.Module], Any]]]:
    """Name, module, rows of its tables, dense features, and what of it is saved."""

    def plain(module: nn.Module) -> Any:
        return module.state_dict()

    rows = [7, 3, 12, 5]
    yield "reference-dot", Reference(rows, [13, 8, 4], [6, 1], "dot"), rows, 13, plain
    yield "reference-cat", Reference(rows, [13, 8, 4], [6, 5, 1], "cat"), rows, 13, plain
    kaggle = list(range(3, 29))
    small = Reference(kaggle, [13, 64, 4], [64, 1], "dot")
    yield "rmsmall-training", small, kaggle, 13, training
    half = Reference(rows, [13, 8, 4], [6, 1], "dot").bfloat16().float()
    yield "bfloat16", half, rows, 13, lambda m: {k: v.bfloat16() for k, v in m.state_dict().items()}
    names = {"t_cat_0": 7, "t_cat_1": 3, "t_cat_2": 12, "t_cat_3": 5}
    rec = TorchRec(names, [5, 6, 4], [9, 6, 1])
    yield "torchrec", rec, rows, 5, plain
    four = [11, 17, 11, 17]
    yield (
        "neumf-embed",
        NeuMfByName("embed_{}_GMF", "embed_{}_MLP", "MLP_layers", "predict_layer", True, False),
        four, 0, plain,
    )  # fmt: skip
    yield (
        "neumf-affine",
        NeuMfByName(
            "embedding_{}_mf", "embedding_{}_mlp", "fc_layers", "affine_output", False, True
        ),
        four, 0, plain,
    )  # fmt: skip
    yield (
        "neumf-mlperf",
        NeuMfByName("mf_{}_embed", "mlp_{}_embed", "mlp", "final", False, False),
        four, 0, lambda m: nn.DataParallel(m).state_dict(),
    )  # fmt: skip


def training(module: nn.Module) -> Any:
    """A checkpoint of a training script: state dict, optimiser, and figures of NumPy."""
    optimiser = torch.optim.Adagrad(module.parameters(), lr=0.1)
    return {
        "epoch": 1,
        "state_dict": module.state_dict(),
        "test_acc": np.float64(0.78),
        "opt_state_dict": optimiser.state_dict(),
        "arguments": argparse.Namespace(seed=1),
    }


def compute() -> Iterator[tuple[str, bytes, dict[str, NDArray[Any]]]]:
    """Each case: name, bytes of the checkpoint, inputs and logits."""
    torch.manual_seed(5)
    torch.set_num_threads(1)
    for name, module, rows, dense_features, saved in cases():
        dense = torch.log1p(torch.randint(0, 1000, (ITEMS, dense_features)).float())
        ids = torch.stack([torch.randint(0, n, (ITEMS,)) for n in rows], dim=1)
        if dense_features == 0:
            ids[:, 2:] = ids[:, :2]
        with torch.no_grad():
            logits = module(dense, ids)
        buffer = io.BytesIO()
        torch.save(saved(module), buffer)
        arrays = {"dense": dense.numpy(), "ids": ids.numpy().astype(np.uint32)}
        yield name, buffer.getvalue(), arrays | {"logits": logits.numpy()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    CHECKPOINTS.mkdir(exist_ok=True)
    for name, checkpoint, arrays in compute():
        if not check:
            (CHECKPOINTS / f"{name}.pt").write_bytes(checkpoint)
            members: dict[str, Any] = dict(arrays)
            np.savez_compressed(CHECKPOINTS / f"{name}.npz", **members)
            continue
        with np.load(CHECKPOINTS / f"{name}.npz") as committed:
            for key, values in arrays.items():
                np.testing.assert_allclose(values, committed[key], rtol=1e-5, atol=1e-6)
        fresh = torch.load(io.BytesIO(checkpoint), weights_only=False)
        old = torch.load(CHECKPOINTS / f"{name}.pt", weights_only=False)
        for key, tensor in fresh.get("state_dict", fresh).items():
            torch.testing.assert_close(old.get("state_dict", old)[key], tensor)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
