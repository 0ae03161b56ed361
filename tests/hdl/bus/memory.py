"""AXI4 memory models for simulation benches, with the protocol rules checked on the way."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

__all__ = ["Image", "ReadMemory", "WriteMemory", "word"]

Image = dict[int, int] | bytearray


def word(image: Image, address: int, count: int) -> int:
    """``count`` bytes of ``image`` from ``address`` on, little endian."""
    if isinstance(image, bytearray):
        return int.from_bytes(image[address : address + count], "little")
    return sum(image.get(address + i, 0) << (8 * i) for i in range(count))


def check_burst(address: int, beats: int, size: int) -> None:
    """AXI4 rules of an INCR burst."""
    assert address % size == 0
    assert address // 4096 == (address + beats * size - 1) // 4096, "burst crosses 4 KB"


class ReadMemory:
    """Answers reads out of order between ids, beats interleaved, in order within an id."""

    def __init__(
        self,
        axi: Any,
        image: Image,
        *,
        data_bytes: int,
        seed: int,
        stall: float = 0.3,
        latency: tuple[int, int] = (1, 20),
        errors: Iterable[int] = (),
    ) -> None:
        self.axi, self.image, self.data_bytes = axi, image, data_bytes
        self.rng = random.Random(seed)
        self.stall, self.latency, self.errors = stall, latency, set(errors)
        self.queues: defaultdict[int, list[tuple[int, int, bool]]] = defaultdict(list)
        self.seen: list[tuple[int, int, int]] = []
        self.time = 0

    async def run(self, ctx: Any) -> None:
        axi = self.axi
        stuck = None
        beat = None
        while True:
            ar_ready = self.rng.random() >= self.stall
            ctx.set(axi.arready, ar_ready)
            if beat is None and self.rng.random() >= self.stall:
                beat = self.pick()
                if beat is not None:
                    ident, address, last = beat
                    ctx.set(axi.rid, ident)
                    ctx.set(axi.rdata, word(self.image, address, self.data_bytes))
                    ctx.set(axi.rlast, last)
                    ctx.set(axi.rresp, 2 if address in self.errors else 0)
            ctx.set(axi.rvalid, beat is not None)
            _, _, valid, rready, ident, address, length, size = await ctx.tick().sample(
                axi.arvalid, axi.rready, axi.arid, axi.araddr, axi.arlen, axi.arsize
            )
            self.time += 1
            if stuck is not None:
                assert (valid, ident, address, length) == (1, *stuck), "AR changed while waiting"
            stuck = (ident, address, length) if valid and not ar_ready else None
            if valid and ar_ready:
                assert 1 << size == self.data_bytes
                check_burst(address, length + 1, self.data_bytes)
                due = self.time + self.rng.randint(*self.latency)
                self.seen.append((ident, address, length + 1))
                for i in range(length + 1):
                    self.queues[ident].append((due, address + i * self.data_bytes, i == length))
            if beat is not None and rready:
                beat = None

    def pick(self) -> tuple[int, int, bool] | None:
        ready = [i for i, q in self.queues.items() if q and q[0][0] <= self.time]
        if not ready:
            return None
        ident = self.rng.choice(ready)
        _, address, last = self.queues[ident].pop(0)
        return ident, address, last


class WriteMemory:
    """Takes AW and W in any order of arrival, writes by strobe, answers later."""

    def __init__(
        self,
        axi: Any,
        image: Image,
        *,
        data_bytes: int,
        seed: int,
        stall: float = 0.3,
        errors: Iterable[int] = (),
    ) -> None:
        self.axi, self.image, self.data_bytes = axi, image, data_bytes
        self.rng = random.Random(seed)
        self.stall, self.errors = stall, set(errors)
        self.addresses: list[tuple[int, int]] = []
        self.beats: list[tuple[int, int, int]] = []
        self.answers: list[int] = []
        self.bursts: list[tuple[int, int]] = []

    async def run(self, ctx: Any) -> None:
        axi = self.axi
        held_a = held_w = None
        answering = False
        while True:
            aw_ready = self.rng.random() >= self.stall
            w_ready = self.rng.random() >= self.stall
            ctx.set(axi.awready, aw_ready)
            ctx.set(axi.wready, w_ready)
            if not answering and self.answers and self.rng.random() >= self.stall:
                answering = True
                ctx.set(axi.bresp, self.answers.pop(0))
            ctx.set(axi.bvalid, answering)
            (_, _, av, address, length, wv, wdata, strobe, last, bready) = await ctx.tick().sample(
                axi.awvalid, axi.awaddr, axi.awlen, axi.wvalid, axi.wdata, axi.wstrb, axi.wlast,
                axi.bready,
            )  # fmt: skip
            if held_a is not None:
                assert (av, address, length) == (1, *held_a), "AW changed while waiting"
            if held_w is not None:
                assert (wv, wdata, strobe, last) == (1, *held_w), "W changed while waiting"
            held_a = (address, length) if av and not aw_ready else None
            held_w = (wdata, strobe, last) if wv and not w_ready else None
            if answering and bready:
                answering = False
            if av and aw_ready:
                check_burst(address, length + 1, self.data_bytes)
                self.addresses.append((address, length + 1))
            if wv and w_ready:
                self.beats.append((wdata, strobe, last))
            self.finish()

    def finish(self) -> None:
        if not self.addresses:
            return
        address, count = self.addresses[0]
        if len(self.beats) < count:
            return
        self.addresses.pop(0)
        beats, self.beats = self.beats[:count], self.beats[count:]
        assert [last for _, _, last in beats] == [0] * (count - 1) + [1], "WLAST in the wrong place"
        for i, (value, strobe, _) in enumerate(beats):
            for b in range(self.data_bytes):
                if strobe >> b & 1:
                    self.image[address + i * self.data_bytes + b] = value >> (8 * b) & 255
        self.bursts.append((address, count))
        self.answers.append(2 if address in self.errors else 0)
