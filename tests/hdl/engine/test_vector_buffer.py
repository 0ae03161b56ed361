# amaranth: UnusedElaboratable=no
"""Vector buffer: lanes running ahead of each other, ring wrap, dense writes in between, reads."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.engine.vector_bank import dense_write_layout
from hdl.engine.vector_buffer import VectorBuffer, bank_word_bytes
from hdl.interfaces import row_write_layout
from tests.hdl.support import simulate

Fields = dict[int | str, Any]


class _Ring:
    """Drives a buffer with random row words and compares it with byte arrays."""

    def __init__(
        self, config: Config, anchor: tuple[int, int], slots: int, features: int, slot_bytes: int
    ) -> None:
        self.config = config
        self.dut = VectorBuffer(config=config, row=anchor[0], column=anchor[1])
        self.word = bank_word_bytes(config, *anchor)
        self.unit = anchor[0] * config.grid + anchor[1]
        self.slots, self.features, self.slot_bytes = slots, features, slot_bytes
        self.rng = random.Random(repr((slots, features)))
        self.items = 2 * slots + 3
        lanes = config.gather_lanes
        self.content = [bytearray(config.bank_bytes_at(*anchor)) for _ in range(lanes)]
        self.needed = {v % lanes for v in range(1, features + 1)}
        self.finished = [0] * lanes
        self.allocated: list[int] = []  # first bytes of the slots, in order
        self.released = 0
        self.reads = 0
        self.differed = False

    def _word(self, lane: int, progress: list[tuple[int, int]]) -> Fields:
        """The lane's next word: item, words of it that were sent; or something for nobody."""
        item, sent = progress[lane]
        if lane not in self.needed or item == len(self.allocated) or self.rng.random() < 0.5:
            if self.rng.random() < 0.5:
                return {}
            return {"valid": 1, "unit": self.unit + 1, "enable": 1, "item_last": 1, "data": 7}
        size = self.config.lane_bytes
        address = self.allocated[item] + self.rng.randrange(max(1, self.slot_bytes // size)) * size
        address -= address % size
        first = self.allocated[item] % size // 4  # slots may be smaller than a row word
        inside = min(size, self.slot_bytes) // 4
        enable = self.rng.randrange(1 << inside) << first
        if lane == 0:  # the dense vector's place
            enable &= ~(0xF << first) if address == self.allocated[item] - first * 4 else -1
        value = self.rng.randbytes(size)
        for n in range(size):
            if enable >> n // 4 & 1:
                self.content[lane][address + n] = value[n]
        last = sent == 2 or self.rng.random() < 0.4
        progress[lane] = (item + 1, 0) if last else (item, sent + 1)
        self.finished[lane] += last
        return {
            "valid": 1, "unit": self.unit, "address": address, "enable": enable,
            "data": int.from_bytes(value, "little"), "item_last": last,
        }  # fmt: skip

    async def load(self, ctx: Any) -> None:
        dut = self.dut
        layout = row_write_layout(self.config)
        ctx.set(dut.unit, self.unit)
        ctx.set(dut.slots, self.slots)
        ctx.set(dut.slot_bytes, self.slot_bytes)
        ctx.set(dut.features, self.features)
        lanes = self.config.gather_lanes
        progress = [(0, 0)] * lanes
        while any(progress[lane][0] < self.items for lane in self.needed):
            can_allocate = ctx.get(dut.can_allocate)
            assert can_allocate == (len(self.allocated) - self.released < self.slots)
            take = can_allocate and len(self.allocated) < self.items and self.rng.random() < 0.4
            ctx.set(dut.allocate, bool(take))
            for lane in range(lanes):
                ctx.set(dut.row_write[lane], layout.const(self._word(lane, progress)))
            self.differed |= len({progress[lane][0] for lane in self.needed}) > 1
            if take:
                index = ctx.get(dut.allocate_index)
                assert index == len(self.allocated) % self.slots
                assert ctx.get(dut.allocate_address) == index * self.slot_bytes
                self.allocated.append(index * self.slot_bytes)
            await ctx.tick()
        ctx.set(dut.allocate, 0)
        for lane in range(lanes):
            ctx.set(dut.row_write[lane], layout.const({}))

    def _complete(self) -> int:
        """Items that are complete and not released."""
        return min(self.finished[lane] for lane in self.needed) - self.released

    async def consume(self, ctx: Any) -> None:
        dut, rng = self.dut, self.rng
        await ctx.tick()  # ``ready`` goes by ``features`` of the cycle before
        for number in range(self.items):
            while not ctx.get(dut.ready):
                await ctx.tick()
            assert self._complete() >= 1, "ready before all lanes were done"
            assert not ctx.get(dut.next_ready) or self._complete() >= 2
            address = self.allocated[number]
            value = rng.randbytes(16)  # the dense vector, granules 1 and 3 only
            dense: Fields = {
                "address": address, "enable": 0b1010, "data": int.from_bytes(value, "little"),
            }  # fmt: skip
            ctx.set(dut.dense_write.payload, dense_write_layout().const(dense))
            ctx.set(dut.dense_write.valid, 1)
            await ctx.tick().until(dut.dense_write.ready)
            ctx.set(dut.dense_write.valid, 0)
            for start in (4, 12):
                self.content[0][address + start : address + start + 4] = value[start : start + 4]
            for place in range(address, address + self.slot_bytes, min(self.word, self.slot_bytes)):
                await self._read(ctx, place, address)
            ctx.set(dut.release, 1)
            self.released += 1
            await ctx.tick()
            ctx.set(dut.release, 0)
        assert not ctx.get(dut.ready)

    async def _read(self, ctx: Any, place: int, address: int) -> None:
        """One bank at the first port, a group at the second; only this slot's bytes hold still."""
        dut, lanes = self.dut, self.config.gather_lanes
        size = min(self.word, self.slot_bytes)
        group = 1 << self.rng.randrange(len(dut.words_b).bit_length())
        banks = [self.rng.randrange(lanes), self.rng.randrange(0, lanes, group)]
        bases = [place, address]
        for port, base in enumerate(bases):
            ctx.set(dut.read_address[port], base // self.word)
            ctx.set(dut.read_bank[port], banks[port])
            ctx.set(dut.read_enable[port], ((1 << group if port else 2) - 1) << banks[port])
        await ctx.tick()
        for port in range(2):
            ctx.set(dut.read_enable[port], 0)
            ctx.set(dut.read_address[port], 0)
        await ctx.tick().repeat(self.rng.randrange(1, 4))  # the words stay
        words = [(dut.words_a[0], place, banks[0])]
        words += [(dut.words_b[n], address, banks[1] + n) for n in range(group)]
        for word, base, bank in words:
            data = ctx.get(word).to_bytes(self.word, "little")
            inside = base % self.word
            assert data[inside : inside + size] == self.content[bank][base : base + size]
            self.reads += 1


@pytest.mark.parametrize(
    ("name", "anchor", "slots", "features", "slot_bytes"),
    [
        ("tiny", (0, 0), 3, 7, 256),  # both banks, several words a slot
        ("tiny", (1, 1), 5, 1, 16),  # bank 1 only
        ("small", (0, 0), 16, 26, 64),  # all banks, a word a slot
        ("small", (0, 0), 13, 3, 32),  # without bank 0, slots smaller than a word
        ("medium", (1, 0), 1, 8, 512),
        ("paper", (0, 0), 16, 26, 16),  # slots smaller than a row word
    ],
)
def test_ring(
    name: str, anchor: tuple[int, int], slots: int, features: int, slot_bytes: int
) -> None:
    ring = _Ring(preset(name), anchor, slots, features, slot_bytes)
    simulate(ring.dut, ring.load, ring.consume, cycles=20_000)
    assert ring.released == ring.items
    assert ring.reads >= 2 * ring.items
    assert ring.differed or len(ring.needed) == 1


def test_no_features_and_clear() -> None:
    dut = VectorBuffer(config=preset("tiny"), row=1, column=1)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.slots, 1)
        ctx.set(dut.slot_bytes, 16)
        for _ in range(3):  # with or without allocation
            assert ctx.get(dut.ready) and ctx.get(dut.next_ready) and ctx.get(dut.can_allocate)
            ctx.set(dut.release, 1)
            await ctx.tick()
        ctx.set(dut.release, 0)
        ctx.set(dut.features, 1)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert ctx.get(dut.can_allocate)
        ctx.set(dut.allocate, 1)
        await ctx.tick()
        ctx.set(dut.allocate, 0)
        assert not ctx.get(dut.can_allocate) and not ctx.get(dut.ready)
        ctx.set(dut.clear, 1)
        await ctx.tick()
        assert ctx.get(dut.can_allocate)

    simulate(dut, bench, cycles=100)


def test_dense_waits_for_rows_of_bank_0() -> None:
    config = preset("tiny")
    dut = VectorBuffer(config=config, row=0, column=0)
    layout = row_write_layout(config)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.dense_write.valid, 1)
        for lane, unit, ready in ((1, 0, 1), (0, 1, 1), (0, 0, 0)):
            ctx.set(dut.row_write[lane], layout.const({"valid": 1, "unit": unit}))
            assert ctx.get(dut.dense_write.ready) == ready
            await ctx.tick()
            ctx.set(dut.row_write[lane], layout.const({}))

    simulate(dut, bench, cycles=100)


def test_too_small() -> None:
    with pytest.raises(ValueError, match="vector_bytes must be in 512..8192 for 4 banks"):
        VectorBuffer(config=replace(preset("small"), vector_bytes=256), row=0, column=0)
