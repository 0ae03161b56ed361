"""Work and traffic of each stage of the first query: the data behind roofline and lookup table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID
from hdl.config import LINE_BYTES
from hdl.program import STREAM_CHUNK_BYTES

if TYPE_CHECKING:
    from golden.pipeline import QueryResult

    from ..deployment import Deployment
    from ..rtl import Plan
    from ..workload import Workload
    from .activity import Activity

__all__ = ["StageWork", "stage_work"]


@dataclass(frozen=True, kw_only=True)
class StageWork:
    """One stage of one query; bytes are whole beats of the memory bus."""

    name: str
    macs: int
    """Of both MLPs, padding and dot products not counted."""
    padded_macs: int
    """With the padding of weight tiles, on the engine that pads least."""
    pes: int
    """Of the engines that serve the stage."""
    lookups: int
    hits: int
    record_bytes: int
    row_bytes: int
    """Lines of embedding rows that the static cache does not hold, each lookup for itself."""
    weight_bytes: int
    """Streamed weights."""

    @property
    def bytes(self) -> int:
        return self.record_bytes + self.row_bytes + self.weight_bytes


def _beat_bytes(address: NDArray[np.int64], length: int, size: int) -> int:
    """Bytes of all beats that reads of ``length`` bytes touch."""
    return int((-(-(address % size + length) // size) * size).sum())


def _streamed(deployment: Deployment, number: int, activity: Activity) -> int:
    """Bytes of weights that the first query's row blocks of a stage stream."""
    total = 0
    for block in activity.blocks:
        if block.query == 0 and block.stage == number:
            mapped = deployment.maps[block.unit]
            stage = mapped.stages[number]
            total += sum(
                -(-phase.tiles * mapped.edge**2 // STREAM_CHUNK_BYTES) * STREAM_CHUNK_BYTES
                for phase in stage.phases
                if phase.streamed
            )
    return total


def stage_work(
    plan: Plan, workload: Workload, expected: QueryResult, activity: Activity
) -> list[StageWork]:
    """Work of the stages of query 0.

    Parameters
    ----------
    expected
        Golden result of query 0: which items each stage ranks.
    activity
        Which engines its row blocks went to.
    """
    deployment = plan.deployment
    size = deployment.config.axi_bytes
    placed, query = plan.queries[0], workload.queries[0]
    out = []
    for number, stage in enumerate(expected.stages):
        model = deployment.models[number]
        items = stage.items.astype(np.int64)
        ids = query.ids[items][:, list(deployment.looked_up)]
        cache = deployment.cache
        tables = [table for table, _ in model.shape.table_places]
        hits = 0 if cache is None else int(cache.hits(number, ids, tables).sum())
        lookups = int((ids != EMPTY_ID).sum())
        records = placed.records + items * deployment.pitch
        row = -(-model.shape.width // LINE_BYTES) * LINE_BYTES
        serving = [m for m in deployment.maps.values() if number in m.stages]
        padded = min(
            sum(phase.tiles for phase in m.stages[number].phases) * m.edge**2 for m in serving
        )
        out.append(
            StageWork(
                name=model.shape.name,
                macs=len(items) * model.shape.macs,
                padded_macs=len(items) * padded,
                pes=sum(m.edge**2 for m in serving),
                lookups=lookups,
                hits=hits,
                record_bytes=_beat_bytes(records, deployment.dense_bytes, size)
                + _beat_bytes(records + deployment.ids_offset, 4 * deployment.places.count, size),
                row_bytes=(lookups - hits) * row,
                weight_bytes=_streamed(deployment, number, activity),
            )
        )
    return out
