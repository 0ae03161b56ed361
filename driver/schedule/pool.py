"""Sweeps on all cores of this machine, or on a Dask cluster: the same function, the same results.

Results come with their places, in any order; whoever asks keeps them by place.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from ..errors import UserError

__all__ = ["sweep"]

CLUSTER_TIMEOUT_S = 10
Function = Callable[[Any], Any]


def sweep(
    function: Function,
    tasks: Sequence[Any],
    *,
    workers: int | None = None,
    cluster: str | None = None,
) -> Iterator[tuple[int, Any]]:
    """Apply a function of a module to every task.

    Parameters
    ----------
    function, tasks
        Must travel to other processes.
    workers
        Processes; None: one a core; 1: this process.
    cluster
        Address of a Dask scheduler whose workers have the same version of this project.

    Yields
    ------
    (place of the task, result), as they are done.

    Raises
    ------
    UserError
        The cluster is missing, does not answer, or is lost on the way.
    """
    if cluster is not None:
        yield from _on_cluster(function, tasks, cluster)
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(cores or 1 if workers is None else workers, len(tasks))
    if workers <= 1:
        for place, task in enumerate(tasks):
            yield place, function(task)
        return
    # Spawned, not forked: the parent may have threads of BLAS.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        places = {pool.submit(function, task): place for place, task in enumerate(tasks)}
        try:
            for done in as_completed(places):
                yield places[done], done.result()
        except BrokenProcessPool:
            raise UserError("a process of the sweep was killed; what is done is kept") from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _on_cluster(
    function: Function, tasks: Sequence[Any], address: str
) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client
        from distributed import as_completed as completed
    except ImportError:
        raise UserError("--cluster needs Dask: pip install 'rpaccel[dask]'") from None
    try:
        client = Client(address, timeout=CLUSTER_TIMEOUT_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"cluster {address} does not answer: {words}") from None
    with client:
        if not client.scheduler_info()["workers"]:
            raise UserError(f"cluster {address} has no workers")
        futures = client.map(function, list(tasks), pure=False)
        places = {future.key: place for place, future in enumerate(futures)}
        done = 0
        try:
            for future, result in completed(futures, loop=client.loop, with_results=True):
                done += 1
                yield places[future.key], result
        except UserError:
            raise
        except Exception as error:  # what Dask raises when a cluster goes away is not one class
            raise UserError(
                f"cluster {address}: lost after {done} of {len(tasks)} results, which are kept: "
                f"{type(error).__name__}: {error}".splitlines()[0]
            ) from None
