"""A pipeline really executed: CPU processes under open-loop load, beside its simulation.

Processes have one thread and are pinned to a core each: one a stage, or one a core that does all
stages of a query. A query's number goes from place to place through a queue, from which a place's
processes take it in order; its items and times lie in shared memory. The simulation is told
service times and hand-over times of other runs at the same load (caches and cores serve faster or
slower by how busy they are), one before and one after, never those of the run that it predicts.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from ..pipelines import Pipeline
from .arrivals import Poisson, Trace
from .estimates import Estimate, quantile_estimate
from .services import Recorded
from .simulate import FEWEST, latencies
from .sizes import FixedSize
from .stations import Station
from .worker import CPU, END, SERVER, START, Board, WorkerSpec, work

__all__ = ["LAYOUTS", "Execution", "Place", "Processes", "Run", "execute", "places_of"]

LAYOUTS = ("stages", "cores")
"""``stages``: a process for each stage. ``cores``: a process on each core, for whole queries."""

_GUESSES = 40
_POOL = 16
_PROBES = 40
_WARM_UP = 0.1
_START_S = 300.0
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Place:
    """Processes that do the same stages."""

    stages: tuple[int, ...]
    servers: int


def places_of(pipeline: Pipeline, layout: str, cores: int) -> tuple[Place, ...]:
    """The places of a layout on so many cores.

    Raises
    ------
    UserError
        An unknown layout, or fewer cores than stages that want one each.
    """
    stages = len(pipeline.stages)
    if layout not in LAYOUTS:
        raise UserError(f"unknown layout {layout!r}; known: {', '.join(LAYOUTS)}")
    if layout == "cores":
        return (Place(tuple(range(stages)), cores),)
    if cores < stages:
        raise UserError(
            f"{pipeline.name} has {stages} stages and needs a core for each; "
            f"this process may use {cores}"
        )
    return tuple(Place((stage,), 1) for stage in range(stages))


@dataclass(frozen=True)
class Run:
    """Queries that went through the processes."""

    sent: NDArray[np.float64]
    """[query] seconds, when each really was sent."""
    times: NDArray[np.float64]
    """[query, place, column]: see `worker`."""
    lateness_s: float
    """Longest time that a query was sent after it was due."""

    @property
    def latency(self) -> NDArray[np.float64]:
        """[query] seconds from sending to the last place's result."""
        return np.asarray(self.times[:, -1, END] - self.sent)

    @property
    def service(self) -> NDArray[np.float64]:
        """[query, place] seconds."""
        return np.asarray(self.times[:, :, END] - self.times[:, :, START])

    @property
    def undisturbed(self) -> float:
        """CPU seconds over wall seconds of all services: below 1 others had the cores."""
        return float(self.times[:, :, CPU].sum() / self.service.sum())

    def come(self, place: int) -> NDArray[np.float64]:
        """When queries came to a place."""
        return self.sent if place == 0 else np.asarray(self.times[:, place - 1, END])

    def occupied(self, place: int) -> NDArray[np.float64]:
        """[query] seconds of a process, from when it could start: its hand-over too."""
        come, at = self.come(place), self.times[:, place]
        free = np.zeros(len(at))
        for server in np.unique(at[:, SERVER]):
            mine = np.flatnonzero(at[:, SERVER] == server)
            mine = mine[np.argsort(at[mine, START], kind="stable")]
            free[mine[1:]] = at[mine[:-1], END]
        return np.asarray(at[:, END] - np.maximum(come, free))


