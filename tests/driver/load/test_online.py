"""The online scheduler: decisions by hand, the value of a backlog, all paths against each one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from driver.errors import UserError
from driver.load.arrivals import Bursty, Poisson
from driver.load.hindsight import schedule_bound
from driver.load.multi_path import compare_paths, path_saturation, serve
from driver.load.online import PathScheduler
from driver.load.paths import Path, paths_of
from driver.load.profile import LatencyCurve, PlatformProfile
from driver.load.sizes import FixedSize, Lognormal
from driver.load.transfer import HostTransfer
from driver.load.values import LOADS, backlog_values

SIZES = Lognormal(mean=128, sigma=0.5, largest=1024)
TYPICAL = SIZES.items(np.random.default_rng(7), 1000)


def path(name: str, seconds: float, quality: float, platform: str = "a", **words: Any) -> Path:
    """A path of ``seconds`` an item."""
    factors = words.pop("factors", ())
    curve = LatencyCurve(
        model="m", representation=name, items=(1, 1024), latency_s=(seconds, 1024 * seconds),
        factors=factors,
    )  # fmt: skip
    return Path(name=name, platform=platform, curve=curve, quality=quality, **words)


TABLE = path("table", 4e-6, 0.7879)
HYBRID = path("hybrid", 16e-6, 0.7898)
ELSEWHERE = path("dhe", 8e-6, 0.7890, "b")


def scheduler(*paths: Path, sla_s: float = 10e-3, **words: Any) -> PathScheduler:
    return PathScheduler(paths, sla_s=sla_s, typical_items=TYPICAL, **words)


def test_an_idle_system_takes_the_most_accurate_path() -> None:
    for policy in ("value", "accurate-first"):
        chosen = scheduler(TABLE, HYBRID, policy=policy).choose(5.0, 128)
        assert chosen is not None and chosen.path == 1
        assert chosen.finish == pytest.approx(5.0 + 128 * 16e-6)


def test_a_large_query_takes_the_path_that_is_in_time() -> None:
    chosen = scheduler(TABLE, HYBRID).choose(0.0, 1024)  # 4.1 ms and 16.4 ms
    assert chosen is not None and chosen.path == 0


def test_a_backlog_moves_queries_to_the_fast_path_and_then_refuses() -> None:
    online = scheduler(TABLE, HYBRID, policy="accurate-first")
    got = [online.choose(0.0, 256) for _ in range(12)]
    # 4.1 ms each on hybrid, 1 ms on table, until 10 ms are full.
    assert [None if c is None else c.path for c in got] == [1, 1, 0] + [None] * 9
    late = scheduler(TABLE, HYBRID, policy="accurate-first", late="serve")
    got = [late.choose(0.0, 256) for _ in range(5)]
    assert [c.path for c in got if c is not None] == [1, 1, 0, 0, 0]


def test_several_servers_and_platforms_work_side_by_side() -> None:
    two = path("table", 4e-6, 0.78, servers=2)
    online = scheduler(two)
    got = [online.choose(0.0, 1000) for _ in range(4)]
    assert [round(c.finish, 6) for c in got if c is not None] == [0.004, 0.004, 0.008, 0.008]
    assert online.choose(0.0, 1000) is None
    online = scheduler(TABLE, ELSEWHERE, sla_s=9e-3)
    places = {c.platform for _ in range(3) if (c := online.choose(0.0, 1000)) is not None}
    assert places == {0, 1}


def test_a_pipelined_platform_is_occupied_shorter_than_a_query_takes() -> None:
    curve = LatencyCurve(model="m", items=(1, 100), latency_s=(4e-3, 4e-3), interval_s=(1e-3, 1e-3))
    pipelined = Path(name="p", platform="a", curve=curve, quality=0.5, in_flight=2)
    online = PathScheduler([pipelined], sla_s=0.1, typical_items=[10])
    finish = [c.finish for _ in range(3) if (c := online.choose(0.0, 10)) is not None]
    assert finish == pytest.approx([4e-3, 6e-3, 8e-3])  # two in flight: one each 2 ms


def test_results_correct_the_prediction() -> None:
    online = scheduler(TABLE)
    first = online.choose(0.0, 1000)
    second = online.choose(0.0, 1000)
    assert first is not None and second is not None
    online.done(first, 6e-3)  # 2 ms late
    assert online.choose(6e-3, 100).finish == pytest.approx(10.4e-3)  # type: ignore[union-attr]
    online.done(second, 9e-3)  # 1 ms earlier than the correction said
    assert online.choose(9e-3, 100).finish == pytest.approx(9.8e-3)  # type: ignore[union-attr]


def test_servers_share_one_queue() -> None:
    """What one server is late delays the queue by its part."""
    two = path("table", 4e-6, 0.78, servers=2)
    online = scheduler(two, sla_s=20e-3)
    first, _ = online.choose(0.0, 1000), online.choose(0.0, 1000)
    assert first is not None
    online.done(first, 6e-3)  # 2 ms late
    assert online.choose(6e-3, 100).finish == pytest.approx(6.4e-3)  # type: ignore[union-attr]
    behind = online.choose(0.006, 1000)
    assert behind is not None and behind.finish == pytest.approx(10e-3)
    # Each server is predicted 1 ms later than without the result: 4 + 1 ms, then what came since.


def test_scatter_keeps_a_margin_that_adds_in_squares() -> None:
    """In time with 95 %, or, where nothing is, tried with 80 %."""
    factors = tuple(np.linspace(0.5, 1.5, 101))  # quantiles: 95 % 1.45, 80 % 1.3
    noisy = path("t", 10e-6, 0.5, factors=factors)
    fits = scheduler(noisy, sla_s=10e-3).choose(0.0, 689)
    tried = scheduler(noisy, sla_s=10e-3).choose(0.0, 768)
    assert fits is not None and tried is not None  # 6.89 * 1.45 and 7.68 * 1.3 ms
    assert scheduler(noisy, sla_s=10e-3).choose(0.0, 770) is None
    exact = path("e", 9e-6, 0.4, "b")
    # Of both, the one that is safely in time, though it is less accurate.
    for items, number in ((689, 0), (691, 1)):
        chosen = scheduler(noisy, exact, sla_s=10e-3, policy="accurate-first").choose(0.0, items)
        assert chosen is not None and chosen.path == number
    online = scheduler(noisy, sla_s=10e-3)
    first = online.choose(0.0, 400)  # 4 ms, standard deviation 4 * 0.2915 = 1.166 ms
    assert first is not None and first.variance == pytest.approx((4e-3 * 0.2915) ** 2, rel=1e-3)
    # 4 ms of wait; 0.8416 standard deviations of 80 % beside the query's own 30 %.
    last = max(n for n in range(300, 600) if _would(online, n))
    assert last * 10e-6 + np.hypot(0.3 * last * 10e-6, 0.8416 * 1.166e-3) == pytest.approx(
        6e-3, abs=2e-5
    )
    online.done(first, 4e-3)
    assert online.choose(4e-3, 768) is not None  # nothing is uncertain any more


def _would(online: PathScheduler, items: int) -> bool:
    return copy.deepcopy(online).choose(0.0, items) is not None


def test_a_backlog_costs_more_the_longer_it_is_and_the_higher_the_load() -> None:
    latency = np.array([[1e-3], [4e-3]])
    values = backlog_values(latency, latency, np.array([[1.0], [1.002]]), sla_s=2e-2, busy_s=1e-3)
    grid = np.array(values.by_load)[:, : int(2e-2 / values.step_s)]
    assert grid[:, 0] == pytest.approx(0, abs=0.1) and len(grid) == len(LOADS)
    assert (np.diff(grid, axis=1) < 1e-9).all()
    middle = grid[:, grid.shape[1] // 2]
    assert middle[LOADS.index(0.3)] > middle[LOADS.index(0.6)] > middle[LOADS.index(0.9)]
    # Below all paths' saturation next to nothing; beyond, an emptying backlog is lost work.
    assert middle[LOADS.index(0.1)] > -0.1
    assert middle[LOADS.index(1.2)] < -1


@pytest.mark.parametrize(
    ("paths", "sla_s"), [((TABLE, HYBRID), 10e-3), ((TABLE, HYBRID, ELSEWHERE), 5e-3)]
)
def test_multi_path_is_never_below_the_best_static_path(
    paths: tuple[Path, ...], sla_s: float
) -> None:
    """10 to 120 % of saturation; above it between the paths' saturation points."""
    found = compare_paths(
        paths, Poisson(1), SIZES, sla_s=sla_s, loads=(0.1, 0.4, 0.7, 1.0, 1.2), queries=12_000
    )
    for row in found:
        assert row.gain.high >= 0, row
        assert row.missed <= 0.01
    assert all(row.gain.low > 0 for row in found if row.load == 0.4)


