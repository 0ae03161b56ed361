"""`rpaccel import`: a checkpoint to a model file, and what is in it in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driver.errors import UserError
from golden.model import Model
from golden.model_files import save_model
from golden.neumf import TABLES, NeuMf
from golden.neumf_files import save_neumf

from .checkpoint import import_checkpoint
from .neumf import Join

__all__ = ["import_model"]


def import_model(
    checkpoint: Path, *, out: Path, name: str | None = None, join: Join | None = None
) -> dict[str, Any]:
    """Read `checkpoint` and write the model file `out`.

    Returns
    -------
    What `--json` writes: `model`, `kind`, `out`, `shape`, `features`, `parameters`, `macs`; and
    `text` for people.

    Raises
    ------
    UserError
        As `import_checkpoint`, or `out` cannot be written.
    """
    if not out.absolute().parent.is_dir() or out.is_dir():
        raise UserError(f"cannot write {out}")
    model = import_checkpoint(checkpoint, name=name, join=join)
    try:
        if isinstance(model, NeuMf):
            save_neumf(out, model)
            facts = _neumf_facts(model)
        else:
            save_model(out, model)
            facts = _dlrm_facts(model)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    facts = {"model": model.shape.name, "out": str(out), "macs": model.shape.macs} | facts
    lines = [f"{key.replace('_', ' '):<12} {_words(value)}" for key, value in facts.items()]
    return facts | {"text": "\n".join(lines)}


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        words = [str(entry) for entry in value]
        if len(words) > 8:
            words = [*words[:4], "...", *words[-2:]]
        return " ".join(words)
    return str(value)


def _dlrm_facts(model: Model) -> dict[str, Any]:
    shape = model.shape
    weights = sum(layer.weight.size + layer.bias.size for layer in (*model.bottom, *model.top))
    return {
        "kind": "DLRM",
        "shape": {
            "bottom": list(shape.bottom),
            "interaction": shape.interaction,
            "top": list(shape.top_sizes),
            "width": shape.width,
            "rows": list(shape.rows),
        },
        "features": list(model.features),
        "parameters": weights + shape.width * sum(shape.rows),
    }


def _neumf_facts(model: NeuMf) -> dict[str, Any]:
    shape = model.shape
    weights = sum(layer.weight.size + layer.bias.size for layer in (*model.mlp, model.last))
    return {
        "kind": "NeuMF",
        "shape": {
            "mf": shape.mf,
            "mlp": list(shape.mlp),
            "users": shape.users,
            "items": shape.items,
        },
        "features": list(TABLES),
        "parameters": weights + sum(table.size for table in model.tables),
    }
