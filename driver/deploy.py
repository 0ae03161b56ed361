"""From quantised models and a partition to a device memory image and the LOAD entries for it."""

from __future__ import annotations

from collections.abc import Sequence

from golden.quantised_model import QuantisedModel
from hdl.config import Config

from .blocks import choose_rows
from .cache_plan import CachePlan
from .deployment import Deployment
from .engine_maps import by_expected_rows, hosts, map_engines
from .errors import UserError
from .fit import check_models
from .image import MemoryImage
from .load_builder import LoadBuilder
from .partition import Partition
from .records import id_places
from .result_plan import ResultPlan, held_loads
from .stage_shapes import decoded_ids, records_of, stage_shape

__all__ = ["deploy"]


def _checked(
    config: Config,
    models: Sequence[QuantisedModel],
    pipelines: Sequence[Sequence[int]] | None,
) -> tuple[tuple[int, ...], ...]:
    """The pipelines, or the one of all programs."""
    found = tuple(tuple(p) for p in pipelines) if pipelines else (tuple(range(len(models))),)
    if len(found) > config.max_pipelines:
        raise UserError(f"{len(found)} pipelines; {config.name} holds {config.max_pipelines}")
    _check_ids(config, models)
    used = {program for programs in found for program in programs}
    if used != set(range(len(models))):
        raise UserError(f"pipelines run programs {sorted(used)}, there are 0 to {len(models) - 1}")
    for programs in found:
        if not 1 <= len(programs) <= config.max_stages:
            raise UserError(
                f"a pipeline has {len(programs)} stages, {config.name} takes 1 to "
                f"{config.max_stages}"
            )
    return found


def _check_ids(config: Config, models: Sequence[QuantisedModel]) -> None:
    """Records are the same for all models, and hold a number of id words."""
    first = models[0].shape
    for model in models[1:]:
        if model.shape.bags != first.bags:
            raise UserError(
                f"{model.shape.name} has bags of {model.shape.bags} ids, {first.name} of "
                f"{first.bags}: stages read the same records"
            )
    words = id_places(config, [first.bags[f] for f in first.table_features]).count
    if words > config.max_features and first.id_places > first.sparse_features:
        raise UserError(
            f"{first.name}: bags of {first.id_places} ids take {words} id words of a record on "
            f"{config.gather_lanes} gather lanes, {config.name} holds {config.max_features}"
        )


def deploy(
    config: Config,
    *,
    partition: Partition,
    models: Sequence[QuantisedModel],
    cache: CachePlan,
    image: MemoryImage,
    pipelines: Sequence[Sequence[int]] | None = None,
    groups: Sequence[Sequence[int]] | None = None,
    fractions: Sequence[Sequence[int]] = (),
    results: ResultPlan | None = None,
) -> Deployment:
    """Place ``models`` on the device; fills ``image`` and returns what to load.

    Parameters
    ----------
    config, partition
        Device and its engines.
    models
        Programs, all of the same inputs.
    cache
        Contents of the static cache.
    image
        Device memory.
    pipelines
        Programs of the stages of each pipeline; a query names the one it runs through. Pipelines
        may share programs. None: one pipeline of all programs.
    groups
        Items that each program usually ranks, by sub-batch, to choose the row blocks by; None: the
        largest that fit. Queries of any size run on either.
    fractions
        Of each stage of pipeline 0, see ``driver.rules``; none: nothing is forwarded early.
    results
        Finished DHE vectors to hold; None: every vector is decoded.

    Raises
    ------
    UserError
        A model, table or image does not fit.
    """
    shapes = {number: stage_shape(model) for number, model in enumerate(models)}
    pipelines = _checked(config, models, pipelines)
    for engine in partition.engines:  # the plainest reason first
        check_models(config, {n: s for n, s in shapes.items() if hosts(engine, n, pipelines)})
    layout, places, widest = records_of(config, [model.shape for model in models])
    maps = map_engines(config, partition, shapes, pipelines, layout)
    if results is not None:
        maps = {unit: by_expected_rows(results, mapped) for unit, mapped in maps.items()}
    most_rows = {n: min(m.stages[n].rows for m in maps.values() if n in m.stages) for n in shapes}
    rows = dict(most_rows)
    if groups is not None:
        for number, shape in shapes.items():
            engines = {
                e: maps[e.unit].streamed_tiles(number)
                for e in partition.engines
                if hosts(e, number, pipelines)
            }
            rows[number] = choose_rows(config, shape, engines, groups[number], rows[number])
    deployment = Deployment(
        config=config,
        partition=partition,
        models=tuple(models),
        pipelines=pipelines,
        maps=maps,
        rows=tuple(rows.values()),
        most_rows=tuple(most_rows.values()),
        cache=cache,
        results=results,
        places=places,
        pitch=layout.pitch,
        ids_offset=layout.ids_offset,
        dense_bytes=layout.dense_bytes,
        first_id=layout.first_id,
        looked_up=tuple(place for _, place in models[0].shape.table_places),
        decoded=decoded_ids(widest),
    )
    builder = LoadBuilder(deployment, image)
    for engine in partition.engines:
        if engine.unit in maps:
            builder.engine(engine, maps[engine.unit])
    if results is not None:
        units = [u for u, m in maps.items() if any(s.decoders for s in m.stages.values())]
        deployment.loads += held_loads(config, results, models, image, units)
    builder.features(cache)
    builder.pipeline_tables()
    builder.quotas(fractions)
    return deployment
