"""Front of an engine for DHE vectors: from ids in records to codes in the banks and phases."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..engine.bank_writer import row_done_layout
from ..interfaces import QUERY_BITS, chunk_layout, read_port_signature
from .code_generator import CodeGenerator
from .decoder_slot import DecoderSlot
from .decoder_table import NUMBER_BITS, DecoderTable, table_write_layout
from .hash_fetch import HashFetch
from .held_vectors import HeldVectors, held_port_signature
from .id_store import IdStore
from .layouts import DECODER
from .list_turns import ListTurns
from .miss_list import MissList, placed_layout

__all__ = ["DheFront", "dhe_start_layout"]


def dhe_start_layout(config: Config) -> data.StructLayout:
    """A row block whose decoders may run: its ids are stored."""
    return data.StructLayout(
        {
            "first": unsigned(NUMBER_BITS),  # decoder
            "count": unsigned(NUMBER_BITS),  # decoders
            "rows": unsigned(config.row_bits + 1),
            "query": unsigned(QUERY_BITS),  # for errors
        }
    )


class DheFront(wiring.Component):
    """Ids, hash constants, codes and the order of decoders for both slots of an engine.

    Sits between the record loaders and the bank writer: dense values pass, ids stay. A slot that is
    started gets the codes of its features one after the other, each followed by a wish for the
    decoder's phase. The slots take turns at the generator, decoder by decoder, so one slot's codes
    are made while the array decodes the other's: with two row blocks the array waits for codes only
    where k * rows / lanes is longer than a decoder's phase.

    Where finished vectors are held, the ids of a feature are looked up first, and only those that
    miss get codes, row after row without gaps; a decoder without misses is passed over. ``placed``
    tells where each row's vector will be, ``held`` reads that back, and held vectors.

    Parameters
    ----------
    config
        Device configuration; without ``held_bytes`` row r of a decoder is row r of the block.
    lanes
        Hash lanes of this engine, as in `CodeGenerator`.
    ids
        Most ids of an item.
    decoders
        Descriptors held.

    Members
    -------
    level
        Partition level of the engine.
    table_write, tag_write, vector_write
        LOAD of decoder descriptors, of tags of finished vectors and of the vectors.
    first_id
        Byte of each slot's first id in a record, see `IdStore`.
    i_dense, o_dense
        Dense chunks from the loaders, and those of values to the bank writer.
    ids_row
        Pulse: all ids of a row of a slot are stored.
    start, start_slot
        A pulse in the bit of the slot, and its row block. Only while the slot is ``free``.
    free, done
        By slot: no decoder to run; pulse: the vectors of all are written.
    o_codes, code_row
        Chunks of codes to the bank writer, and its pulses for chunks with ``last``.
    want_phase, decoder, phase_rows, phase_pushed, phase_done
        By slot: wish for the phase of ``decoder`` over so many rows, handed over, ended.
    placed
        Pulse for each row and feature, before its codes.
    held
        With ``config.held_bytes``: see `held_port_signature`.
    read, bus_error
        Device memory, for hash constants; query of a beat that came with an error, a bit each.
    making
        By slot: ids are looked up or codes made, the array cannot go on with its decoders.
    starved
        Codes wait for constants: the stall cause "hash" where the array waits, too.
    """

    level: Signal
    table_write: data.View
    tag_write: data.View
    vector_write: data.View
    first_id: Any
    i_dense: stream.Interface
    o_dense: stream.Interface
    ids_row: data.View
    start: Signal
    start_slot: Any
    free: Signal
    done: Signal
    o_codes: stream.Interface
    code_row: data.View
    want_phase: Signal
    decoder: data.View
    phase_rows: Any
    phase_pushed: Signal
    phase_done: Signal
    placed: data.View
    held: Any
    read: Any
    bus_error: Signal
    making: Signal
    starved: Signal

    def __init__(
        self,
        *,
        config: Config,
        lanes: int,
        ids: int,
        decoders: int,
    ) -> None:
        self._config = config
        self._store = IdStore(config=config, ids=ids)
        self._table = DecoderTable(decoders=decoders)
        self._fetch = HashFetch(config=config, lanes=lanes)
        self._generator = CodeGenerator(config=config, lanes=lanes)
        self._list: MissList | None = None
        held = {}
        if config.held_bytes:
            self._list = MissList(config=config, sets=config.held_sets, ways=config.held_ways)
            held = {"held": In(held_port_signature(config))}
        super().__init__(
            {
                "level": In(config.level_bits),
                "table_write": In(table_write_layout()),
                "tag_write": In(table_write_layout()),
                "vector_write": In(table_write_layout()),
                "first_id": In(13).array(2),
                "i_dense": In(stream.Signature(chunk_layout(config))),
                "o_dense": Out(stream.Signature(chunk_layout(config))),
                "ids_row": Out(row_done_layout()),
                "start": In(2),
                "start_slot": In(dhe_start_layout(config)).array(2),
                "free": Out(2),
                "done": Out(2),
                "o_codes": Out(stream.Signature(chunk_layout(config))),
                "code_row": In(row_done_layout()),
                "want_phase": Out(2),
                "decoder": Out(data.ArrayLayout(DECODER, 2)),
                "phase_rows": Out(config.row_bits + 1).array(2),
                "phase_pushed": In(2),
                "phase_done": In(2),
                "placed": Out(placed_layout(config)),
                **held,
                "read": Out(read_port_signature(config)),
                "bus_error": Out(1 << QUERY_BITS),
                "making": Out(2),
                "starved": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        store, generator, fetch = self._store, self._generator, self._fetch
        m.submodules.store, m.submodules.table = store, self._table
        m.submodules.fetch, m.submodules.generator = fetch, generator
        slots = [DecoderSlot(config=self._config) for _ in range(2)]
        for number, slot in enumerate(slots):
            m.submodules[f"slot_{number}"] = slot
        wiring.connect(m, wiring.flipped(self.i_dense), store.i)
        wiring.connect(m, store.o, wiring.flipped(self.o_dense))
        wiring.connect(m, generator.o, wiring.flipped(self.o_codes))
        wiring.connect(m, fetch.o, generator.i_hashes)
        wiring.connect(m, fetch.read, wiring.flipped(self.read))
        m.d.comb += [
            generator.level.eq(self.level),
            *(theirs.eq(ours) for theirs, ours in zip(store.first, self.first_id, strict=True)),
            self.ids_row.eq(store.row_done),
            self.bus_error.eq(fetch.bus_error),
            self.starved.eq(generator.starved),
        ]
        held_rows = [Signal(self._config.row_bits + 1, name=f"rows_{n}") for n in range(2)]
        queries = [Signal(QUERY_BITS, name=f"query_{n}") for n in range(2)]
        for number in range(2):
            with m.If(self.start[number]):
                m.d.sync += [
                    held_rows[number].eq(self.start_slot[number].rows),
                    queries[number].eq(self.start_slot[number].query),
                ]
        self._run_slots(m, slots)
        if self._list is None:
            self._take_all_rows(m, slots, held_rows)
        else:
            self._list_misses(m, slots, held_rows, self._list)
        self._begin_codes(m, slots, queries)
        return m

    def _take_all_rows(self, m: Module, slots: list[DecoderSlot], held_rows: list[Signal]) -> None:
        """No tags: every row is decoded, ids come straight from the store."""
        store, generator = self._store, self._generator
        m.d.comb += [
            store.slot.eq(generator.id_slot),
            store.feature.eq(generator.id_feature),
            store.row.eq(generator.id_row),
            generator.id.eq(store.id),
        ]
        for slot, rows in zip(slots, held_rows, strict=True):
            m.d.comb += [slot.list_done.eq(slot.want_list), slot.misses.eq(rows)]

    def _list_misses(
        self, m: Module, slots: list[DecoderSlot], held_rows: list[Signal], misses: MissList
    ) -> None:
        """Ids of a feature through the tags; the generator reads those that are left."""
        store, generator = self._store, self._generator
        m.submodules.misses = misses
        m.submodules.held_vectors = held = HeldVectors(config=self._config)
        wiring.connect(m, wiring.flipped(self.held), held.port)
        m.submodules.turns = turns = ListTurns(config=self._config)
        wiring.connect(m, turns.o, misses.i)
        m.d.comb += [
            misses.write.eq(self.tag_write),
            self.placed.eq(misses.placed),
            held.placed.eq(misses.placed),
            held.write.eq(self.vector_write),
            store.slot.eq(misses.id_slot),
            store.feature.eq(misses.id_feature),
            store.row.eq(misses.id_row),
            misses.id.eq(store.id),
            misses.slot.eq(generator.id_slot),
            misses.row.eq(generator.id_row),
            generator.id.eq(misses.listed),
            turns.want.eq(Cat(slot.want_list for slot in slots)),
            *(theirs.eq(rows) for theirs, rows in zip(turns.rows, held_rows, strict=True)),
            turns.decoder.eq(self._table.decoder),
            turns.ended.eq(misses.done),
            turns.ended_slot.eq(misses.done_slot),
        ]
        for number, slot in enumerate(slots):
            m.d.comb += [slot.list_done.eq(turns.done[number]), slot.misses.eq(misses.misses)]

    def _run_slots(self, m: Module, slots: list[DecoderSlot]) -> None:
        """Starts, descriptors, pulses and phases of each slot."""
        table = self._table
        m.d.comb += [
            table.write.eq(self.table_write),
            table.want.eq(Cat(slot.want_descriptor for slot in slots)),
            self.decoder.eq(table.decoder),
            self.free.eq(Cat(slot.free for slot in slots)),
            self.done.eq(Cat(slot.done for slot in slots)),
            self.want_phase.eq(Cat(slot.want_phase for slot in slots)),
            self.making.eq(Cat(slot.making for slot in slots)),
        ]
        for number, slot in enumerate(slots):
            begin = self.start_slot[number]
            m.d.comb += [
                table.number[number].eq(slot.number),
                slot.start.eq(self.start[number]),
                slot.first.eq(begin.first),
                slot.count.eq(begin.count),
                self.phase_rows[number].eq(slot.decode_rows),
                slot.pages.eq(table.decoder[number].pages),
                slot.descriptor_done.eq(table.done[number]),
                slot.page_row.eq(self.code_row.valid & (self.code_row.slot == number)),
                slot.phase_pushed.eq(self.phase_pushed[number]),
                slot.phase_done.eq(self.phase_done[number]),
            ]

    def _begin_codes(self, m: Module, slots: list[DecoderSlot], queries: list[Signal]) -> None:
        """Constants are asked for, then the generator gets the job; slots take turns."""
        generator, fetch = self._generator, self._fetch
        wants = Cat(slot.want_codes for slot in slots)
        turn = Signal()  # the slot that is served
        rows = Signal(self._config.row_bits + 1)
        decoder = self._table.decoder[turn]
        job = generator.i_job.payload
        m.d.comb += [
            rows.eq(Mux(turn, slots[1].decode_rows, slots[0].decode_rows)),
            fetch.i.payload.address.eq(decoder.hashes),
            fetch.i.payload.groups.eq(decoder.groups),
            fetch.i.payload.query.eq(Mux(turn, queries[1], queries[0])),
            job.slot.eq(turn),
            job.feature.eq(decoder.feature),
            job.rows.eq(rows),
            job.groups.eq(decoder.groups),
            job.buckets.eq(decoder.buckets),
        ]
        with m.FSM(name="codes"):
            with m.State("PICK"):
                m.d.sync += turn.eq(Mux(wants.bit_select(~turn, 1), ~turn, turn))
                with m.If(wants.any()):
                    m.next = "HASHES"
            with m.State("HASHES"):
                m.d.comb += fetch.i.valid.eq(1)
                with m.If(fetch.i.ready):
                    m.next = "CODES"
            with m.State("CODES"):
                m.d.comb += generator.i_job.valid.eq(1)
                with m.If(generator.i_job.ready):
                    m.next = "PICK"
        for number, slot in enumerate(slots):
            taken = generator.i_job.valid & generator.i_job.ready & (turn == number)
            m.d.comb += slot.codes_begun.eq(taken)
