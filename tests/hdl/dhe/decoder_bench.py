"""Front, bank writer, sequencer and array together: from item records to decoded vectors.

What an engine will add is left out: bottom MLP, interaction, weight streamer. Weights are resident.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module, Mux, Signal
from numpy.typing import NDArray

from driver.decoders import decoder_word, encoder_of, hash_bytes, map_decoders
from driver.engine_words import layer_word, parameter_words
from driver.stage_shapes import stage_shape
from driver.tiles import layer_tiles, resident_words
from golden.quantised_model import QuantisedModel
from hdl.array.grid import Grid
from hdl.config import Config, preset
from hdl.dhe.dhe_front import DheFront
from hdl.dhe.layouts import DECODER_WORDS, HASH_CHUNK_BYTES, RESULT_TAG
from hdl.engine.bank_writer import BankWriter
from hdl.engine.sequencer import Sequencer
from hdl.interfaces import config_write_layout
from hdl.program import Destination, Target
from hdl.words import pack
from tests.hdl.dhe.test_id_store import chunks
from tests.hdl.embedding.memory_model import MemoryModel
from tests.hdl.support import simulate

__all__ = ["DecoderBench", "bench_config"]

FIRST_ID = 16
SEED = 3
Held = dict[tuple[int, int], int]


def bench_config() -> Config:
    """``tiny``."""
    return preset("tiny")


class DecoderArray(Elaboratable):
    """The units of one engine of 8 x 8 that decoding needs."""

    def __init__(self, config: Config, *, lanes: int, features: int) -> None:
        self.config = config
        self.front = DheFront(
            config=config,
            lanes=lanes,
            ids=max(1, features),
            decoders=max(1, features),
        )
        self.writer = BankWriter(config=config, row=0, column=0)
        self.sequencer = Sequencer(config=config, unit=0)
        self.grid: Any = Grid(config=config)
        self.config_write: Any = Signal(config_write_layout(config))
        self.pitch = Signal(9)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front, writer, sequencer, grid = self.front, self.writer, self.sequencer, self.grid
        m.submodules.front, m.submodules.writer = front, writer
        m.submodules.sequencer, m.submodules.grid = sequencer, grid
        for ours, theirs in ((front.o_codes, writer.i_chunk), (front.o_dense, writer.i_dense)):
            m.d.comb += [
                theirs.payload.eq(ours.payload),
                theirs.valid.eq(ours.valid),
                ours.ready.eq(theirs.ready),
            ]
        bank = grid.bank_write_0
        m.d.comb += [
            bank.payload.eq(writer.bank_write.payload),
            bank.valid.eq(writer.bank_write.valid),
            writer.bank_write.ready.eq(bank.ready),
            writer.level.eq(1),
            writer.chunk_pitch.eq(self.pitch),
            writer.dense_pitch.eq(self.pitch),
            # The dense inputs lie at the end of a slot, behind all codes.
            writer.dense_base.eq(self.config.activation_bytes // 2 - 2 * self.pitch),
            front.level.eq(1),
            front.code_row.eq(writer.chunk_row),
            grid.active.eq(-1),
            *(level.eq(1) for level in grid.levels),
            grid.config_write.eq(self.config_write),
            sequencer.config_write.eq(self.config_write),
            grid.control_0.eq(sequencer.control),
            sequencer.page_ready.eq(grid.page_ready_0),
            sequencer.tile_done.eq(grid.tile_done_0),
        ]
        self._phases(m)
        return m

    def _phases(self, m: Module) -> None:
        front, sequencer = self.front, self.sequencer
        slot = Signal()
        wants = front.want_phase
        decoder = front.decoder[slot]
        phase = sequencer.i.payload
        m.d.comb += [
            slot.eq(~wants[0]),
            sequencer.i.valid.eq(wants.any()),
            phase.layer.eq(decoder.layer),
            phase.layers.eq(decoder.layers),
            phase.tiles.eq(decoder.tiles),
            phase.weights.eq(decoder.weights),
            phase.slot.eq(slot),
            phase.rows.eq(Mux(slot, front.phase_rows[1], front.phase_rows[0])),
            phase.row_pitch.eq(self.pitch),
            front.phase_pushed.eq(Mux(sequencer.i.valid & sequencer.i.ready, 1 << slot, 0)),
            front.phase_done.eq(Mux(sequencer.done.valid, 1 << sequencer.done.slot, 0)),
        ]


class DecoderBench:
    """Loads a model's decoders, runs row blocks, reads the vectors back."""

    def __init__(
        self,
        model: QuantisedModel,
        blocks: list[NDArray[np.uint32]],
        *,
        lanes: int,
        held: Held | None = None,
    ) -> None:
        self.config = replace(bench_config(), held_bytes=0 if held is None else 512)
        self.edge = 2 * self.config.sub_array
        self.model, self.blocks, self.lanes = model, blocks, lanes
        self.held = held or {}
        self.rows = max(map(len, blocks))
        self.maps, tiles = map_decoders(
            self.config, stage_shape(model), edge=self.edge, rows=self.rows, parameter=0
        )
        self.parameters = np.zeros((tiles * self.edge, 8), np.uint8)
        self.dut = DecoderArray(self.config, lanes=lanes, features=len(self.maps))
        self.image = bytearray(HASH_CHUNK_BYTES)
        self.vectors: list[NDArray[np.int8]] = []
        """By block: [DHE vectors, rows of the decoder, width]."""
        self.placed: list[tuple[int, ...]] = []
        self.busy: list[int] = []
        """Cycles in which a row entered the array."""

    async def write(self, ctx: Any, target: Target, unit: int, address: int, data: bytes) -> None:
        """LOAD of 64-bit words."""
        layout = config_write_layout(self.config)
        for i in range(0, len(data), 8):
            word = int.from_bytes(data[i : i + 8], "little")
            fields: dict[int | str, Any] = {
                "valid": 1, "target": target, "unit": unit, "address": address + i // 8,
                "data": word,
            }  # fmt: skip
            ctx.set(self.dut.config_write, layout.const(fields))
            await ctx.tick()
        ctx.set(self.dut.config_write, layout.const({}))

    async def load(self, ctx: Any) -> None:
        """Weights, parameters, layers, tables, descriptors, tags."""
        size, e = self.config.sub_array, self.edge // self.config.sub_array
        banks = [b""] * (e * e)
        layers = b""
        words = b""
        tables: list[bytes] = []
        for place in self.maps:
            stack = self.model.stacks[place.feature]
            assert stack is not None
            tiles = np.concatenate([layer_tiles(x.weight, self.edge) for x in stack.decoder])
            weights = len(banks[0]) // self.config.axi_bytes
            fresh = resident_words(self.config, tiles)
            banks = [a + b for a, b in zip(banks, fresh, strict=True)]
            first = len(layers) // 16
            for layer, where in zip(stack.decoder, place.layers, strict=True):
                table = 0
                if layer.table is not None:
                    blob = layer.table.tobytes()
                    tables += [] if blob in tables else [blob]
                    table = tables.index(blob)
                last = layer is stack.decoder[-1]
                to = Destination.DENSE if last else Destination.BANK
                layers += layer_word(layer.function, where, to, table)
                start = where.parameter_base * self.edge
                self.parameters[start : start + len(layer.bias)] = parameter_words(layer)
            words += decoder_word(
                self.model,
                replace(place, streamed=False, weights=weights),
                lanes=self.lanes,
                layer=first,
                id_number=place.vector,
                hashes=len(self.image),
                table=place.feature,
                seed=SEED,
                log2_sets=3 if self.held else None,
            )
            self.image += hash_bytes(encoder_of(self.model, place))
        for unit, bank in enumerate(banks):
            await self.write(ctx, Target.WEIGHTS, unit, 0, bank)
        await self.write(ctx, Target.LAYERS, 0, 0, layers)
        strips = self.parameters.reshape(-1, e, size, 8)
        for j in range(e):
            unit = (e - 1) * self.config.grid + j
            blob = np.ascontiguousarray(strips[:, j]).tobytes()
            await self.write(ctx, Target.PARAMETERS, unit, 0, blob)
            for n, blob in enumerate(tables):
                await self.write(ctx, Target.ACTIVATION_TABLE, unit, 32 * n, blob)
        front = self.dut.front
        for i in range(DECODER_WORDS * len(self.maps)):
            word = int.from_bytes(words[8 * i : 8 * i + 8], "little")
            ctx.set(front.table_write, {"valid": 1, "address": i, "data": word})
            await ctx.tick()
        ctx.set(front.table_write.valid, 0)
        for (feature, id_), held_at in self.held.items():
            word = pack(RESULT_TAG, {"valid": 1, "table": feature, "id": id_})
            ctx.set(front.tag_write, {"valid": 1, "address": held_at, "data": word})
            await ctx.tick()
        ctx.set(front.tag_write.valid, 0)

    async def drive(self, ctx: Any) -> None:
        """All blocks, two at a time; a slot is read when its block is done."""
        front = self.dut.front
        ctx.set(self.dut.pitch, self.rows)
        await self.load(ctx)
        for slot in range(2):
            ctx.set(front.first_id[slot], FIRST_ID)
        features = [place.feature for place in self.maps]
        waiting: list[int | None] = [None, None]
        for number, ids in enumerate([*self.blocks, None, None]):
            slot = number & 1
            if waiting[slot] is not None:
                while not ctx.get(front.free) >> slot & 1:
                    await ctx.tick()
                self.vectors.append(await self.read(ctx, slot))
            waiting[slot] = number
            if ids is None:
                continue
            for row, of_item in enumerate(ids[:, features]):
                record = bytes(FIRST_ID) + of_item.astype("<u4").tobytes()
                for chunk in chunks(record, slot, row, 8):
                    ctx.set(front.i_dense.payload, chunk)
                    ctx.set(front.i_dense.valid, 1)
                    await ctx.tick().until(front.i_dense.ready)
            ctx.set(front.i_dense.valid, 0)
            await ctx.tick()
            begin = {"first": 0, "count": len(self.maps), "rows": len(ids)}
            ctx.set(front.start_slot[slot], begin)
            ctx.set(front.start, 1 << slot)
            await ctx.tick()
            ctx.set(front.start, 0)

    async def read(self, ctx: Any, slot: int) -> NDArray[np.int8]:
        """The DHE vectors of a slot out of the dense memory."""
        width, grid = self.model.shape.width, self.dut.grid
        pages = -(-width // self.edge)
        found = np.zeros((len(self.maps), self.rows, width), np.int8)
        for v in range(len(self.maps)):
            for page in range(pages):
                for row in range(self.rows):
                    address = ((1 + v) * pages + page) * self.rows + row
                    address += slot * self.config.decoded_bytes // 2
                    ctx.set(grid.dense_address_0, address)
                    await ctx.tick()
                    data = ctx.get(grid.dense_data_0)
                    take = min(self.edge, width - page * self.edge)
                    part = [data[c] for c in range(take)]
                    found[v, row, page * self.edge : page * self.edge + take] = part
        return found

    async def watch(self, ctx: Any) -> None:
        front, control = self.dut.front, self.dut.sequencer.control
        cycle = 0
        async for _, _, valid, placed in ctx.tick().sample(control.valid, front.placed):
            cycle += 1
            if valid:
                self.busy.append(cycle)
            if placed.valid:
                at = (placed.slot, placed.feature, placed.row, placed.hit, placed.place)
                self.placed.append(at)

    def run(self) -> None:
        memory = MemoryModel(config=self.config, contents=self.image, ordered=True, stall=0.0)
        served = memory.server(self.dut.front.read)
        simulate(self.dut, self.drive, background=[self.watch, served], cycles=60_000)
