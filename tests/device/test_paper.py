"""The full published design point in RTL: 128x128 PEs as 16 engines of 32x32."""

from __future__ import annotations

from typing import Any

import pytest

import rpaccel

QUERY: dict[str, Any] = {
    "preset": "paper", "pipeline": "kaggle-2", "partition": "32x32:16", "items": 1024,
    "max_rows": 60,
}  # fmt: skip
"""``paper`` compiles in blocks (``driver.device.blocks``); short tables load quickly."""


@pytest.mark.slow
def test_paper_is_bit_exact_and_as_fast_as_predicted() -> None:
    """A real two-stage query. ``-s`` prints where the time goes."""
    result = rpaccel.run(**QUERY, progress=print)
    predicted = rpaccel.run(**QUERY, backend="timing")
    cycles = {"RTL": result["cycles"], "timing model": predicted["cycles"]}
    print(f"{cycles}, loading {result['load_cycles']}, simulated in {result['wall_s']:.0f} s")
    assert result["difference"] is None
    assert (result["bit_exact"], result["status"]) == (True, 0)
    assert result["cycles"] == pytest.approx(predicted["cycles"], rel=0.02)
