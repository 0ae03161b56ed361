"""Files of the safetensors format: the length of a JSON header, the header, then plain values."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

from driver.errors import UserError

from .tensors import DTYPES, Tensor, decode

__all__ = ["read_safetensors"]

_TYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
_LARGEST_HEADER = 100_000_000


def read_safetensors(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors by name.

    Raises
    ------
    UserError
        Not such a file, truncated, or an entry that contradicts itself; without file name.
    """
    total = Path(path).stat().st_size
    with open(path, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(_LARGEST_HEADER, total - 8):
            raise UserError("damaged or not a safetensors file (length of its header)")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            raise UserError("damaged or not a safetensors file (its header)") from None
    if not isinstance(header, dict):
        raise UserError("damaged or not a safetensors file (its header)")
    return {
        name: _tensor(path, name, entry, 8 + length, total)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _tensor(path: str | os.PathLike[str], name: str, entry: Any, base: int, total: int) -> Tensor:
    try:
        kind, sizes = entry["dtype"], entry["shape"]
        first, last = entry["data_offsets"]
        numbers = (*sizes, first, last)
        valid = all(type(number) is int and number >= 0 for number in numbers)
    except (KeyError, TypeError, ValueError):
        valid = False
    if not valid:
        raise UserError(f"damaged: entry {name!r} of its header")
    if kind not in _TYPES:
        raise UserError(f"{name} is of type {kind}, which is not supported; save it as F32")
    shape = tuple(sizes)
    dtype = _TYPES[kind]
    if last - first != math.prod(shape) * DTYPES[dtype].itemsize or base + last > total:
        raise UserError(f"damaged or truncated: {name} must have the bytes of shape {sizes}")
    steps = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))

    def load() -> Any:
        with open(path, "rb") as stream:
            stream.seek(base + first)
            raw = stream.read(last - first)
        return decode(raw, dtype, shape, 0, steps)

    return Tensor(shape=shape, dtype=dtype, load=load)
