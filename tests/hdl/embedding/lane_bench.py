"""Bench of one gather lane: tables, items, a plain model of the rows, and a hostile memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np

from golden.look_ahead import Fill, LaneCaches, LineCache, Outcome, Step, TablePlace
from golden.requantise import requantise
from hdl.config import LINE_BYTES, Config
from hdl.embedding.gather_lane import GatherLane
from hdl.embedding.line_geometry import LineGeometry
from hdl.program import EMPTY_ID, FEATURE, FEATURE_WORDS, Target
from hdl.words import pack

from ..bus.bench import run
from .words import ALL_UNITS, load, region_word, tag_word

LANE = 1
PROGRAM = 5
REGION = 2
IDENTITY = (32768, 15)


@dataclass
class Word:
    """One id word of an item: FEATURE fields that differ from word to word."""

    table: int
    rows: int
    row_bytes: int
    base: int
    offset: int
    first: int = 1
    last: int = 1
    pair: tuple[int, int] = IDENTITY
    cached: int = 1
    seed: int = 0


@dataclass
class Item:
    unit: int
    base: int
    query: int
    ids: list[int]
    prefetch: bool = False


@dataclass
class Change:
    """Other contents of device memory, and the LOAD that says so, before an item."""

    before: int
    memory: bytes
    target: Target
    unit: int
    word: tuple[int, int]
    """Address and value."""


@dataclass
class HostileMemory:
    """Serves a read port: random latency, a beat a cycle.

    ``mixed``: beats of different bursts come mixed; else bursts one by one, in their order as soon
    as they are ready.
    """

    config: Config
    contents: bytes
    latency: tuple[int, int] = (20, 20)
    stall: float = 0.0
    mixed: bool = True
    seed: int = 1
    errors: frozenset[int] = frozenset()
    """Addresses of lines whose fetch fails, each on one of its beats."""
    requests: list[int] = field(default_factory=list)
    most_outstanding: int = 0
    beats: int = 0
    first_beat: int = 0
    last_beat: int = 0

    def server(self, port: Any) -> Any:
        async def bench(ctx: Any) -> None:
            rng = random.Random(self.seed)
            width = self.config.axi_bytes
            bursts: list[list[int]] = []  # ready at, address, tag, beats left
            cycle = 0
            current: list[int] | None = None
            while True:
                ctx.set(port.request.ready, rng.random() >= self.stall)
                if current is None or self.mixed:
                    ready = [b for b in bursts if b[0] <= cycle]
                    if not ready or rng.random() < self.stall:
                        current = None
                    else:
                        current = rng.choice(ready) if self.mixed else ready[0]
                if current is not None:
                    _, address, tag, left = current
                    line = address // LINE_BYTES * LINE_BYTES
                    ctx.set(
                        port.response.payload,
                        {
                            "data": int.from_bytes(
                                self.contents[address : address + width], "little"
                            ),
                            "tag": tag,
                            "last": left == 1,
                            "error": line in self.errors
                            and (line // 64 + left) % (LINE_BYTES // width) == 0,
                        },
                    )
                ctx.set(port.response.valid, current is not None)
                sample = await ctx.tick().sample(
                    port.request.valid,
                    port.request.ready,
                    port.request.payload,
                    port.response.ready,
                )
                asked, granted, request, taken = sample[2:]
                assert taken, "a beat was refused"
                cycle += 1
                if current is not None:
                    self.first_beat = self.first_beat or cycle
                    self.last_beat = cycle
                    self.beats += 1
                    current[1] += width
                    current[3] -= 1
                    if not current[3]:
                        bursts.remove(current)
                        current = None
                if asked and granted:
                    assert request.address % LINE_BYTES == 0
                    assert (request.beats + 1) * width == LINE_BYTES
                    assert all(b[2] != request.tag for b in bursts), "tag in use"
                    self.requests.append(request.address)
                    delay = rng.randint(*self.latency)
                    bursts.append([cycle + delay, request.address, request.tag, request.beats + 1])
                    self.most_outstanding = max(self.most_outstanding, len(bursts))

        return bench


class Scene:
    """Tables, static cache contents and items of one lane."""

    def __init__(
        self, config: Config, words: list[Word], *, share_static: float, seed: int
    ) -> None:
        self.config, self.words = config, words
        rng = random.Random(seed)
        self.rng = rng
        end = max(word.base + word.rows * word.row_bytes for word in words)
        self.memory = rng.randbytes(end + 256)
        self.row_bytes = max(word.row_bytes for word in words)
        self.static: dict[int, dict[int, tuple[int, int]]] = {word.table: {} for word in words}
        half = 1 << (config.lane_cache_bytes // 2).bit_length() - 1
        self.log2_sets = (half // max(self.row_bytes, 8) // config.cache_ways).bit_length() - 1
        sets = config.lane_cache_bytes // (8 * config.cache_ways)
        self.set_base = 3 if (1 << self.log2_sets) + 3 <= sets else 0
        self.data_base = half
        used: dict[int, int] = {}
        for word in words:
            if not word.cached or word.row_bytes != self.row_bytes or self.static[word.table]:
                continue
            for row in rng.sample(range(word.rows), word.rows):
                index = (row ^ word.seed) & ((1 << self.log2_sets) - 1)
                way = used.get(index, 0)
                if way < config.cache_ways and rng.random() < share_static:
                    self.static[word.table][row] = (index, way)
                    used[index] = way + 1

    def row(self, word: Word, id_: int) -> bytes:
        """Bytes of a row; those in the static cache are inverted: a miss cannot pass for a hit."""
        start = word.base + id_ * word.row_bytes
        row = self.memory[start : start + word.row_bytes]
        return bytes(255 - b for b in row) if id_ in self.static[word.table] else row

    async def fill(self, ctx: Any, port: Any) -> None:
        """LOADs of descriptors and static cache."""
        config, ways = self.config, self.config.cache_ways
        for k, word in enumerate(self.words):
            bits = pack(
                FEATURE,
                {
                    "base": word.base,
                    "log2_row_bytes": word.row_bytes.bit_length() - 1,
                    "offset": word.offset,
                    "cached": word.cached,
                    "rows": word.rows,
                    "seed": word.seed,
                    "region": REGION,
                    "table": word.table,
                    "multiplier": word.pair[0],
                    "shift": word.pair[1],
                    "pool_first": word.first,
                    "pool_last": word.last,
                    "item_last": k == len(self.words) - 1,
                },
            )
            start = (PROGRAM * config.lane_words + k) * FEATURE_WORDS
            for part in range(FEATURE_WORDS):
                value = bits >> 64 * part & (1 << 64) - 1
                await load(ctx, port, Target.FEATURES, LANE, start + part, value)
        region = region_word(self.set_base, self.log2_sets, self.data_base)
        await load(ctx, port, Target.CACHE_REGIONS, ALL_UNITS, REGION, region)
        rows: dict[int, int] = {}
        for word in self.words:
            for row, (index, way) in self.static[word.table].items():
                address = (self.set_base + index) * ways + way
                tag = tag_word(word.table, row)
                await load(ctx, port, Target.CACHE_TAGS, LANE, address, tag)
                start = self.data_base + (index * ways + way) * self.row_bytes
                for k, value in enumerate(self.row(word, row)):
                    rows[start + k] = value
        for address in {place // 8 for place in rows}:
            value = sum(rows.get(8 * address + k, 0) << 8 * k for k in range(8))
            await load(ctx, port, Target.CACHE_DATA, LANE, address, value)

    def expected(self, item: Item, lost: frozenset[int] = frozenset()) -> dict[int, int]:
        """Bytes of the item's slot in the bank; ``lost``: lines that come as zeros."""
        out: dict[int, int] = {}
        total = np.zeros(0, np.int64)
        for word, id_ in zip(self.words, item.ids, strict=True):
            row = bytes(word.row_bytes)
            if id_ < word.rows:
                row = self.row(word, id_)
                if id_ not in self.static[word.table]:
                    start = word.base + id_ * word.row_bytes
                    row = bytes(
                        0 if (start + k) // LINE_BYTES * LINE_BYTES in lost else value
                        for k, value in enumerate(row)
                    )
            values = np.frombuffer(row, np.int8).astype(np.int64)
            total = values if word.first else total + values
            if word.last:
                final = requantise(total, 0, *word.pair).astype(np.int8).tobytes()
                for k, value in enumerate(final):
                    out[item.base + word.offset + k] = value
        return out


