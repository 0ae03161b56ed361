"""Workloads: the models of a pipeline and queries to rank, with what they are said plainly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from golden.criteo import CRITEO_KAGGLE_ROWS, CRITEO_TERABYTE_ROWS
from golden.dataset import dense_values
from golden.embedding import EMPTY_ID, Ids, split_places
from golden.model import (
    DENSE_FEATURES,
    Interaction,
    Model,
    ModelShape,
    named_shape,
    random_model,
    with_rows,
)
from golden.mprec import account, mprec_shape
from golden.quantise import choose_dense_scale, quantise, quantise_dense
from golden.quantised_model import QuantisedModel
from golden.shape import Representation

from .errors import UserError
from .files import read_dataset, read_model
from .image import MEMORY_LIMIT
from .movielens import movielens_inputs
from .pipelines import Pipeline
from .synthetic_ids import ZIPF, zipf_bags, zipf_ids

__all__ = ["Query", "Workload", "histograms", "load_workload"]

_CALIBRATION_ITEMS = 1024
_DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"


@dataclass(frozen=True, kw_only=True, eq=False)
class Query:
    """One query as the device takes it."""

    dense: NDArray[np.int8]
    """[items, dense features], quantised with the pipeline's one dense scale."""
    dense_float: NDArray[np.float32]
    ids: NDArray[np.uint32]
    """[items, places]: one a table, or as many as its bags hold, those of one table side by side;
    `EMPTY_ID` where a place of a bag is not used."""
    labels: NDArray[np.uint8] | None
    """[items], or None when the items are synthetic."""
    bags: tuple[int, ...] = ()
    """Places of each table; () for one each."""

    @property
    def inputs(self) -> Ids:
        """Ids as the golden models take them."""
        return split_places(self.ids, self.bags) if self.bags else self.ids


@dataclass(kw_only=True)
class Workload:
    """Models and queries of one run. All queries have the pipeline's number of items."""

    pipeline: Pipeline
    models: list[Model]
    quantised: list[QuantisedModel]
    queries: list[Query]
    counts: list[list[NDArray[np.int64]]]
    """Id histograms by stage and feature, of data apart from the queries."""
    notes: list[str] = field(default_factory=list)
    """What the models and data are, in words for the output."""


def _synthetic_dense(random: np.random.Generator, items: int) -> NDArray[np.float32]:
    """Criteo-like dense inputs: log(1 + count) of geometric counts."""
    counts = random.geometric(0.02, (items, DENSE_FEATURES)) - 1
    return dense_values(counts.astype(np.uint16))


def histograms(
    ids: NDArray[np.uint32], rows: tuple[int, ...], bags: tuple[int, ...] = ()
) -> list[NDArray[np.int64]]:
    """How often each id of each table was seen; ``ids`` and ``bags`` as in `Query`."""
    found = []
    first = 0
    for count, size in zip(rows, bags or (1,) * len(rows), strict=True):
        part = ids[:, first : first + size]
        used = part[part != EMPTY_ID] if size > 1 else part[:, 0]
        found.append(np.bincount(used, minlength=count).astype(np.int64))
        first += size
    return found


def _trained(name: str) -> Model | None:
    path = _DEMO / f"{name.lower()}.npz"
    return read_model(path) if path.exists() else None


def _check_tables(shapes: Sequence[ModelShape]) -> None:
    """Refuse tables that cannot fit device memory before any is made."""
    size = sum(account(shape, value_bytes=1)["table_bytes"] for shape in shapes)
    if size > MEMORY_LIMIT:
        raise UserError(
            f"embedding tables: {size} bytes do not fit the device memory of {MEMORY_LIMIT} bytes; "
            "see --max-rows"
        )


def _mprec_models(pipeline: Pipeline, max_rows: int, seed: int) -> tuple[list[Model], list[str]]:
    """One of MP-Rec's models, with random weights."""
    _, data, representation = pipeline.stages[0].model.split("-")
    interaction: Interaction = "cat" if pipeline.interaction == "cat" else "dot"
    try:
        shape = mprec_shape(
            data,
            cast(Representation, representation),
            interaction=interaction,
            decoder=pipeline.decoder or None,
            max_rows=max_rows,
        )
    except ValueError as error:
        raise UserError(str(error)) from None
    shape = replace(shape, bags=pipeline.bags)
    _check_tables([shape])
    notes = [f"{shape.name}: random weights"]
    if shape.decoder_macs:
        sizes = "-".join(map(str, max(shape.decoders)))
        computed = sum(map(bool, shape.decoders))
        notes.append(f"decoders {sizes} of {computed} features, last activation sigmoid")
    return [random_model(shape, seed=seed * 100)], notes


def _kaggle_models(pipeline: Pipeline, max_rows: int, seed: int) -> tuple[list[Model], list[str]]:
    """Shipped weights retargeted to Kaggle's tables where they exist, else random ones."""
    models = []
    notes = []
    interaction: Interaction = "cat" if pipeline.interaction == "cat" else "dot"
    shapes = [
        replace(
            named_shape(stage.model, interaction=interaction, max_rows=max_rows),
            bags=pipeline.bags,
        )
        for stage in pipeline.stages
    ]
    _check_tables(shapes)
    for index, (stage, shape) in enumerate(zip(pipeline.stages, shapes, strict=True)):
        trained = _trained(stage.model) if interaction == "dot" else None
        if trained is not None:
            model = with_rows(trained, shape.rows)
            models.append(replace(model, shape=replace(model.shape, bags=shape.bags)))
            notes.append(f"{stage.model}: shipped demo weights, tables retargeted")
        else:
            models.append(random_model(shape, seed=seed * 100 + index))
            notes.append(f"{stage.model}: random weights")
    return models, notes


