"""NeuMF state dicts: the names that public PyTorch implementations use."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Literal

import numpy as np

from driver.errors import UserError
from golden.neumf import TABLES, NeuMf, NeuMfShape

from .layers import chain, load_chain, matrix
from .tensors import Tensors

__all__ = ["Join", "import_neumf", "is_neumf"]

Join = Literal["mf-mlp", "mlp-mf"]
"""Order of the two branches in front of the last layer, which no shape tells."""

_LAST = re.compile(r"(affine_output|predict_layer|prediction|predict|final|output|output_layer)")
_MLP_FIRST = "affine_output"
"""The implementation with this name joins the MLP's output first."""


def _table(key: str) -> str | None:
    """Which of `TABLES` a key is: by the words user/item, and mf, gmf or mlp."""
    words = key.lower()
    if not words.endswith(".weight") or "emb" not in words:
        return None
    who = [name for name in ("user", "item") if name in words]
    branch = "mlp" if "mlp" in words else "mf" if "mf" in words else None
    return f"{who[0]}_{branch}" if len(who) == 1 and branch else None


def is_neumf(tensors: Tensors) -> bool:
    """Whether all four tables are there."""
    return {_table(key) for key in tensors} >= set(TABLES)


def import_neumf(tensors: Tensors, name: str, *, join: Join | None = None) -> NeuMf:
    """A NeuMF: four embeddings, an MLP with ReLU, one last layer.

    Parameters
    ----------
    join
        Order of the branches; None: `mlp-mf` when the last layer is called `affine_output`, else
        `mf-mlp`.

    Raises
    ------
    UserError
        A key is missing or ambiguous, a shape does not fit, a weight is not finite.
    """
    tables: dict[str, str] = {}
    for key in tensors:
        table = _table(key)
        if table in tables:
            raise UserError(f"{key} and {tables[table]} could both be the table {table}")
        if table is not None:
            tables[table] = key
    layers = [
        key.removesuffix(".weight")
        for key in tensors
        if key.endswith(".weight") and _table(key) is None
    ]
    last = [layer for layer in layers if _LAST.fullmatch(layer.split(".")[0])]
    if len(last) != 1:
        raise UserError(
            f"the last layer must be one of {_LAST.pattern}, found {', '.join(last) or 'none'}"
        )
    mlp = [layer for layer in layers if layer != last[0]]
    if not all(re.search(r"\d", layer) for layer in mlp):
        unknown = next(layer for layer in mlp if not re.search(r"\d", layer))
        raise UserError(f"{unknown}.weight is neither an embedding nor a numbered layer")
    if not mlp:
        raise UserError("the layers of the MLP are missing")
    mlp.sort(key=lambda layer: [int(number) for number in re.findall(r"\d+", layer)])
    sizes = {table: matrix(tensors, tables[table]) for table in TABLES}
    for branch in ("mf", "mlp"):
        one, other = sizes[f"user_{branch}"][1], sizes[f"item_{branch}"][1]
        if one != other:
            key = tables[f"item_{branch}"]
            raise UserError(f"{key} must be of shape [rows, {one}], not {list(tensors[key].shape)}")
    for who in ("user", "item"):
        one, other = sizes[f"{who}_mf"][0], sizes[f"{who}_mlp"][0]
        if one != other:
            raise UserError(f"{tables[f'{who}_mlp']} must have {one} rows, not {other}")
    mf = sizes["user_mf"][1]
    shape = NeuMfShape(
        name=name,
        mf=mf,
        mlp=tuple(chain(tensors, mlp, 2 * sizes["user_mlp"][1])),
        users=sizes["user_mf"][0],
        items=sizes["item_mf"][0],
    )
    if chain(tensors, last, shape.last_width)[-1] != 1:
        raise UserError(f"{last[0]}.weight must have 1 output (the logit)")
    (final,) = load_chain(tensors, last, "none")
    if join is None:
        join = "mlp-mf" if last[0].split(".")[0] == _MLP_FIRST else "mf-mlp"
    if join == "mlp-mf":
        final = replace(final, weight=np.roll(final.weight, mf, axis=1))
    return NeuMf(
        shape=shape,
        tables=tuple(tensors[tables[t]].numbers(tables[t]) for t in TABLES),
        mlp=load_chain(tensors, mlp, "relu"),
        last=final,
    )
