"""From a checkpoint file to a model: finds the format, the state dict in it, and its naming."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from driver.errors import UserError
from golden.model import Model
from golden.neumf import NeuMf

from .dlrm import import_reference, import_torchrec
from .mprec import DheOptions, import_mprec
from .neumf import Join, import_neumf, is_neumf
from .onnx_dlrm import import_onnx
from .safetensors import read_safetensors
from .tensors import Tensor, Tensors
from .torch_zip import read_torch

__all__ = ["import_checkpoint"]

_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19"
"""First bytes of files of PyTorch before 1.6."""
_ENTRIES = ("state_dict", "model_state_dict", "model", "net")
"""Where training scripts keep the state dict in what they save."""
_ANCHORS = re.compile(
    r"(?:.*\.)?(?=(?:emb_l|bot_l|top_l|dhe_l|sparse_arch|dense_arch|over_arch)\.)"
)
_WRAPPERS = re.compile(r"(?:module\.|_orig_mod\.|model\.)*")


def import_checkpoint(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    join: Join | None = None,
    dhe: DheOptions | None = None,
) -> Model | NeuMf:
    """Read a checkpoint: `torch.save`, safetensors or ONNX, DLRM or NeuMF. No code of it is run.

    Parameters
    ----------
    name
        Of the model; None: of the file.
    join
        NeuMF only, see `import_neumf`.
    dhe
        Models with DHE vectors only, see `import_mprec`.

    Raises
    ------
    UserError
        Missing, damaged, malicious or foreign file, missing keys, shapes that do not fit, NaN.
    """
    try:
        if Path(path).suffix == ".onnx" and Path(path).is_file():
            return import_onnx(Path(path).read_bytes(), name or Path(path).stem)
        tensors = _state_dict(path)
        return _model(tensors, name or Path(path).stem, join, dhe or DheOptions())
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except MemoryError:
        raise UserError(f"{path}: does not fit memory") from None


def _state_dict(path: str | os.PathLike[str]) -> Tensors:
    if not Path(path).is_file():
        raise UserError("no such file")
    if Path(path).stat().st_size == 0:
        raise UserError("empty file")
    with open(path, "rb") as stream:
        start = stream.read(16)
    if start.startswith(_OLD_TORCH):
        raise UserError("written by PyTorch before 1.6; load and save it again with a later one")
    if start.startswith(b"PK\x03\x04"):
        return _find(read_torch(path))
    if start[8:9] == b"{":
        return _find(read_safetensors(path))
    raise UserError("neither a checkpoint of torch.save nor a safetensors file")


def _find(saved: Any) -> Tensors:
    """The state dict in what was saved."""
    for candidate in (saved, *(_entry(saved, key) for key in _ENTRIES)):
        if isinstance(candidate, dict):
            tensors = {
                key: value
                for key, value in candidate.items()
                if isinstance(key, str) and isinstance(value, Tensor)
            }
            if tensors:
                return tensors
    raise UserError(f"holds no state dict, neither itself nor as {', '.join(_ENTRIES)}")


def _entry(saved: Any, key: str) -> Any:
    return saved.get(key) if isinstance(saved, dict) else None


def _strip(tensors: Tensors) -> Tensors:
    """Names without what wrappers such as DataParallel put in front."""
    stripped: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        match = _ANCHORS.match(key) or _WRAPPERS.match(key)
        short = key[match.end() :] if match else key
        if short in stripped:
            raise UserError(f"{short} is there twice, once as {key}")
        stripped[short] = tensor
    return stripped


def _model(tensors: Tensors, name: str, join: Join | None, dhe: DheOptions) -> Model | NeuMf:
    tensors = _strip(tensors)
    parts = {key.split(".")[0] for key in tensors}
    if "dhe_l" in parts:
        return import_mprec(tensors, name, dhe)
    if parts & {"emb_l", "bot_l", "top_l"}:
        return import_reference(tensors, name)
    if parts & {"sparse_arch", "dense_arch", "over_arch"}:
        return import_torchrec(tensors, name)
    if is_neumf(tensors):
        return import_neumf(tensors, name, join=join)
    raise UserError(
        "neither a DLRM (emb_l.*, bot_l.*, top_l.*; or TorchRec's sparse_arch, dense_arch, "
        f"over_arch) nor a NeuMF; its first names: {', '.join(list(tensors)[:3])}"
    )
