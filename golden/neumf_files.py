"""Files of NeuMF models in the container of `golden.files`.

Header of kind `neumf`: `shape`; arrays `tables.user_mf`, `tables.item_mf`, `tables.user_mlp`,
`tables.item_mlp`, `mlp.0.weight`, `mlp.0.bias`, ..., `last.weight`, `last.bias`, float32.
"""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.files import ModelFileError, read_archive, write_archive
from golden.model import DenseLayer
from golden.neumf import TABLES, NeuMf, NeuMfShape

__all__ = ["NEUMF_KIND", "load_neumf", "save_neumf"]

NEUMF_KIND = "neumf"


def save_neumf(path: str | os.PathLike[str], model: NeuMf) -> None:
    """Write a NeuMF."""
    arrays: dict[str, NDArray[Any]] = {
        f"tables.{name}": table for name, table in zip(TABLES, model.tables, strict=True)
    }
    layers = {f"mlp.{i}": layer for i, layer in enumerate(model.mlp)} | {"last": model.last}
    for name, layer in layers.items():
        arrays |= {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}
    write_archive(path, NEUMF_KIND, {"shape": asdict(model.shape)}, arrays)


def load_neumf(path: str | os.PathLike[str]) -> NeuMf:
    """Read a NeuMF.

    Raises
    ------
    ModelFileError
        Missing, damaged or foreign file, or arrays that do not fit the shape.
    """
    header, arrays = read_archive(path, NEUMF_KIND)

    def layer(name: str, last: bool) -> DenseLayer:
        return DenseLayer(
            weight=arrays[f"{name}.weight"].astype(np.float32),
            bias=arrays[f"{name}.bias"].astype(np.float32),
            function="none" if last else "relu",
        )

    try:
        shape = NeuMfShape(**header["shape"])
        return NeuMf(
            shape=shape,
            tables=tuple(arrays[f"tables.{name}"].astype(np.float32) for name in TABLES),
            mlp=tuple(layer(f"mlp.{i}", False) for i in range(len(shape.mlp) - 1)),
            last=layer("last", True),
        )
    except KeyError as error:
        raise ModelFileError(f"{path}: {error.args[0]} is missing") from None
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelFileError(f"{path}: {error}") from None