class Processes:
    """The processes of all places; a context manager that ends them.

    Raises
    ------
    UserError
        Fewer cores than the layout needs; processes that do not start or die; ``real_time``
        without the permission for it.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        queries: int,
        max_rows: int,
        seed: int,
        pool: int = _POOL,
        layout: str = "stages",
        real_time: bool = False,
    ) -> None:
        self._real_time = real_time
        if real_time:
            with _ahead():  # refused before any process is started
                pass
        cores = sorted(os.sched_getaffinity(0))
        self.places = places_of(pipeline, layout, len(cores))
        context = multiprocessing.get_context("spawn")
        keep = [stage.keep for stage in pipeline.stages]
        self.board = Board.make(context, queries, len(self.places), keep)
        self._inboxes = [context.SimpleQueue() for _ in self.places]
        self._ready = context.Semaphore(0)
        self._workers = []
        free = iter(cores)
        for number, place in enumerate(self.places):
            outbox = self._inboxes[number + 1] if number + 1 < len(self.places) else None
            for server in range(place.servers):
                spec = WorkerSpec(
                    pipeline=pipeline, place=number, stages=place.stages, server=server,
                    cpu=next(free), pool=pool, max_rows=max_rows, seed=seed, real_time=real_time,
                )  # fmt: skip
                arguments = (spec, self._inboxes[number], outbox, self.board, self._ready)
                self._workers.append(context.Process(target=work, args=arguments, daemon=True))

    def __enter__(self) -> Processes:
        with _one_thread():
            for worker in self._workers:
                worker.start()
        limit = time.monotonic() + _START_S
        for _ in self._workers:
            while not self._ready.acquire(timeout=0.2):
                self._check(limit)
        return self

    def __exit__(self, *exception: object) -> None:
        for inbox, place in zip(self._inboxes, self.places, strict=True):
            for _ in range(place.servers):
                inbox.put(-1)
        for worker in self._workers:
            worker.join(timeout=5)
            if worker.is_alive():
                worker.terminate()
                worker.join()

    def _check(self, limit: float) -> None:
        for number, worker in enumerate(self._workers):
            if worker.exitcode is not None:
                raise UserError(f"process {number} of the stages ended with {worker.exitcode}")
        if time.monotonic() > limit:
            raise UserError("the stages' processes do not answer")

    def run(self, due: NDArray[np.float64], *, closed: bool = False) -> Run:
        """Send queries and wait for their results.

        Parameters
        ----------
        due
            Seconds from now; the queries do not wait for each other.
        closed
            Send each query when the one before has its result, whatever ``due``.
        """
        if self._real_time:
            with _ahead():
                return self._run(due, closed)
        return self._run(due, closed)

    def _run(self, due: NDArray[np.float64], closed: bool) -> Run:
        times = self.board.times_array()[: len(due)]
        times[:] = 0
        sent = np.zeros(len(due))
        begin = time.monotonic()
        for number, at in enumerate((due + begin).tolist()):
            if closed:
                self._wait(times[:number], begin)
            elif (left := at - time.monotonic()) > 0:
                time.sleep(left)
            sent[number] = time.monotonic()
            self._inboxes[0].put(number)
        self._wait(times, begin)
        late = 0.0 if closed else float((sent - begin - due).max())
        return Run(sent, times.copy(), late)

    def _wait(self, times: NDArray[np.float64], begin: float) -> None:
        limit = time.monotonic() + _START_S
        while not times[:, -1, END].all():
            time.sleep(0.001)
            self._check(limit)


@contextmanager
def _ahead() -> Iterator[None]:
    """This process is scheduled ahead of its own workers, for it only sleeps and sends."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    except OSError as error:
        raise UserError(f"real-time scheduling is not permitted here: {error.strerror}") from None
    try:
        yield
    finally:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started inside have one thread for their arithmetic."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@dataclass(frozen=True, kw_only=True)
class Execution:
    """Measured beside predicted; seconds."""

    pipeline: str
    rate: float
    load: dict[str, float]
    """By place, from the calibration's service times."""
    measured: Estimate
    """p99 from sending to the last result."""
    measured_p50: Estimate
    predicted_p50: float
    predicted_p99: float
    """Mean over simulations of the same arrivals with the calibration's times, from a different
    place on in each."""
    predicted_p99_range: tuple[float, float]
    """That 95 % of those simulations lie in: what one run of this length can tell."""
    service_drift: dict[str, float]
    """By place: the run's mean service over the calibration's."""
    calibration_undisturbed: float
    run_undisturbed: float
    lateness_s: float
    queries: int
    run: Run

    @property
    def ratio(self) -> float:
        """Measured p99 over the predicted one."""
        return self.measured.value / self.predicted_p99

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "pipeline": self.pipeline,
            "rate": self.rate,
            "load": self.load,
            "queries": self.queries,
            "measured_p99_s": self.measured.as_json(),
            "measured_p50_s": self.measured_p50.as_json(),
            "predicted_p50_s": self.predicted_p50,
            "predicted_p99_s": self.predicted_p99,
            "predicted_p99_range_s": list(self.predicted_p99_range),
            "ratio": self.ratio,
            "service_drift": self.service_drift,
            "calibration_undisturbed": self.calibration_undisturbed,
            "run_undisturbed": self.run_undisturbed,
            "lateness_s": self.lateness_s,
        }


def _law(
    load: float, rate: float | None, service: NDArray[np.float64], places: Sequence[Place]
) -> Poisson:
    """Arrivals at a load, or at a rate that the places can do."""
    servers = np.array([place.servers for place in places])
    most = float((servers / service).min())
    if rate is not None and rate >= most:
        raise UserError(f"{rate:g} queries/s are more than the processes do: {most:.4g}")
    return Poisson(load * most if rate is None else rate)


