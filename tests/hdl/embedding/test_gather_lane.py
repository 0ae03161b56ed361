# amaranth: UnusedElaboratable=no
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from golden.look_ahead import Outcome
from hdl.config import preset
from hdl.embedding.static_cache import CacheTags
from hdl.program import EMPTY_ID, FEATURE_WORDS, Target

from .lane_bench import (
    LANE,
    PROGRAM,
    REGION,
    Change,
    HostileMemory,
    Result,
    Scene,
    Word,
    exercise,
    random_items,
)
from .words import ALL_UNITS, region_word

TINY = preset("tiny")
CONFIGS = {
    "8-byte beats": TINY,
    "16-byte beats": replace(TINY, axi_data_bits=128, reads_in_flight=8, lookup_queue=8),
    "64-byte beats": replace(
        preset("medium"), grid=2, filter_lanes=4, gather_lanes=2, static_cache_bytes=8192,
        look_ahead_bytes=4096, reads_in_flight=16,
    ),
    "no look-ahead": replace(TINY, look_ahead_bytes=0, reads_in_flight=4),
    "one read": replace(TINY, cache_ways=1, static_cache_bytes=1024, reads_in_flight=2),
}  # fmt: skip

SLOW = pytest.mark.slow
"""The same on more sizes."""


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
        pytest.param("8-byte beats", 32, 0.5, 0.0, (5, 5), marks=SLOW),
        pytest.param("8-byte beats", 64, 0.0, 0.3, (0, 100), marks=SLOW),
        pytest.param("8-byte beats", 128, 0.3, 0.0, (0, 200), marks=SLOW),
        ("16-byte beats", 8, 0.0, 0.0, (0, 300)),
        pytest.param("16-byte beats", 64, 0.3, 0.3, (10, 40), marks=SLOW),
        ("64-byte beats", 4, 0.3, 0.0, (0, 100)),
        ("64-byte beats", 16, 0.0, 0.3, (0, 0)),
        pytest.param("64-byte beats", 32, 0.0, 0.0, (0, 2000), marks=SLOW),
        pytest.param("64-byte beats", 128, 0.0, 0.5, (0, 50), marks=SLOW),
        ("no look-ahead", 16, 0.0, 0.0, (0, 80)),
        pytest.param("no look-ahead", 128, 0.0, 0.3, (0, 80), marks=SLOW),
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


@pytest.mark.parametrize(
    ("name", "row_bytes", "loaders"),
    [
        ("8-byte beats", 4, 1),
        ("8-byte beats", 32, 2),
        pytest.param("64-byte beats", 128, 4, marks=SLOW),
    ],
)
def test_bags(name: str, row_bytes: int, loaders: int) -> None:
    """A bag of three between plain rows, a bag of one that is scaled, one of all ids empty."""
    config = replace(CONFIGS[name], axi_channels=loaders, record_loaders=loaders)
    words = tables(row_bytes, 3)
    bag = [
        replace(words[1], first=int(n == 0), last=int(n == 2), pair=(45000, 16)) for n in range(3)
    ]
    scaled = replace(words[2], pair=(61234, 17))
    words = [words[0], *bag, scaled]
    scene = Scene(config, words, share_static=0.4, seed=row_bytes)
    items = random_items(scene, 30, seed=row_bytes, share_bad=0.08)
    for k in (1, 2, 3):
        items[7].ids[k] = EMPTY_ID
    device = HostileMemory(config, scene.memory, latency=(0, 100), seed=row_bytes)
    result = exercise(scene, items, device, loaders=loaders)
    empty = sum(id_ == EMPTY_ID for item in items for id_ in item.ids)
    assert empty > 3
    assert len(result.lookups) == sum(len(item.ids) for item in items) - empty


