"""A CPU worker process: the float models of a place's stages, on the queries that reach it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.float_model import forward
from golden.model import Model

from ..pipelines import Pipeline
from ..workload import Query, load_workload

__all__ = [
    "COLUMNS",
    "CPU",
    "END",
    "SERVER",
    "START",
    "Board",
    "WorkerSpec",
    "survivors_of",
    "work",
]

COLUMNS = START, END, CPU, SERVER = range(4)
"""Of a query's times at a place: wall clock of start and result, CPU seconds between, process."""


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker serves and where."""

    pipeline: Pipeline
    place: int
    stages: tuple[int, ...]
    """That it does, one after the other."""
    server: int
    """Number among the processes of its place."""
    cpu: int
    pool: int
    """Distinct queries; query q is number q modulo this."""
    max_rows: int
    seed: int
    real_time: bool = False
    """Ahead of all other processes of the machine (POSIX first-in first-out scheduling)."""


@dataclass(frozen=True)
class Board:
    """Shared memory of all processes, for ``queries`` queries."""

    queries: int
    places: int
    keep: tuple[int, ...]
    """By stage."""
    times: Any
    """[query, place, column] doubles."""
    lists: tuple[Any, ...]
    """By stage: [query, keep] 32-bit items that it kept, best first."""

    @classmethod
    def make(cls, context: Any, queries: int, places: int, keep: Sequence[int]) -> Board:
        """Room in shared memory."""
        return cls(
            queries,
            places,
            tuple(keep),
            context.RawArray("d", queries * places * len(COLUMNS)),
            tuple(context.RawArray("i", queries * count) for count in keep),
        )

    def times_array(self) -> NDArray[np.float64]:
        """The times as an array."""
        return np.frombuffer(self.times).reshape(self.queries, self.places, len(COLUMNS))

    def list_array(self, stage: int) -> NDArray[np.int32]:
        """A stage's kept items as an array."""
        return np.frombuffer(self.lists[stage], np.int32).reshape(self.queries, self.keep[stage])


def survivors_of(
    model: Model, query: Query, items: NDArray[np.integer[Any]], keep: int
) -> NDArray[np.integer[Any]]:
    """The ``keep`` best of ``items``, best first, ties to the lower item."""
    scores = forward(model, query.dense_float[items], query.ids[items])["score"]
    return items[np.lexsort((items, -scores))[:keep]]


def work(spec: WorkerSpec, inbox: Any, outbox: Any, board: Board, ready: Any) -> None:
    """Serve query numbers from ``inbox`` until a negative one; runs in its own process.

    ``outbox`` is the next place's, None behind the last; ``ready`` is released when the models are
    there.
    """
    os.sched_setaffinity(0, {spec.cpu})
    workload = load_workload(
        spec.pipeline, queries=spec.pool, max_rows=spec.max_rows, seed=spec.seed
    )
    stages = spec.pipeline.stages
    times = board.times_array()
    kept = [board.list_array(stage) for stage in range(len(stages))]
    everything = np.arange(stages[0].items, dtype=np.int32)
    if spec.real_time:  # the models are there: from here on it only serves
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ready.release()
    while (number := inbox.get()) >= 0:
        start, used = time.monotonic(), time.process_time()
        query = workload.queries[number % spec.pool]
        for stage in spec.stages:
            items = everything if stage == 0 else kept[stage - 1][number]
            kept[stage][number] = survivors_of(
                workload.models[stage], query, items, stages[stage].keep
            )
        used = time.process_time() - used
        # The last of these stores ends the query: the result's time goes in when all else is there.
        times[number, spec.place, [START, CPU, SERVER]] = start, used, spec.server
        times[number, spec.place, END] = time.monotonic()
        if outbox is not None:
            outbox.put(number)
