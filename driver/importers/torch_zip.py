"""Checkpoints of `torch.save` (PyTorch 1.6 and later): a zip of one pickle and plain storages."""

from __future__ import annotations

import math
import os
import struct
import zipfile
import zlib
from typing import Any

from driver.errors import UserError

from .inert_pickle import TensorPlace, read_pickle
from .tensors import DTYPES, Tensor, decode

__all__ = ["read_torch"]

_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_LARGEST_PICKLE = 1 << 28
_BAD_ZIP = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    KeyError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What `zipfile` raises on damaged, encrypted or unusual archives; none of them is our own."""


def read_torch(path: str | os.PathLike[str]) -> Any:
    """The object of a checkpoint: dicts, lists and plain values, its tensors as `Tensor`.

    Raises
    ------
    UserError
        Not such a file, damaged, or anything in it that is more than weights; without file name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive)
    except UserError:
        raise
    except _BAD_ZIP as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> UserError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"damaged: {reason}")


def _read(path: str | os.PathLike[str], archive: zipfile.ZipFile) -> Any:
    members = {info.filename: info for info in archive.infolist()}
    pickles = [name for name in members if name.split("/")[-1] == "data.pkl"]
    if len(pickles) != 1:
        raise UserError("not a PyTorch checkpoint: it must have one data.pkl")
    prefix = pickles[0].removesuffix("data.pkl")
    if any(name.startswith((f"{prefix}code/", f"{prefix}constants.pkl")) for name in members):
        raise UserError("a TorchScript program: save the model's state_dict() instead")
    # PyTorch stores its members as they are; packed ones could grow without limit.
    for info in members.values():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise UserError(f"not written by PyTorch: {info.filename} is compressed")
    if members[pickles[0]].file_size > _LARGEST_PICKLE:
        raise UserError(f"data.pkl is larger than {_LARGEST_PICKLE} bytes")
    order = f"{prefix}byteorder"
    if order in members and archive.read(order).strip() != b"little":
        raise UserError("written on a big-endian machine")
    return _resolve(path, prefix, members, read_pickle(archive.read(pickles[0])))


def _resolve(
    path: str | os.PathLike[str], prefix: str, members: dict[str, zipfile.ZipInfo], value: Any
) -> Any:
    """The tensors in two levels of dicts: a state dict, alone or as an entry of a checkpoint."""

    def tensors(value: Any, depth: int) -> Any:
        if isinstance(value, TensorPlace):
            return _tensor(path, prefix, members, value)
        if isinstance(value, dict) and depth:
            return {key: tensors(entry, depth - 1) for key, entry in value.items()}
        return value

    return tensors(value, 2)


def _tensor(
    path: str | os.PathLike[str],
    prefix: str,
    members: dict[str, zipfile.ZipInfo],
    place: TensorPlace,
) -> Tensor:
    storage = place.storage
    dtype = _STORAGES.get(storage.kind)
    if dtype is None:
        raise UserError(f"values of type {storage.kind} are not supported; save them as float32")
    member = members.get(f"{prefix}data/{storage.key}")
    size = storage.numel * DTYPES[dtype].itemsize
    if member is None or member.file_size < size:
        raise UserError(f"truncated: storage {storage.key} must have {size} bytes")
    last = place.offset + sum(
        (n - 1) * step for n, step in zip(place.size, place.stride, strict=True)
    )
    values = math.prod(place.size)
    # More values than the storage has would be an expanded view, without limit in size.
    if values and (last >= storage.numel or values > storage.numel):
        raise UserError(f"damaged: a tensor of shape {list(place.size)} exceeds its storage")

    def load() -> Any:
        try:
            with zipfile.ZipFile(path) as archive:
                raw = archive.read(member)  # checks the checksum
        except _BAD_ZIP as error:
            raise _damaged(error) from None
        return decode(raw, dtype, place.size, place.offset, place.stride)

    return Tensor(shape=place.size, dtype=dtype, load=load)
