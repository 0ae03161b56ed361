"""Interaction of an engine's vectors: concatenation, pairwise dot products, NeuMF's products."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.utils import exact_log2

from ..config import Config
from ..dhe.held_vectors import held_port_signature
from ..interfaces import chunk_layout, config_write_layout, row_write_layout
from ..program import ALL_UNITS, DOT_SHIFT_WORDS, Target, dot_shift_words
from ..queue import Queue
from ..share import share
from ..skid import ReadyRegister
from .dense_copier import DENSE_READ_LATENCY, DenseCopier, interaction_job_layout
from .dot_unit import DotUnit, dot_latency
from .interaction_steps import most_rows, product_lanes
from .operand_fetch import OperandFetch
from .pipeline import carry
from .round_clamp import RoundClamp
from .row_join import RowJoin, row_join_latency
from .step_generator import StepGenerator
from .vector_buffer import VectorBuffer, bank_word_bytes, group_banks

__all__ = ["SPARE_CREDITS", "Interaction", "interaction_job_layout", "interaction_latency"]


SPARE_CREDITS = 7
"""Chunks on their way beside those in the pipeline: more than a credit takes to come back."""


def interaction_latency(multipliers: int, outputs: int) -> int:
    """Cycles from a step to its chunk at the output queue."""
    latency = OperandFetch.LATENCY + dot_latency(multipliers) + RoundClamp.LATENCY
    return latency + row_join_latency(outputs)


class Interaction(wiring.Component):
    """Turns an item's vectors into the top MLP's inputs, item after item, row 0 first.

    ``CAT``: all bytes of the vector slot in order. ``DOT``: the dense vector, then
    ``clamp8((dot + (shift ? 1 << (shift - 1) : 0)) >> shift)`` for each pair in the order of
    ``interaction_steps``, in a wide unit several vectors i a step; ``dot_shift_words`` words of
    DOT_SHIFTS a step. With ``products`` there is no dense vector: products of pairs of vectors,
    rounded and clamped alike, in the order of ``product_steps``, then copies of the other vectors.
    A product step takes one shift, the same in all lanes of its word.

    Flow control: a step a cycle (a dot step with d > M takes d / M); items follow each other
    without a gap when their vectors are there. The pipeline behind the step generator never stalls:
    a step starts only when the output queue has room for its chunk. Its registers move only with a
    step.
    Latency from an item's last row word to its first chunk: ``latency`` + 5.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor: gives the number of multipliers M.
    unit
        Number by which the broadcasts name this engine; its anchor's by default.
    dense_read_latency
        Cycles from ``dense_address`` to ``dense_data``.
    decoded
        Programs may have decoders: their vectors come out of the dense-vector memory, too.

    Members
    -------
    level
        Partition level of the engine; changed only while idle.
    config_write
        Broadcast of LOAD; takes DOT_SHIFTS of this unit, 2 cycles until readable.
    row_write, row_unit, slot_bytes, slots, features, clear, can_allocate, allocate, \
    allocate_index, allocate_address
        See ``VectorBuffer``; ``row_unit`` is its ``unit``, ``clear`` only while no job is in here.
    i_job
        Stream of row blocks whose bottom phase is done.
    dense_address, dense_data
        To and from the dense-vector memory: lane l in bits 8 l .. 8 l + 7.
    o
        Stream of chunks.
    o_done
        Pulse the cycle after the last chunk of a job was accepted.
    held
        With ``decoded`` and ``config.held_bytes``: see `DenseCopier`.
    waiting
        An item's dense vector is there, its sparse vectors are not all (for stall counters).
    """

    level: Signal
    config_write: Any
    row_write: Any
    row_unit: Signal
    slot_bytes: Signal
    slots: Signal
    features: Signal
    clear: Signal
    can_allocate: Signal
    allocate: Signal
    allocate_index: Signal
    allocate_address: Signal
    i_job: stream.Interface
    dense_address: Signal
    dense_data: Signal
    o: stream.Interface
    o_done: Signal
    waiting: Signal
    held: Any

    def __init__(
        self,
        *,
        config: Config,
        row: int,
        column: int,
        unit: int | None = None,
        dense_read_latency: int = DENSE_READ_LATENCY,
        decoded: bool = False,
    ) -> None:
        self._config = config
        self._decoded = decoded
        self._holds = decoded and config.held_bytes > 0
        self._unit = row * config.grid + column if unit is None else unit
        self._multipliers = config.interaction_multipliers_at(row, column)
        self._outputs = config.interaction_outputs_at(row, column)
        self._rows = most_rows(self._outputs)
        self._buffer = VectorBuffer(config=config, row=row, column=column, decoded=decoded)
        self._copier = DenseCopier(
            config=config,
            row=row,
            column=column,
            dense_read_latency=dense_read_latency,
            decoded=decoded,
        )
        self._generator = StepGenerator(
            config=config, multipliers=self._multipliers, outputs=self._outputs
        )
        word = bank_word_bytes(config, row, column)
        self._fetch = OperandFetch(
            banks=config.gather_lanes,
            group=group_banks(config, row, column),
            word=word,
            depth=config.bank_bytes_at(row, column) // word,
            multipliers=self._multipliers,
            outputs=self._outputs,
        )
        self._dot = DotUnit(multipliers=self._multipliers, outputs=self._outputs)
        super().__init__(
            {
                "level": In(2),
                "config_write": In(config_write_layout(config)),
                "row_write": In(row_write_layout(config)).array(config.gather_lanes),
                "row_unit": In(8, init=self._unit),  # type: ignore[call-arg]  # not in the stubs
                "slot_bytes": In(14),
                "slots": In(5),
                "features": In(7),
                "clear": In(1),
                "can_allocate": Out(1),
                "allocate": In(1),
                "allocate_index": Out(4),
                "allocate_address": Out(13),
                "i_job": In(stream.Signature(interaction_job_layout(config))),
                "dense_address": Out(config.dense_address_bits),
                "dense_data": In(8 * config.largest_edge_at(row, column)),
                "o": Out(stream.Signature(chunk_layout(config, self._outputs))),
                "o_done": Out(1),
                "waiting": Out(1),
                **({"held": Out(held_port_signature(config))} if self._holds else {}),
            }
        )

    @property
    def latency(self) -> int:
        """Cycles from a step to its chunk at the output queue."""
        return interaction_latency(self._multipliers, self._outputs)

    @property
    def read_enables(self) -> tuple[Signal, Signal]:
        """Banks that are read in a cycle, by port; for tests."""
        first, second = self._fetch.read_enable
        return first, second

    def elaborate(self, platform: object) -> Module:
        m = Module()
        buffer, copier, generator = self._buffer, self._copier, self._generator
        size = self._multipliers
        m.submodules.copier = copier
        # Engines with as many multipliers have these in common.
        kind = "_decoded" if self._decoded else ""
        m.submodules.buffer = share(platform, buffer, f"vector_buffer_{size}{kind}")
        if self._decoded:
            m.d.comb += buffer.dense_bank.eq(copier.dense_bank)
        if self._holds:
            connect(m, copier.held, flipped(self.held))
        kind = f"step_generator_{size}_{self._outputs}"
        m.submodules.generator = share(platform, generator, kind)
        m.submodules.fetch = share(platform, self._fetch, f"operand_fetch_{size}")
        m.submodules.dot = share(platform, self._dot, f"dot_unit_{size}")
        # Products are as many as dot products of a vector i, or more.
        lanes = max(self._dots, product_lanes(size, self._outputs))
        round_clamp = RoundClamp(outputs=self._outputs, dots=lanes)
        kind = f"round_clamp_{self._outputs}_{lanes}"
        m.submodules.round_clamp = share(platform, round_clamp, kind)
        for theirs, ours in zip(buffer.row_write, self.row_write, strict=True):
            m.d.comb += theirs.eq(ours)
        for name in ("slot_bytes", "slots", "features", "clear", "allocate"):
            m.d.comb += getattr(buffer, name).eq(getattr(self, name))
        for name in ("can_allocate", "allocate_index", "allocate_address"):
            m.d.comb += getattr(self, name).eq(getattr(buffer, name))
        m.d.comb += buffer.unit.eq(self.row_unit)
        connect(m, flipped(self.i_job), copier.i_job)
        connect(m, copier.dense_write, buffer.dense_write)
        connect(m, copier.item, generator.item)
        m.d.comb += [
            copier.level.eq(self.level),
            copier.slots.eq(self.slots),
            copier.slot_bytes.eq(self.slot_bytes),
            copier.clear.eq(self.clear),
            copier.dense_data.eq(self.dense_data),
            copier.steps_busy.eq(generator.busy),
            self.dense_address.eq(copier.dense_address),
            generator.ready.eq(buffer.ready),
            generator.next_ready.eq(buffer.next_ready),
            buffer.release.eq(generator.release),
            self.waiting.eq(copier.item.valid & ~generator.busy & ~buffer.ready),
        ]
        self._output(m, platform, self._datapath(m, generator.step, round_clamp))
        return m

    def _datapath(self, m: Module, step: Any, round_clamp: RoundClamp) -> Any:
        """Operands, dot products, scaling: int8 outputs ``latency`` cycles after the step."""
        fetch, dot = self._fetch, self._dot
        buffer = self._buffer
        for port in range(2):
            for name in ("read_address", "read_enable", "read_bank"):
                m.d.comb += getattr(buffer, name)[port].eq(getattr(fetch, name)[port])
        for new, old in ((fetch.words_a, buffer.words_a), (fetch.words_b, buffer.words_b)):
            m.d.comb += [word.eq(read) for word, read in zip(new, old, strict=True)]
        names = ("log2_rows",) if self._rows > 1 else ()
        for name in (
            "valid", "load_a", "address_a", "bank_a", "address_b", "bank_b", "log2_group",
            "log2_width", *names,
        ):  # fmt: skip
            m.d.comb += getattr(fetch, name).eq(getattr(step, name))
        # Together with the operands.
        control: Value = Cat(
            step.copy, step.shift_address, step.first, step.product, step.log2_width
        )
        valid, control = carry(m, step.valid, control, fetch.LATENCY, name="fetch_control")
        shift_end = 1 + len(step.shift_address)
        m.d.comb += [
            dot.valid.eq(valid),
            dot.copy.eq(control[0]),
            dot.first.eq(control[shift_end]),
            dot.product.eq(control[shift_end + 1]),
            dot.log2_width.eq(control[shift_end + 2 :]),
            *(new.eq(part) for new, part in zip(dot.a, fetch.a, strict=True)),
            *(new.eq(part) for new, part in zip(dot.b, fetch.b, strict=True)),
        ]
        # Together with the sums; the shifts are read two cycles earlier.
        reads, control = carry(m, valid, control[:shift_end], dot.latency - 2, name="dot_control")
        shifts = self._shifts(m, reads & ~control[0], control[1:])
        valid, copy = carry(m, reads, control[0], 2, name="dot_copy")
        m.d.comb += [
            round_clamp.valid.eq(valid),
            round_clamp.i.eq(dot.o),
            round_clamp.shift.as_value().eq(Mux(copy, 0, shifts)),
        ]
        if self._rows == 1:
            return round_clamp.o
        return self._join(m, step, round_clamp.o)

    def _join(self, m: Module, step: Any, values: Any) -> Any:
        """Outputs of several vectors i next to each other."""
        m.submodules.join = join = RowJoin(outputs=self._outputs)
        before = self.latency - row_join_latency(self._outputs)
        fields: Value = Cat(step.log2_rows.any(), step.i)
        moves, fields = carry(m, step.valid, fields, before, name="join_control")
        m.d.comb += [
            join.valid.eq(moves),
            join.joined.eq(fields[0]),
            join.first.eq(fields[1:]),
            join.i.eq(values),
        ]
        return join.o

    @property
    def _dots(self) -> int:
        """Dot products of a step, at most: of vectors of the least length, 4."""
        return min(self._outputs, max(1, self._multipliers // 4))

    def _shifts(self, m: Module, reads: Value, address: Value) -> Value:
        """Memory of DOT_SHIFTS; a step's shifts are there 2 cycles after its address.

        Only those of dot products that this unit can have in a step are kept; lanes beyond take the
        first one's: products alone use them.
        """
        width = 4 * self._dots
        words = dot_shift_words(self._outputs)
        depth = DOT_SHIFT_WORDS // words
        storage: Any = memory.Memory(shape=unsigned(width), depth=depth, init=[])
        m.submodules.shifts = storage
        write = storage.write_port(granularity=64 if words > 1 else None)
        read = storage.read_port(domain="sync")
        command = self.config_write
        word = Signal(width, name="shift_word")
        mine = (command.unit == self._unit) | (command.unit == ALL_UNITS)
        writes = command.valid & (command.target == Target.DOT_SHIFTS.value) & mine
        part = exact_log2(words)
        m.d.sync += [
            write.en.eq(
                Cat(writes & (command.address[:part] == n) for n in range(words))
                if words > 1
                else writes
            ),
            write.addr.eq(command.address >> part),
            write.data.eq(command.data[:64].replicate(words)),
        ]
        was_read, _ = carry(m, reads, Const(0, 0), 1, name="shift")
        with m.If(was_read):
            m.d.sync += word.eq(read.data)
        m.d.comb += [read.addr.eq(address), read.en.eq(reads)]
        return Cat(word, word[:4].replicate(self._outputs - self._dots))

    def _output(self, m: Module, platform: object, values: Any) -> None:
        """Queue of chunks. Credits: a step starts only when its chunk has a place here."""
        step = self._generator.step
        chunk = chunk_layout(self._config, self._outputs)
        layout = data.StructLayout({"chunk": chunk, "last_row": unsigned(1)})
        # A credit is back 6 cycles after its chunk leaves the pipeline (generator's register,
        # queue 2, accepted, heard of, counted); with more credits than the whole way takes nothing
        # waits.
        credits_max = self.latency + SPARE_CREDITS
        chunks = Queue(shape=layout, depth=credits_max + 1)
        m.submodules.chunks = share(platform, chunks, f"chunk_queue_{self._outputs}_{chunks.depth}")
        # The queue hears late of a chunk that is accepted: its memory is far from who accepts.
        m.submodules.ready = ready = ReadyRegister(shape=layout)
        connect(m, chunks.o, ready.i)
        credit = Signal(range(credits_max + 1), init=credits_max)  # paid with the step
        some, several = Signal(init=1), Signal(init=1)  # so many credits; there are at least two
        taken = self.o.valid & self.o.ready
        returned = Signal()  # ``taken``, a cycle late: what accepts is far from the steps
        spent = self._generator.emits_chunk
        payload: Any = chunks.i.payload
        names = ("slot", "row", "k", "count", "last")
        fields: Value = Cat(step.last_row, *(getattr(step, name) for name in names))
        valid, fields = carry(m, step.chunk, fields, self.latency, name="chunk_fields")
        start = 1
        for name in names:
            value, length = getattr(payload.chunk, name), len(getattr(step, name))
            m.d.comb += value.eq(fields[start : start + length])
            start += length
        m.d.comb += [
            payload.last_row.eq(fields[0]),
            chunks.i.valid.eq(valid),
            payload.chunk.data.eq(values),
            self.o.valid.eq(ready.o.valid),
            self.o.payload.eq(ready.o.payload.chunk),
            ready.o.ready.eq(self.o.ready),
            self._generator.enable.eq(some),
        ]
        m.d.sync += [
            returned.eq(taken),
            credit.eq(credit - spent + returned),
            some.eq(returned | several | (some & ~spent)),
            self.o_done.eq(taken & self.o.payload.last & ready.o.payload.last_row),
        ]
        with m.If(spent & ~returned):
            m.d.sync += several.eq(credit > 2)
        with m.Elif(returned & ~spent):
            m.d.sync += several.eq(some)
