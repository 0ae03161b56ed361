# amaranth: UnusedElaboratable=no
"""From records to phases: when a decoder's phase is asked for, its codes are golden's."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from driver.hash_words import bucket_constants, hash_stream
from driver.result_plan import choose_results
from golden.dhe import HashEncoder, integer_code
from golden.encoders import PrimePolicy, random_encoder
from hdl.config import preset
from hdl.dhe.decoder_table import DecoderTable
from hdl.dhe.dhe_front import DheFront
from hdl.dhe.layouts import DECODER, DECODER_WORDS, HASH_CHUNK_BYTES, RESULT_TAG
from hdl.words import pack
from tests.hdl.dhe.test_id_store import chunks
from tests.hdl.embedding.memory_model import MemoryModel
from tests.hdl.support import simulate

DENSE_BYTES = 16
LANES = 2
SEED = 5


class Engine:
    """Loaders, banks and sequencer around a front; jobs go to the slots in turns."""

    def __init__(
        self,
        encoders: list[HashEncoder],
        blocks: list[NDArray[np.uint32]],
        *,
        stall: float,
        held: dict[tuple[int, int], int] | None = None,
    ) -> None:
        self.config = replace(preset("tiny"), held_bytes=512 if held else 0)
        self.edge = self.config.sub_array << 1
        self.encoders, self.blocks, self.stall = encoders, blocks, stall
        self.held = held or {}
        self.dut = DheFront(config=self.config, lanes=LANES, ids=26, decoders=8)
        self.placed: list[tuple[int, ...]] = []
        self.banks: list[dict[tuple[int, int], int]] = [{}, {}]
        self.phases: list[tuple[int, int]] = []
        self.ended = 0
        self.starved = 0
        self.image = bytearray(HASH_CHUNK_BYTES)
        self.words: list[int] = []
        for f, encoder in enumerate(encoders):
            word = pack(
                DECODER,
                {
                    "layer": f,
                    "layers": 2,
                    "tiles": 7 + f,
                    "groups": -(-encoder.k // LANES),
                    "pages": -(-encoder.k // self.edge),
                    "stream": 0x1000 * f,
                    "streamed": 1,
                    "feature": f,
                    "hashes": len(self.image),
                    "table": f,
                    "seed": SEED,
                    "log2_sets": 3,
                    "held": bool(self.held),
                    "buckets": bucket_constants(encoder.m),
                },
            )
            self.words += [word >> (64 * i) & ((1 << 64) - 1) for i in range(DECODER_WORDS)]
            stream = hash_stream(encoder)
            self.image += stream.ljust(-(-len(stream) // HASH_CHUNK_BYTES) * HASH_CHUNK_BYTES)

    async def load(self, ctx: Any) -> None:
        """LOAD, then every block: its records, and a start once its ids are there."""
        dut = self.dut
        rng = random.Random(1)
        ctx.set(dut.level, 1)
        for slot in range(2):
            ctx.set(dut.first_id[slot], DENSE_BYTES)
        for address, word in enumerate(self.words):
            ctx.set(dut.table_write, {"valid": 1, "address": address, "data": word})
            await ctx.tick()
        ctx.set(dut.table_write.valid, 0)
        for (table, id_), place in self.held.items():
            word = pack(RESULT_TAG, {"valid": 1, "table": table, "id": id_})
            ctx.set(dut.tag_write, {"valid": 1, "address": place, "data": word})
            await ctx.tick()
        ctx.set(dut.tag_write.valid, 0)
        for number, ids in enumerate(self.blocks):
            slot = number & 1
            while not ctx.get(dut.free) >> slot & 1:
                await ctx.tick()
            for row, of_item in enumerate(ids):
                record = bytes(rng.randrange(256) for _ in range(DENSE_BYTES))
                record += of_item.astype("<u4").tobytes()
                for chunk in chunks(record, slot, row, 8):
                    ctx.set(dut.i_dense.payload, chunk)
                    ctx.set(dut.i_dense.valid, 1)
                    await ctx.tick().until(dut.i_dense.ready)
            ctx.set(dut.i_dense.valid, 0)
            await ctx.tick()
            begin = {"first": 0, "count": len(self.encoders), "rows": len(ids)}
            ctx.set(dut.start_slot[slot], begin)
            ctx.set(dut.start, 1 << slot)
            await ctx.tick()
            ctx.set(dut.start, 0)
        while self.ended < len(self.blocks):
            await ctx.tick()
        assert ctx.get(dut.free) == 3

    async def take_codes(self, ctx: Any) -> None:
        """Codes into the banks; the pulse of a chunk with ``last`` comes a few cycles later."""
        dut, rng = self.dut, random.Random(2)
        waiting: list[tuple[int, int]] = []
        cycle = 0
        ctx.set(dut.o_dense.ready, 1)
        port = dut.o_codes
        while True:
            ctx.set(port.ready, rng.random() >= self.stall)
            sample = await ctx.tick().sample(port.valid, port.ready, port.payload, dut.starved)
            valid, ready, chunk, starved = sample[2:]
            self.starved += starved
            cycle += 1
            pulse = bool(waiting and waiting[0][0] <= cycle)
            ctx.set(dut.code_row.valid, pulse)
            if pulse:
                ctx.set(dut.code_row.slot, waiting.pop(0)[1])
            if valid and ready:
                for i in range(chunk.count):
                    self.banks[chunk.slot][chunk.row, chunk.k + i] = chunk.data[i]
                if chunk.last:
                    waiting.append((cycle + 4, chunk.slot))

    async def run_phases(self, ctx: Any) -> None:
        """One phase at a time, as the array does; codes are compared when it is handed over."""
        dut, rng = self.dut, random.Random(3)
        done = [0, 0]
        job = [0, 1]
        while True:
            wants = ctx.get(dut.want_phase)
            if wants:
                slot = rng.choice([s for s in range(2) if wants >> s & 1])
                descriptor = ctx.get(dut.decoder[slot])
                feature = descriptor.layer
                while not self.missed(job[slot], done[slot]):  # nothing to decode: passed over
                    done[slot] += 1
                assert feature == done[slot] and descriptor.tiles == 7 + feature
                assert ctx.get(dut.phase_rows[slot]) == len(self.missed(job[slot], feature))
                self.check(slot, job[slot], feature)
                self.phases.append((slot, feature))
                ctx.set(dut.phase_pushed, 1 << slot)
                await self.tick(ctx)
                ctx.set(dut.phase_pushed, 0)
                for _ in range(rng.randint(1, 60)):
                    await self.tick(ctx)
                self.check(slot, job[slot], feature)  # nothing was written over
                ctx.set(dut.phase_done, 1 << slot)
                await self.tick(ctx)
                ctx.set(dut.phase_done, 0)
                done[slot] += 1
                while done[slot] < len(self.encoders) and not self.missed(job[slot], done[slot]):
                    done[slot] += 1
                if done[slot] == len(self.encoders):
                    done[slot] = 0
                    job[slot] += 2
            await self.tick(ctx)

    async def tick(self, ctx: Any) -> None:
        (done,) = (await ctx.tick().sample(self.dut.done))[2:]
        self.ended += done.bit_count()

    def missed(self, job: int, feature: int) -> list[int]:
        """Rows of a block whose vector is not held."""
        ids = self.blocks[job][:, feature].tolist()
        return [row for row, x in enumerate(ids) if (feature, x) not in self.held]

    async def watch(self, ctx: Any) -> None:
        async for _, _, placed in ctx.tick().sample(self.dut.placed):
            if placed.valid:
                self.placed.append((placed.feature, placed.row, placed.hit, placed.place))

    def check(self, slot: int, job: int, feature: int) -> None:
        """Codes of all rows are in the slot's pages."""
        ids = self.blocks[job][:, feature][self.missed(job, feature)]
        code = integer_code(self.encoders[feature], ids)
        for row in range(len(code)):
            got = [self.banks[slot][row, k] for k in range(code.shape[1])]
            assert got == code[row].tolist(), (job, feature, row)

    def run(self) -> None:
        memory = MemoryModel(config=self.config, contents=self.image, ordered=True)
        background = [self.take_codes, self.run_phases, self.watch, memory.server(self.dut.read)]
        simulate(self.dut, self.load, background=background, cycles=40_000)


