"""`rpaccel import`: a checkpoint to a model file, and what is in it in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from driver.errors import UserError
from golden.dhe import distinct_codes
from golden.encoders import is_prime
from golden.model import Model
from golden.model_files import save_model
from golden.mprec import account
from golden.neumf import TABLES, NeuMf
from golden.neumf_files import save_neumf

from .checkpoint import import_checkpoint
from .mprec import ANY_ID, DheOptions
from .neumf import Join

__all__ = ["import_model"]


def import_model(
    checkpoint: Path,
    *,
    out: Path,
    name: str | None = None,
    join: Join | None = None,
    dhe: DheOptions | None = None,
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
    model = import_checkpoint(checkpoint, name=name, join=join, dhe=dhe)
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
    figures = account(shape, value_bytes=1)
    stored = sum(figures[f"{part}_bytes"] for part in ("table", "decoder", "mlp"))
    sizes = {
        "bottom": list(shape.bottom),
        "interaction": shape.interaction,
        "top": list(shape.top_sizes),
        "width": shape.width,
        "rows": list(shape.rows),
    }
    facts = {"kind": "DLRM", "features": list(model.features), "parameters": stored}
    if not shape.decoder_macs:
        return facts | {"shape": sizes}
    return facts | {
        "shape": sizes | {"decoders": ["-".join(map(str, sizes)) for sizes in shape.decoders]},
        "embeddings": [f"{source} {f}" for source, f in shape.embeddings],
        "hashes": figures["hashes"],
        "warnings": _warnings(model),
    }


def _warnings(model: Model) -> list[str]:
    """What is odd about the hashes, in words."""
    said = []
    for f, stack in enumerate(model.stacks):
        if stack is None:
            continue
        rows = model.shape.rows[f]
        codes = distinct_codes(stack.encoder, rows)
        if rows != ANY_ID and codes < rows:
            said.append(f"feature {f}: {rows} ids have at most {codes} different codes")
        odd = [p for p in sorted(set(stack.encoder.p.tolist())) if not is_prime(p)]
        if odd:
            said.append(f"feature {f}: p = {odd[0]} is not a prime")
    return said


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