def test_taking_the_most_accurate_path_that_is_in_time_loses() -> None:
    """Why the default policy prices the backlog."""
    (row,) = compare_paths(
        (TABLE, HYBRID), Poisson(1), SIZES, sla_s=10e-3, loads=(0.6,), queries=8000,
        policy="accurate-first",
    )  # fmt: skip
    assert row.gain.high < -0.1 * row.multi.value


def test_noisy_latencies_and_bursts() -> None:
    noise = tuple(np.random.default_rng(1).lognormal(0, 0.1, 100))
    paths = (path("t", 4e-6, 0.7879, factors=noise), path("h", 16e-6, 0.7898, factors=noise))
    (row,) = compare_paths(paths, Bursty(1), SIZES, sla_s=20e-3, loads=(0.3,), queries=6000)
    assert row.gain.high >= 0 and row.missed < 0.01


CPU_SCATTER = tuple(
    np.concatenate([np.linspace(0.85, 1.05, 58), np.linspace(1.1, 1.9, 6)]).tolist()
)
"""A measured CPU's: most runs alike, some up to twice as long."""


@pytest.mark.parametrize("load", [0.7, 1.0, 1.2])
@pytest.mark.parametrize("servers", [1, 2])
def test_hardly_fewer_in_time_than_with_all_services_known(servers: int, load: float) -> None:
    """Up to 20 % beyond saturation, with scatter: at most 1 % of what foresight would serve."""
    noise = tuple(np.random.default_rng(1).lognormal(0, 0.1, 100))
    words: dict[str, Any] = {"servers": servers, "factors": noise}
    paths = (path("t", 4e-6, 0.7879, **words), path("h", 16e-6, 0.7898, **words))
    (row,) = compare_paths(paths, Poisson(1), SIZES, sla_s=10e-3, loads=(load,), queries=20_000)
    assert row.fewer <= 0.01 and row.gain.high >= 0
    assert row.in_time <= row.bound and row.informed <= row.bound


