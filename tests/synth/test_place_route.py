"""Place and route: what nextpnr is called with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synth import place_route as module
from synth.devices import device
from synth.place_route import LARGE_LUTS, place_route


@pytest.mark.parametrize(
    ("luts", "router"), [(LARGE_LUTS, None), (LARGE_LUTS + 1, "router2")], ids=["small", "large"]
)
def test_large_netlists_take_the_other_router(
    luts: int, router: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    called: list[str] = []

    def run(_module: str, _function: str, words: list[str], **_kwargs: Any) -> None:
        called.extend(words)
        report = {"fmax": {"clk": {"achieved": 100.0}}, "utilization": {}}
        (tmp_path / "seed-3.json").write_text(json.dumps(report))
        (tmp_path / "seed-3.sdf").write_text("")

    monkeypatch.setattr(module, "run_tool", run)
    part = device("lfe5um5g-85f")
    result = place_route(
        part, tmp_path, "flat.json", target_mhz=120.0, seed=3, luts=luts, options=("--lpf", "x")
    )
    assert (result.seed, result.fmax_mhz) == (3, 100.0)
    chosen = called[called.index("--router") + 1] if "--router" in called else None
    assert chosen == router
    assert called[-2:] == ["--lpf", "x"]
    assert called[called.index("--seed") + 1] == "3"