@dataclass
class Result:
    """What a run gave."""

    cycles: int = 0
    writes: int = 0
    ends: list[int] = field(default_factory=list)
    """Cycle of each item's last word."""
    steps: list[Any] = field(default_factory=list)
    lookups: list[Any] = field(default_factory=list)
    bad: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    predicted: list[Outcome] = field(default_factory=list)
    dram_bytes: int = 0


def exercise(
    scene: Scene,
    items: list[Item],
    device: HostileMemory,
    *,
    idle: float = 0.0,
    seed: int = 1,
    lost: frozenset[int] = frozenset(),
    loaders: int = 1,
    live: int = 0xFFFF,
    change: Change | None = None,
    limit: int = 60_000,
) -> Result:
    """Run ``items`` through a lane; checks rows, their order, events and golden's prediction.

    Ids of ``loaders`` items at a time come mixed. ``change``: the host changes tables meanwhile.
    """
    config = scene.config
    dut = GatherLane(config=config, lane=LANE)
    result = Result()
    real = [item for item in items if not item.prefetch]
    image: dict[tuple[int, int], int] = {}
    done: list[int] = []  # units of completed items, in order
    log: list[Any] = []
    filled = False

    async def source(ctx: Any) -> None:
        nonlocal filled
        ctx.set(dut.live, live)
        await scene.fill(ctx, dut.config_write)
        filled = True
        rng = random.Random(seed)
        for start in range(0, len(items), loaders):
            group = items[start : start + loaders]
            if change is not None and start == change.before:
                ctx.set(dut.i.valid, 0)
                await ctx.tick().until(dut.idle)
                await ctx.tick().repeat(2)
                scene.memory = device.contents = change.memory
                await load(ctx, dut.config_write, change.target, change.unit, *change.word)
            for k, loader in product(range(len(scene.words)), range(len(group))):
                item = group[loader]
                while rng.random() < idle:
                    ctx.set(dut.i.valid, 0)
                    await ctx.tick()
                ctx.set(
                    dut.i.payload,
                    {
                        "unit": item.unit,
                        "base": item.base,
                        "program": PROGRAM,
                        "k": k,
                        "id": item.ids[k],
                        "query": item.query,
                        "prefetch": item.prefetch,
                        "loader": loader,
                    },
                )
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
        ctx.set(dut.i.valid, 0)
        while len(done) < len(real) or not ctx.get(dut.idle):
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        signals = (dut.row_write, dut.lookup, dut.step, dut.filled, dut.bad_id, dut.bus_error)
        async for sample in ctx.tick().sample(*signals):
            write, lookup, step, fill, bad, error = sample[2:]
            result.cycles += filled
            if write.valid:
                result.writes += 1
                assert write.address % config.lane_bytes == 0
                value = write.data.to_bytes(config.lane_bytes, "little")
                for k in range(config.lane_bytes):
                    if write.enable >> k // 4 & 1:
                        place = (write.unit, write.address + k)
                        assert place not in image, "written twice"
                        image[place] = value[k]
                if write.item_last:
                    item = real[len(done)]
                    assert write.unit == item.unit
                    mine = {a: v for (u, a), v in image.items() if u == item.unit}
                    if lost:
                        check_lost(mine, scene.expected(item), scene.expected(item, lost))
                    else:
                        assert mine == scene.expected(item)
                    for address in mine:
                        del image[item.unit, address]
                    done.append(item.unit)
                    result.ends.append(result.cycles)
            if lookup.valid:
                result.lookups.append(lookup)
            if step.valid:
                log.append(as_step(step))
                result.steps.append(step)
            if fill.valid:
                log.append(Fill(line=fill.line, error=bool(fill.error)))
            if bad.valid:
                result.bad.append(bad.query)
            if error.valid:
                result.errors.append(error.query)

    run(dut, [source], [device.server(dut.read), watch], cycles=limit)
    assert not image, "words after the last item"
    check_log(scene, log, result)
    assert result.dram_bytes == len(device.requests) * LINE_BYTES == device.beats * config.axi_bytes
    assert device.most_outstanding <= config.reads_per_lane
    return result


