"""Arrival laws and sizes: their rates, their shapes, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from driver.errors import UserError
from driver.load.arrivals import Arrivals, Bursty, Diurnal, Poisson, Trace, arrivals, read_trace
from driver.load.sizes import FixedSize, ListedSizes, Lognormal

N = 200_000


def draw(law: Arrivals, queries: int = N) -> np.ndarray:
    return law.times(np.random.default_rng(3), queries)


@pytest.mark.parametrize(
    "law",
    [
        Poisson(50.0),
        Bursty(50.0, ratio=8, share=0.2, burst_s=0.5),
        Diurnal(50.0, swing=0.9, period_s=100),
    ],
)
def test_rates_hold_and_times_rise(law: Arrivals) -> None:
    times = draw(law)
    assert len(times) == N
    assert (np.diff(times) >= 0).all()
    assert N / times[-1] == pytest.approx(50, rel=0.03)
    faster = draw(law.at_rate(100))
    assert law.at_rate(100).rate == 100
    assert (faster <= times).all()  # every query earlier: searches over the rate are smooth


def test_exponential_gaps() -> None:
    gaps = np.diff(draw(Poisson(4.0)))
    assert gaps.std() == pytest.approx(0.25, rel=0.02)
    assert np.quantile(gaps, 0.99) == pytest.approx(0.25 * np.log(100), rel=0.02)


def test_bursts_have_their_ratio_and_share() -> None:
    times = draw(Bursty(100.0, ratio=10, share=0.1, burst_s=20))
    counts = np.bincount(times.astype(int))
    calm = 100 / 1.9
    inside = counts > 4 * calm
    assert inside.mean() == pytest.approx(0.1, abs=0.04)
    assert np.median(counts[inside]) == pytest.approx(10 * calm, rel=0.1)
    # Counts vary far more than Poisson's.
    assert counts.var() > 10 * counts.mean()


def test_a_day_swings() -> None:
    times = draw(Diurnal(100.0, swing=0.5, period_s=1000))
    times = times[times < times[-1] // 1000 * 1000]  # whole days
    phase = (times % 1000) / 1000
    rates = np.histogram(phase, bins=20, range=(0, 1))[0] * 20 / len(times)
    wanted = 1 + 0.5 * np.sin(2 * np.pi * (np.arange(20) + 0.5) / 20)
    assert rates == pytest.approx(wanted, abs=0.05)


def test_traces(tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text("# seconds items\n10.0 5\n\n10.5, 6\n12 7 # last\n")
    trace = read_trace(file)
    assert trace.rate == 1.0
    assert list(draw(trace)) == [0, 0.5, 2]
    assert list(draw(trace, 2)) == [0, 0.5]
    assert list(draw(trace.at_rate(2))) == [0, 0.25, 1]
    assert trace.items is not None and list(trace.items) == [5, 6, 7]
    assert list(ListedSizes(trace.items).items(np.random.default_rng(1), 2)) == [5, 6]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs at least 2 queries, not 0"),
        ("1\n", "needs at least 2 queries, not 1"),
        ("1\n2\nthree\n", "line 3 must be SECONDS"),
        ("1\n3\n2\n", "query 2 arrives before"),
        ("1\n1\n", "all queries arrive at once"),
        ("1\nnan\n", "time of query 1 is nan"),
        ("1 4\n2\n", "1 of 2 queries have items"),
        ("1 4\n2 0\n", "query 1 has 0 items"),
    ],
)
def test_traces_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(UserError, match=message):
        read_trace(file)


def test_refuses() -> None:
    with pytest.raises(UserError, match="cannot read trace"):
        read_trace(Path("/nowhere/trace"))
    for rate in (0.0, -3.0, float("nan"), float("inf")):
        for law in ("poisson", "bursty", "diurnal"):
            with pytest.raises(UserError, match="load must be above 0 queries a second"):
                arrivals(law, rate)
        with pytest.raises(UserError, match="load must be above 0"):
            Trace(np.array([0.0, 1.0])).at_rate(rate)
    with pytest.raises(UserError, match="unknown arrivals 'weekly'; known: poisson"):
        arrivals("weekly", 1)
    with pytest.raises(UserError, match="swing must be in 0..1, not 1.5"):
        Diurnal(1.0, swing=1.5)
    with pytest.raises(UserError, match="share of bursts must be in"):
        Bursty(1.0, share=1.0)
    with pytest.raises(UserError, match="at least 1, not 0"):
        FixedSize(0)
    with pytest.raises(UserError, match="mean items must be at least 1"):
        Lognormal(mean=0.5)
    with pytest.raises(UserError, match="clipped to 1 <= smallest <= largest, not 5..4"):
        Lognormal(mean=2, smallest=5, largest=4)


def test_sizes() -> None:
    random = np.random.default_rng(5)
    assert (FixedSize(7).items(random, 3) == 7).all()
    drawn = Lognormal(mean=128, sigma=0.5, largest=1024).items(random, N)
    assert drawn.mean() == pytest.approx(128, rel=0.01)
    assert drawn.min() >= 1 and drawn.max() <= 1024
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.02)
