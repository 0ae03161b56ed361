"""DLRM in PyTorch, only for training: the same arithmetic as `golden.float_model`."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from golden.model import DenseLayer, Function, Model, ModelShape

__all__ = ["TorchModel"]


class TorchModel(nn.Module):
    """Bottom MLP, one embedding of all tables end to end, interaction, top MLP; returns logits."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self.shape = shape
        self.bottom = self._linears(shape.bottom)
        self.top = self._linears(shape.top_sizes)
        self.tables = nn.Embedding(sum(shape.rows), shape.width)
        nn.init.normal_(self.tables.weight, std=0.3 / shape.width**0.5)
        first = np.concatenate([[0], np.cumsum(shape.rows)[:-1]])
        self.register_buffer("first_row", torch.from_numpy(first))
        lower = torch.tril_indices(shape.vectors, shape.vectors, offset=-1)
        self.register_buffer("lower", lower)

    @staticmethod
    def _linears(sizes: tuple[int, ...]) -> nn.ModuleList:
        linears = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:], strict=False))
        for linear in linears:
            nn.init.xavier_normal_(cast(nn.Linear, linear).weight)
            nn.init.zeros_(cast(nn.Linear, linear).bias)
        return linears

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = dense
        for linear in self.bottom:
            x = torch.relu(linear(x))
        vectors = torch.cat([x[:, None], self.tables(ids + self.first_row)], dim=1)
        if self.shape.interaction == "dot":
            products = torch.bmm(vectors, vectors.transpose(1, 2))
            i, j = cast(torch.Tensor, self.lower)
            x = torch.cat([x, products[:, i, j]], dim=1)
        else:
            x = vectors.flatten(1)
        for k, linear in enumerate(self.top):
            x = linear(x)
            if k < len(self.top) - 1:
                x = torch.relu(x)
        return x[:, 0]

    def export(self) -> Model:
        """The weights as a golden model."""

        def layers(linears: nn.ModuleList, last: Function) -> tuple[DenseLayer, ...]:
            return tuple(
                DenseLayer(
                    weight=cast(nn.Linear, linear).weight.detach().numpy().copy(),
                    bias=cast(nn.Linear, linear).bias.detach().numpy().copy(),
                    function=last if k == len(linears) - 1 else "relu",
                )
                for k, linear in enumerate(linears)
            )

        rows = self.tables.weight.detach().numpy().copy()
        ends = np.cumsum(self.shape.rows)[:-1]
        return Model(
            shape=self.shape,
            bottom=layers(self.bottom, "relu"),
            tables=tuple(np.ascontiguousarray(table) for table in np.split(rows, ends)),
            top=layers(self.top, "none"),
        )
