"""Float models as a host runs them: one function a model that scores items, on NumPy or PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from golden import float_model
from golden.model import DENSE_FEATURES, SHAPES, Model, named_shape, random_model
from golden.mprec import mprec_shape
from golden.neumf import NEUMF_SHAPES, forward_neumf, named_neumf_shape, random_neumf, table_ids
from golden.shape import REPRESENTATIONS, Representation

from ..errors import UserError

__all__ = ["TOP_K", "Scorer", "known_models", "scorer"]

Scorer = Callable[[int], Any]
"""Scores so many items and waits for the result."""
TOP_K = "top-k"
"""Not a model: the host's selection of 64 of so many scores."""
_RETURNED = 64
_DRAWN = 4096
"""Items that inputs are drawn for; longer queries repeat them."""


def known_models() -> list[str]:
    """Names that `scorer` takes."""
    mprec = [f"mprec-{data}-{r}" for data in ("kaggle", "terabyte") for r in REPRESENTATIONS]
    return [*SHAPES, *NEUMF_SHAPES, *mprec, TOP_K]


def scorer(name: str, *, max_rows: int, device: str = "cpu", seed: int = 1) -> Scorer:
    """A model with random weights and inputs; how long it takes does not depend on them.

    Parameters
    ----------
    max_rows
        Cap on the rows of a table.
    device
        ``cpu``: NumPy, as the float golden model. ``cuda``: PyTorch on the first GPU, weights and
        inputs in its memory; ``torch``: the same on the CPU.

    Raises
    ------
    UserError
        Unknown model, or no PyTorch or GPU where one is asked for.
    """
    random = np.random.default_rng(seed)
    if name == TOP_K:
        return _selection(random)
    if name in NEUMF_SHAPES:
        return _neumf(name, random, device)
    model = _dlrm(name, max_rows, seed)
    rows = model.shape.rows
    ids = np.stack([random.integers(0, count, _DRAWN) for count in rows], axis=1).astype(np.uint32)
    dense = random.normal(0, 1, (_DRAWN, DENSE_FEATURES)).astype(np.float32)
    if device != "cpu":
        from .torch_model import torch_scorer

        return torch_scorer(model, dense, ids, device)

    def score(items: int) -> Any:
        return [
            float_model.forward(model, dense[:part], ids[:part])["score"] for part in _parts(items)
        ]

    return score


def _parts(items: int) -> list[int]:
    """A long query in pieces of the drawn items."""
    whole, rest = divmod(items, _DRAWN)
    return [_DRAWN] * whole + ([rest] if rest else [])


def _dlrm(name: str, max_rows: int, seed: int) -> Model:
    if name in SHAPES:
        return random_model(named_shape(name, max_rows=max_rows), seed=seed)
    words = name.split("-")
    if len(words) == 3 and words[0] == "mprec":
        try:
            representation = cast(Representation, words[2])
            return random_model(mprec_shape(words[1], representation, max_rows=max_rows), seed=seed)
        except ValueError:
            pass  # said below, with what there is
    raise UserError(f"unknown model {name!r}; known models: {', '.join(known_models())}")


def _neumf(name: str, random: np.random.Generator, device: str) -> Scorer:
    if device != "cpu":
        raise UserError(f"{name} is measured on the CPU only; --device must be cpu, not {device}")
    shape = named_neumf_shape(name)
    model = random_neumf(shape, seed=1)
    users = np.full(_DRAWN, random.integers(0, shape.users))
    pairs = np.stack([users, random.integers(0, shape.items, _DRAWN)], axis=1).astype(np.uint32)
    ids = table_ids(pairs)

    def score(items: int) -> Any:
        return [forward_neumf(model, ids[:part])["score"] for part in _parts(items)]

    return score


def _selection(random: np.random.Generator) -> Scorer:
    scores = random.integers(-32768, 32768, 1 << 16).astype(np.int16)

    def select(items: int) -> Any:
        mine = scores[:items]
        kept = min(_RETURNED, items)
        best = np.argpartition(mine, items - kept)[items - kept :]
        return best[np.argsort(-mine[best].astype(np.int32), kind="stable")]

    return select
