"""Departures: against an event-by-event simulation, compiled and not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from driver.load.queue import compiled, departures


def by_events(
    arrival: np.ndarray,
    service: np.ndarray,
    interval: np.ndarray | None,
    servers: int,
    in_flight: int,
) -> list[float]:
    """The rule, word by word: of all servers take the one that can start first."""
    done: list[list[float]] = [[] for _ in range(servers)]
    ready = [0.0] * servers
    leave = []
    for i in range(len(arrival)):
        starts = []
        for s in range(servers):
            room = done[s][-in_flight] if len(done[s]) >= in_flight else 0.0
            starts.append(max(ready[s], room))
        s = int(np.argmin(starts))
        start = max(arrival[i], starts[s])
        end = max(start + service[i], done[s][-1] if done[s] else 0.0)
        ready[s] = start + (service[i] if interval is None else interval[i])
        done[s].append(end)
        leave.append(end)
    return leave


@pytest.mark.parametrize("use_compiled", [True, False])
@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize(("servers", "in_flight"), [(1, 1), (1, 4), (2, 1), (3, 2), (16, 1)])
@pytest.mark.parametrize("load", [0.3, 0.9, 1.5])
def test_equals_event_by_event(
    servers: int, in_flight: int, load: float, pipelined: bool, use_compiled: bool
) -> None:
    random = np.random.default_rng([servers, in_flight, int(10 * load)])
    service = random.exponential(1.0, 400)
    arrival = np.cumsum(random.exponential(1 / (servers * load), 400))
    interval = service * random.uniform(0.2, 1.0, 400) if pipelined else None
    got = departures(
        arrival, service, servers=servers, interval=interval, in_flight=in_flight,
        use_compiled=use_compiled,
    )  # fmt: skip
    wanted = by_events(arrival, service, interval, servers, in_flight if pipelined else 1)
    assert got == pytest.approx(wanted, rel=1e-12)


@pytest.mark.skipif(shutil.which("g++") is None, reason="no compiler")
def test_compiled_is_there_and_equal_to_the_bit() -> None:
    assert compiled() is not None
    random = np.random.default_rng(1)
    arrival, service = np.cumsum(random.exponential(0.3, 5000)), random.exponential(1.0, 5000)
    both = [
        departures(arrival, service, servers=4, interval=service * 0.7, in_flight=2, use_compiled=c)
        for c in (True, False)
    ]
    assert (both[0] == both[1]).all()


def test_without_a_compiler_python_does_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RPACCEL_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    compiled.cache_clear()
    try:
        assert compiled() is None
        assert list(departures(np.zeros(3), np.ones(3), servers=2)) == [1, 1, 2]
    finally:
        compiled.cache_clear()


def test_nothing_comes() -> None:
    assert len(departures(np.zeros(0), np.zeros(0), servers=3)) == 0