def blocks_of(rows: list[int], features: int) -> list[NDArray[np.uint32]]:
    random = np.random.default_rng(9)
    return [random.integers(0, 1 << 32, (n, features)).astype(np.uint32) for n in rows]


@pytest.mark.parametrize(("policy", "stall"), [("shared", 0.0), ("per-hash", 0.6)])
def test_codes_are_there_when_the_phase_is_wanted(policy: PrimePolicy, stall: float) -> None:
    encoders = [
        random_encoder(k, seed=[k], m=m, policy=policy)
        for k, m in ((11, 1_000_000), (8, 4096), (17, 1_000_000))
    ]
    engine = Engine(encoders, blocks_of([6, 3, 1, 5], 3), stall=stall)
    engine.run()
    assert len(engine.phases) == 4 * 3
    # The slots take turns: neither runs all its decoders in one go while the other waits.
    assert engine.phases[:2] in ([(0, 0), (1, 0)], [(0, 0), (0, 1)])
    assert {slot for slot, _ in engine.phases[:4]} == {0, 1}


def test_held_vectors_are_left_out() -> None:
    """Hits close up, a feature that hits throughout is passed over, places are as the plan says."""
    encoders = [random_encoder(k, seed=[k]) for k in (11, 6, 8)]
    blocks = [block % 9 for block in blocks_of([6, 3, 1, 5], 3)]
    blocks[2][0] = 7
    counts = [np.full(9, 1, np.int64) for _ in range(3)]
    counts[0][7:] = counts[1][7:] = counts[2][:7] = 0
    counts[0][7] = 1
    plan = choose_results(
        counts, [(8, 8)] * 3, tables=range(3), seeds=[SEED] * 3, sets=8, ways=4
    )  # fmt: skip
    engine = Engine(encoders, blocks, stall=0.3, held=plan.places)
    engine.run()
    work = [(j, f) for j in range(4) for f in range(3) if engine.missed(j, f)]
    assert len(engine.phases) == len(work) < 12
    expected = set()
    for block in blocks:
        for f in range(3):
            misses = 0
            for row, x in enumerate(block[:, f].tolist()):
                hit = (f, x) in plan.places
                expected.add((f, row, int(hit), plan.places[f, x] if hit else misses))
                misses += not hit
    assert set(engine.placed) == expected
    assert len(engine.placed) == sum(map(len, blocks)) * 3


def test_a_block_without_decoders_is_done_at_once() -> None:
    engine = Engine([], blocks_of([2, 2], 0), stall=0)
    engine.run()
    assert engine.phases == []


def test_bad_size() -> None:
    with pytest.raises(ValueError, match="decoders must be in 1..256, not 0"):
        DecoderTable(decoders=0)
