"""Order of the interaction's steps."""

from __future__ import annotations

import pytest

from hdl.engine.interaction_steps import (
    interaction_steps,
    product_lanes,
    product_steps,
    step_lanes,
    step_rows,
)


@pytest.mark.parametrize("outputs", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("vectors", [1, 2, 9, 27, 53])
def test_lower_triangle_row_major(vectors: int, outputs: int) -> None:
    steps = interaction_steps(vectors, 16, outputs)
    pairs = [(s.i, s.j0 + n, s.k + n) for s in steps for n in range(s.count)]
    triangle = [(i, j) for i in range(1, vectors) for j in range(i)]
    assert pairs == [(i, j, 16 + n) for n, (i, j) in enumerate(triangle)]
    assert all(1 <= s.count <= outputs and s.j0 % outputs == 0 for s in steps)


@pytest.mark.parametrize("rows", [2, 4])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4, 9, 27, 32])
def test_several_vectors_a_step(vectors: int, rows: int) -> None:
    """All outputs of a step's vectors are consecutive, each in a lane of its own."""
    steps = interaction_steps(vectors, 16, 32, rows)
    outputs = [
        (step.i + lane // 32, lane % 32, step.k + n)
        for step in steps
        for n, lane in enumerate(step_lanes(step))
    ]
    triangle = [(i, j) for i in range(1, vectors) for j in range(i)]
    assert outputs == [(i, j, 16 + n) for n, (i, j) in enumerate(triangle)]
    assert all(s.count == len(step_lanes(s)) and s.i % rows == 0 for s in steps)
    assert len(steps) == (-(-vectors // rows) if vectors > 1 else 0)


@pytest.mark.parametrize(
    ("vectors", "width", "outputs", "rows"),
    [
        (27, 4, 32, 4), (27, 16, 32, 4), (27, 32, 32, 2), (27, 64, 32, 1), (7, 128, 16, 1),
        (32, 16, 32, 4), (33, 16, 32, 1),  # more than a row's lanes
        (9, 16, 16, 1),  # an engine whose pages end within a row
    ],
)  # fmt: skip
def test_vectors_of_a_step(vectors: int, width: int, outputs: int, rows: int) -> None:
    assert step_rows(vectors, width, outputs, 2048, 128) == rows
    assert step_rows(vectors, width, min(outputs, 256 // width), 256, 32) == 1


@pytest.mark.parametrize("arguments", [(0, 16, 1), (3, 0, 1), (3, 16, 33)])
def test_bad_arguments(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        interaction_steps(*arguments)


@pytest.mark.parametrize(("multipliers", "outputs"), [(4, 16), (16, 16), (64, 16), (256, 32)])
@pytest.mark.parametrize("width", [16, 32, 64, 128])
def test_products_in_order(width: int, multipliers: int, outputs: int) -> None:
    lanes = product_lanes(multipliers, outputs)
    assert 4 <= lanes <= min(outputs, multipliers)
    steps = product_steps(3, width, lanes)
    values = [(s.pair, s.part + n, s.k + n) for s in steps for n in range(s.count)]
    assert values == [(k // width, k % width, k) for k in range(3 * width)]
