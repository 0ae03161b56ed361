"""DLRM models in float32: shape, weights, named shapes, a seeded random builder.

A model is a bottom MLP over the dense features, one embedding table per sparse feature, an
interaction of the dense vector with the embedding vectors, and a top MLP that ends in one logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "CRITEO_KAGGLE_ROWS",
    "DENSE_FEATURES",
    "DenseLayer",
    "Function",
    "Interaction",
    "Model",
    "ModelShape",
    "SHAPES",
    "named_shape",
    "random_model",
    "with_rows",
]

Interaction = Literal["dot", "cat"]
Function = Literal["none", "relu", "sigmoid", "tanh"]

DENSE_FEATURES = 13
CRITEO_KAGGLE_ROWS = (
    1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194, 27, 14992,
    5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572,
)  # fmt: skip
"""Rows of the 26 tables of the Criteo Kaggle data set."""


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of one ranking model.

    Raises
    ------
    ValueError
        A size is not positive, or the sizes contradict each other; names field and value.
    """

    name: str
    width: int
    """d: length of an embedding vector and of the dense vector."""
    bottom: tuple[int, ...]
    """Sizes of the bottom MLP with its input: (13, 64, 4). The last one equals `width`."""
    top: tuple[int, ...]
    """Output sizes of the top MLP, without its input: (64, 1). The last one is 1, the logit."""
    rows: tuple[int, ...]
    """Rows of each embedding table, in the order of the sparse features."""
    interaction: Interaction = "dot"

    def __post_init__(self) -> None:
        for field in ("bottom", "top", "rows"):
            sizes = tuple(int(size) for size in getattr(self, field))
            object.__setattr__(self, field, sizes)
            if any(size < 1 for size in sizes):
                raise ValueError(f"{field} of {self.name} must be positive sizes, not {sizes}")
        if len(self.bottom) < 2 or self.bottom[-1] != self.width:
            raise ValueError(
                f"bottom of {self.name} must end in the vector width {self.width}, "
                f"not {self.bottom}"
            )
        if not self.top or self.top[-1] != 1:
            raise ValueError(f"top of {self.name} must end in 1 (the logit), not {self.top}")
        if not self.rows:
            raise ValueError(f"rows of {self.name} must name at least one table")
        if self.interaction not in ("dot", "cat"):
            raise ValueError(
                f"interaction of {self.name} must be 'dot' or 'cat', not {self.interaction!r}"
            )

    @property
    def dense_features(self) -> int:
        return self.bottom[0]

    @property
    def sparse_features(self) -> int:
        """Number of embedding tables."""
        return len(self.rows)

    @property
    def vectors(self) -> int:
        """Vectors of the interaction: the dense vector, then one per table."""
        return self.sparse_features + 1

    @property
    def pairs(self) -> int:
        """Dot products of the interaction `dot`."""
        return self.vectors * (self.vectors - 1) // 2

    @property
    def interaction_width(self) -> int:
        """Inputs of the top MLP."""
        if self.interaction == "dot":
            return self.width + self.pairs
        return self.vectors * self.width

    @property
    def top_sizes(self) -> tuple[int, ...]:
        """Sizes of the top MLP with its input, as `bottom` has them."""
        return (self.interaction_width, *self.top)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of both MLPs for one item (dot products not counted)."""
        return sum(
            inputs * outputs
            for sizes in (self.bottom, self.top_sizes)
            for inputs, outputs in zip(sizes, sizes[1:], strict=False)
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class DenseLayer:
    """`function(x @ weight.T + bias)`."""

    weight: NDArray[np.float32]
    """[outputs, inputs]"""
    bias: NDArray[np.float32]
    """[outputs]"""
    function: Function


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """A trained model in float32.

    Raises
    ------
    ValueError
        An array does not have the size its shape asks for, or holds NaN or infinity.
    """

    shape: ModelShape
    bottom: tuple[DenseLayer, ...]
    tables: tuple[NDArray[np.float32], ...]
    """One [rows, width] array per sparse feature."""
    top: tuple[DenseLayer, ...]
    """The last layer has function "none": its output is the logit, which orders as the CTR does."""

    def __post_init__(self) -> None:
        for part, layers, sizes in (
            ("bottom", self.bottom, self.shape.bottom),
            ("top", self.top, self.shape.top_sizes),
        ):
            if len(layers) != len(sizes) - 1:
                raise ValueError(f"{part} must have {len(sizes) - 1} layers, not {len(layers)}")
            for i, layer in enumerate(layers):
                _check(f"{part}.{i}.weight", layer.weight, (sizes[i + 1], sizes[i]))
                _check(f"{part}.{i}.bias", layer.bias, (sizes[i + 1],))
        if len(self.tables) != self.shape.sparse_features:
            raise ValueError(
                f"tables must be {self.shape.sparse_features} arrays, not {len(self.tables)}"
            )
        for i, (table, rows) in enumerate(zip(self.tables, self.shape.rows, strict=True)):
            _check(f"tables.{i}", table, (rows, self.shape.width))


def _check(name: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(
            f"{name} must be float32 of shape {shape}, not {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")


SHAPES: dict[str, tuple[int, tuple[int, ...], tuple[int, ...]]] = {
    "RMsmall": (4, (13, 64, 4), (64, 1)),
    "RMmed": (16, (13, 64, 16), (64, 1)),
    "RMlarge": (32, (13, 512, 256, 128, 64, 32), (96, 1)),
}
"""Named model shapes: width, bottom, top."""


def named_shape(
    name: str,
    *,
    rows: Sequence[int] = CRITEO_KAGGLE_ROWS,
    interaction: Interaction = "dot",
    max_rows: int | None = None,
) -> ModelShape:
    """Shape of a reference model; `max_rows` caps every table.

    Raises
    ------
    ValueError
        Unknown name; the message lists the known ones.
    """
    try:
        width, bottom, top = SHAPES[name]
    except KeyError:
        raise ValueError(f"unknown model {name!r}; known models: {', '.join(SHAPES)}") from None
    capped = tuple(count if max_rows is None else min(count, max_rows) for count in rows)
    return ModelShape(
        name=name, width=width, bottom=bottom, top=top, rows=capped, interaction=interaction
    )


def random_model(shape: ModelShape, *, seed: int) -> Model:
    """Model with the initial distribution of the DLRM reference: normal weights, uniform rows."""
    random = np.random.default_rng(seed)

    def layers(sizes: tuple[int, ...], last: Function) -> tuple[DenseLayer, ...]:
        built = []
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:], strict=False)):
            spread = np.sqrt(2 / (inputs + outputs))
            built.append(
                DenseLayer(
                    weight=random.normal(0, spread, (outputs, inputs)).astype(np.float32),
                    bias=random.normal(0, np.sqrt(1 / outputs), outputs).astype(np.float32),
                    function=last if i == len(sizes) - 2 else "relu",
                )
            )
        return tuple(built)

    def table(rows: int) -> NDArray[np.float32]:
        # The reference draws from +-1/sqrt(rows), which makes big tables vanish in random models;
        # the vector width keeps dot products near 1 instead.
        bound = 1 / np.sqrt(shape.width)
        return cast(
            NDArray[np.float32],
            random.uniform(-bound, bound, (rows, shape.width)).astype(np.float32),
        )

    return Model(
        shape=shape,
        bottom=layers(shape.bottom, "relu"),
        tables=tuple(table(rows) for rows in shape.rows),
        top=layers(shape.top_sizes, "none"),
    )


def with_rows(model: Model, rows: Sequence[int]) -> Model:
    """Same model over tables of other row counts: row i is the old row i mod the old row count."""
    if len(rows) != model.shape.sparse_features:
        raise ValueError(f"rows must name {model.shape.sparse_features} tables, not {len(rows)}")
    return replace(
        model,
        shape=replace(model.shape, rows=tuple(rows)),
        tables=tuple(
            table[np.arange(count) % len(table)]
            for table, count in zip(model.tables, rows, strict=True)
        ),
    )
