"""Copies the vectors that the array made of each item of a job into the item's vector slot."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..dhe.held_vectors import held_port_signature
from ..program import STAGE
from .ring_pointer import RingPointer
from .step_layouts import PRODUCT_FIELDS, item_layout
from .vector_bank import COPY_BYTES, dense_write_layout

__all__ = ["DENSE_READ_LATENCY", "DenseCopier", "interaction_job_layout"]

DENSE_READ_LATENCY = 1
"""Cycles from ``dense_address`` to ``dense_data``."""


def interaction_job_layout(config: Config) -> data.StructLayout:
    """A row block whose dense vectors are complete."""
    return data.StructLayout(
        {"slot": unsigned(1), "rows": unsigned(config.row_bits + 1), "stage": STAGE}
    )


class DenseCopier(wiring.Component):
    """Takes jobs, copies dense vectors and hands over the items, one item ahead of the steps.

    Vector 0 goes to the front of the item's slot in bank 0. With ``decoded`` the last ``decoders``
    vectors of an item follow, each into bank number mod G; they lie behind the dense vector in the
    dense-vector memory, whole pages each. A program with ``products`` has no vector 0: its items
    are handed over at once.
    Where finished vectors are held, ``held`` tells for each of them whether it is one of those, or
    which row of the decoder's output.
    A dense vector is read in units of min(E, 16) values; a unit takes ``dense_read_latency`` + 1
    cycles and more while rows of lane 0 land (they go first). With a ring of one slot the copy
    waits for the item before, else it runs while that item is worked on.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor.
    dense_read_latency
        Cycles from ``dense_address`` to ``dense_data``, at least 1.
    decoded
        Programs may have decoders.

    Members
    -------
    level
        Partition level of the engine.
    i_job
        Stream of jobs.
    slots, slot_bytes, clear
        Ring of vector slots, as in the vector buffer.
    dense_address, dense_data
        To and from the dense-vector memory: lane l in bits 8 l .. 8 l + 7.
    dense_write
        Stream into the vector buffer.
    dense_bank
        With ``decoded``: bank that it goes to.
    held
        With ``decoded`` and ``config.held_bytes``: places of decoded vectors, and held ones.
    item
        Stream of items ready for their steps.
    steps_busy
        The steps of the item before still run.
    """

    level: Signal
    i_job: stream.Interface
    slots: Signal
    slot_bytes: Signal
    clear: Signal
    dense_address: Signal
    dense_data: Signal
    dense_write: stream.Interface
    item: stream.Interface
    steps_busy: Signal
    dense_bank: Signal
    held: Any

    def __init__(
        self,
        *,
        config: Config,
        row: int,
        column: int,
        dense_read_latency: int = DENSE_READ_LATENCY,
        decoded: bool = False,
    ) -> None:
        if dense_read_latency < 1:
            raise ValueError(f"dense_read_latency must be at least 1, not {dense_read_latency!r}")
        self._config = config
        self._decoded = decoded
        self._holds = decoded and config.held_bytes > 0
        self._largest_level = config.largest_level_at(row, column)
        self._slots = config.vector_slots_at(row, column)
        self._dense_read_latency = dense_read_latency
        super().__init__(
            {
                "level": In(2),
                "i_job": In(stream.Signature(interaction_job_layout(config))),
                "slots": In(5),
                "slot_bytes": In(14),
                "clear": In(1),
                "dense_address": Out(config.dense_address_bits),
                "dense_data": In(8 * config.largest_edge_at(row, column)),
                "dense_write": Out(stream.Signature(dense_write_layout())),
                "item": Out(stream.Signature(item_layout(config))),
                "steps_busy": In(1),
                **({"dense_bank": Out(range(config.gather_lanes))} if decoded else {}),
                **({"held": Out(held_port_signature(config))} if self._holds else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ring = ring = RingPointer(most=self._slots)
        job: Any = Signal(interaction_job_layout(self._config))
        row = Signal(self._config.row_bits)
        part = Signal(7)  # first value of the unit
        page = Signal(self._config.dense_address_bits - 1)  # address of the unit in its lanes
        waited = Signal(range(self._dense_read_latency + 1))
        last_row = Signal()  # a register: an item is offered in its second cycle or later
        writing = Signal()  # the state WRITE, a bit
        if self._decoded:
            self._vector = Signal(7)  # number of the vector that is copied
        if self._holds:
            self._find(m, job, row, part, page)
        m.d.comb += [
            ring.slots.eq(self.slots),
            ring.slot_bytes.eq(self.slot_bytes),
            ring.clear.eq(self.clear),
            self.dense_address.eq(Cat(page, job.slot)),
            self.dense_write.valid.eq(writing),
        ]
        m.d.sync += last_row.eq(row + 1 == job.rows)
        self._look_ahead(m, job.stage, part, ring.address)
        # Outside of ``OFFER``: a payload that waits for no state.
        self._offer(m, job, row, last_row, ring.address)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i_job.ready.eq(1)
                m.d.sync += [job.eq(self.i_job.payload), row.eq(0)]
                with m.If(self.i_job.valid):
                    m.next = "ITEM"
            with m.State("ITEM"):
                m.d.sync += [part.eq(0), page.eq(row), waited.eq(0)]
                if self._decoded:
                    m.d.sync += self._vector.eq(0)
                if self._holds:
                    m.d.sync += [self._is_held.eq(0), self._base.eq(0)]
                with m.If(job.stage.products != 0):
                    m.d.sync += self.item.valid.eq(1)
                    m.next = "OFFER"
                with m.Elif((self.slots != 1) | ~self.steps_busy):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == self._dense_read_latency):
                    m.d.sync += waited.eq(0)
                    m.d.sync += self.dense_write.payload.data.eq(self._unit(m, part, job.stage))
                    m.d.sync += writing.eq(1)
                    m.next = "WRITE"
            with m.State("WRITE"):
                self._write(m, job.stage, writing, part, page)
            with m.State("OFFER"):  # ``item.valid``, a register: a whole step waits for it
                with m.If(self.item.ready):
                    m.d.comb += ring.advance.eq(1)
                    m.d.sync += [row.eq(row + 1), self.item.valid.eq(0)]
                    m.next = "ITEM"
                    with m.If(last_row):
                        m.next = "IDLE"
        return m

    def _unit(self, m: Module, part: Signal, stage: Any) -> Value:
        """Sixteen bytes of dense data; fewer lanes than that are repeated, so are short vectors,
        which may go to any place."""
        unit = Signal(8 * COPY_BYTES)
        with m.Switch(self.level):
            for level in range(self._largest_level + 1):
                with m.Case(level):
                    edge = self._config.sub_array << level
                    if edge <= COPY_BYTES:
                        lanes = self.dense_data[: 8 * edge]
                        m.d.comb += unit.eq(lanes.replicate(COPY_BYTES // edge))
                    else:
                        group = part[exact_log2(COPY_BYTES) : exact_log2(edge)]
                        m.d.comb += unit.eq(self.dense_data.word_select(group, 8 * COPY_BYTES))
        if not self._decoded:
            return unit
        short = Mux(
            stage.log2_width == 2,
            unit[:32].replicate(4),
            Mux(stage.log2_width == 3, unit[:64].replicate(2), unit),
        )
        # A word of a held vector has its values where they go modulo 16.
        return Mux(self._is_held, self.held.data, short) if self._holds else short

    def _find(self, m: Module, job: Any, row: Signal, part: Signal, page: Signal) -> None:
        """Where the vector after this one is: asked for while this one is read."""
        held, number = self.held, self._vector
        self._is_held = Signal()  # the vector that is copied
        self._place = Signal(self._config.place_bits)
        self._base = Signal.like(page)  # of its page, row 0
        tables = Signal(7, name="tables_before")
        log2_words = Signal(2)
        m.d.comb += [
            tables.eq(job.stage.vectors - job.stage.decoders - 1),
            held.slot.eq(job.slot),
            held.row.eq(row),
            held.vector.eq(Mux(number == 0, 0, number - tables)),
            log2_words.eq(Mux(job.stage.log2_width < 4, 0, job.stage.log2_width - 4)),
            held.address.eq((self._place << log2_words) + part[exact_log2(COPY_BYTES) :]),
        ]

    def _look_ahead(self, m: Module, stage: Any, part: Signal, slot_address: Signal) -> None:
        """What a unit is: the job is there three cycles before it is written, ``part`` two."""
        edge = Signal(8)
        unit = Signal(5)
        width = Signal(8)
        most = COPY_BYTES // 4
        granules = Signal(range(most + 1))
        lowest = Signal(most)  # as many granules from place 0 on
        place = Signal(13)  # in the item's slot, which starts at a multiple of 16
        write = self.dense_write.payload
        self._following = Signal(8)
        self._vector_end, self._lanes_end = Signal(), Signal()
        lanes = self._config.sub_array << self.level
        offset: Value = Const(0)
        if self._decoded:
            number, bank_bits = self._vector, exact_log2(self._config.gather_lanes)
            offset = number[bank_bits:] << stage.log2_width
            m.d.comb += self.dense_bank.eq(number[:bank_bits])
        m.d.sync += [
            edge.eq(lanes),
            width.eq(1 << stage.log2_width),
            unit.eq(Mux(lanes < COPY_BYTES, lanes, COPY_BYTES)),
            lowest.eq((1 << granules) - 1),
            self._following.eq(part + unit),
            # Of the cycle after: a unit is read for two cycles or more.
            self._vector_end.eq(self._following >= width),
            self._lanes_end.eq((self._following & (edge - 1)) == 0),
            write.address.eq(slot_address + place),
            write.enable.eq(lowest << place[2:4]),
        ]
        m.d.comb += [
            granules.eq(Mux(width < unit, width, unit) >> 2),
            place.eq(offset + part),
        ]

    def _write(self, m: Module, stage: Any, writing: Signal, part: Signal, page: Signal) -> None:
        """One unit into the vector buffer, at most d values; then the next one or the item."""
        write = self.dense_write
        following, vector_end = self._following, self._vector_end
        page_end: Value = self._lanes_end
        if self._decoded:
            page_end |= vector_end  # the next vector has pages of its own
        with m.If(write.ready):
            m.d.sync += [part.eq(following), writing.eq(0)]
            with m.If(page_end):
                # Dense vectors of a row block fit the memory: the driver checks its size.
                m.d.sync += page.eq(page + stage.row_pitch)
                if self._holds:
                    m.d.sync += self._base.eq(self._base + stage.row_pitch)
            m.next = "READ"
            with m.If(vector_end):
                m.d.sync += self.item.valid.eq(1)
                m.next = "OFFER"
                if self._decoded:
                    self._next_vector(m, stage, part, page)

    def _next_vector(self, m: Module, stage: Any, part: Signal, page: Signal) -> None:
        """From vector 0 to the first decoded one, then on by one."""
        number = self._vector
        tables = Signal(7)  # vectors of tables
        m.d.comb += tables.eq(stage.vectors - stage.decoders - 1)
        with m.If((stage.decoders != 0) & (number + 1 != stage.vectors)):
            m.d.sync += [number.eq(Mux(number == 0, tables + 1, number + 1)), part.eq(0)]
            if self._holds:
                m.d.sync += [
                    self._is_held.eq(self.held.hit),
                    self._place.eq(self.held.place),
                    page.eq(self._base + stage.row_pitch + self.held.place),
                ]
            m.d.sync += self.item.valid.eq(0)
            m.next = "READ"

    def _offer(self, m: Module, job: Any, row: Signal, last_row: Any, slot_address: Signal) -> None:
        item = self.item.payload
        stage = job.stage
        m.d.comb += [
            item.slot.eq(job.slot),
            item.row.eq(row),
            item.last_row.eq(last_row),
            item.address.eq(slot_address),
            item.mode.eq(stage.mode),
            item.log2_width.eq(stage.log2_width),
            item.log2_outputs.eq(stage.log2_outputs),
            item.vectors.eq(stage.vectors),
            item.shift_base.eq(stage.shift_base),
            *(item[name].eq(stage[name]) for name in PRODUCT_FIELDS),
        ]