def _calibrate(
    processes: Processes,
    law: Poisson,
    queries: int,
    random: np.random.Generator,
    progress: Callable[[str], None],
) -> Run:
    progress(f"calibration: {queries} queries at {law.rate:.4g}/s")
    return processes.run(law.times(random, queries))


def _guess(
    known: list[NDArray[np.float64]], arrivals: Trace, places: dict[str, Place], seed: int
) -> NDArray[np.float64]:
    """Latencies of one simulation of the arrivals, with other runs' times."""
    stations = [
        Station(name=name, service=Recorded(tuple(times.tolist())), servers=place.servers)
        for (name, place), times in zip(places.items(), known, strict=True)
    ]
    count = len(arrivals.seconds)
    return latencies(stations, arrivals, FixedSize(1), queries=count, seed=seed).latency


def execute(
    pipeline: Pipeline,
    *,
    layout: str = "stages",
    load: float = 0.5,
    rate: float | None = None,
    queries: int = 1000,
    calibration: int | None = None,
    max_rows: int = 10_000,
    seed: int = 1,
    real_time: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> Execution:
    """Measure a pipeline on CPU processes and predict it.

    Parameters
    ----------
    layout
        One of ``LAYOUTS``.
    load
        Of what the busiest place can do, by its service times.
    rate
        Queries a second in place of ``load``.
    queries
        Of the measured run.
    calibration
        Queries of the runs that service times are taken from; None: as many.
    real_time
        The processes go ahead of all others of the machine, so that these cannot disturb.

    Raises
    ------
    UserError
        A load outside 0..1 (also where the rate is more than the processes can do), too few
        queries or cores, and what `load_workload` refuses.
    """
    if not 0 < load < 1:
        raise UserError(f"load must be in 0..1, not {load:g}")
    if queries < FEWEST:
        raise UserError(f"queries must be at least {FEWEST}, not {queries}")
    calibration = max(FEWEST, calibration or queries)
    room = max(queries, calibration, _PROBES)
    progress(f"{pipeline.name}: processes start")
    with Processes(
        pipeline, queries=room, max_rows=max_rows, seed=seed, layout=layout, real_time=real_time
    ) as processes:
        places = processes.places
        probe = processes.run(np.zeros(_PROBES), closed=True).service[_PROBES // 4 :]
        random = np.random.default_rng(seed)
        law = _law(load, rate, probe.mean(axis=0), places)
        before = _calibrate(processes, law, calibration // 2, random, progress)
        law = _law(load, rate, before.service.mean(axis=0), places)
        progress(f"run: {queries} queries at {law.rate:.4g}/s")
        run = processes.run(law.times(random, queries))
        after = _calibrate(processes, law, calibration - calibration // 2, random, progress)
    names = {
        " + ".join(f"stage {n}: {pipeline.stages[n].model}" for n in place.stages): place
        for place in places
    }
    return _compared(pipeline.name, names, run, (before, after), seed)


def _compared(
    name: str, places: dict[str, Place], run: Run, calibrations: tuple[Run, Run], seed: int
) -> Execution:
    queries = len(run.sent)
    known = [
        np.concatenate([part.occupied(place) for part in calibrations])
        for place in range(len(places))
    ]
    service = np.concatenate([part.service for part in calibrations]).mean(axis=0)
    arrivals = Trace(run.sent)
    servers = np.array([place.servers for place in places.values()])
    first = int(_WARM_UP * queries)
    guesses = np.array([_guess(known, arrivals, places, seed + n)[first:] for n in range(_GUESSES)])
    tails = np.quantile(guesses, 0.99, axis=1)
    low, high = np.quantile(tails, [0.025, 0.975])
    return Execution(
        pipeline=name,
        rate=arrivals.rate,
        load=dict(zip(places, (service * arrivals.rate / servers).tolist(), strict=True)),
        predicted_p50=float(np.quantile(guesses, 0.50, axis=1).mean()),
        predicted_p99=float(tails.mean()),
        predicted_p99_range=(float(low), float(high)),
        measured=quantile_estimate(run.latency[first:], 0.99),
        measured_p50=quantile_estimate(run.latency[first:], 0.50),
        service_drift=dict(zip(places, (run.service.mean(axis=0) / service).tolist(), strict=True)),
        calibration_undisturbed=min(part.undisturbed for part in calibrations),
        run_undisturbed=run.undisturbed,
        lateness_s=run.lateness_s,
        queries=queries,
        run=run,
    )
