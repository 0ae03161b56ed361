# amaranth: UnusedElaboratable=no
from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.config import preset
from hdl.embedding.feature_table import FeatureTable
from hdl.program import EMPTY_ID, FEATURE, FEATURE_WORDS, Target
from hdl.words import pack

from ..support import PATTERNS, get_all, put_all, simulate
from .words import load

CONFIG = preset("tiny")
LANE = 1
IDENTITY = (32768, 15)


def descriptors(seed: int) -> dict[tuple[int, int], dict[str, int]]:
    """Random descriptors of some (program, k); extremes among them."""
    rng = random.Random(seed)
    found: dict[tuple[int, int], dict[str, int]] = {}
    for n in range(30):
        place = (rng.randrange(CONFIG.max_programs), rng.randrange(CONFIG.lane_words))
        single = rng.random() < 0.5
        pair = IDENTITY if rng.random() < 0.5 else (rng.randrange(32768, 65536), rng.randrange(48))
        found[place] = {
            "base": rng.randrange(1 << 38) << 2,
            "log2_row_bytes": rng.randrange(2, 8),
            "offset": rng.randrange(1 << 9) << 2,
            "cached": rng.randrange(2),
            "rows": 0xFFFF_FFFF if n == 0 else rng.randrange(1, 1 << 20),
            "seed": rng.randrange(1 << 16),
            "region": rng.randrange(4),
            "table": rng.randrange(512),
            "multiplier": pair[0],
            "shift": pair[1],
            "pool_first": int(single or rng.random() < 0.5),
            "pool_last": int(single),
            "item_last": rng.randrange(2),
        }
    return found


def expected(given: dict[str, int], feature: dict[str, int]) -> dict[str, int]:
    """The lookup of an id."""
    single = feature["pool_first"] and feature["pool_last"]
    identity = (feature["multiplier"], feature["shift"]) == IDENTITY
    outside = given["id"] >= feature["rows"]
    empty = given["id"] == EMPTY_ID and not single
    names = (
        "log2_row_bytes", "cached", "seed", "region", "table", "multiplier", "shift",
        "pool_first", "pool_last", "item_last",
    )  # fmt: skip
    return {
        **{name: given[name] for name in ("unit", "id", "query", "prefetch")},
        **{name: feature[name] for name in names},
        "target": (given["base"] + feature["offset"]) % (1 << 13),
        "address": (feature["base"] + (given["id"] << feature["log2_row_bytes"])) % (1 << 40),
        "zero": int(outside or empty),
        "bad": int(outside and not empty),
        "pooled": int(not (single and identity)),
    }


@pytest.mark.parametrize("pattern", PATTERNS)
def test_lookups(pattern: str) -> None:
    dut = FeatureTable(config=CONFIG, lane=LANE)
    rng = random.Random(pattern)
    features = descriptors(1)
    ids = []
    for n in range(60):
        program, k = rng.choice(list(features))
        rows = features[program, k]["rows"]
        ids.append(
            {
                "unit": rng.randrange(256),
                "base": rng.randrange(1 << 10) << 2,
                "program": program,
                "k": k,
                "id": rng.choice([0, rows - 1, rows, EMPTY_ID, rng.randrange(rows)]),
                "query": n % 16,
                "prefetch": rng.randrange(2),
            }
        )
    got: list[Any] = []

    async def source(ctx: Any) -> None:
        # Words of other lanes and beyond the memory must not land.
        await load(ctx, dut.config_write, Target.FEATURES, LANE ^ 1, 0, (1 << 64) - 1)
        for (program, k), fields in features.items():
            bits = pack(FEATURE, fields)
            start = (program * CONFIG.lane_words + k) * FEATURE_WORDS
            for part in range(FEATURE_WORDS):
                word = bits >> 64 * part & (1 << 64) - 1
                await load(ctx, dut.config_write, Target.FEATURES, LANE, start + part, word)
        beyond = CONFIG.lane_words * CONFIG.max_programs * FEATURE_WORDS
        await load(ctx, dut.config_write, Target.FEATURES, LANE, beyond, (1 << 64) - 1)
        await put_all(ctx, dut.i, ids, stall=PATTERNS[pattern], seed=1)

    async def sink(ctx: Any) -> None:
        got.extend(await get_all(ctx, dut.o, len(ids), stall=PATTERNS[pattern], seed=2))
        assert ctx.get(dut.idle)

    simulate(dut, source, sink)
    for given, lookup in zip(ids, got, strict=True):
        want = expected(given, features[given["program"], given["k"]])
        assert {name: int(lookup[name]) for name in want} == want


def test_one_id_a_cycle() -> None:
    dut = FeatureTable(config=CONFIG, lane=LANE)
    times = []

    async def bench(ctx: Any) -> None:
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        for cycle in range(12):
            if ctx.get(dut.o.valid):
                times.append(cycle)
            await ctx.tick()

    simulate(dut, bench)
    assert times == list(range(FeatureTable.LATENCY, 12))
