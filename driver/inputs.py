"""Workloads from the caller's own models and queries, checked before anything else happens."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from golden.embedding import EMPTY_ID, split_places
from golden.model import Model
from golden.neumf import NeuMf, NeuMfShape
from golden.neumf_device import device_ids
from golden.quantise import QuantiseError, choose_dense_scale, quantise, quantise_dense

from .errors import UserError
from .files import read_any_model
from .movielens import placed_models
from .pipelines import Pipeline, StageSpec
from .workload import Query, Workload, histograms

__all__ = ["make_workload"]

_ID_LIMIT = 1 << 32
_CALIBRATION_ITEMS = 4096
"""Calibration with more of the items changes nothing but the time it takes."""


def make_workload(
    *,
    models: Sequence[Model | NeuMf | str | os.PathLike[str]],
    keep: Sequence[int],
    queries: Sequence[Sequence[ArrayLike]],
    calibration: Sequence[ArrayLike] | None = None,
    name: str = "custom",
) -> Workload:
    """Check and quantise.

    Parameters
    ----------
    models
        One a stage: models, or paths of model files; all DLRM or all NeuMF.
    keep
        Items each stage keeps; the last one is the length of a result.
    queries
        ``(dense, ids)`` or ``(dense, ids, labels)`` of each query, the same number of items in
        all: dense float values [items, features] with their log taken, ids [items, tables],
        labels [items]. Of models with bags, ids are [items, places], as many for each table as
        its bag holds, 0xFFFFFFFF in those that are not used. Of NeuMF: ``(pairs,)`` or
        ``(pairs, labels)``, pairs of numbers of user and item [items, 2].
    calibration
        ``(dense, ids)`` or ``(pairs,)`` to choose number ranges and cached rows with; None: the
        queries.
    name
        For the output.

    Raises
    ------
    UserError
        Empty, NaN or infinite, an id outside its table, k larger than n, models that do not go
        together or cannot be quantised; names where.
    """
    loaded = [m if isinstance(m, Model | NeuMf) else read_any_model(m) for m in models]
    neumfs = [m for m in loaded if isinstance(m, NeuMf)]
    stages = [m for m in loaded if isinstance(m, Model)]
    if neumfs and stages:
        raise UserError(f"{stages[0].shape.name} is no NeuMF, {neumfs[0].shape.name} is one")
    _check_count(loaded, keep)
    if stages:
        _check_models(stages)
    if not queries:
        raise UserError("there must be at least one query")
    if neumfs:
        return _neumf_workload(neumfs, keep, queries, calibration, name)
    made = [_query(f"query {n}", query, stages) for n, query in enumerate(queries)]
    items = len(made[0].dense_float)
    _check_lengths([len(query.dense_float) for query in made])
    pipeline = Pipeline(
        name=name, stages=_stage_specs(stages, keep, items), interaction="", data="custom"
    )
    if calibration is None:
        dense = np.concatenate([q.dense_float for q in made])
        ids = np.concatenate([q.ids for q in made])
    else:
        known = _query("calibration", calibration, stages)
        dense, ids = known.dense_float, known.ids
    scale = choose_dense_scale(dense)
    part = slice(0, _CALIBRATION_ITEMS)
    try:
        quantised = [
            quantise(m, dense[part], split_places(ids[part], m.shape.bags), dense_scale=scale)
            for m in stages
        ]
    except QuantiseError as error:
        raise UserError(str(error)) from None
    return Workload(
        pipeline=pipeline,
        models=stages,
        quantised=quantised,
        queries=[
            Query(
                dense=quantise_dense(q.dense_float, scale),
                dense_float=q.dense_float,
                ids=q.ids,
                labels=q.labels,
                bags=q.bags,
            )
            for q in made
        ],
        counts=[histograms(ids, m.shape.rows, m.shape.bags) for m in stages],
    )


def _neumf_workload(
    neumfs: Sequence[NeuMf],
    keep: Sequence[int],
    queries: Sequence[Sequence[ArrayLike]],
    calibration: Sequence[ArrayLike] | None,
    name: str,
) -> Workload:
    """Models over the same users and items, cut into vectors; ids as item records have them."""
    first = neumfs[0].shape
    for number, model in enumerate(neumfs[1:], start=1):
        for field in ("users", "items"):
            here, there = getattr(model.shape, field), getattr(first, field)
            if here != there:
                raise UserError(f"model {number} has {here} {field}, model 0 has {there}")
    ranked = [_pairs(f"query {n}", query, first) for n, query in enumerate(queries)]
    _check_lengths([len(pairs) for pairs, _ in ranked])
    known = np.concatenate([pairs for pairs, _ in ranked])
    if calibration is not None:
        known, _ = _pairs("calibration", calibration, first)
    models, quantised = placed_models(neumfs, known[:_CALIBRATION_ITEMS])
    vectors = len(models[0].shape.embeddings)
    train = device_ids(known, vectors)
    return Workload(
        pipeline=Pipeline(
            name=name,
            stages=_stage_specs(models, keep, len(ranked[0][0])),
            interaction="product",
            data="custom",
        ),
        models=models,
        quantised=quantised,
        queries=[
            Query(
                dense=np.zeros((len(pairs), 0), np.int8),
                dense_float=np.zeros((len(pairs), 0), np.float32),
                ids=device_ids(pairs, vectors),
                labels=labels,
            )
            for pairs, labels in ranked
        ],
        counts=[histograms(train, m.shape.rows) for m in models],
    )


def _pairs(
    what: str, parts: Sequence[ArrayLike], shape: NeuMfShape
) -> tuple[NDArray[np.uint32], NDArray[np.uint8] | None]:
    """Check pairs of a user and an item, and labels."""
    if len(parts) not in (1, 2):
        raise UserError(f"{what} must be (pairs,) or (pairs, labels)")
    pairs = _matrix(f"{what}: pairs", parts[0], 2)
    if len(pairs) == 0:
        raise UserError(f"{what} is empty: it must have at least one item")
    if pairs.dtype.kind == "f":
        raise UserError(f"{what}: pairs must be integers, not {pairs.dtype}")
    limits = np.array([shape.users, shape.items])
    bad = np.argwhere((pairs < 0) | (pairs >= limits))
    if len(bad):
        item, side = bad[0]
        raise UserError(
            f"{what}, item {item}: {('user', 'item')[side]} {pairs[item, side]} must be below "
            f"{limits[side]}"
        )
    return pairs.astype(np.uint32), _labels(what, parts[1:], len(pairs))


def _labels(what: str, parts: Sequence[ArrayLike], items: int) -> NDArray[np.uint8] | None:
    """The labels of a query, when it has any."""
    if not parts:
        return None
    labels = np.asarray(parts[0])
    if labels.shape != (items,):
        raise UserError(f"{what}: labels must be of shape [{items}]")
    return labels.astype(np.uint8)


def _check_lengths(lengths: Sequence[int]) -> None:
    for number, items in enumerate(lengths):
        if items != lengths[0]:
            raise UserError(
                f"query {number} has {items} items, query 0 has {lengths[0]}: "
                "all must have the same number"
            )


def _check_count(models: Sequence[object], keep: Sequence[int]) -> None:
    if not models:
        raise UserError("there must be at least one model")
    if len(keep) != len(models):
        raise UserError(f"keep must have one number for each of {len(models)} models, not {keep}")


def _check_models(models: Sequence[Model]) -> None:
    first = models[0].shape
    for number, model in enumerate(models[1:], start=1):
        for field in ("dense_features", "sparse_features", "bags"):
            here, there = getattr(model.shape, field), getattr(first, field)
            if here != there:
                raise UserError(f"model {number} has {here} {field}, model 0 has {there}")


def _stage_specs(models: Sequence[Model], keep: Sequence[int], items: int) -> tuple[StageSpec, ...]:
    specs = []
    count = items
    for number, (model, kept) in enumerate(zip(models, keep, strict=True)):
        if not 1 <= kept <= count:
            raise UserError(f"keep of stage {number} must be in 1..{count}, not {kept}")
        specs.append(StageSpec(model=model.shape.name, items=count, keep=kept))
        count = int(kept)
    return tuple(specs)


def _matrix(what: str, value: ArrayLike, columns: int) -> NDArray[Any]:
    """A numeric array of ``columns`` columns."""
    array = np.asarray(value)
    if array.ndim != 2 or array.shape[1] != columns or array.dtype.kind not in "iuf":
        raise UserError(
            f"{what} must be numbers of shape [items, {columns}], "
            f"not {array.dtype} of shape {list(array.shape)}"
        )
    return array


def _query(what: str, parts: Sequence[ArrayLike], models: Sequence[Model]) -> Query:
    """Check one query; its ``dense`` is still empty."""
    if len(parts) not in (2, 3):
        raise UserError(f"{what} must be (dense, ids) or (dense, ids, labels)")
    shape = models[0].shape
    dense = _matrix(f"{what}: dense", parts[0], shape.dense_features).astype(np.float32)
    ids = _matrix(f"{what}: ids", parts[1], shape.id_places)
    if len(dense) == 0:
        raise UserError(f"{what} is empty: it must have at least one item")
    if len(ids) != len(dense):
        raise UserError(f"{what} has {len(dense)} items in dense, {len(ids)} in ids")
    bad = np.argwhere(~np.isfinite(dense))
    if len(bad):
        item, feature = bad[0]
        raise UserError(f"{what}, item {item}: dense feature {feature} is {dense[item, feature]}")
    if ids.dtype.kind == "f":
        raise UserError(f"{what}: ids must be integers, not {ids.dtype}")
    tables = np.array(shape.place_features)
    rows = np.array([m.shape.rows for m in models]).min(axis=0)
    empty = (ids == EMPTY_ID) & (np.array(shape.bags) > 1)[tables]
    bad = np.argwhere(((ids < 0) | (ids >= np.minimum(rows, _ID_LIMIT)[tables])) & ~empty)
    if len(bad):
        item, place = bad[0]
        table = tables[place]
        raise UserError(
            f"{what}, item {item}: id {ids[item, place]} is outside table {table} "
            f"of {rows[table]} rows"
        )
    return Query(
        dense=np.zeros((0, shape.dense_features), np.int8),
        dense_float=dense,
        ids=ids.astype(np.uint32),
        labels=_labels(what, parts[2:], len(dense)),
        bags=shape.bags,
    )
