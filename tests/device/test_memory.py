"""Results do not depend on the memory's behaviour, the simulator, or the partition."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest

import rpaccel
from driver.workload import Workload
from sim.runner import Memory

from .support import Case, Played, small_workload, smallest_workload

ICARUS = pytest.mark.skipif(shutil.which("iverilog") is None, reason="Icarus is not installed")
PARTITIONS = ("fused", "split", "4x4:1@0,4x4:3@1", "4x4:2@1,4x4:1@0,4x4:1")


@pytest.mark.parametrize("hostile", [1, 2])
@pytest.mark.parametrize("partition", ["fused", "split"])
def test_hostile_memory(hostile: int, partition: str) -> None:
    """Random latency, order, back-pressure and interleaving: the same bits."""
    case = Case(partition=partition, cached=False)
    golden = [(case.query(n), case.golden(n)) for n in (0, 1, 2, 0)]
    played = case.run(memory=Memory(hostile=hostile), seed=hostile * 10 + len(partition))
    assert case.difference(played, golden) is None


def test_random_latency_up_to_2000() -> None:
    """The command's hostile mode, caches and prefetches included: every event is golden's."""
    result = rpaccel.run(preset="tiny", pipeline="demo-2", items=16, dram="hostile", seed=3)
    assert result["bit_exact"] is True
    assert result["dram"] == "hostile"
    plain = rpaccel.run(preset="tiny", pipeline="demo-2", items=16, backend="golden", seed=3)
    assert result["top"] == plain["top"]


@pytest.mark.parametrize(
    "memory",
    [
        Memory(latency=1, row_cycles=0, refresh_cycles=0),
        Memory(latency=700),
        Memory(bandwidth=24),
        Memory(refresh_interval=300, refresh_cycles=250),
    ],
    ids=["fast", "far", "narrow", "refreshing"],
)
def test_fast_and_slow_memory(memory: Memory) -> None:
    case = Case(partition="split")
    golden = [(case.query(n), case.golden(n)) for n in (0, 1)]
    assert case.difference(case.run(memory=memory), golden) is None


@pytest.mark.parametrize("partition", PARTITIONS)
def test_partitions(partition: str) -> None:
    case = Case(partition=partition)
    golden = [(case.query(n % 3), case.golden(n % 3)) for n in range(4)]
    assert case.difference(case.run(), golden) is None


@pytest.mark.parametrize("items", [1, 2, 15, 16, 17])
def test_few_items(items: int) -> None:
    """Around the size of a row block, down to one item that every stage keeps."""
    case = Case(partition="split")
    query = case.workload.queries[0]
    keep = [min(items, k) for k in case.keep]
    placed = case.host.put_query(query.dense[:items], query.ids[:items], keep)
    case.placed.append(placed)
    played = case.run()
    golden = case.golden(0, items=items, keep=keep)
    assert case.difference(played, [(placed, golden)]) is None


def _same(one: Played, other: Played) -> None:
    """Registers, memory, the cycle of every step, and every event of every trace."""
    assert one.outcome.result == other.outcome.result
    assert set(one.outcome.traces) == set(other.outcome.traces)
    for name, trace in one.outcome.traces.items():
        assert np.array_equal(trace, other.outcome.traces[name]), name


@ICARUS
@pytest.mark.parametrize(
    ("workload", "partition", "hostile"),
    [
        (smallest_workload, "fused", 0),
        pytest.param(smallest_workload, "4x4:2@0,4x4:1@1", 2, marks=pytest.mark.slow),
        pytest.param(small_workload, "split", 0, marks=pytest.mark.slow),
    ],
)
def test_simulators_agree_to_the_cycle(
    workload: Callable[[], Workload], partition: str, hostile: int
) -> None:
    played = []
    for simulator in ("verilator", "icarus"):
        case = Case(workload(), partition=partition)
        golden = [(case.query(0), case.golden(0))]
        played.append(case.run(simulator=simulator, memory=Memory(hostile=hostile)))
        assert case.difference(played[-1], golden) is None
    _same(*played)


@ICARUS
@pytest.mark.slow
def test_demo_on_both_simulators() -> None:
    """The command of the acceptance test: same results, same cycles."""
    results = [
        rpaccel.run(preset="tiny", pipeline="demo-2", items=64, simulator=simulator)
        for simulator in ("verilator", "icarus")
    ]
    for result in results:
        assert result["bit_exact"] is True
        for key in ("wall_s", "simulator", "text"):
            del result[key]
    assert results[0] == results[1]