def _criteo(pipeline: Pipeline, queries: int, max_rows: int, seed: int) -> Workload:
    make = _mprec_models if pipeline.data == "mprec" else _kaggle_models
    models, notes = make(pipeline, max_rows, seed)
    rows = models[0].shape.rows
    terabyte = pipeline.name.startswith("mprec-terabyte")
    whole = CRITEO_TERABYTE_ROWS if terabyte else CRITEO_KAGGLE_ROWS
    capped = sum(a > b for a, b in zip(whole, rows, strict=True))
    notes.append(
        f"synthetic items, ids Zipf {ZIPF}; tables capped at {max_rows} rows "
        f"({capped} of 26 affected)"
    )
    random = np.random.default_rng(seed)
    order = [np.random.default_rng(f + 7).permutation(count) for f, count in enumerate(rows)]
    bags = pipeline.bags
    if bags:
        notes.append(f"bags of up to {max(bags)} ids in {sum(b > 1 for b in bags)} tables")

    def ids(count: int) -> NDArray[np.uint32]:
        if bags:
            return zipf_bags(random, rows, bags, count, order)
        return zipf_ids(random, rows, count, order)

    train = ids(16384)
    dense = _synthetic_dense(random, _CALIBRATION_ITEMS)
    scale = choose_dense_scale(dense)
    items = pipeline.stages[0].items
    made = []
    for _ in range(queries):
        values = _synthetic_dense(random, items)
        made.append(
            Query(
                dense=quantise_dense(values, scale),
                dense_float=values,
                ids=ids(items),
                labels=None,
                bags=bags,
            )
        )
    return Workload(
        pipeline=pipeline,
        models=models,
        quantised=[
            quantise(
                m, dense, split_places(train[:_CALIBRATION_ITEMS], m.shape.bags), dense_scale=scale
            )
            for m in models
        ],
        queries=made,
        counts=[histograms(train, rows, bags)] * len(models),
        notes=notes,
    )


def _movielens(pipeline: Pipeline, queries: int, max_rows: int, seed: int) -> Workload:
    """NeuMF with random weights: a query ranks different items for one user."""
    made = movielens_inputs(pipeline, queries=queries, max_rows=max_rows, seed=seed)
    rows = made.models[0].shape.rows
    _check_tables([model.shape for model in made.models])
    return Workload(
        pipeline=pipeline,
        models=made.models,
        quantised=made.quantised,
        queries=[
            Query(
                dense=np.zeros((len(ids), 0), np.int8),
                dense_float=np.zeros((len(ids), 0), np.float32),
                ids=ids,
                labels=None,
            )
            for ids in made.queries
        ],
        counts=[histograms(made.train, rows)] * len(made.models),
        notes=made.notes,
    )


def _demo(pipeline: Pipeline, queries: int, seed: int) -> Workload:
    models = []
    for stage in pipeline.stages:
        model = _trained(stage.model)
        if model is None:
            raise UserError(f"examples/demo: no model file of {stage.model}")
        models.append(model)
    held_out = read_dataset(_DEMO / "queries.npz")
    calibration = read_dataset(_DEMO / "calibration.npz")
    scale = choose_dense_scale(calibration.dense)
    items = pipeline.stages[0].items
    if items > held_out.query_items:
        raise UserError(
            f"--items must be at most {held_out.query_items} for {pipeline.name}, not {items}"
        )
    if queries > len(held_out):
        raise UserError(
            f"--queries must be at most {len(held_out)} for {pipeline.name}, not {queries}"
        )
    made = []
    for index in range(queries):
        query = held_out.query((index + seed - 1) % len(held_out))
        dense = query.dense[:items]
        made.append(
            Query(
                dense=quantise_dense(dense, scale),
                dense_float=dense,
                ids=query.ids[:items],
                labels=query.labels[:items],
            )
        )
    part = slice(0, 4 * _CALIBRATION_ITEMS)
    return Workload(
        pipeline=pipeline,
        models=models,
        quantised=[
            quantise(m, calibration.dense[part], calibration.ids[part], dense_scale=scale)
            for m in models
        ],
        queries=made,
        counts=[histograms(calibration.ids, m.shape.rows) for m in models],
        notes=["shipped demo data, held-out queries; models trained on its training split"],
    )


def load_workload(pipeline: Pipeline, *, queries: int, max_rows: int, seed: int) -> Workload:
    """Models and queries for ``pipeline`` (already scaled).

    Raises
    ------
    UserError
        More items or queries than the shipped data holds; a model file is missing.
    """
    if pipeline.data == "demo":
        return _demo(pipeline, queries, seed)
    if pipeline.data == "movielens":
        return _movielens(pipeline, queries, max_rows, seed)
    return _criteo(pipeline, queries, max_rows, seed)
