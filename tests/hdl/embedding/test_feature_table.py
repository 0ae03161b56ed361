from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.config import preset
from hdl.embedding.feature_table import FeatureTable

from ..support import PATTERNS, get_all, put_all, simulate
from .words import write_feature

CONFIG = preset("tiny")


def make_case(seed: int) -> tuple[dict[tuple[int, int], dict[str, int]], list[dict[str, int]]]:
    rng = random.Random(seed)
    features = {}
    for program in (0, 3, 7):
        for feature in (0, 1, 26, 63):
            features[program, feature] = {
                "base": rng.randrange(1 << 38) & ~127,
                "lane": rng.randrange(32),
                "log2_row_bytes": rng.randrange(2, 8),
                "offset": rng.randrange(0, 4096, 4),
                "cached": rng.randrange(2),
                "rows": rng.choice([1, 7, 1000, 1 << 31, (1 << 32) - 1]),
                "seed": rng.randrange(1 << 16),
                "region": rng.randrange(4),
            }
    ids = []
    for _ in range(60):
        program, feature = rng.choice(list(features))
        rows = features[program, feature]["rows"]
        ids.append(
            {
                "unit": rng.randrange(256),
                "index": rng.randrange(16),
                "address": rng.randrange(0, 4096, 16),
                "program": program,
                "feature": feature,
                "id": rng.choice([0, rows - 1, rows, rng.randrange(1 << 32)]),
            }
        )
    return features, ids


def expected(
    features: dict[tuple[int, int], dict[str, int]], value: dict[str, int]
) -> dict[str, int]:
    f = features[value["program"], value["feature"]]
    return {
        "unit": value["unit"],
        "index": value["index"],
        "offset": value["address"] + f["offset"],
        "address": (f["base"] + (value["id"] << f["log2_row_bytes"])) % (1 << 40),
        "log2_row_bytes": f["log2_row_bytes"],
        "cached": f["cached"],
        "bad": int(value["id"] >= f["rows"]),
        "table": value["program"] * 64 + value["feature"],
        "id": value["id"],
        "seed": f["seed"],
        "region": f["region"],
    }


@pytest.mark.parametrize("pattern", PATTERNS)
def test_descriptors_are_applied(pattern: str) -> None:
    dut = FeatureTable(config=CONFIG)
    features, ids = make_case(5)
    stall = PATTERNS[pattern]

    async def source(ctx: Any) -> None:
        for (program, feature), fields in features.items():
            await write_feature(ctx, dut.config_write, program * 64 + feature, fields)
        assert ctx.get(dut.idle)
        await put_all(ctx, dut.i, ids, stall=stall, seed=1)

    async def sink(ctx: Any) -> None:
        got = await get_all(ctx, dut.o, len(ids), stall=stall, seed=2)
        for value, out in zip(ids, got, strict=True):
            want = expected(features, value)
            assert {name: out.request[name] for name in want} == want
            assert out.lane == features[value["program"], value["feature"]]["lane"]
        assert ctx.get(dut.idle)

    simulate(dut, source, sink, cycles=5000)


def test_one_id_a_cycle() -> None:
    dut = FeatureTable(config=CONFIG)
    zero = dict.fromkeys(("unit", "index", "address", "program", "feature", "id"), 0)

    async def source(ctx: Any) -> None:
        await put_all(ctx, dut.i, [zero] * 50, stall=0.0, seed=1)

    async def sink(ctx: Any) -> None:
        await get_all(ctx, dut.o, 50, stall=0.0, seed=1)

    simulate(dut, source, sink, cycles=50 + 4)
