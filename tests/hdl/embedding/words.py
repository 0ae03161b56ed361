"""Configuration words of the embedding unit, and what row writes leave in the vector buffers."""

from __future__ import annotations

from typing import Any

from hdl.config import Config
from hdl.program import ALL_UNITS, CACHE_REGION, CACHE_TAG, FEATURE, Target
from hdl.words import pack

__all__ = ["ALL_UNITS", "VectorImage", "load", "region_word", "tag_word", "write_feature"]


async def load(ctx: Any, port: Any, target: Target, unit: int, address: int, word: int) -> None:
    """One word on the configuration broadcast."""
    ctx.set(
        port,
        {"valid": 1, "target": int(target), "unit": unit, "address": address, "data": word},
    )
    await ctx.tick()
    ctx.set(port.valid, 0)


async def write_feature(ctx: Any, port: Any, number: int, fields: dict[str, int]) -> None:
    """Both words of a descriptor; ``number`` = program * 64 + feature."""
    bits = pack(FEATURE, fields)
    for half in range(2):
        word = (bits >> (64 * half)) & (2**64 - 1)
        await load(ctx, port, Target.FEATURES, 0, 2 * number + half, word)


def tag_word(table: int, row: int) -> int:
    return pack(CACHE_TAG, {"valid": 1, "table": table, "id": row})


def region_word(set_base: int, log2_sets: int, data_base: int) -> int:
    return pack(
        CACHE_REGION, {"set_base": set_base, "log2_sets": log2_sets, "data_base": data_base}
    )


class VectorImage:
    """Vector buffers as the row writes fill them."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.bytes: dict[tuple[int, int], int] = {}  # (unit, address) -> value, written once
        self.last: dict[tuple[int, int], int] = {}  # (unit, index) -> rows completed

    def write(self, word: Any) -> None:
        assert word.address % self.config.lane_bytes == 0
        assert word.valid and word.enable
        for granule in range(self.config.lane_bytes // 4):
            if (word.enable >> granule) & 1:
                for k in range(4 * granule, 4 * granule + 4):
                    place = (word.unit, word.address + k)
                    assert place not in self.bytes, "written twice"
                    self.bytes[place] = (word.data >> (8 * k)) & 255
        if word.last:
            key = (word.unit, word.index)
            self.last[key] = self.last.get(key, 0) + 1
