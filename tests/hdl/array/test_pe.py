# amaranth: UnusedElaboratable=no
"""PE and sub-array against plain Python."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module

from hdl.array.gated_adder import GatedAdder
from hdl.array.pe import ProcessingElement
from hdl.array.pe_pair import ProcessingElementPair
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


@pytest.mark.parametrize("gated", [False, True])
def test_pair_is_two_elements_cycle_by_cycle(gated: bool) -> None:
    m = Module()
    m.submodules.pair = pair = ProcessingElementPair(sum_width=19, gated=gated)
    elements = [ProcessingElement(sum_width=19, gated=gated) for _ in range(2)]
    m.submodules.west, m.submodules.east = west, east = elements
    m.d.comb += [east.activation.eq(west.activation_out), east.swap.eq(west.swap_out)]
    rng = random.Random(3)

    def byte() -> int:
        return rng.choice([-128, -127, -1, 0, 1, 127, rng.randint(-128, 127)])

    async def bench(ctx: Any) -> None:
        quiet = 0  # cycles since the last swap: shadows are not written while one passes
        for cycle in range(1500):
            swap = rng.random() < 0.1
            quiet = 0 if swap else quiet + 1
            write = quiet > 2 and rng.random() < 0.5
            activation, weights = byte(), [byte(), byte()]
            for unit in (pair, west):
                ctx.set(unit.activation, activation)
                ctx.set(unit.swap, swap)
            ctx.set(pair.shadow_write, write)
            for n, element in enumerate(elements):
                above = rng.randint(-(1 << 17), (1 << 17) - 1)
                ctx.set(element.shadow_write, write)
                ctx.set(element.shadow_weight, weights[n])
                ctx.set(pair.shadow_weights[n], weights[n])
                ctx.set(element.sum, above)
                ctx.set(pair.sums[n], above)
                if gated:
                    ctx.set(element.take_sum, cycle // 50 % 2)
                    ctx.set(pair.take_sums, cycle // 50 % 2)
                assert ctx.get(pair.sums_out[n]) == ctx.get(element.sum_out), (cycle, n)
            assert ctx.get(pair.activation_out) == ctx.get(east.activation_out)
            assert ctx.get(pair.swap_out) == ctx.get(east.swap_out)
            await ctx.tick()

    simulate(m, bench)


@pytest.mark.parametrize("macs_per_dsp", [1, 2])
@pytest.mark.parametrize("cut", [None, False, True])
def test_sub_array_swaps_between_two_matrices_without_a_gap(
    cut: bool | None, macs_per_dsp: int
) -> None:
    """Rows of two tiles follow each other; the second's weights load under the first's rows.

    ``cut``: nothing from above counts; None: a sub-array that cannot be cut.
    """
    config = replace(preset("tiny"), macs_per_dsp=macs_per_dsp)
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
