"""The baseline: one stage on the whole grid, filtered by the host."""

import pytest

import rpaccel


@pytest.mark.slow
def test_baseline_is_bit_exact() -> None:
    result = rpaccel.run(
        preset="tiny-baseline", pipeline="kaggle-1", items=80, queries=2, max_rows=50
    )
    assert result["difference"] is None
    assert result["bit_exact"] is True
    assert result["stages"][0]["items_out"] == 2
