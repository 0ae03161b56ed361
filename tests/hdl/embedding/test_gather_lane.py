# amaranth: UnusedElaboratable=no
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from golden.look_ahead import Outcome
from hdl.config import preset
from hdl.embedding.static_cache import CacheTags

from .lane_bench import HostileMemory, Result, Scene, Word, exercise, random_items

TINY = preset("tiny")
CONFIGS = {
    "8-byte beats": TINY,
    "16-byte beats": replace(TINY, axi_data_bits=128, reads_in_flight=8, lookup_queue=8),
    "64-byte beats": replace(
        preset("medium"), grid=2, gather_lanes=2, static_cache_bytes=8192, look_ahead_bytes=4096,
        reads_in_flight=16,
    ),
    "no look-ahead": replace(TINY, look_ahead_bytes=0, reads_in_flight=4),
    "one read": replace(TINY, cache_ways=1, static_cache_bytes=1024, reads_in_flight=2),
}  # fmt: skip


def tables(row_bytes: int, count: int, rows: int = 100) -> list[Word]:
    """Plain words, one table each."""
    pitch = -(-rows * row_bytes // 4096) * 4096 + 4096
    return [
        Word(
            table=5 * 64 + 3 * n + 1,
            rows=rows - n,
            row_bytes=row_bytes,
            base=4096 + n * pitch,
            offset=n * row_bytes,
            cached=int(n != 1),
            seed=n * 0x9E35 & 0xFFFF,
        )
        for n in range(count)
    ]


def counts(result: Result) -> Counter[Outcome]:
    return Counter(result.predicted)


@pytest.mark.parametrize(
    ("name", "row_bytes", "idle", "stall", "latency"),
    [
        ("8-byte beats", 4, 0.0, 0.0, (20, 20)),
        ("8-byte beats", 8, 0.3, 0.3, (1, 60)),
        ("8-byte beats", 16, 0.0, 0.5, (0, 400)),
        ("8-byte beats", 32, 0.5, 0.0, (5, 5)),
        ("8-byte beats", 64, 0.0, 0.3, (0, 100)),
        ("8-byte beats", 128, 0.3, 0.0, (0, 200)),
        ("16-byte beats", 8, 0.0, 0.0, (0, 300)),
        ("16-byte beats", 64, 0.3, 0.3, (10, 40)),
        ("64-byte beats", 4, 0.3, 0.0, (0, 100)),
        ("64-byte beats", 16, 0.0, 0.3, (0, 0)),
        ("64-byte beats", 32, 0.0, 0.0, (0, 2000)),
        ("64-byte beats", 128, 0.0, 0.5, (0, 50)),
        ("no look-ahead", 16, 0.0, 0.0, (0, 80)),
        ("no look-ahead", 128, 0.0, 0.3, (0, 80)),
        ("one read", 32, 0.3, 0.3, (0, 40)),
    ],
)
def test_rows_arrive(
    name: str, row_bytes: int, idle: float, stall: float, latency: tuple[int, int]
) -> None:
    config = CONFIGS[name]
    scene = Scene(config, tables(row_bytes, 4), share_static=0.4, seed=row_bytes)
    items = random_items(scene, 30, seed=row_bytes, share_bad=0.08, ahead=3 * (row_bytes % 3))
    device = HostileMemory(config, scene.memory, latency=latency, stall=stall, seed=row_bytes)
    result = exercise(scene, items, device, idle=idle)
    found = counts(result)
    assert found[Outcome.MISS] and found[Outcome.NONE]
    assert found[Outcome.STATIC] or name == "one read"
    bad = [
        item.query
        for item in items
        for word, id_ in zip(scene.words, item.ids, strict=True)
        if id_ >= word.rows and not item.prefetch
    ]
    assert sorted(result.bad) == sorted(bad) and bad
    assert not result.errors
    assert len(result.lookups) == sum(len(item.ids) for item in items)


def test_lane_is_checked() -> None:
    with pytest.raises(ValueError, match=r"lane must be in 0\.\.1, not 2"):
        CacheTags(config=TINY, lane=2)