def check_lost(mine: dict[int, int], good: dict[int, int], bad: dict[int, int]) -> None:
    """Every byte is what it should be, or zero where a fetch failed."""
    assert mine.keys() == good.keys()
    for address, value in mine.items():
        assert value in (good[address], bad[address])


def as_step(step: Any) -> Step:
    return Step(
        table=step.table,
        id=step.id,
        lookup=not (step.bad or step.empty),
        prefetch=bool(step.prefetch),
        half=step.half,
        fresh=bool(step.fresh),
        query=step.query,
        live=step.live,
        pending=step.pending,
    )


def check_log(scene: Scene, log: list[Any], result: Result) -> None:
    """Golden's outcomes equal the device's."""
    geometry = LineGeometry(scene.config)
    caches = LaneCaches(
        lines=LineCache(
            sets=geometry.sets, ways=geometry.ways, sequence_bits=geometry.sequence_bits
        ),
        tables={w.table: TablePlace(base=w.base, row_bytes=w.row_bytes) for w in scene.words},
        static={table: frozenset(rows) for table, rows in scene.static.items()},
    )
    result.predicted = caches.replay(log)
    assert result.predicted == [outcome_of(step) for step in result.steps]
    result.dram_bytes = caches.dram_bytes


def outcome_of(step: Any) -> Outcome:
    flags = {
        Outcome.STATIC: step.static_hit,
        Outcome.HIT: step.hit and not step.merged,
        Outcome.MERGED: step.merged,
        Outcome.MISS: step.miss,
        Outcome.DROPPED: step.dropped,
        Outcome.NONE: step.bad or step.empty,
    }
    (outcome,) = [name for name, flag in flags.items() if flag]
    return outcome


