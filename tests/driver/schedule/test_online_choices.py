"""The online scheduler among mappings of one platform."""

from __future__ import annotations

from dataclasses import replace

import pytest

from driver.schedule.explore import Outcome
from driver.schedule.mapping import Mapping, Placed
from driver.schedule.online_choices import REFUSED, alternatives, online_run

ITEMS = 4096


def outcome(
    quality: float, latency_ms: float, saturation: float, *, platform: str = "device",
    items: int = ITEMS, stages: int = 2, other: str | None = None,
) -> Outcome:  # fmt: skip
    models = [Placed("RMlarge", items, platform)]
    if stages == 2:
        models = [Placed("RMsmall", items, platform), Placed("RMlarge", 512, other or platform)]
    return Outcome(
        mapping=Mapping(tuple(models), 64, sub_batches=1 + int(1000 * quality)),
        quality=quality,
        latency_s=1e-3 * latency_ms,
        p99_s=2e-3 * latency_ms,
        p99_half_width_s=None,
        saturation=saturation,
        limited_by=platform,
    )


SLOW = outcome(0.80, 4.0, 250, stages=1)
QUICK = outcome(0.78, 1.0, 1500)


def test_alternatives_are_on_the_chosen_platform_and_each_gains_something() -> None:
    elsewhere = outcome(0.79, 1.0, 900, platform="cpu")
    across = outcome(0.79, 1.0, 900, other="cpu")
    fewer = outcome(0.79, 1.0, 900, items=1024)
    worse = outcome(0.77, 0.5, 1400)
    found = alternatives([QUICK, worse, elsewhere, across, fewer, SLOW], QUICK)
    assert found == [SLOW, QUICK]


def test_of_many_alternatives_the_ends_and_some_between_are_kept() -> None:
    many = [outcome(0.8 - 0.001 * n, 1.0, 100 + n) for n in range(20)]
    found = alternatives(many, many[3])
    assert len(found) == 6 and found[0] is many[0] and found[-1] is many[-1]


def test_quality_when_quiet_and_speed_when_busy() -> None:
    run = online_run([SLOW, QUICK], QUICK, sla_s=0.02, seed=1)
    assert run is not None
    slow, quick = (o.mapping.label for o in (SLOW, QUICK))
    assert run.paths == (slow, quick)
    shares = run.shares()
    assert sum(shares.values()) == pytest.approx(1) and 0 < shares[slow] < shares[quick]
    day = run.at_s[-1]

    def share(first: float, last: float) -> float:
        mine = [p for t, p in zip(run.at_s, run.path, strict=True) if first <= t / day < last]
        return mine.count(slow) / len(mine)

    assert share(0.65, 0.85) > 2 * share(0.15, 0.35), "the load is lowest at three quarters"
    assert all(
        seconds <= 0.02 or path == REFUSED
        for seconds, path in zip(run.latency_s, run.path, strict=True)
    )
    assert run.missed < 0.01
    assert run.as_json()["shares"] == shares
    assert online_run([SLOW, QUICK], QUICK, sla_s=0.02, seed=1) == run


@pytest.mark.parametrize(
    "outcomes",
    [[QUICK], [QUICK, replace(SLOW, latency_s=0.1)], [QUICK, replace(SLOW, quality=0.7)]],
)
def test_no_choice_is_none(outcomes: list[Outcome]) -> None:
    assert online_run(outcomes, QUICK, sla_s=0.02, seed=1) is None
