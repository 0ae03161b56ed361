"""Waiting: when queries leave a station, given when they come and how long they take.

One server without pipelining is Lindley's recursion, done by cumulative sums and maxima. Several
servers are Kiefer and Wolfowitz's: each query in order takes the server that is free first. That
one is sequential, so it is a small C++ function; without a compiler Python does the same, to the
bit, about ten times slower.
"""

from __future__ import annotations

import ctypes
import hashlib
import heapq
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["compiled", "departures"]

_SOURCE = Path(__file__).with_name("kernel.cpp")
# No fused multiply-add and no reordering: the same bits as Python.
_FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC", "-ffp-contract=off")

Times = NDArray[np.float64]


def departures(
    arrival: Times,
    service: Times,
    *,
    servers: int = 1,
    interval: Times | None = None,
    in_flight: int = 1,
    use_compiled: bool = True,
) -> Times:
    """Times at which queries leave, first come first served.

    Parameters
    ----------
    arrival
        Seconds, rising.
    service
        Seconds from start to result.
    servers
        Queries go to the server that can start first.
    interval
        Seconds until a server can start the next query; None: until its result. A server's
        results come in order.
    in_flight
        Queries of one server between start and result.
    use_compiled
        Take the C++ function if there is one.

    Returns
    -------
    In the order of ``arrival``; with several servers they need not rise.
    """
    if len(arrival) == 0:
        return np.zeros(0)
    if servers == 1 and interval is None:
        done = np.cumsum(service)
        return done + np.maximum.accumulate(arrival - (done - service))
    gaps = service if interval is None else interval
    function = compiled() if use_compiled else None
    if function is None:
        return _in_python(arrival, service, gaps, servers, in_flight)
    finish = np.empty(len(arrival))
    held = [np.ascontiguousarray(a, np.float64) for a in (arrival, service, gaps)]
    function(len(arrival), *(a.ctypes.data for a in held), servers, in_flight, finish.ctypes.data)
    return finish


def _in_python(
    arrival: Times, service: Times, interval: Times, servers: int, in_flight: int
) -> Times:
    free = [(0.0, server) for server in range(servers)]
    ends = [[0.0] * in_flight for _ in range(servers)]
    place = [0] * servers
    last = [0.0] * servers
    finish = []
    for come, seconds, gap in zip(
        arrival.tolist(), service.tolist(), interval.tolist(), strict=True
    ):
        at, server = free[0]
        start = come if come > at else at
        end = max(start + seconds, last[server])
        last[server] = end
        finish.append(end)
        mine, here = ends[server], place[server]
        mine[here] = end
        place[server] = here = 0 if here + 1 == in_flight else here + 1
        heapq.heapreplace(free, (max(start + gap, mine[here]), server))
    return np.array(finish)


@cache
def compiled() -> Any | None:
    """The C++ function, built on first use into the cache; None where that is not possible."""
    from sim.build import cache_folder

    source = _SOURCE.read_bytes()
    key = hashlib.sha256(source + repr((_FLAGS, os.uname().machine)).encode()).hexdigest()[:20]
    library = cache_folder() / "load" / f"kernel-{key}.so"
    try:
        if not library.exists():
            _build(library)
        function = ctypes.CDLL(str(library.resolve())).serve
    except (OSError, subprocess.SubprocessError):
        return None
    function.restype = None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function.argtypes = [number, pointer, pointer, pointer, number, number, pointer]
    return function


def _build(library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True)
    # Through a name of its own: two processes may build at once.
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder) / "kernel.so"
        subprocess.run(
            ["g++", *_FLAGS, "-o", str(built), str(_SOURCE)],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        built.replace(library)
