# amaranth: UnusedElaboratable=no
"""PE and sub-array against plain Python."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from hdl.array.gated_adder import GatedAdder
from hdl.array.pe import ProcessingElement
from hdl.array.sub_array import SubArray
from hdl.config import preset
from tests.hdl.support import simulate


def test_sum_width_is_checked() -> None:
    with pytest.raises(ValueError, match="16"):
        ProcessingElement(sum_width=16)
    with pytest.raises(ValueError, match="15"):
        GatedAdder(sum_width=15)


@pytest.mark.parametrize("gated", [False, True])
def test_pe_follows_its_model_cycle_by_cycle(gated: bool) -> None:
    dut = ProcessingElement(sum_width=19, gated=gated)
    rng = random.Random(1)

    async def bench(ctx: Any) -> None:
        weight = shadow = product = total = activation_out = swap_out = 0
        for cycle in range(400):
            extreme = cycle % 7 == 0
            activation = -128 if extreme else rng.randint(-128, 127)
            new_weight = -128 if extreme else rng.randint(-128, 127)
            above = rng.randint(-(1 << 17), (1 << 17) - 1)
            swap, write = rng.random() < 0.2, rng.random() < 0.2
            ctx.set(dut.activation, activation)
            ctx.set(dut.sum, above)
            if gated:
                take = rng.random() < 0.5
                ctx.set(dut.take_sum, take)
                above = above if take else 0
            ctx.set(dut.swap, swap)
            ctx.set(dut.shadow_write, write)
            ctx.set(dut.shadow_weight, new_weight)
            assert ctx.get(dut.sum_out) == total
            assert ctx.get(dut.activation_out) == activation_out
            assert ctx.get(dut.swap_out) == swap_out
            total, product = above + product, activation * weight
            activation_out, swap_out = activation, int(swap)
            weight, shadow = (shadow if swap else weight), (new_weight if write else shadow)
            await ctx.tick()

    simulate(dut, bench)


@pytest.mark.parametrize("cut", [None, False, True])
def test_sub_array_swaps_between_two_matrices_without_a_gap(cut: bool | None) -> None:
    """Rows of two tiles follow each other; the second's weights load under the first's rows.

    ``cut``: nothing from above counts; None: a sub-array that cannot be cut.
    """
    config = preset("tiny")
    size = config.sub_array
    dut = SubArray(config=config, gated=cut is not None)
    rng = np.random.default_rng(2)
    rows = 3 * size
    weights = rng.integers(-127, 128, (2, size, size))
    inputs = rng.integers(-128, 128, (2 * rows, size))
    north = rng.integers(-1000, 1000, (2 * rows, size))
    expected = np.concatenate([inputs[t * rows : (t + 1) * rows] @ weights[t] for t in range(2)])
    if not cut:
        expected += north
    start = 2 * size  # cycle of row 0 at lane 0, after the first load and its swap

    def load(cycle: int) -> tuple[int, int] | None:
        """Tile and row to be written: tile 0 at once, tile 1 when the first swap has passed."""
        for tile, first in ((0, 0), (1, start + size)):
            if first <= cycle < first + size:
                return tile, cycle - first
        return None

    async def bench(ctx: Any) -> None:
        if cut is not None:
            ctx.set(dut.take_sums, not cut)
        for cycle in range(start + 2 * rows + 3 * size):
            write = load(cycle)
            if write is not None:
                ctx.set(dut.shadow_row, [int(v) for v in weights[write]])
            ctx.set(dut.shadow_select, 0 if write is None else 1 << write[1])
            swaps = 0
            for lane in range(size):
                row = cycle - start - lane
                if 0 <= row < 2 * rows:
                    ctx.set(dut.activations[lane], int(inputs[row, lane]))
                swaps |= (row in (-1, rows - 1)) << lane
                above = cycle - start - lane - 1  # column ``lane``, one cycle behind row 0
                if 0 <= above < 2 * rows:
                    ctx.set(dut.sums[lane], int(north[above, lane]))
                below = above - size
                if 0 <= below < 2 * rows:
                    assert ctx.get(dut.sums_out[lane]) == expected[below, lane], (below, lane)
                east = cycle - start - lane - size
                if 0 <= east < 2 * rows:
                    assert ctx.get(dut.activations_out[lane]) == inputs[east, lane]
                    assert ctx.get(dut.swaps_out[lane]) == (east == rows - 1)
            ctx.set(dut.swaps, swaps)
            await ctx.tick()

    simulate(dut, bench)
