# amaranth: UnusedElaboratable=no
"""Requantiser against exact Python integers."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.array.requantiser import Requantiser
from hdl.array.timing import REQUANTISE_LATENCY
from tests.hdl.support import simulate

Case = tuple[int, int, int, int, int]


def model(value: int, bias: int, multiplier: int, shift: int, wide: int) -> int:
    """The contract's formula, word for word."""
    low, high = (-32768, 32767) if wide else (-128, 127)
    total = ((value + bias) * multiplier + (1 << (shift - 1))) >> shift
    return max(low, min(high, total))


def corner_cases(width: int) -> list[Case]:
    top = (1 << (width - 1)) - 1
    cases = []
    for value in (-top - 1, -top, -1, 0, 1, top):
        for bias in (0, 1, -1, (1 << 31) - 1 - max(value, 0), -(1 << 31) - min(value, 0)):
            for multiplier in (0, 32768, 32769, 65535):
                for shift in (1, 2, 8, 9, 16, 24, 25, 31, 32, 40, 46, 47):
                    cases.append((value, bias, multiplier, shift, shift & 1))
                    cases.append((value, bias, multiplier, shift, ~shift & 1))
    return cases


def tie_cases(rng: random.Random) -> list[Case]:
    """Products that lie exactly on, just below and just above a rounding tie or a clamp limit."""
    cases = []
    for _ in range(600):
        wide = rng.randint(0, 1)
        limit = 32768 if wide else 128
        target = rng.choice([-limit, limit - 1, rng.randint(-limit, limit)])
        shift = rng.randint(15, 38)
        total = ((2 * target + 1) << (shift - 1)) // 32768 + rng.randint(-1, 1)
        if -(1 << 26) <= total < 1 << 26:
            cases.append((total, 0, 32768, shift, wide))
    return cases


def random_cases(rng: random.Random, width: int, count: int) -> list[Case]:
    cases = []
    for _ in range(count):
        value = rng.randint(-(1 << rng.randint(1, width - 1)), (1 << rng.randint(1, width - 1)) - 1)
        bias = rng.randint(-(1 << 31) - min(value, 0), (1 << 31) - 1 - max(value, 0))
        bias >>= rng.randint(0, 31)
        multiplier = rng.choice([0] + [rng.randint(32768, 65535)] * 9)
        cases.append((value, bias, multiplier, rng.randint(1, 47), rng.randint(0, 1)))
    return cases


def test_every_result_is_exact() -> None:
    dut = Requantiser(width=27)
    rng = random.Random(3)
    cases = corner_cases(27) + tie_cases(rng) + random_cases(rng, 27, 3000)
    rng.shuffle(cases)
    seen = {model(*case) for case in cases}
    assert {-128, 127, -32768, 32767, 0, -1} <= seen

    async def bench(ctx: Any) -> None:
        for cycle in range(len(cases) + REQUANTISE_LATENCY):
            if cycle >= REQUANTISE_LATENCY:
                case = cases[cycle - REQUANTISE_LATENCY]
                assert ctx.get(dut.result) == model(*case), case
            if cycle < len(cases):
                value, bias, multiplier, shift, wide = cases[cycle]
                ctx.set(dut.value, value)
                ctx.set(dut.parameter, {"bias": bias, "multiplier": multiplier, "shift": shift})
                ctx.set(dut.wide, wide)
            await ctx.tick()

    simulate(dut, bench)


def test_parameters_never_written_give_zero() -> None:
    """A cleared parameter word (shift 0, multiplier 0) is a padded channel."""
    dut = Requantiser(width=27)

    async def bench(ctx: Any) -> None:
        for value in (-(1 << 26), -1, 0, 1, (1 << 26) - 1):
            ctx.set(dut.value, value)
            await ctx.tick().repeat(REQUANTISE_LATENCY)
            assert ctx.get(dut.result) == 0

    simulate(dut, bench)


@pytest.mark.parametrize("width", [0, 33])
def test_width_is_checked(width: int) -> None:
    with pytest.raises(ValueError, match=str(width)):
        Requantiser(width=width)
