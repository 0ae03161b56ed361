"""What a query passes on platforms, and which mappings cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from driver.load.arrivals import Poisson
from driver.load.profile import LatencyCurve, PlatformProfile
from driver.load.simulate import latencies
from driver.load.sizes import FixedSize
from driver.load.stations import saturation
from driver.load.transfer import HostTransfer
from driver.schedule.mapping import Mapping, Placed, illegal, stations
from tests.driver.schedule.support import baseline, curves, device, host

D, B, C = "paper/32x32:16", "baseline", "cpu"
SPLIT = "paper/32x32:8@0,64x64:2@1"


def mapping(*stages: tuple[str, int, str], sub_batches: int = 1) -> Mapping:
    return Mapping(tuple(Placed(*stage) for stage in stages), 16, sub_batches)


def alone(found: Mapping, *profiles: PlatformProfile) -> tuple[float, float]:
    """Latency of a lone query, and queries a second at most."""
    named = {p.name: p for p in profiles}
    places = stations(found, named)
    run = latencies(places, Poisson(1e-3), FixedSize(found.stages[0].items), queries=100)
    items = np.full(10, found.stages[0].items)
    return float(run.latency.mean()), saturation(places, items)[0]


def test_stages_that_share_a_device_add_up() -> None:
    found = mapping(("RMsmall", 1024, D), ("RMlarge", 256, D))
    work = 1e-8 * (1024 + 9 * 256)
    latency, most = alone(found, device())
    assert latency == pytest.approx(work)
    assert most == pytest.approx(1 / (0.5 * work))


def test_transfers_queue_for_their_bytes_only() -> None:
    link = HostTransfer(model="dma", in_s=1e-3, in_item_s=1e-7, out_s=2e-3, out_item_s=1e-6)
    found = mapping(("RMsmall", 1024, D))
    latency, most = alone(found, device(host=link))
    assert latency == pytest.approx(3e-3 + 1024e-7 + 16e-6 + 1024e-8)
    assert most == pytest.approx(1 / 1024e-7)


def test_engines_of_their_own_overlap() -> None:
    both = curves(1e-8, 0.5, "@0") + curves(2e-8, 0.5, "@1")
    profile = device(SPLIT, curves=both)
    found = mapping(("RMsmall", 1024, SPLIT), ("RMlarge", 256, SPLIT))
    first, second = 1024e-8, 2e-8 * 9 * 256
    latency, most = alone(found, profile)
    assert latency == pytest.approx(first + second)
    assert most == pytest.approx(1 / (0.5 * second))
    latency, _ = alone(replace(found, sub_batches=4), profile)
    assert latency == pytest.approx((first + second) / 4 + 3 * max(first, second) / 4)


def test_a_curve_of_the_whole_segment_goes_first() -> None:
    whole = LatencyCurve(
        model="RMsmall:1024+RMlarge:256>16", items=(1024,), latency_s=(1e-3,), interval_s=(5e-4,)
    )
    found = mapping(("RMsmall", 1024, D), ("RMlarge", 256, D))
    profile = device()
    latency, most = alone(found, replace(profile, curves=(*profile.curves, whole)))
    assert (latency, most) == (pytest.approx(1e-3), pytest.approx(2000))


def test_without_a_filter_every_stage_goes_through_the_host() -> None:
    found = mapping(("RMsmall", 1024, B), ("RMlarge", 256, B))
    latency, most = alone(found, baseline())
    work = 3e-8 * (1024 + 9 * 256)
    moved = 2 * 3e-5 + 1280 * 3e-9
    selected = 1280 * 1e-9
    assert latency == pytest.approx(work + moved + selected, rel=1e-3)
    # The device is one: both stages count against it.
    assert most == pytest.approx(1 / work)


def test_host_serves_neighbours_together_and_splits_between_places() -> None:
    together = mapping(("RMsmall", 1024, C), ("RMlarge", 256, C))
    work = 1e-6 * (1024 + 9 * 256)
    latency, most = alone(together, host(servers=4))
    assert (latency, most) == (pytest.approx(work), pytest.approx(4 / work))
    apart = mapping(("RMsmall", 1024, C), ("RMmed", 256, D), ("RMlarge", 64, C))
    _, most = alone(apart, host(servers=4), device())
    assert most == pytest.approx(2 / 1024e-6)


@pytest.mark.parametrize(
    ("stages", "words"),
    [
        ((("RMsmall", 1024, D), ("RMmed", 256, C), ("RMlarge", 64, D)), "visited twice"),
        ((("RMsmall", 1024, D), ("RMlarge", 256, "paper/64x64:4")), "cut in two ways"),
        ((("RMsmall", 1024, SPLIT),), "engines of 2 stages, not 1"),
        ((("RMsmall", 1024, "one"), ("RMmed", 256, D), ("RMlarge", 64, "one")), "1 servers"),
    ],
)
def test_what_cannot_be_is_said(stages: tuple[tuple[str, int, str], ...], words: str) -> None:
    profiles = {name: device(name) for name in (D, SPLIT, "paper/64x64:4")}
    profiles |= {C: host(), "one": replace(host(servers=1), name="one")}
    assert words in str(illegal(mapping(*stages), profiles))


def test_sub_batches_need_stages_that_overlap() -> None:
    stages = (("RMsmall", 1024), ("RMlarge", 256))
    profiles = {name: device(name) for name in (D, SPLIT)}
    shared = mapping(*((*s, D) for s in stages), sub_batches=2)
    apart = mapping(*((*s, SPLIT) for s in stages), sub_batches=2)
    assert "sub-batches" in str(illegal(shared, profiles))
    assert illegal(apart, profiles) is None


def test_plain_data_and_back() -> None:
    found = mapping(("RMsmall", 1024, D), ("RMlarge", 256, C), sub_batches=2)
    assert Mapping.from_json(found.as_json()) == found
    assert (
        found.label == "RMsmall:1024 on paper/32x32:16 > RMlarge:256 on cpu, top 16, 2 sub-batches"
    )
    assert found.funnel == "RMsmall:1024>RMlarge:256>16"
