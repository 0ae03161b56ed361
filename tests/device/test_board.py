"""The whole board at its pins, behind a pseudo terminal: the command's own path to its results."""

from __future__ import annotations

from typing import Any

import pytest

from driver.board.errors import BoardError
from driver.options import RunOptions
from driver.run import run
from rpaccel.api import run as run_api
from rpaccel.port import opened_port
from sim.line import LineSettings

from .support import small_workload, smallest_workload

PORT = "sim:ulx3s-85f"
pytestmark = pytest.mark.slow


def _options(**changes: Any) -> RunOptions:
    words: dict[str, Any] = {
        "preset": "ecp5", "backend": "board", "port": PORT, "port_timeout": 60.0
    }  # fmt: skip
    return RunOptions(**words | changes)


def _silent(text: str) -> None:
    pass


def test_results_through_the_line_equal_golden() -> None:
    result = run_api(preset="ecp5", workload=small_workload(), backend="board", port=PORT)
    assert result["bit_exact"] is True and result["difference"] is None
    assert result["compared"] == "results" and result["status"] == 0
    assert result["clock_mhz"] == 50
    assert 0 < result["cycles"] and 0 < result["load_cycles"]
    embedding = result["embedding"]
    hits = embedding["static_hits"] + embedding["lookahead_hits"]
    assert embedding["lookups"] == hits + embedding["misses"] > 0


def test_garbled_line_is_repeated_until_right() -> None:
    # A repeat must come soon here: the simulation goes on meanwhile.
    options = _options(port_timeout=5.0)
    with opened_port(options, _silent, LineSettings(faults=0.0005, seed=3)) as ready:
        result = run(ready, workload=smallest_workload())
    assert result["bit_exact"] is True
    assert result["line_retries"] > 0


def test_lost_line_is_an_error() -> None:
    options = _options(port_timeout=0.5)
    with opened_port(options, _silent, LineSettings(deaf_after=3000)) as ready:
        with pytest.raises(BoardError, match="no answer to .* in 8 tries"):
            run(ready, workload=smallest_workload())


def test_demo_2_scaled() -> None:
    """The shipped models, few items: 0.8 MB over the line."""
    result = run_api(
        preset="ecp5", pipeline="demo-2", items=8, max_rows=50, backend="board", port=PORT
    )
    assert result["bit_exact"] is True
    assert result["stages"][1]["items_in"] == 1
