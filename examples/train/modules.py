"""DLRM and NeuMF in PyTorch, with the parameter names that `rpaccel import` knows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

__all__ = ["Dlrm", "NeuMf"]


def _mlp(sizes: Sequence[int], *, last: bool) -> nn.Sequential:
    """Linear layers with ReLU between, and after the last one if asked for."""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(sizes, sizes[1:], strict=False):
        linear = nn.Linear(inputs, outputs)
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*(layers if last else layers[:-1]))


class Dlrm(nn.Module):
    """`emb_l`, `bot_l`, `top_l`; dot interaction; returns logits."""

    def __init__(self, rows: Sequence[int], bottom: Sequence[int], top: Sequence[int]) -> None:
        super().__init__()
        width, vectors = bottom[-1], len(rows) + 1
        self.emb_l = nn.ModuleList(
            nn.EmbeddingBag(count, width, mode="sum", sparse=True) for count in rows
        )
        for table in self.emb_l:
            nn.init.normal_(table.weight, std=0.3 / width**0.5)
        self.bot_l = _mlp(bottom, last=True)
        self.top_l = _mlp([width + vectors * (vectors - 1) // 2, *top], last=False)
        self.pairs = torch.tril_indices(vectors, vectors, offset=-1)

    def forward(self, dense: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        x = self.bot_l(dense)
        rows = [table(ids[:, t : t + 1]) for t, table in enumerate(self.emb_l)]
        vectors = torch.stack([x, *rows], dim=1)
        i, j = self.pairs
        products = torch.bmm(vectors, vectors.transpose(1, 2))[:, i, j]
        logits: torch.Tensor = self.top_l(torch.cat([x, products], dim=1))
        return logits[:, 0]


class NeuMf(nn.Module):
    """Product branch first in front of the last layer; returns logits."""

    def __init__(self, users: int, items: int, mf: int, mlp: Sequence[int]) -> None:
        super().__init__()
        self.embed_user_GMF = nn.Embedding(users, mf)
        self.embed_item_GMF = nn.Embedding(items, mf)
        self.embed_user_MLP = nn.Embedding(users, mlp[0] // 2)
        self.embed_item_MLP = nn.Embedding(items, mlp[0] // 2)
        for table in (self.embed_user_GMF, self.embed_item_GMF):
            nn.init.normal_(table.weight, std=0.1)
        for table in (self.embed_user_MLP, self.embed_item_MLP):
            nn.init.normal_(table.weight, std=0.1)
        self.MLP_layers = _mlp(mlp, last=True)
        self.predict_layer = nn.Linear(mf + mlp[-1], 1)

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        product = self.embed_user_GMF(users) * self.embed_item_GMF(items)
        joined = torch.cat([self.embed_user_MLP(users), self.embed_item_MLP(items)], dim=1)
        logits: torch.Tensor = self.predict_layer(
            torch.cat([product, self.MLP_layers(joined)], dim=1)
        )
        return logits[:, 0]