def random_items(
    scene: Scene,
    count: int,
    *,
    seed: int,
    share_bad: float = 0.0,
    ahead: int = 0,
    hot: float = 0.5,
    pick: list[int] | None = None,
) -> list[Item]:
    """Items with ids drawn partly from few hot ones; ``ahead``: prefetched so many items before."""
    rng = random.Random(seed)
    slot = 1 << (max(w.offset + w.row_bytes for w in scene.words) - 1).bit_length()
    slot = max(slot, scene.config.lane_bytes)
    items = []
    for n in range(count):
        ids = []
        for word in scene.words:
            if not (word.first and word.last) and rng.random() < 0.2:
                ids.append(EMPTY_ID)
            elif rng.random() < share_bad:
                ids.append(word.rows + rng.randrange(5))
            elif pick:
                ids.append(rng.choice(pick))
            elif rng.random() < hot:
                ids.append(rng.randrange(max(1, word.rows // 8)))
            else:
                ids.append(rng.randrange(word.rows))
        items.append(Item(unit=n % 200, base=n % 8 * slot % 4096, query=n % 16, ids=ids))
    if not ahead:
        return items
    mixed = [Item(i.unit, i.base, i.query, i.ids, True) for i in items[:ahead]]
    for n, item in enumerate(items):
        mixed.append(item)
        if n + ahead < count:
            later = items[n + ahead]
            mixed.append(Item(later.unit, later.base, later.query, later.ids, True))
    return mixed
