"""A CPU worker process: one stage's float model, on the queries that reach it."""

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

__all__ = ["END", "START", "CPU", "Board", "WorkerSpec", "survivors_of", "work"]

START, END, CPU = range(3)
"""Columns of a query's times at a station: wall clock of start and result, CPU seconds between."""


@dataclass(frozen=True, kw_only=True)
class WorkerSpec:
    """What a worker serves and where."""

    pipeline: Pipeline
    stage: int
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
    keep: tuple[int, ...]
    times: Any
    """[query, stage, 3] doubles."""
    lists: tuple[Any, ...]
    """By stage: [query, keep] 32-bit items that it kept, best first."""

    @classmethod
    def make(cls, context: Any, queries: int, keep: Sequence[int]) -> Board:
        """Room in shared memory."""
        return cls(
            queries,
            tuple(keep),
            context.RawArray("d", queries * len(keep) * 3),
            tuple(context.RawArray("i", queries * count) for count in keep),
        )

    def times_array(self) -> NDArray[np.float64]:
        """The times as an array."""
        return np.frombuffer(self.times).reshape(self.queries, len(self.keep), 3)

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

    ``outbox`` is the next stage's, None behind the last; ``ready`` is released when the models are
    there.
    """
    os.sched_setaffinity(0, {spec.cpu})
    workload = load_workload(
        spec.pipeline, queries=spec.pool, max_rows=spec.max_rows, seed=spec.seed
    )
    model = workload.models[spec.stage]
    stage = spec.pipeline.stages[spec.stage]
    times, kept = board.times_array(), board.list_array(spec.stage)
    before = None if spec.stage == 0 else board.list_array(spec.stage - 1)
    everything = np.arange(stage.items, dtype=np.int32)
    if spec.real_time:  # the models are there: from here on it only serves
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    ready.release()
    while (number := inbox.get()) >= 0:
        start, used = time.monotonic(), time.process_time()
        items = everything if before is None else before[number]
        query = workload.queries[number % spec.pool]
        kept[number] = survivors_of(model, query, items, stage.keep)
        times[number, spec.stage] = start, time.monotonic(), time.process_time() - used
        if outbox is not None:
            outbox.put(number)
