# amaranth: UnusedElaboratable=no
"""Interaction unit against NumPy: both modes, all engine sizes, stalls, late rows."""

from __future__ import annotations

import pytest

from hdl.config import preset
from hdl.engine.interaction import Interaction
from hdl.program import InteractionMode
from tests.hdl.engine.interaction_bench import Bench, Case

DOT, CAT = InteractionMode.DOT, InteractionMode.CAT


@pytest.mark.parametrize("mode", [DOT, CAT])
@pytest.mark.parametrize("width", [4, 16, 32, 64])
@pytest.mark.parametrize(
    ("name", "anchor", "level"),
    [("tiny", (0, 0), 0), ("tiny", (0, 0), 1), ("tiny", (1, 1), 0), ("small", (0, 0), 2)],
)
def test_shapes(
    name: str, anchor: tuple[int, int], level: int, width: int, mode: InteractionMode
) -> None:
    case = Case(
        config=preset(name), anchor=anchor, level=level, mode=mode, width=width, vectors=7,
        jobs=[2, 1],
    )  # fmt: skip
    Bench(case).run()
