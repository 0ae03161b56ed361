"""DLRM models in float32: shape, weights, named shapes, a seeded random builder.

A model is a bottom MLP over the dense features, one embedding table per sparse feature, an
interaction of the dense vector with the embedding vectors, and a top MLP that ends in one logit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from golden.criteo import CRITEO_KAGGLE_ROWS
from golden.dhe import DheStack
from golden.encoders import random_stack
from golden.layer import DenseLayer, Function
from golden.shape import Interaction, ModelShape

__all__ = [
    "DENSE_FEATURES",
    "DenseLayer",
    "Function",
    "Interaction",
    "Model",
    "ModelShape",
    "SHAPES",
    "check_array",
    "check_features",
    "named_shape",
    "random_model",
    "with_rows",
]

DENSE_FEATURES = 13


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
    """One [rows, width] array per sparse feature; [0, width] where it has no table."""
    top: tuple[DenseLayer, ...]
    """The last layer has function "none": its output is the logit, which orders as the CTR does."""
    stacks: tuple[DheStack | None, ...] = ()
    """One per sparse feature, None where it has no DHE vector. Default: none."""
    features: tuple[str, ...] = ()
    """Names of the sparse features, in their order. Default: C1, C2, ..., as Criteo's columns."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", check_features(self.shape, self.features))
        for part, layers, sizes in (
            ("bottom", self.bottom, self.shape.bottom_layers),
            ("top", self.top, self.shape.top_layers),
        ):
            if len(layers) != len(sizes):
                raise ValueError(f"{part} must have {len(sizes)} layers, not {len(layers)}")
            for i, (layer, (inputs, outputs)) in enumerate(zip(layers, sizes, strict=True)):
                check_array(f"{part}.{i}.weight", layer.weight, (outputs, inputs))
                check_array(f"{part}.{i}.bias", layer.bias, (outputs,))
        if len(self.tables) != self.shape.sparse_features:
            raise ValueError(
                f"tables must be {self.shape.sparse_features} arrays, not {len(self.tables)}"
            )
        for i, (table, rows) in enumerate(zip(self.tables, self.shape.rows, strict=True)):
            size = rows if self.shape.has_table(i) else 0
            check_array(f"tables.{i}", table, (size, self.shape.width))
        self._check_stacks()

    def _check_stacks(self) -> None:
        decoders = self.shape.decoders
        object.__setattr__(self, "stacks", self.stacks or (None,) * len(decoders))
        if len(self.stacks) != len(decoders):
            raise ValueError(f"stacks must be of {len(decoders)} features, not {len(self.stacks)}")
        for i, (stack, sizes) in enumerate(zip(self.stacks, decoders, strict=True)):
            found = stack.sizes if stack is not None else ()
            if found != sizes:
                raise ValueError(f"stacks.{i} must be of sizes {sizes}, not {found}")
            for n, layer in enumerate(stack.decoder if stack is not None else ()):
                check_array(f"stacks.{i}.{n}.weight", layer.weight, (sizes[n + 1], sizes[n]))
                check_array(f"stacks.{i}.{n}.bias", layer.bias, (sizes[n + 1],))


def check_array(name: str, array: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Require finite float32 values of this shape; raises ValueError that names the array."""
    if array.shape != shape or array.dtype != np.float32:
        raise ValueError(
            f"{name} must be float32 of shape {shape}, not {array.dtype} of shape {array.shape}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds NaN or infinity")


def check_features(shape: ModelShape, names: tuple[str, ...]) -> tuple[str, ...]:
    """`names`, or C1, C2, ... when there are none; raises ValueError unless one a feature."""
    names = tuple(names) or tuple(f"C{f + 1}" for f in range(shape.sparse_features))
    wrong = any(not isinstance(name, str) for name in names) or len(set(names)) != len(names)
    if wrong or len(names) != shape.sparse_features:
        raise ValueError(
            f"features must be {shape.sparse_features} different names, not {list(names)}"
        )
    return names


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
        tables=tuple(table(rows if shape.has_table(f) else 0) for f, rows in enumerate(shape.rows)),
        top=layers(shape.top_sizes, "none"),
        stacks=tuple(
            random_stack(sizes, seed=[seed, f]) if sizes else None
            for f, sizes in enumerate(shape.decoders)
        ),
    )


def with_rows(model: Model, rows: Sequence[int]) -> Model:
    """Same model over tables of other row counts: row i is the old row i mod the old row count."""
    if len(rows) != model.shape.sparse_features:
        raise ValueError(f"rows must name {model.shape.sparse_features} tables, not {len(rows)}")
    return replace(
        model,
        shape=replace(model.shape, rows=tuple(rows)),
        tables=tuple(
            table[np.arange(count) % len(table)] if len(table) else table
            for table, count in zip(model.tables, rows, strict=True)
        ),
    )
