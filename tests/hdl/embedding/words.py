"""Configuration words of the embedding unit."""

from __future__ import annotations

from typing import Any

from hdl.config import Config
from hdl.program import ALL_UNITS, CACHE_REGION, CACHE_TAG, FEATURE, FEATURE_WORDS, Target
from hdl.words import pack

__all__ = ["ALL_UNITS", "load", "region_word", "tag_word", "write_feature"]


async def load(ctx: Any, port: Any, target: Target, unit: int, address: int, word: int) -> None:
    """One word on the configuration broadcast."""
    ctx.set(
        port,
        {"valid": 1, "target": int(target), "unit": unit, "address": address, "data": word},
    )
    await ctx.tick()
    ctx.set(port.valid, 0)


async def write_feature(
    ctx: Any, port: Any, config: Config, lane: int, program: int, k: int, fields: dict[str, int]
) -> None:
    """All words of the descriptor of a lane's id word k."""
    bits = pack(FEATURE, fields)
    start = (program * config.lane_words + k) * FEATURE_WORDS
    for part in range(FEATURE_WORDS):
        word = (bits >> (64 * part)) & (2**64 - 1)
        await load(ctx, port, Target.FEATURES, lane, start + part, word)


def tag_word(table: int, row: int) -> int:
    return pack(CACHE_TAG, {"valid": 1, "table": table, "id": row})


def region_word(set_base: int, log2_sets: int, data_base: int) -> int:
    return pack(
        CACHE_REGION, {"set_base": set_base, "log2_sets": log2_sets, "data_base": data_base}
    )