def test_a_cpu_beside_a_device_in_overload() -> None:
    """As MP-Rec's comparison: a fast exact device, and a CPU that scatters."""
    device = path("d", 1e-7, 0.7875, "d")
    slow = path("s", 1e-6, 0.7894, "d")
    host = path("c", 13e-6, 0.7875, "c", servers=2, factors=CPU_SCATTER)
    (row,) = compare_paths(
        (host, device, slow), Poisson(1), SIZES, sla_s=10e-3, loads=(1.2,), queries=40_000
    )
    assert row.gain.low > 0
    assert row.fewer <= 0.01
    assert row.in_time <= row.bound and row.informed <= row.bound


def test_no_schedule_is_beyond_the_bound() -> None:
    """One server, ten queries of 1 s and ten of 2 s: what fits 12 s, by number and by worth."""
    one = path("t", 1.0, 0.5)
    seconds = np.array([[1.0] * 10 + [2.0] * 10])
    assert schedule_bound([one], 12.0, seconds, np.ones((1, 20))) == pytest.approx(11.0, abs=1e-6)
    worth = np.array([[1.0] * 10 + [5.0] * 10])
    assert schedule_bound([one], 12.0, seconds, worth) == pytest.approx(30.0, abs=1e-6)
    two = (one, path("u", 1.0, 0.5, "b"))
    found = schedule_bound(two, 12.0, np.repeat(seconds, 2, 0), np.ones((2, 20)))
    assert found == pytest.approx(17.0, abs=1e-6)  # ten short ones, then seven of 2 s


