"""Order of the interaction's steps."""

from __future__ import annotations

import pytest

from hdl.engine.interaction_steps import interaction_steps, product_lanes, product_steps


@pytest.mark.parametrize("outputs", [1, 2, 4, 8, 16, 32])
@pytest.mark.parametrize("vectors", [1, 2, 9, 27, 53])
def test_lower_triangle_row_major(vectors: int, outputs: int) -> None:
    steps = interaction_steps(vectors, 16, outputs)
    pairs = [(s.i, s.j0 + n, s.k + n) for s in steps for n in range(s.count)]
    triangle = [(i, j) for i in range(1, vectors) for j in range(i)]
    assert pairs == [(i, j, 16 + n) for n, (i, j) in enumerate(triangle)]
    assert all(1 <= s.count <= outputs and s.j0 % outputs == 0 for s in steps)


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
