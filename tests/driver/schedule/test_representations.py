"""MP-Rec's offline step: what fits where, and what it gives."""

from __future__ import annotations

from dataclasses import replace

import pytest

from driver.errors import UserError
from driver.load.profile import LatencyCurve, PlatformProfile
from driver.schedule.representations import explore_representations

SIZES = {"table": 2000, "dhe": 60, "hybrid": 2100}
QUALITY = {"table": 0.787, "dhe": 0.788, "hybrid": 0.789}
SPEED = {"table": 1e-6, "dhe": 8e-6, "hybrid": 9e-6}


def profile(name: str, memory: int, factor: float) -> PlatformProfile:
    return PlatformProfile(
        name=name, kind="other", memory_bytes=memory, bytes_per_s=1e9,
        curves=tuple(
            LatencyCurve(
                model="m", representation=r, items=(1, 1000),
                latency_s=(factor * SPEED[r], 1000 * factor * SPEED[r]), memory_bytes=SIZES[r],
            )
            for r in SIZES
        ),
        quality={f"m/{r}": q for r, q in QUALITY.items()},
    )  # fmt: skip


HOST, SMALL = profile("host", 5000, 10.0), profile("small", 100, 1.0)


def test_ample_memory_keeps_the_best_and_the_fastest() -> None:
    first, *_ = explore_representations([HOST], "m", sla_s=1.0, items=100)
    assert set(first.resident["host"]) == {"table", "hybrid"}
    assert first.quality == 0.789
    assert first.correct_per_s == pytest.approx(0.787 / 10e-6)
    assert first.bytes_used == {"host": 4100}


def test_capacities_decide() -> None:
    both = explore_representations([HOST, SMALL], "m", sla_s=1.0, items=100)
    assert both[0].resident["small"] == ("dhe",)
    tight = explore_representations(
        [HOST, SMALL], "m", sla_s=1.0, items=100, capacities={"host": 100}
    )
    assert tight[0].resident == {"host": ("dhe",), "small": ("dhe",)}
    assert tight[0].as_json()["bytes_used"] == {"host": 60, "small": 60}
    assert "host: dhe" in tight[0].label


def test_the_target_decides_what_quality_can_be_had() -> None:
    found = explore_representations([HOST], "m", sla_s=2e-3, items=100)
    assert found[0].quality == 0.787  # 100 items: table 1 ms, hybrid 9 ms
    assert found[0].resident["host"] == ("table",)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"profiles": []}, "no platforms"),
        ({"sla_s": 0.0}, "SLA must be above 0"),
        ({"sla_s": 1e-9}, "no path of m ranks 100 items within 1e-06 ms; the nearest takes 1 ms"),
        ({"capacities": {"host": 10}}, "no representation of m fits: the smallest takes 60 bytes"),
        ({"capacities": {"gpu": 10}}, "capacity of gpu: no such platform"),
        ({"capacities": {"host": 0}}, "at least 1 byte"),
        ({"model": "x"}, "no platform has a latency of x"),
    ],
)
def test_bad_input_is_said(words: dict[str, object], message: str) -> None:
    given: dict[str, object] = {"profiles": [HOST], "model": "m", "sla_s": 1.0, "items": 100}
    given |= words
    profiles, model = given.pop("profiles"), given.pop("model")
    with pytest.raises(UserError, match=message):
        explore_representations(profiles, model, **given)  # type: ignore[arg-type]


def test_a_platform_may_stay_empty() -> None:
    nothing = replace(SMALL, memory_bytes=10)
    found = explore_representations([HOST, nothing], "m", sla_s=1.0, items=100)
    assert found[0].resident["small"] == ()