def test_what_is_counted() -> None:
    """Two queries at once, one server: the second is refused, though nothing could serve it."""
    one = path("t", 8e-6, 0.5)
    run = serve(
        scheduler(one), np.array([0.0, 0.0, 1.0]), np.array([1000, 1000, 500]), np.ones((3, 1)),
        sla_s=10e-3,
    )  # fmt: skip
    assert list(run.path) == [0, -1, 0]
    assert list(run.servable) == [True, False, True]
    assert list(run.correct) == [500, 0, 250]
    assert run.miss_share() == 0
    assert path_saturation(one, np.array([500])) == pytest.approx(250)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"paths": ()}, "no paths"),
        ({"sla_s": 0.0}, "SLA must be above 0 s"),
        ({"policy": "guess"}, "unknown policy 'guess'; known: value, accurate-first"),
        ({"late": "never"}, "unknown late 'never'"),
        ({"typical_items": []}, "typical items"),
        ({"typical_items": [5000]}, "no path takes 5000 items, the smallest typical"),
        ({"sla_s": 1e-3, "typical_items": [500]},
         "no path meets an SLA of 1 ms for 500 items: the nearest is table with 2 ms"),
        ({"paths": (TABLE, path("x", 1e-6, 0.5, servers=2))}, "disagree on the servers of a"),
    ],
)  # fmt: skip
def test_refuses(words: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"paths": (TABLE, HYBRID), "sla_s": 10e-3, "typical_items": [100]}
    with pytest.raises(UserError, match=message):
        PathScheduler(**(given | words))


def test_refuses_later() -> None:
    with pytest.raises(UserError, match="no path takes 4000 items: table 1..1024"):
        scheduler(TABLE).choose(0.0, 4000)
    with pytest.raises(UserError, match="path table takes 1..1024 items, not 2000"):
        compare_paths((TABLE,), Poisson(1), FixedSize(2000), sla_s=1, loads=(1,), queries=100)
    with pytest.raises(UserError, match="load must be above 0, not -1"):
        compare_paths((TABLE,), Poisson(1), FixedSize(9), sla_s=0.01, loads=(-1,), queries=100)
    with pytest.raises(UserError, match="quality must be in 0..1, not 2"):
        path("x", 1e-6, 2.0)


def test_the_paths_of_a_profile() -> None:
    curves = tuple(
        LatencyCurve(model="m", representation=r, items=(1, 10), latency_s=(1e-3, 2e-3),
                     memory_bytes=600)
        for r in ("table", "dhe")
    )  # fmt: skip
    words: dict[str, Any] = {
        "name": "p", "kind": "other", "bytes_per_s": 1.0, "curves": curves,
        "quality": {"m/table": 0.7, "m/dhe": 0.8},
    }  # fmt: skip
    profile = PlatformProfile(**words, memory_bytes=1200, servers=3, host=HostTransfer.pcie())
    one, two = paths_of(profile, "m", ("table", "dhe"), returned=8)
    assert (one.name, two.quality, one.servers) == ("m/table@p", 0.8, 3)
    assert one.table().latency[9] == pytest.approx(2e-3 + HostTransfer.pcie().seconds(10, 8))
    assert one.table().occupied[9] == pytest.approx(2e-3)
    with pytest.raises(UserError, match="m/table@p, m/dhe@p need 1200 bytes together; p has 1199"):
        paths_of(PlatformProfile(**words, memory_bytes=1199), "m", ("table", "dhe"))
    with pytest.raises(UserError, match="profile p has no quality of m/hybrid"):
        paths_of(profile, "m", ("hybrid",))
