"""Small ONNX models exported by PyTorch, and what PyTorch computes with them.

python -m tests.driver.importers.make_onnx           writes checkpoints/*.onnx
python -m tests.driver.importers.make_onnx --check   exports anew, imports, and compares
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn

from tests.driver.importers.make_checkpoints import CHECKPOINTS, ITEMS, mlp

ROWS, DENSE = [7, 3, 12], 5


class Exported(nn.Module):
    """A DLRM of plain embeddings; ids as one input or as one input a feature."""

    def __init__(self, interaction: str, upper: bool, last: bool) -> None:
        super().__init__()
        self.interaction, self.upper, self.last = interaction, upper, last
        width, vectors = 4, len(ROWS) + 1
        joined = width + vectors * (vectors - 1) // 2 if interaction == "dot" else vectors * width
        self.tables = nn.ModuleList(nn.Embedding(n, width) for n in ROWS)
        self.bottom = mlp([DENSE, 8, width], nn.ReLU)
        self.top = mlp([joined, 6, 1], nn.Sigmoid)
        make = torch.triu_indices if upper else torch.tril_indices
        self.pairs = make(vectors, vectors, offset=1 if upper else -1)

    def forward(self, dense: torch.Tensor, *ids: torch.Tensor) -> torch.Tensor:
        columns = ids if len(ids) > 1 else [ids[0][:, t] for t in range(len(ROWS))]
        x = self.bottom(dense)
        rows = [table(column) for table, column in zip(self.tables, columns, strict=True)]
        vectors = torch.stack([x, *rows], dim=1)
        if self.interaction == "dot":
            i, j = self.pairs
            products = torch.bmm(vectors, vectors.transpose(1, 2))[:, i, j]
            # The products first, which is another order than ours.
            joined = torch.cat([products, x] if self.upper else [x, products], dim=1)
        else:
            joined = vectors.flatten(1)
        logits: torch.Tensor = (self.top if self.last else self.top[:-1])(joined)
        return logits


def cases() -> Iterator[tuple[str, nn.Module, bool, bool]]:
    """Name, module, whether ids are one input, whether the exporter of TorchDynamo is used."""
    yield "dot-sigmoid", Exported("dot", False, True), True, False
    yield "dot-upper", Exported("dot", True, False), True, True
    yield "cat-inputs", Exported("cat", False, False), False, False


def export(module: nn.Module, whole: bool, dynamo: bool, path: Path) -> dict[str, NDArray[Any]]:
    """Write the ONNX file; returns inputs and outputs."""
    dense = torch.rand(ITEMS, DENSE) * 3
    ids = torch.stack([torch.randint(0, n, (ITEMS,)) for n in ROWS], dim=1)
    given = (ids,) if whole else tuple(ids[:, t] for t in range(len(ROWS)))
    names = ["dense", "ids"] if whole else ["dense", "id0", "id1", "id2"]
    module.eval()
    options: dict[str, Any] = {"opset_version": 17, "dynamo": False}
    options["dynamic_axes"] = {name: {0: "n"} for name in names}
    if dynamo:
        free = {0: torch.export.Dim("n", min=2)}
        options = {"dynamo": True, "external_data": False, "verbose": False}
        options["dynamic_shapes"] = {"dense": free, "ids": (free,) * len(given)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module, (dense, *given), str(path), input_names=names, output_names=["y"], **options
        )
    _strip(path)
    with torch.no_grad():
        outputs = module(dense, *given)[:, 0]
    return {"dense": dense.numpy(), "ids": ids.numpy().astype(np.uint32), "y": outputs.numpy()}


def _strip(path: Path) -> None:
    """Leave out where in this file each node comes from: names of folders of this machine."""
    model = onnx.load(str(path))
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    onnx.save(model, str(path))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    torch.manual_seed(7)
    with tempfile.TemporaryDirectory() as folder:
        for name, module, whole, dynamo in cases():
            path = (Path(folder) if check else CHECKPOINTS) / f"{name}.onnx"
            arrays: dict[str, Any] = dict(export(module, whole, dynamo, path))
            if not check:
                np.savez_compressed(CHECKPOINTS / f"{name}-onnx.npz", **arrays)
                continue
            from tests.driver.importers.test_onnx import compare

            np.savez(Path(folder) / f"{name}-onnx.npz", **arrays)
            compare(Path(folder), name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
