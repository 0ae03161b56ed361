# amaranth: UnusedElaboratable=no
"""Dot unit and scaling at the ends of their number ranges."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from hdl.engine.dot_unit import DotUnit
from hdl.engine.interaction_steps import product_lanes
from hdl.engine.round_clamp import RoundClamp
from tests.hdl.support import simulate


def _bits(values: np.ndarray) -> int:
    return int.from_bytes(values.astype(np.int8).tobytes(), "little")


@pytest.mark.parametrize(
    ("multipliers", "outputs"), [(4, 16), (8, 16), (16, 16), (64, 16), (128, 32)]
)
def test_sums(multipliers: int, outputs: int) -> None:
    dut = DotUnit(multipliers=multipliers, outputs=outputs)
    numbers = np.random.default_rng(multipliers)
    rng = random.Random(multipliers)
    expected: list[list[int]] = []  # outputs that mean something, one list a step
    size = max(16, multipliers)
    commands: list[tuple[int, int, int, int, int, int, int, bool]] = []
    lanes = product_lanes(multipliers, outputs)
    for step in range(40):
        log2_width = rng.randrange(2, 8)
        width = 1 << log2_width
        parts = max(1, width // multipliers)
        total = 0
        extreme = step % 4 == 0
        for part in range(parts):
            a = np.full(multipliers, -128) if extreme else numbers.integers(-128, 128, multipliers)
            b = np.full(size, -128) if extreme else numbers.integers(-128, 128, size)
            copy = parts == 1 and step % 5 == 1
            product = parts == 1 and step % 5 in (3, 4)
            final = part == parts - 1
            commands.append(
                (1, int(copy), int(product), int(part == 0), log2_width, _bits(a), _bits(b), final)
            )
            products = a * b[:multipliers]
            total += int(products.sum())
            if product:
                expected.append(products[:lanes].tolist())
            elif copy:
                expected.append(b[:16].tolist())
            elif final and parts > 1:
                expected.append([total])
            elif final:
                expected.append(products.reshape(-1, width).sum(axis=1)[:outputs].tolist())
            if rng.random() < 0.3:  # a hole in the middle of a sum
                commands.append((0, 0, 0, 1, 2, 3, 5, False))

    async def bench(ctx: Any) -> None:
        finals = [command[7] for command in commands]
        waiting = list(expected)
        for cycle in range(len(commands) + dut.latency):
            command = commands[cycle] if cycle < len(commands) else (0,) * 7 + (False,)
            names = ("valid", "copy", "product", "first", "log2_width", "a", "b")
            for name, value in zip(names, command[:7], strict=True):
                port = getattr(dut, name)
                ctx.set(port[0] if name in "ab" else port, value)
            if cycle >= dut.latency and finals[cycle - dut.latency]:
                outputs = waiting.pop(0)
                assert [ctx.get(dut.o[n]) for n in range(len(outputs))] == outputs
            await ctx.tick()
        assert not waiting

    simulate(dut, bench, cycles=2000)


@pytest.mark.parametrize("log2_width", range(2, 8))
def test_sums_of_a_wide_unit(log2_width: int) -> None:
    """Lane 32 r + n is the n-th sum of the r-th vector a's part of the multipliers."""
    multipliers, outputs, rows = 2048, 128, 4
    dut = DotUnit(multipliers=multipliers, outputs=outputs)
    numbers = np.random.default_rng(log2_width)
    width = 1 << log2_width
    part = min(multipliers, max(multipliers // rows, 32 * width))

    async def bench(ctx: Any) -> None:
        for kind in ("extreme", "sums", "copy", "product", "sums"):
            a, b = (
                np.full(multipliers, -128)
                if kind == "extreme"
                else numbers.integers(-128, 128, multipliers)
                for _ in range(2)
            )
            for name in ("copy", "product"):
                ctx.set(getattr(dut, name), name == kind)
            ctx.set(dut.valid, 1)
            ctx.set(dut.first, 1)
            ctx.set(dut.log2_width, log2_width)
            for port, values in ((dut.a, a), (dut.b, b)):
                for n, piece in enumerate(values.reshape(rows, -1)):
                    ctx.set(port[n], _bits(piece))
            await ctx.tick()
            ctx.set(dut.valid, 0)
            await ctx.tick().repeat(dut.latency - 1)
            if kind == "copy":
                expected = {n: b[n] for n in range(16)}
            elif kind == "product":
                expected = {n: a[n] * b[n] for n in range(product_lanes(multipliers, outputs))}
            else:
                sums = (a * b).reshape(-1, part // width, width).sum(axis=2)
                expected = {
                    32 * r + n: sums[r, n]
                    for r in range(len(sums))
                    for n in range(min(32, part // width))
                }
            assert {n: ctx.get(dut.o[n]) for n in expected} == expected

    simulate(dut, bench, cycles=200)


@pytest.mark.parametrize("dots", [16, 4, 1])
def test_round_and_clamp(dots: int) -> None:
    dut = RoundClamp(dots=dots)
    rng = random.Random(7)
    edges = [-(2**21), 2**21, 0, -1, 1, 127, 128, -128, -129]
    values = [
        [rng.choice([*edges, rng.randrange(-5000, 5000)]) for _ in range(16)] for _ in range(60)
    ]
    shifts = [[rng.randrange(16) for _ in range(16)] for _ in range(60)]
    # Ties, at every shift: exactly half goes up, whatever the sign.
    values += [[3 << shift >> 1 for shift in range(16)], [-3 << shift >> 1 for shift in range(16)]]
    shifts += [list(range(16))] * 2
    for row in values:
        row[dots:] = [rng.randrange(-128, 128) for _ in row[dots:]]

    async def bench(ctx: Any) -> None:
        for cycle in range(len(values) + dut.LATENCY):
            ctx.set(dut.valid, cycle < len(values))
            if cycle < len(values):
                ctx.set(dut.i, values[cycle])
                ctx.set(dut.shift, shifts[cycle])
            if cycle >= dut.LATENCY:
                done = cycle - dut.LATENCY
                for n in range(16):
                    shift = shifts[done][n] if n < dots else 0
                    scaled = (values[done][n] + (1 << shift >> 1)) >> shift
                    assert ctx.get(dut.o[n]) == max(-128, min(127, scaled))
            await ctx.tick()

    simulate(dut, bench, cycles=200)


@pytest.mark.parametrize("multipliers", [2, 12])
def test_bad_multipliers(multipliers: int) -> None:
    with pytest.raises(ValueError, match=f"at least 4, not {multipliers}"):
        DotUnit(multipliers=multipliers)
