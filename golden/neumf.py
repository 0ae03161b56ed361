"""NeuMF in float32: the product of two short vectors beside an MLP over two longer ones.

`score = last . [user_mf * item_mf ; MLP([user_mlp ; item_mlp])] + bias`, ReLU after every layer of
the MLP. The score is the logit, which orders as its sigmoid does. There are no dense features; an
item of a query is a pair (user, item), the user the same for all items of one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from golden.embedding import check_ids
from golden.model import DenseLayer, check_array

__all__ = [
    "NEUMF_SHAPES",
    "NeuMf",
    "NeuMfShape",
    "TABLES",
    "forward_neumf",
    "named_neumf_shape",
    "random_neumf",
    "table_ids",
]

TABLES = ("user_mf", "item_mf", "user_mlp", "item_mlp")
"""The four tables, in the order of an item record's ids."""
MOVIELENS = {"movielens1m": (6040, 3706), "movielens20m": (138_493, 26_744)}
"""Users and items."""
NEUMF_SHAPES: dict[str, tuple[int, tuple[int, ...]]] = {
    "movielens1m-small": (128, (64, 32, 1)),
    "movielens1m-medium": (16, (800, 512, 256, 128, 64, 32, 1)),
    "movielens1m-large": (128, (1024, 512, 256, 128, 1)),
    "movielens20m-small": (1, (32, 1)),
    "movielens20m-medium": (16, (16, 512, 256, 128, 64, 32, 1)),
    "movielens20m-large": (64, (64, 2048, 512, 256, 128, 64, 1)),
}
"""Reference models: width of the product, sizes of the MLP with its input."""


@dataclass(frozen=True, kw_only=True)
class NeuMfShape:
    """Sizes of one NeuMF.

    Raises
    ------
    ValueError
        A size is not positive, or the MLP's input is not two equal vectors.
    """

    name: str
    mf: int
    """Length of the product of a user's and an item's vector."""
    mlp: tuple[int, ...]
    """Sizes of the MLP with its input: (64, 32, 1). Half of the first one is a vector's width."""
    users: int
    items: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "mlp", tuple(int(size) for size in self.mlp))
        for field in ("mf", "users", "items"):
            if int(getattr(self, field)) < 1:
                raise ValueError(
                    f"{field} of {self.name} must be positive, not {getattr(self, field)}"
                )
        if len(self.mlp) < 2 or min(self.mlp) < 1 or self.mlp[0] % 2:
            raise ValueError(
                f"mlp of {self.name} must be positive sizes, the first one even, not {self.mlp}"
            )

    @property
    def last_width(self) -> int:
        """Inputs of the last layer: the product, then the MLP's output."""
        return self.mf + self.mlp[-1]

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of the four tables."""
        return (self.users, self.items, self.users, self.items)

    @property
    def widths(self) -> tuple[int, ...]:
        """Values of a row of each of the four tables."""
        half = self.mlp[0] // 2
        return (self.mf, self.mf, half, half)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the MLP and the last layer for one item."""
        pairs = zip(self.mlp, self.mlp[1:], strict=False)
        return sum(inputs * outputs for inputs, outputs in pairs) + self.last_width


@dataclass(frozen=True, kw_only=True, eq=False)
class NeuMf:
    """A trained NeuMF in float32.

    Raises
    ------
    ValueError
        An array does not have the size its shape asks for, or holds NaN or infinity.
    """

    shape: NeuMfShape
    tables: tuple[NDArray[np.float32], ...]
    """One [rows, width] array for each of `TABLES`."""
    mlp: tuple[DenseLayer, ...]
    last: DenseLayer
    """[1, mf + mlp[-1]]: the product's inputs first."""

    def __post_init__(self) -> None:
        shape = self.shape
        if len(self.tables) != len(TABLES) or len(self.mlp) != len(shape.mlp) - 1:
            raise ValueError(
                f"a NeuMF must have {len(TABLES)} tables and {len(shape.mlp) - 1} MLP layers, "
                f"not {len(self.tables)} and {len(self.mlp)}"
            )
        sizes = zip(TABLES, self.tables, shape.rows, shape.widths, strict=True)
        for name, table, rows, width in sizes:
            check_array(f"tables.{name}", table, (rows, width))
        for i, layer in enumerate(self.mlp):
            check_array(f"mlp.{i}.weight", layer.weight, (shape.mlp[i + 1], shape.mlp[i]))
            check_array(f"mlp.{i}.bias", layer.bias, (shape.mlp[i + 1],))
        check_array("last.weight", self.last.weight, (1, shape.last_width))
        check_array("last.bias", self.last.bias, (1,))


def named_neumf_shape(
    name: str, *, users: int | None = None, items: int | None = None
) -> NeuMfShape:
    """Shape of a reference model such as `movielens1m-small`; users and items may be others.

    Raises
    ------
    ValueError
        Unknown name; the message lists the known ones.
    """
    if name not in NEUMF_SHAPES:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(NEUMF_SHAPES)}")
    mf, mlp = NEUMF_SHAPES[name]
    all_users, all_items = MOVIELENS[name.split("-")[0]]
    return NeuMfShape(name=name, mf=mf, mlp=mlp, users=users or all_users, items=items or all_items)


def random_neumf(shape: NeuMfShape, *, seed: int) -> NeuMf:
    """Seeded model whose branches weigh about the same in the score."""
    random = np.random.default_rng(seed)

    def normal(spread: float, *size: int) -> NDArray[np.float32]:
        return cast(NDArray[np.float32], random.normal(0, spread, size).astype(np.float32))

    pairs = zip(shape.mlp, shape.mlp[1:], strict=False)
    return NeuMf(
        shape=shape,
        tables=tuple(
            normal(1.0, rows, width) for rows, width in zip(shape.rows, shape.widths, strict=True)
        ),
        mlp=tuple(
            DenseLayer(
                weight=normal((2 / inputs) ** 0.5, outputs, inputs),
                bias=normal(0.1, outputs),
                function="relu",
            )
            for inputs, outputs in pairs
        ),
        last=DenseLayer(
            weight=normal(shape.last_width**-0.5, 1, shape.last_width),
            bias=normal(0.1, 1),
            function="none",
        ),
    )


def table_ids(ids: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Pairs (user, item) [n, 2] as an item record has them: one id for each of `TABLES`."""
    return ids[:, [0, 1, 0, 1]]


def forward_neumf(model: NeuMf, ids: NDArray[np.uint32]) -> dict[str, NDArray[np.float32]]:
    """Run the model on items.

    Parameters
    ----------
    model : NeuMf
    ids : uint32 [n, 4], see `table_ids`

    Returns
    -------
    Outputs in order of computation: `product` [n, mf], `interaction` [n, mlp[0]] (the MLP's input),
    `mlp.0` ..., `score` [n]: the logit.

    Raises
    ------
    ValueError
        Wrong number of ids, or an id out of range (`IdRangeError`).
    """
    check_ids(ids, model.shape.rows)
    rows = [table[ids[:, t]] for t, table in enumerate(model.tables)]
    outputs = {"product": rows[0] * rows[1], "interaction": np.concatenate(rows[2:], axis=1)}
    x = outputs["interaction"]
    for i, layer in enumerate(model.mlp):
        x = outputs[f"mlp.{i}"] = np.maximum(x @ layer.weight.T + layer.bias, 0)
    joined = np.concatenate([outputs["product"], x], axis=1)
    outputs["score"] = (joined @ model.last.weight.T + model.last.bias)[:, 0]
    return outputs
