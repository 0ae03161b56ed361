"""Named arrays of a checkpoint, read from the file only when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from driver.errors import UserError

__all__ = ["DTYPES", "Tensor", "Tensors", "decode"]

DTYPES: dict[str, np.dtype[Any]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),  # upper half of a float32
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "int16": np.dtype("<i2"),
    "int8": np.dtype("<i1"),
    "uint8": np.dtype("<u1"),
    "bool": np.dtype("<u1"),
}
"""How the values of a type lie in a file."""
FLOATS = ("float64", "float32", "float16", "bfloat16")


@dataclass(frozen=True, kw_only=True, eq=False)
class Tensor:
    """One array of a checkpoint."""

    shape: tuple[int, ...]
    dtype: str
    """Name in `DTYPES`."""
    load: Callable[[], NDArray[Any]]
    """Values as they lie in the file, of this shape."""

    def numbers(self, name: str) -> NDArray[np.float32]:
        """Values in float32.

        Raises
        ------
        UserError
            Not a floating-point tensor, or NaN or infinity in it; names the place.
        """
        if self.dtype not in FLOATS:
            raise UserError(f"{name} holds {self.dtype}, not floating-point weights")
        values = self.load()
        if self.dtype == "bfloat16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(values, dtype=np.float32)
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            place = tuple(int(i) for i in bad[0])
            raise UserError(f"{name}{list(place)} is {values[place]}: weights must be finite")
        return values


Tensors = Mapping[str, Tensor]
"""Tensors by their name in the checkpoint, in its order."""


def decode(
    raw: bytes, dtype: str, shape: tuple[int, ...], offset: int, stride: tuple[int, ...]
) -> NDArray[Any]:
    """A tensor inside its storage: `offset` and `stride` count values, as PyTorch does."""
    flat = np.frombuffer(raw, DTYPES[dtype])[offset:]
    steps = tuple(step * flat.itemsize for step in stride)
    return np.lib.stride_tricks.as_strided(flat, shape, steps, writeable=False)
