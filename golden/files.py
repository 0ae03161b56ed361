"""One file format for models and data sets: an `.npz` of arrays and a JSON header.

The member `header` is UTF-8 JSON: `{"format": "rpaccel", "kind": KIND, "version": 1, ...}`. The
other members are plain arrays; nothing is ever unpickled. The zip's checksums find damage.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["VERSION", "ModelFileError", "archive_kind", "read_archive", "write_archive"]

FORMAT = "rpaccel"
_DAMAGE = (
    OSError,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What NumPy and zipfile raise on damaged, encrypted or foreign input."""
VERSION = 1


class ModelFileError(ValueError):
    """The file is missing, damaged, or not of the expected kind; one line that names the file."""


def write_archive(
    path: str | os.PathLike[str],
    kind: str,
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
) -> None:
    """Write header and arrays; the file appears whole or not at all. Same content, same bytes."""
    target = Path(path)
    text = json.dumps({"format": FORMAT, "kind": kind, "version": VERSION, **header})
    members: dict[str, Any] = {"header": np.frombuffer(text.encode(), np.uint8), **arrays}
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as stream:
            np.savez_compressed(stream, **members)
        os.chmod(temporary, 0o644)  # mkstemp gives 0600
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def read_archive(
    path: str | os.PathLike[str], kind: str
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Read what `write_archive` wrote.

    Raises
    ------
    ModelFileError
        No such file, not a file of this format, kind or version, or damaged.
    """
    if not Path(path).is_file():
        raise ModelFileError(f"{path}: no such file")
    try:
        with open(path, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ModelFileError(f"{path}: not an rpaccel file")
            if "header" not in archive.files:
                raise ModelFileError(f"{path}: not an rpaccel file (no header)")
            arrays = {name: archive[name] for name in archive.files}
    except ModelFileError:
        raise
    except _DAMAGE as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelFileError(f"{path}: damaged or not an rpaccel file ({reason})") from None
    try:
        header = json.loads(arrays.pop("header").tobytes().decode())
    except ValueError:
        raise ModelFileError(f"{path}: damaged header") from None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise ModelFileError(f"{path}: not an rpaccel file")
    if header.get("kind") != kind:
        raise ModelFileError(f"{path}: holds a {header.get('kind')}, not a {kind}")
    if header.get("version") != VERSION:
        raise ModelFileError(
            f"{path}: file version {header.get('version')}, this program reads {VERSION}"
        )
    return header, arrays


def archive_kind(path: str | os.PathLike[str]) -> str | None:
    """What a file says it holds; None where it says nothing that can be read."""
    try:
        with open(path, "rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            header = json.loads(archive["header"].tobytes().decode())
            return str(header["kind"])
    except (*_DAMAGE, AttributeError, IndexError, KeyError, TypeError):
        return None
