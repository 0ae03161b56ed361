"""Fleets: tables over devices, groups that exchange vectors, and how many a load needs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driver.errors import UserError
from driver.load.arrivals import Poisson
from driver.load.fleet import Link, group_stations, shard_tables, size_fleet
from driver.load.profile import LatencyCurve
from driver.load.services import Exponential, Intervals, Tabulated
from driver.load.simulate import latencies
from driver.load.sizes import FixedSize
from driver.load.stations import Station
from golden.criteo import CRITEO_KAGGLE_ROWS

CURVE = LatencyCurve(model="m", items=(1, 4096), latency_s=(1e-6, 4096e-6))
DEVICE = (Station(name="device", service=Tabulated(CURVE)),)
LINK = Link(latency_s=2e-6, bytes_per_s=1e9)


def test_tables_that_fit_stay_together() -> None:
    shards = shard_tables([10, 20, 30], 60)
    assert shards.bytes_of == (60,)
    assert group_stations(DEVICE, shards=shards, item_bytes=1, link=None) == DEVICE


@pytest.mark.parametrize("capacity", [40_000_000, 100_000_000, 301_000_000, 1 << 30])
def test_kaggle_tables_are_whole_and_even(capacity: int) -> None:
    tables = [rows * 32 for rows in CRITEO_KAGGLE_ROWS]
    shards = shard_tables(tables, capacity)
    assert max(shards.bytes_of) <= capacity
    held: dict[int, int] = {}
    for device in shards.devices:
        for table, size in device:
            held[table] = held.get(table, 0) + size
    assert held == dict(enumerate(tables))
    least = -(-sum(tables) // capacity)
    assert least <= len(shards.devices) <= math.ceil(1.34 * least) + 1


def test_a_table_larger_than_a_device_is_cut() -> None:
    shards = shard_tables([100, 5], 40)
    assert sorted(shards.bytes_of) == [33, 34, 38]
    assert sum(size for device in shards.devices for table, size in device if table == 0) == 100


def test_a_group_ranks_parts_and_exchanges_vectors() -> None:
    shards = shard_tables([50, 50], 50)
    group = group_stations(DEVICE, shards=shards, item_bytes=100.0, link=LINK)
    # An item's vectors: half of them are on the other device, for half of the items.
    run = latencies(group, Poisson(1.0), FixedSize(1000), queries=100)
    alone = 2e-6 + 1000 * 100 * 0.5 * 0.5 / 1e9 + 500e-6
    assert run.latency == pytest.approx(alone)
    pipelined = (Station(name="d", service=Tabulated(CURVE), interval=Intervals(CURVE)),)
    place = group_stations(pipelined, shards=shards, item_bytes=1.0, link=LINK)[-1]
    assert place.interval is not None
    assert place.interval.draw(np.random.default_rng(1), np.array([1001]))[0] == pytest.approx(
        501e-6
    )


def test_so_many_devices_as_the_load_needs() -> None:
    """M/M/1 each: p99 = ln 100 / (mu - rate) <= 10 gives 0.5395 a device."""
    device = (Station(name="device", service=Exponential(1.0)),)
    fleet = size_fleet(device, Poisson(5.0), FixedSize(1), sla_s=10.0)
    assert fleet.highest == pytest.approx(1 - math.log(100) / 10, rel=0.03)
    assert fleet.groups == fleet.devices == 10
    assert fleet.result.p99.value <= 10 and fleet.result.rate == pytest.approx(0.5, rel=0.02)
    more = size_fleet(
        device, Poisson(0.2), FixedSize(1), sla_s=10.0, tables=(60, 60), capacity=60, spare=1,
        item_bytes=1.0, link=LINK,
    )  # fmt: skip
    assert (more.groups, more.devices) == (2, 4)
    assert more.as_json()["devices_per_group"] == 2


def test_refuses() -> None:
    words = {"sizes": FixedSize(10), "sla_s": 1e-6}
    with pytest.raises(UserError, match="no load meets an SLA of 0.001 ms .* needs 0.01 ms"):
        size_fleet(DEVICE, Poisson(1.0), **words)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="tables need 2 devices: the link between them is missing"):
        size_fleet(DEVICE, Poisson(1.0), FixedSize(9), sla_s=1.0, tables=(9, 9), capacity=9)
    with pytest.raises(UserError, match="spare groups must be at least 0, not -1"):
        size_fleet(DEVICE, Poisson(1.0), FixedSize(9), sla_s=1.0, spare=-1)
    with pytest.raises(UserError, match="capacity for tables must be at least 1 byte, not 0"):
        shard_tables([1], 0)
    with pytest.raises(UserError, match="need more than 4096 devices"):
        shard_tables([10_000], 1)
    with pytest.raises(UserError, match="bytes_per_s must be above 0"):
        Link(latency_s=0.0, bytes_per_s=0.0)
    with pytest.raises(UserError, match="latency_s must be at least 0"):
        Link(latency_s=-1.0, bytes_per_s=1.0)
