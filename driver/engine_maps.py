"""Which models each engine of a partition holds, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hdl.config import Config

from .errors import UserError
from .mapping import map_engine, row_blocks
from .maps import DecoderMap, EngineMap, StageShape
from .partition import Engine, Partition
from .records import RecordLayout
from .result_plan import ResultPlan, table_number

__all__ = ["by_expected_rows", "hosts", "map_engines"]


def hosts(engine: Engine, program: int, pipelines: Sequence[Sequence[int]]) -> bool:
    """The engine serves a stage of a pipeline that runs the program."""
    return any(
        mine == program and engine.serves(stage)
        for programs in pipelines
        for stage, mine in enumerate(programs)
    )


def map_engines(
    config: Config,
    partition: Partition,
    shapes: dict[int, StageShape],
    pipelines: Sequence[Sequence[int]],
    layout: RecordLayout,
) -> dict[int, EngineMap]:
    """Every engine that serves a stage, by anchor.

    Pages lie apart by the largest row block of the engine itself, so that its tables do not depend
    on the rest of the partition: an engine that stays needs no LOAD when the others change.
    """
    maps = {}
    for e in partition.engines:
        programs = {
            n: _on_engine(config, e, s, layout) for n, s in shapes.items() if hosts(e, n, pipelines)
        }
        if not programs:
            continue
        try:
            maps[e.unit] = _map_engine(config, e.row, e.column, e.level, programs)
        except UserError as error:
            raise UserError(f"{error}; {_nearest(config, e.level, programs)}") from None
    return maps


def _on_engine(config: Config, e: Engine, shape: StageShape, layout: RecordLayout) -> StageShape:
    """The shape with what the dense pass of such records writes into the engine's banks.

    Raises
    ------
    UserError
        The model has decoders, the engine no hash lanes.
    """
    if config.hash_lanes_at(e.row, e.column):
        return replace(shape, inputs=layout.first_id)
    if shape.decoders:
        feature = shape.decoders[0][0]
        if not config.hash_lanes:
            raise UserError(
                f"{shape.name}: feature {feature} is decoded, {config.name} has no hash lanes"
            )
        edge = config.sub_array << config.hash_level
        raise UserError(
            f"{shape.name}: feature {feature} is decoded, the engine at sub-array {e.unit} has no "
            f"hash lanes; engines of {edge}x{edge} and larger have them, and those at their upper "
            "left corners"
        )
    return replace(shape, inputs=layout.dense_bytes if layout.first_id else 0)


def by_expected_rows(results: ResultPlan, mapped: EngineMap) -> EngineMap:
    """The engine with its decoders in the order of the rows that they are expected to have.

    While the array decodes a feature of one slot, codes of the other slot's next one are made: the
    longer of the two takes its time, so neighbours are to have as many rows.
    """

    def rows(number: int, place: DecoderMap) -> float:
        return results.misses.get(table_number(number, place.feature), 1.0)

    stages = {
        number: replace(
            stage, decoders=tuple(sorted(stage.decoders, key=lambda d: rows(number, d)))
        )
        for number, stage in mapped.stages.items()
    }
    return replace(mapped, stages=stages)


def _map_engine(
    config: Config, row: int, column: int, level: int, programs: dict[int, StageShape]
) -> EngineMap:
    rows = row_blocks(config, programs, config.sub_array << level)
    return map_engine(config, row=row, column=column, level=level, programs=programs, rows=rows)


def _nearest(config: Config, level: int, programs: dict[int, StageShape]) -> str:
    """Which engine would hold models that this one does not."""
    legal = range(config.levels) if config.features.fission else range(config.levels - 1, -1)
    for other in sorted(legal, key=lambda one: abs(one - level)):
        try:
            _map_engine(config, 0, 0, other, programs)
        except UserError:
            continue
        edge = config.sub_array << other
        return f"the nearest engine that holds it is {edge}x{edge}"
    return f"no engine of {config.name} holds it"
