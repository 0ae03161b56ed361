"""The simulation against closed forms, its intervals, warm-up and highest load."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from driver.errors import UserError
from driver.load.arrivals import Bursty, Diurnal, Poisson, Trace
from driver.load.closed_forms import MD1, MMC, ClosedForm, Tandem, quantile
from driver.load.estimates import mean_estimate, quantile_estimate, settled
from driver.load.highest import highest_load
from driver.load.profile import LatencyCurve, PlatformProfile
from driver.load.services import Affine, Empirical, Exponential, Fixed, Tabulated
from driver.load.simulate import latencies, simulate
from driver.load.sizes import FixedSize, Lognormal
from driver.load.stations import Station, saturation, stations_of
from driver.load.transfer import HostTransfer

ONE = FixedSize(1)
CURVE = LatencyCurve(model="m", items=(1, 1000), latency_s=(1e-5, 1e-3))


def queue(service: Any, servers: int | None = 1, **words: Any) -> Station:
    return Station(name="queue", service=service, servers=servers, **words)


@pytest.mark.parametrize(
    ("stations", "rate", "form"),
    [
        ((queue(Fixed(1.0)),), 0.5, MD1(0.5, 1.0)),
        ((queue(Fixed(1.0)),), 0.8, MD1(0.8, 1.0)),
        ((queue(Exponential(1.0)),), 0.7, MMC(0.7, 1.0)),
        ((queue(Exponential(1.0), 4),), 3.2, MMC(3.2, 1.0, 4)),
        ((queue(Exponential(1.0), 32),), 28.0, MMC(28.0, 1.0, 32)),
        ((queue(Exponential(1.0)), queue(Exponential(0.8))), 0.7, Tandem(0.7, 1.0, 0.8)),
    ],
)
def test_intervals_hold_the_closed_form(
    stations: tuple[Station, ...], rate: float, form: ClosedForm
) -> None:
    """95 % intervals of 40 runs: most hold the exact value (binomial: below 32 is one in 10^4)."""
    shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
    exact = {"mean": form.mean} | {n: quantile(form, s) for n, s in shares.items()}
    held = dict.fromkeys(exact, 0)
    for seed in range(40):
        result = simulate(stations, Poisson(rate), ONE, queries=60_000, seed=seed)
        for name, value in exact.items():
            held[name] += getattr(result, name).holds(value)
    assert all(count >= 32 for count in held.values()), held


def test_closed_forms_agree_with_each_other() -> None:
    assert MMC(0.5, 1.0).mean == pytest.approx(2.0)
    assert quantile(MMC(0.5, 1.0), 0.99) == pytest.approx(2 * math.log(100))
    # Erlang C at 2 erlang on 3 servers is 4/9.
    assert MMC(2.0, 1.0, 3).mean == pytest.approx(1 + 4 / 9)
    assert quantile(Tandem(0.5, 1.0, 1e-9), 0.9) == pytest.approx(quantile(MMC(0.5, 1.0), 0.9))
    assert MD1(0.5, 1.0).tail(0.9) == 1 and MD1(0.5, 1.0).tail(1.0) == pytest.approx(0.5)
    with pytest.raises(UserError, match="not 1.2"):
        MMC(1.2, 1.0)


def test_intervals_of_quantiles_need_enough_queries() -> None:
    values = np.random.default_rng(1).exponential(1.0, 20_000)
    assert quantile_estimate(values, 0.99).half_width is not None
    # Two queries of a batch beyond p99.9: no interval from that.
    assert quantile_estimate(values, 0.999).half_width is None
    assert mean_estimate(values[:10]).half_width is None
    assert not quantile_estimate(values, 0.999).holds(7.0)


def test_the_warm_up_is_found() -> None:
    random = np.random.default_rng(1)
    flat = random.exponential(1.0, 50_000)
    assert settled(flat) < 10_000
    late = flat + np.where(np.arange(50_000) < 8_000, 5.0, 0.0)
    assert 7_900 <= settled(late) <= 15_000
    assert settled(flat[:20]) == 0
    result = simulate((queue(Fixed(0.5)),), Poisson(1.0), ONE, queries=10_000, warm_up=0.25)
    assert (result.warm_up, result.queries) == (2500, 7500)


def test_every_random_part_is_its_own() -> None:
    """A second station does not change the first, and a seed gives the same run again."""
    first = queue(Exponential(0.5))
    one = latencies((first,), Poisson(1.0), Lognormal(mean=9), queries=500, seed=4)
    two = latencies((first, queue(Fixed(0.0), None)), Poisson(1.0), Lognormal(mean=9),
                    queries=500, seed=4)  # fmt: skip
    assert (one.latency == two.latency).all() and (one.items == two.items).all()
    assert (latencies((first,), Poisson(1.0), ONE, queries=500, seed=5).latency[:9]
            != one.latency[:9]).any()  # fmt: skip


def test_a_pipelined_device_admits_so_many() -> None:
    """Latency 1, a start every 0.25, at most 2 in flight: a query each 0.5."""
    device = queue(Fixed(1.0), interval=Fixed(0.25), in_flight=2)
    assert saturation((device,), np.ones(10, np.int64))[0] == pytest.approx(2.0)
    run = latencies((device,), Trace(np.linspace(0, 1e-4, 100)), ONE, queries=100)
    leave = run.arrival + run.latency
    assert leave[:4] == pytest.approx([1.0, 1.25, 2.0, 2.25], abs=1e-4)
    assert simulate((device,), Poisson(1.8), ONE, queries=2000).stable
    assert not simulate((device,), Poisson(2.4), ONE, queries=2000).stable


def test_several_servers_let_queries_overtake() -> None:
    stations = (queue(Tabulated(CURVE), 3), queue(Tabulated(CURVE), share=0.125))
    sizes = Lognormal(mean=128, sigma=1.0, largest=1000)
    run = latencies(stations, Poisson(9000), sizes, queries=2000)
    least = CURVE.seconds_of(run.items) + CURVE.seconds_of(np.maximum(np.ceil(run.items / 8), 1))
    assert (run.latency >= least - 1e-9).all()
    assert run.load["queue"] < 1


def test_shares_round_up_but_not_by_rounding_errors() -> None:
    station = queue(Fixed(1.0), share=0.1)
    assert list(station.items(np.array([1, 10, 11, 30, 70]))) == [1, 1, 2, 3, 7]


def test_bursts_and_days_are_slower_than_a_steady_load() -> None:
    stations = (queue(Exponential(1e-3)),)
    steady = simulate(stations, Poisson(600), ONE, queries=50_000, sla_s=0.02)
    assert steady.misses is not None and steady.misses.value < 0.01
    for law in (Bursty(600.0), Diurnal(600.0, period_s=60)):
        result = simulate(stations, law, ONE, queries=50_000, sla_s=0.02)
        assert result.p99.value > 1.5 * steady.p99.value
        assert result.misses is not None and result.misses.value > steady.misses.value


def test_the_highest_load_of_a_known_queue() -> None:
    """M/M/1: p99 = ln 100 / (mu - rate)."""
    found = highest_load((queue(Exponential(1.0)),), Poisson(1), ONE, sla_s=20.0)
    assert found.rate == pytest.approx(1 - math.log(100) / 20, rel=0.03)
    assert found.limited_by == "queue" and found.saturation == pytest.approx(1.0, rel=0.02)
    assert found.result.p99.value <= 20.0
    more = highest_load((queue(Exponential(1.0)),), Poisson(1), ONE, sla_s=20.0, percentile=95)
    assert more.rate == pytest.approx(1 - math.log(20) / 20, rel=0.03)


def test_a_trace_is_played_faster_and_brings_its_sizes() -> None:
    random = np.random.default_rng(1)
    items = Lognormal(mean=100, largest=1000).items(random, 5000)
    trace = Trace(np.cumsum(random.exponential(1.0, 5000)), items)
    found = highest_load((queue(Tabulated(CURVE)),), trace, None, sla_s=2e-3, queries=10_000)
    assert 0.3 * found.saturation < found.rate < found.saturation
    assert found.result.queries + found.result.warm_up == 5000
    run = latencies((queue(Tabulated(CURVE)),), trace, None, queries=200)
    assert (run.items == items[:200]).all()


def test_a_target_that_no_load_meets() -> None:
    with pytest.raises(UserError, match=r"no load meets an SLA of 500 ms at p99: an idle system "
                       r"needs 1000 ms"):  # fmt: skip
        highest_load((queue(Fixed(1.0)),), Poisson(1), ONE, sla_s=0.5, queries=1000)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"stations": ()}, "no stations"),
        ({"queries": 5}, "queries must be at least 100, not 5"),
        ({"sla_s": 0.0}, "SLA must be above 0 s, not 0"),
        ({"sla_s": float("nan")}, "SLA must be above 0 s"),
        ({"warm_up": 1.0}, "warm_up must be a share in 0..0.9"),
        ({"sizes": None}, "sizes of the queries are missing"),
        ({"sizes": FixedSize(2000), "stations": (queue(Tabulated(CURVE)),)},
         r"latency of m \(table\): known for 1..1000 items, not 2000"),
    ],
)  # fmt: skip
def test_refuses(words: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"stations": (queue(Fixed(1.0)),), "arrivals": Poisson(0.5)}
    with pytest.raises(UserError, match=message):
        simulate(**(given | {"sizes": ONE, "queries": 500} | words))


def test_stations_refuse() -> None:
    with pytest.raises(UserError, match="servers must be at least 1, not 0"):
        queue(Fixed(1.0), 0)
    with pytest.raises(UserError, match="share must be above 0"):
        queue(Fixed(1.0), share=0.0)
    with pytest.raises(UserError, match="in_flight must be at least 1"):
        queue(Fixed(1.0), in_flight=0)
    with pytest.raises(UserError, match="must be above 0 s, not -1"):
        Fixed(-1.0)
    with pytest.raises(UserError, match="no samples"):
        Empirical(())
    with pytest.raises(UserError, match="no station has a queue"):
        highest_load((queue(Fixed(1.0), None),), Poisson(1), ONE, sla_s=2.0)
    with pytest.raises(UserError, match="percentile must be 50, 95, 99 or 99.9, not 42"):
        highest_load((queue(Fixed(1.0)),), Poisson(1), ONE, sla_s=2.0, percentile=42)


def test_a_stage_of_a_profile() -> None:
    words: dict[str, Any] = {"name": "p", "kind": "gpu", "memory_bytes": 1, "bytes_per_s": 1.0}
    own = PlatformProfile(**words, curves=(CURVE,), servers=4)
    (place,) = stations_of(own, "m", share=0.5)
    assert (place.servers, place.share, place.interval) == (4, 0.5, None)
    assert stations_of(own, "m", servers=2)[0].servers == 2
    with pytest.raises(UserError, match="p has 4 servers, not 5"):
        stations_of(own, "m", servers=5)
    far = PlatformProfile(**words, curves=(CURVE,), host=HostTransfer.pcie())
    moved, place = stations_of(far, "m", returned=64)
    assert moved.servers is None and isinstance(moved.service, Affine)
    seconds = moved.service.draw(np.random.default_rng(1), np.array([4096]))
    assert seconds[0] == pytest.approx(HostTransfer.pcie().seconds(4096, 64))


def test_results_are_plain_data() -> None:
    result = simulate((queue(Empirical((0.1, 0.2))),), Poisson(2.0), ONE, queries=500, sla_s=1.0)
    data = result.as_json()
    assert data["latency_s"]["p50"]["value"] == result.p50.value
    assert data["stable"] is True and data["misses"]["value"] >= 0
