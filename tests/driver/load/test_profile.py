"""Profiles: what they give, what they refuse, and that a file brings back the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from driver.errors import UserError
from driver.load.profile import LatencyCurve, PlatformProfile, read_profile, write_profile
from driver.load.transfer import HostTransfer

CURVE = LatencyCurve(
    model="RMsmall", items=(64, 256, 4096), latency_s=(1e-4, 2e-4, 2e-3), memory_bytes=1000
)


def profile(**changes: Any) -> PlatformProfile:
    words: dict[str, Any] = {
        "name": "rpaccel-small",
        "kind": "rpaccel",
        "memory_bytes": 1 << 30,
        "bytes_per_s": 4e9,
        "clock_mhz": 250.0,
        "in_flight": 8,
        "host": HostTransfer.pcie(),
        "curves": (CURVE, LatencyCurve(
            model="RMlarge", representation="dhe", items=(64,), latency_s=(1e-3,),
            interval_s=(5e-4,), factors=(0.9, 1.1),
        )),
        "quality": {"RMsmall/table": 0.787},
        "conditions": {"command": "rpaccel profile"},
    }  # fmt: skip
    return PlatformProfile(**(words | changes))


def test_interpolates_inside_and_refuses_outside() -> None:
    assert CURVE.seconds(64) == 1e-4
    assert CURVE.seconds(160) == pytest.approx(1.5e-4)
    assert CURVE.interval(160) == CURVE.seconds(160)
    assert list(CURVE.seconds_of(np.array([64, 160, 4096]))) == pytest.approx([1e-4, 1.5e-4, 2e-3])
    with pytest.raises(UserError, match=r"RMsmall \(table\): known for 64..4096 items, not 63"):
        CURVE.seconds(63)
    with pytest.raises(UserError, match="not 5000"):
        CURVE.seconds_of(np.array([100, 5000]))


def test_a_file_brings_back_the_same(tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    write_profile(path, profile())
    assert read_profile(path) == profile()


def test_curves_by_name() -> None:
    assert profile().curve("RMlarge", "dhe").interval(64) == 5e-4
    with pytest.raises(UserError, match=r"no latency of RMmed \(table\); it has: RMsmall"):
        profile().curve("RMmed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "abacus"}, "unknown kind 'abacus'"),
        ({"servers": 0}, "servers must be at least 1, not 0"),
        ({"bytes_per_s": 0.0}, "bytes_per_s must be above 0"),
        ({"curves": (CURVE, CURVE)}, r"two latencies of RMsmall \(table\)"),
        ({"quality": {"a": 1.5}}, r"quality of a must be in 0..1, not 1.5"),
    ],
)
def test_refuses(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        profile(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"items": ()}, "no points"),
        ({"items": (256, 64, 4096)}, "items must rise"),
        ({"items": (64, 256)}, "3 values of latency_s for 2 of items"),
        ({"latency_s": (1e-4, 0.0, 1.0)}, "latency_s must be above 0, not 0.0"),
        ({"latency_s": (1e-4, float("nan"), 1.0)}, "latency_s must be above 0, not nan"),
    ],
)
def test_a_curve_refuses(changes: dict[str, Any], message: str) -> None:
    words: dict[str, Any] = {"model": "m", "items": (64, 256, 4096), "latency_s": (1.0, 2.0, 3.0)}
    with pytest.raises(UserError, match=message):
        LatencyCurve(**(words | changes))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), 2, "format must be 1, not 2"),
        (("colour",), "red", "unknown field 'colour'"),
        (("name",), None, "name must be a string"),
        (("servers",), 1.5, "servers must be an integer"),
        (("curves",), {}, "curves must be a list"),
        (("curves", 0, "latency_s"), ["a"], "latency_s must be numbers, not 'a'"),
        (("curves", 0, "model"), 3, "model must be a string"),
        (("host",), {"model": "carrier pigeon"}, "unknown model 'carrier pigeon'"),
        (("host",), {"model": "none", "in_s": -1}, "in_s must be at least 0"),
        (("host",), {"model": "dma", "latency_s": 1e-6}, "model dma takes latency_s, bytes_per_s"),
        (("quality",), [], "quality must be an object"),
    ],
)
def test_a_file_that_is_wrong(
    tmp_path: Path, path: tuple[str | int, ...], value: Any, message: str
) -> None:
    data: Any = profile().as_json()
    place: Any = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    file = tmp_path / "p.json"
    file.write_text(json.dumps(data))
    with pytest.raises(UserError, match=f"p.json: .*{message}"):
        read_profile(file)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read profile"):
        read_profile(tmp_path / "absent.json")
    (tmp_path / "text").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        read_profile(tmp_path / "text")


def test_transfers() -> None:
    pcie = HostTransfer.from_json({"model": "pcie"})
    # 17 000 + 5 000 cycles of 8 ns for 4096 items, nothing returned.
    assert pcie.seconds(4096, 0) == pytest.approx(22_000 * 8e-9)
    dma = {"model": "dma", "latency_s": 1e-6, "bytes_per_s": 16e9, "item_bytes": 128,
           "result_bytes": 8}  # fmt: skip
    assert HostTransfer.from_json(dma).seconds(1000, 64) == pytest.approx(
        2e-6 + 128_000 / 16e9 + 512 / 16e9
    )
    assert HostTransfer().seconds(4096, 64) == 0