def test_bags_of_many_are_summed_at_full_rate() -> None:
    """While one bag leaves through the requantisers the next one is summed."""
    config = CONFIGS["64-byte beats"]
    (word,) = tables(32, 1)
    size = 24
    words = [
        replace(word, first=int(n == 0), last=int(n == size - 1), pair=(40000, 18))
        for n in range(size)
    ]
    scene = Scene(config, words, share_static=1.0, seed=1)
    ids = list(scene.static[word.table])
    items = random_items(scene, 15, seed=1, pick=ids)
    result = exercise(scene, items, HostileMemory(config, scene.memory))
    assert result.cycles <= 15 * size + 40


@pytest.mark.parametrize(
    ("name", "row_bytes"),
    [
        ("8-byte beats", 16),
        ("64-byte beats", 4),
        ("64-byte beats", 128),
        *(
            pytest.param(name, size, marks=SLOW)
            for name in ("8-byte beats", "64-byte beats")
            for size in (4, 8, 16, 32, 64, 128)
        ),
    ],
)
def test_hits_are_sustained(name: str, row_bytes: int) -> None:
    """Hits of the static and of the look-ahead cache, 98 % of a lane's word a cycle."""
    config = CONFIGS[name]
    words = tables(row_bytes, 2)
    words[1] = replace(words[1], rows=64 // row_bytes or 1, cached=0)
    scene = Scene(config, words, share_static=1.0, seed=row_bytes)
    static = list(scene.static[words[0].table])
    warm = random_items(scene, 2, seed=1, hot=1.0)
    items = random_items(scene, 500 if row_bytes <= 32 else 150, seed=2)
    for item in [*warm, *items]:
        item.ids[0] = static[item.ids[0] % len(static)]
        item.ids[1] %= words[1].rows
    scene_cycles = exercise(scene, warm, HostileMemory(config, scene.memory)).cycles
    result = exercise(scene, warm + items, HostileMemory(config, scene.memory))
    ideal = len(items) * 2 * max(1, row_bytes // config.lane_bytes)
    cycles = result.cycles - scene_cycles
    print(f"{name}, rows of {row_bytes}: {ideal} words in {cycles} cycles, {ideal / cycles:.1%}")
    assert counts(result)[Outcome.STATIC] >= len(items)
    assert counts(result)[Outcome.HIT] >= 0.9 * len(items)
    assert ideal / cycles >= 0.98


@pytest.mark.parametrize(
    "name",
    [
        "8-byte beats",
        *(pytest.param(name, marks=SLOW) for name in ("64-byte beats", "no look-ahead")),
    ],
)
def test_misses_fill_the_bus(name: str) -> None:
    """Random lines: 90 % of a beat a cycle when the reads in flight cover the latency."""
    config = CONFIGS[name]
    if name == "64-byte beats":
        config = replace(config, reads_in_flight=64, look_ahead_bytes=16384)
    beats = 64 // config.axi_bytes
    scene = Scene(config, tables(16, 2, rows=20_000), share_static=0.0, seed=1)
    items = random_items(scene, 1000 // beats, seed=3, hot=0.0)
    latency = int(config.reads_per_lane * beats / 1.25) - 10
    device = HostileMemory(config, scene.memory, latency=(latency - 5, latency + 5), mixed=False)
    exercise(scene, items, device)
    used = device.beats / (device.last_beat - device.first_beat + 1)
    print(f"{name}: {device.beats} beats, {used:.1%} of the bus")
    assert used >= 0.9


@pytest.mark.parametrize(
    "name",
    ["8-byte beats", *(pytest.param(n, marks=SLOW) for n in ("64-byte beats", "no look-ahead"))],
)
def test_all_reads_are_in_flight(name: str) -> None:
    config = CONFIGS[name]
    scene = Scene(config, tables(16, 2, rows=20_000), share_static=0.0, seed=1)
    items = random_items(scene, 20, seed=3, hot=0.0)
    device = HostileMemory(config, scene.memory, latency=(300, 300))
    exercise(scene, items, device)
    assert device.most_outstanding == config.reads_per_lane


def test_failed_fetch_gives_zeros_and_is_fetched_anew() -> None:
    config = CONFIGS["8-byte beats"]
    words = tables(16, 2)
    scene = Scene(config, words, share_static=0.2, seed=4)
    items = random_items(scene, 60, seed=4, ahead=3)
    row = next(r for r in range(100) if r not in scene.static[words[0].table])
    line = (words[0].base + row * 16) // 64 * 64
    for n in (5, 6, 30, 31, 60, 90):
        items[n].ids[0] = row
    lost = frozenset([line])
    device = HostileMemory(config, scene.memory, latency=(0, 60), errors=lost)
    result = exercise(scene, items, device, lost=lost)
    queries = {
        item.query
        for item in items
        for word, id_ in zip(words, item.ids, strict=True)
        if not item.prefetch
        and id_ not in scene.static[word.table]
        and (word.base + id_ * 16) // 64 * 64 == line
    }
    assert set(result.errors) == queries and queries
    assert device.requests.count(line) > 1


def test_prefetched_rows_hit() -> None:
    """Rows of items that are asked for ahead are on chip, or on their way, when they are wanted."""
    config = replace(TINY, look_ahead_bytes=8192)
    scene = Scene(config, tables(16, 2, rows=5000), share_static=0.0, seed=5)
    items = random_items(scene, 60, seed=5, hot=0.0, ahead=8)
    result = exercise(scene, items, HostileMemory(config, scene.memory, latency=(50, 50)))
    wanted = Counter(
        outcome
        for outcome, step in zip(result.predicted, result.steps, strict=True)
        if not step.prefetch
    )
    assert wanted[Outcome.MISS] <= 0.05 * wanted.total()
    fetched = [s for o, s in zip(result.predicted, result.steps, strict=True) if o is Outcome.MISS]
    assert len(fetched) * 64 == result.dram_bytes


def test_claims_of_queries_that_ended_do_not_count() -> None:
    """Prefetches whose lookups never come must not use up the cache."""
    scene = Scene(TINY, tables(64, 1, rows=500), share_static=0.0, seed=6)
    ahead = random_items(scene, 60, seed=6, hot=0.0)
    for item in ahead:
        item.prefetch = True
    items = ahead + random_items(scene, 20, seed=7, hot=0.0)
    kept = exercise(scene, items, HostileMemory(TINY, scene.memory), live=0xFFFF)
    assert counts(kept)[Outcome.DROPPED] > 30
    ended = exercise(scene, items, HostileMemory(TINY, scene.memory), live=0)
    # What is still dropped found the lines of its set being fetched.
    assert counts(ended)[Outcome.DROPPED] < 5


@pytest.mark.parametrize("target", [Target.FEATURES, Target.CACHE_TAGS, Target.CACHE_REGIONS])
def test_other_tables_are_seen(target: Target) -> None:
    """The host changes rows between queries; one LOAD makes the lane forget what it holds."""
    scene = Scene(TINY, tables(16, 2), share_static=0.0, seed=8)
    items = random_items(scene, 60, seed=8)
    end_of_table = (PROGRAM * TINY.lane_words + 5) * FEATURE_WORDS
    words = {
        Target.FEATURES: (LANE, (end_of_table, 0)),
        Target.CACHE_TAGS: (LANE, (0, 0)),
        Target.CACHE_REGIONS: (ALL_UNITS, (REGION, region_word(0, 0, 0))),
    }
    unit, word = words[target]
    other = bytes(value ^ 0x5A for value in scene.memory)
    change = Change(before=30, memory=other, target=target, unit=unit, word=word)
    device = HostileMemory(TINY, scene.memory, latency=(0, 60))
    result = exercise(scene, items, device, change=change)
    assert [step.fresh for step in result.steps].count(1) == 2  # after reset, and here
    assert counts(result)[Outcome.HIT]
