"""Engine: runs row blocks through bottom MLP, interaction and top MLP on its part of the grid."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..array.timing import DENSE_LATENCY
from ..config import Config
from ..dhe.dhe_front import DheFront
from ..dhe.id_store import IdStore
from ..dhe.miss_list import placed_layout
from ..interfaces import (
    QUERY_BITS,
    bank_write_signature,
    chunk_event_layout,
    chunk_layout,
    config_write_layout,
    control_word_layout,
    job_layout,
    phase_layout,
    position_score_layout,
    read_port_signature,
    row_write_layout,
    score_layout,
    stream_state_layout,
)
from ..program import ALL_UNITS, Target
from ..queue import Queue
from ..share import share
from .allocation import AllocationGate
from .bank_writer import BankWriter
from .cause import Cause
from .interaction import Interaction
from .job_slot import JobSlot
from .phase_issuer import PhaseIssuer
from .sequencer import Sequencer
from .stage_table import StageTable

__all__ = ["Engine"]

PHASES_WAITING = 4
"""A slot has at most a top phase and the next job's bottom phase queued or running."""


class Engine(wiring.Component):
    """Control of the engine anchored at one sub-array; its PEs and banks are in the grid.

    Two job slots: while the array works on one job, inputs and vectors of the other land. A slot
    takes its next job when the top phase of the one before is queued: the bottom MLP of the next
    but one runs before the top MLP of the next, and the interaction has a whole top MLP to hide
    behind. Jobs enter the slots alternately, starting with slot 0; scores leave in order. Every job
    that was accepted must get all its dense rows and all its vectors, in the order of the jobs. A
    job's ``unit`` and ``slot`` are not looked at; ``rows`` is 1 .. config.rows.

    Where anchors have hash lanes, a `DheFront` stands between ``i_dense`` and the bank writer: a
    program with decoders has ids behind its dense values, and the slot's decoders run between
    bottom MLP and interaction.

    Flow control: ``i_job`` is refused while both slots are in use, ``i_dense`` until the descriptor
    of its slot's job is read (about 10 cycles, twice that after two jobs at once). ``row_write``,
    ``score`` and ``tile_done`` are never refused: scores of both slots fit into the score queue.

    Parameters
    ----------
    config
        Sizes of the device.
    unit
        Number by which the broadcast ``config_write`` names this engine.
    row, column
        Sub-array of the anchor: gives the largest engine.

    Members
    -------
    level
        Level of this engine; changes only while ``idle``.
    config_write
        Broadcast of LOAD: LAYERS, STAGES, DOT_SHIFTS of this unit.
    i_job
        Row blocks.
    free, idle
        ``i_job`` has a free slot; no job is held.
    i_dense
        Dense values of the accepted jobs, k from 0, ``last`` on the last chunk of a row.
    row_write, row_unit
        Embedding rows, one broadcast a gather lane; words of units other than ``row_unit`` (at
        first ``unit``) are left alone.
    can_allocate, allocate, allocate_index, allocate_address
        Vector slots, one for each item in order; see ``VectorBuffer``. ``can_allocate`` is given
        only for the oldest job that misses items.
    control, page_ready, tile_done, score, bank_write, dense_address, dense_data
        To and from the grid.
    o_stream, landed, consumed
        To and from the weight streamer.
    read, bus_error
        With hash lanes: device memory, for their constants; queries of beats with an error.
    placed
        With hash lanes: pulse, an id was looked up among the vectors that are held.
    o_score
        Scores, as ``position_score_layout`` says.
    cause
        What this cycle is charged to (`Cause`).
    fault
        The program is none that the engine can run: see ``Sequencer``, or it has more vectors than
        the job has ids.
    trace_chunk
        Event: a chunk of the interaction's output goes to the banks; for traces.
    """

    level: Signal
    config_write: data.View
    i_job: stream.Interface
    free: Signal
    idle: Signal
    i_dense: stream.Interface
    row_write: data.View
    row_unit: Signal
    can_allocate: Signal
    allocate: Signal
    allocate_index: Signal
    allocate_address: Signal
    control: data.View
    page_ready: Signal
    tile_done: Signal
    score: data.View
    bank_write: stream.Interface
    dense_address: Signal
    dense_data: Signal
    o_stream: stream.Interface
    landed: Signal
    consumed: Signal
    o_score: stream.Interface
    cause: data.View
    fault: Signal
    trace_chunk: data.View
    read: Any
    bus_error: Signal
    placed: data.View

    def __init__(self, *, config: Config, unit: int, row: int, column: int) -> None:
        if not 0 <= unit < config.sub_arrays:
            raise ValueError(f"unit must be in 0..{config.sub_arrays - 1}, not {unit!r}")
        self._config = config
        self._unit = unit
        lanes = config.largest_edge_at(row, column)
        place: dict[str, Any] = {"config": config, "row": row, "column": column}
        hash_lanes = config.hash_lanes_at(row, column)
        self._decodes = hash_lanes > 0
        self._writer = BankWriter(**place)
        self._interaction = Interaction(
            **place, unit=unit, dense_read_latency=DENSE_LATENCY, decoded=self._decodes
        )
        decoding: dict[str, Any] = {}
        if self._decodes:
            self._front = DheFront(
                config=config,
                lanes=hash_lanes,
                ids=config.max_dhe_ids,
                decoders=config.max_decoders,
            )
            decoding = {
                "read": Out(read_port_signature(config)),
                "bus_error": Out(1 << QUERY_BITS),
                "placed": Out(placed_layout(config)),
            }
        super().__init__(
            {
                "level": In(config.level_bits),
                "config_write": In(config_write_layout(config)),
                "i_job": In(stream.Signature(job_layout(config))),
                "free": Out(1),
                "idle": Out(1),
                "i_dense": In(stream.Signature(chunk_layout(config))),
                # One port: a port a lane at every engine would be most of the text around them.
                "row_write": In(data.ArrayLayout(row_write_layout(config), config.gather_lanes)),
                "row_unit": In(8, init=unit),  # type: ignore[call-arg]  # not in the stubs
                "can_allocate": Out(1),
                "allocate": In(1),
                "allocate_index": Out(4),
                "allocate_address": Out(13),
                "control": Out(control_word_layout(config)),
                "page_ready": In(1),
                "tile_done": In(1),
                "score": In(score_layout(config)),
                "bank_write": Out(bank_write_signature(config, lanes)),
                "dense_address": Out(config.dense_address_bits),
                "dense_data": In(8 * lanes),
                "o_stream": Out(stream.Signature(stream_state_layout(config))),
                "landed": In(1),
                "consumed": Out(1),
                "o_score": Out(stream.Signature(position_score_layout(config))),
                "cause": Out(Cause),
                "fault": Out(1),
                "trace_chunk": Out(
                    chunk_event_layout(
                        config, max(config.row_outputs, config.interaction_outputs_at(row, column))
                    )
                ),
                **decoding,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        decodes, kind = self._decodes, "_decoding" if self._decodes else ""
        slots = [JobSlot(config=config, decodes=decodes) for _ in range(2)]
        for number, slot in enumerate(slots):
            m.submodules[f"slot_{number}"] = share(platform, slot, f"job_slot{kind}")
        stages = StageTable(config=config, unit=self._unit)
        issuer = PhaseIssuer(config=config, decodes=decodes)
        sequencer = Sequencer(config=config, unit=self._unit)
        gate = AllocationGate(config=config, decoded=decodes)
        phases = Queue(shape=phase_layout(config), depth=PHASES_WAITING)
        # Engines of all sizes have these in common.
        m.submodules.stages = share(platform, stages, "stage_table")
        m.submodules.issuer = share(platform, issuer, f"phase_issuer{kind}")
        m.submodules.sequencer = share(platform, sequencer, "sequencer")
        m.submodules.gate = share(platform, gate, f"allocation_gate{kind}")
        m.submodules.phases = share(platform, phases, "phase_queue")
        m.submodules.bank_writer = self._writer
        m.submodules.interaction = self._interaction

        older = self._accept(m, slots, stages, gate)
        self._run_phases(m, slots, stages, issuer, phases, sequencer, older)
        self._write_banks(m, slots, stages)
        if decodes:
            m.submodules.front = share(platform, self._front, "dhe_front")
            self._decode(m, slots, stages, issuer, sequencer)
        self._interact(m, slots, stages, gate, older)
        self._collect_scores(m, platform, slots)
        self._charge(m, slots, sequencer)
        return m

    def _accept(
        self, m: Module, slots: list[JobSlot], stages: StageTable, gate: AllocationGate
    ) -> Signal:
        """Jobs into slots, then the descriptor; returns the slot of the older job of two."""
        accept = Signal()  # the next job's slot: while both are in use, that of the older job
        free = Cat(slot.free for slot in slots)
        starts = self.i_job.valid & self.i_job.ready
        want_stage = Cat(slot.want_stage for slot in slots)
        request = stages.i.payload
        m.d.comb += [
            self.free.eq(free.bit_select(accept, 1)),
            self.idle.eq(free.all() & ~Cat(slot.tail for slot in slots).any()),
            self.i_job.ready.eq(self.free),
            stages.config_write.eq(self.config_write),
            stages.i.valid.eq(want_stage.any()),
            request.slot.eq(Mux(want_stage.bit_select(accept, 1), accept, ~accept)),
            request.program.eq(Mux(request.slot, slots[1].program, slots[0].program)),
        ]
        with m.If(starts):
            m.d.sync += accept.eq(~accept)
        for number, slot in enumerate(slots):
            m.d.comb += [
                slot.start.eq(starts & (accept == number)),
                slot.job.eq(self.i_job.payload),
                slot.stage_done.eq(stages.done[number]),
                slot.bottom_layers.eq(stages.stages[number].bottom_layers),
                slot.no_dense.eq(stages.stages[number].products != 0),
                gate.start[number].eq(slot.start),
            ]
        return accept

    def _run_phases(
        self,
        m: Module,
        slots: list[JobSlot],
        stages: StageTable,
        issuer: PhaseIssuer,
        phases: Queue,
        sequencer: Sequencer,
        older: Signal,
    ) -> None:
        """Wishes to phases, phases through the queue to the sequencer, ends back to the slots."""
        wiring.connect(m, issuer.o, phases.i)
        wiring.connect(m, phases.o, sequencer.i)
        wiring.connect(m, issuer.o_stream, wiring.flipped(self.o_stream))
        m.d.comb += [
            issuer.want_top.eq(Cat(slot.want_top for slot in slots)),
            issuer.want_bottom.eq(Cat(slot.want_bottom for slot in slots)),
            issuer.older.eq(older),
            issuer.stages.eq(stages.stages),
            issuer.done.eq(sequencer.done),
            sequencer.config_write.eq(self.config_write),
            sequencer.landed.eq(self.landed),
            sequencer.page_ready.eq(self.page_ready),
            sequencer.tile_done.eq(self.tile_done),
            self.consumed.eq(sequencer.consumed),
            self.control.eq(sequencer.control),
            self.fault.eq(sequencer.fault | self._contradicts(m, slots, stages)),
        ]
        done = sequencer.done.valid
        for number, slot in enumerate(slots):
            m.d.comb += [
                issuer.rows[number].eq(slot.rows),
                issuer.queries[number].eq(slot.query),
                slot.phase_pushed.eq(issuer.pushed.valid & (issuer.pushed.slot == number)),
                slot.bottom_done.eq(done & ~sequencer.done.top & (sequencer.done.slot == number)),
                slot.top_done.eq(done & sequencer.done.top & (sequencer.done.slot == number)),
            ]

    def _contradicts(self, m: Module, slots: list[JobSlot], stages: StageTable) -> Value:
        """Whether a descriptor asks for more vectors than its job has ids: they would not come."""
        bad = []
        for number, slot in enumerate(slots):
            features = Signal(7, name=f"features_{number}")
            with m.If(slot.start):
                m.d.sync += features.eq(self.i_job.payload.features)
            vectors = stages.stages[number].vectors
            decoders = stages.stages[number].decoders if self._decodes else 0
            few, many = vectors <= decoders, vectors > features + decoders + 1
            bad.append(stages.done[number] & (few | many))
        return Cat(bad).any()

    def _write_banks(self, m: Module, slots: list[JobSlot], stages: StageTable) -> None:
        """Dense inputs and interaction outputs into the banks, each by its slot's descriptor."""
        writer, chunks = self._writer, self._interaction.o
        dense_slot = self.i_dense.payload.slot
        chunk_stage = stages.stages[writer.i_chunk.payload.slot]
        staged = Signal()
        dense = self._front.i_dense if self._decodes else writer.i_dense
        m.d.comb += [
            self.trace_chunk.valid.eq(chunks.valid & chunks.ready),
            *(
                self.trace_chunk.chunk[name].eq(chunks.payload[name])
                for name, _ in chunks.payload.shape()
            ),
        ]
        wiring.connect(m, writer.bank_write, wiring.flipped(self.bank_write))
        m.d.comb += [
            staged.eq(Cat(slot.staged for slot in slots).bit_select(dense_slot, 1)),
            writer.level.eq(self.level),
            dense.payload.eq(self.i_dense.payload),
            dense.valid.eq(self.i_dense.valid & staged),
            self.i_dense.ready.eq(dense.ready & staged),
            writer.dense_base.eq(stages.stages[dense_slot].input_base),
            writer.dense_pitch.eq(stages.stages[dense_slot].row_pitch),
            writer.chunk_base.eq(chunk_stage.output_base),
            writer.chunk_pitch.eq(chunk_stage.row_pitch),
        ]
        if self._decodes:
            self._merge_codes(m, chunk_stage)
        else:
            wiring.connect(m, chunks, writer.i_chunk)
        for number, slot in enumerate(slots):
            m.d.comb += [
                slot.dense_row.eq(writer.dense_row.valid & (writer.dense_row.slot == number)),
                slot.chunk_row.eq(writer.chunk_row.valid & (writer.chunk_row.slot == number)),
            ]

    def _merge_codes(self, m: Module, chunk_stage: Any) -> None:
        """Codes into the banks when the interaction has no chunk.

        Their number is large and the array does not wait for a few of them; the interaction's
        outputs stand between a row block and its top phase.
        """
        writer, chunks, codes = self._writer, self._interaction.o, self._front.o_codes
        m.d.comb += [
            writer.i_chunk.valid.eq(chunks.valid | codes.valid),
            writer.i_chunk.payload.eq(chunks.payload),
            chunks.ready.eq(writer.i_chunk.ready),
            codes.ready.eq(writer.i_chunk.ready & ~chunks.valid),
        ]
        with m.If(~chunks.valid):
            m.d.comb += writer.chunk_base.eq(chunk_stage.code_base)
            # Codes come 16 at a time, the interaction's outputs may be more.
            for name, _ in codes.payload.shape():
                m.d.comb += writer.i_chunk.payload[name].eq(codes.payload[name])
        # The writer does not tell the two apart, nor need it: a slot has one of them at a time.

    def _decode(
        self,
        m: Module,
        slots: list[JobSlot],
        stages: StageTable,
        issuer: PhaseIssuer,
        sequencer: Sequencer,
    ) -> None:
        """Ids, codes and the decoders' phases."""
        front, writer, word = self._front, self._writer, self.config_write
        named = (word.unit == self._unit) | (word.unit == ALL_UNITS)
        wiring.connect(m, front.o_dense, writer.i_dense)
        wiring.connect(m, front.read, wiring.flipped(self.read))
        m.d.comb += [
            front.level.eq(self.level),
            front.table_write.valid.eq(word.valid & (word.target == Target.DECODERS) & named),
            front.table_write.address.eq(word.address),
            front.table_write.data.eq(word.data),
            front.code_row.eq(writer.chunk_row),
            self.bus_error.eq(front.bus_error),
            issuer.want_decode.eq(front.want_phase),
            issuer.decoders.eq(front.decoder),
        ]
        if self._config.held_bytes:
            wiring.connect(m, self._interaction.held, front.held)
            for write, target in (
                (front.tag_write, Target.HELD_TAGS),
                (front.vector_write, Target.HELD_VECTORS),
            ):
                m.d.comb += [
                    write.valid.eq(word.valid & (word.target == target) & named),
                    write.address.eq(word.address),
                    write.data.eq(word.data),
                ]
        m.d.comb += self.placed.eq(front.placed)
        done = sequencer.done.valid & ~sequencer.done.top
        for number, slot in enumerate(slots):
            stage, begin = stages.stages[number], front.start_slot[number]
            pushed = issuer.pushed.valid & ~issuer.pushed.top & (issuer.pushed.slot == number)
            m.d.comb += [
                front.first_id[number].eq(Mux(stage.first_id == 0, IdStore.NO_IDS, stage.first_id)),
                slot.ids_row.eq(front.ids_row.valid & (front.ids_row.slot == number)),
                slot.decoders.eq(stage.decodings),
                slot.decoded.eq(front.done[number]),
                front.start[number].eq(slot.decode),
                begin.first.eq(stage.decoder),
                begin.count.eq(stage.decodings),
                begin.rows.eq(slot.rows),
                begin.query.eq(slot.query),
                issuer.decode_rows[number].eq(front.phase_rows[number]),
                front.phase_pushed[number].eq(pushed),
                front.phase_done[number].eq(done & (sequencer.done.slot == number)),
            ]

    def _interact(
        self,
        m: Module,
        slots: list[JobSlot],
        stages: StageTable,
        gate: AllocationGate,
        older: Signal,
    ) -> None:
        """Vector slots by the gate's leave; jobs to the interaction in their order."""
        interaction = self._interaction
        for name in ("level", "config_write", "dense_data", "row_unit"):
            m.d.comb += getattr(interaction, name).eq(getattr(self, name))
        for lane, row_write in enumerate(interaction.row_write):
            m.d.comb += row_write.eq(self.row_write[lane])
        for name in ("slot_bytes", "slots", "features", "clear"):
            m.d.comb += getattr(interaction, name).eq(getattr(gate, name))
        for name in ("allocate_index", "allocate_address", "dense_address"):
            m.d.comb += getattr(self, name).eq(getattr(interaction, name))
        m.d.comb += [
            self.can_allocate.eq(interaction.can_allocate & gate.open),
            interaction.allocate.eq(self.allocate),
            gate.allocate.eq(self.allocate),
            gate.stages.eq(stages.stages),
            gate.staged.eq(Cat(slot.staged for slot in slots)),
        ]
        want = Cat(slot.want_interaction for slot in slots) & gate.configured
        before = Cat(~slot.free & ~slot.interacted for slot in slots)  # not past the interaction
        chosen = Signal()
        job = interaction.i_job
        m.d.comb += [
            # The younger job's turn comes only when the older one has been taken.
            chosen.eq(Mux(before.bit_select(older, 1), older, ~older)),
            job.valid.eq(want.bit_select(chosen, 1)),
            job.payload.slot.eq(chosen),
            job.payload.rows.eq(Mux(chosen, slots[1].rows, slots[0].rows)),
            job.payload.stage.eq(stages.stages[chosen]),
        ]
        for number, slot in enumerate(slots):
            m.d.comb += [
                slot.interaction_taken.eq(job.valid & job.ready & (chosen == number)),
                gate.rows[number].eq(slot.rows),
                gate.interacting[number].eq(before[number] | slot.waits_vectors),
            ]

    def _collect_scores(self, m: Module, platform: object, slots: list[JobSlot]) -> None:
        """Scores of the running top phase, in row order, into the score queue."""
        config = self._config
        scores = Queue(
            shape=data.StructLayout({"slot": 1, "position": config.item_bits, "score": signed(16)}),
            depth=2 * config.rows,  # all rows of both slots: the array is never held up
        )
        m.submodules.scores = share(platform, scores, "score_queue")
        slot = Signal()  # top phases end in the order of the jobs, which alternate
        got = Signal(config.row_bits)  # scores of the job so far
        last = Signal()  # the score that comes is the job's last one, a register
        rows, next_rows = Signal(config.row_bits + 1), Signal(config.row_bits + 1)
        ahead = Signal(config.item_bits)  # of the score's position before the job's first one
        entry, oldest, score = scores.i.payload, scores.o.payload, self.o_score.payload
        m.d.comb += [
            rows.eq(Mux(slot, slots[1].tail_rows, slots[0].tail_rows)),
            next_rows.eq(Mux(slot, slots[0].tail_rows, slots[1].tail_rows)),
            scores.i.valid.eq(self.score.valid),
            entry.slot.eq(slot),
            # The last position is below max_items: the sum fits.
            entry.position.eq(Mux(slot, slots[1].tail_position, slots[0].tail_position) + ahead),
            entry.score.eq(self.score.value),
            self.o_score.valid.eq(scores.o.valid),
            # A slot's tail stays until its last score is taken.
            score.context.eq(Mux(oldest.slot, slots[1].tail_context, slots[0].tail_context)),
            score.sub_batch.eq(Mux(oldest.slot, slots[1].tail_sub_batch, slots[0].tail_sub_batch)),
            score.position.eq(oldest.position),
            score.score.eq(oldest.score),
            scores.o.ready.eq(self.o_score.ready),
        ]
        # A tail is there many cycles before its first score.
        with m.If(~self.score.valid):
            m.d.sync += last.eq(got + 1 == rows)
        with m.Elif(last):
            m.d.sync += [slot.eq(~slot), got.eq(0), last.eq(next_rows == 1), ahead.eq(0)]
        with m.Else():
            m.d.sync += [
                got.eq(got + 1),
                last.eq(got + 2 == rows),
                ahead.eq(ahead + Mux(slot, slots[1].tail_stride, slots[0].tail_stride)),
            ]
        taken = self.o_score.valid & self.o_score.ready
        for number, job in enumerate(slots):
            m.d.comb += job.score_taken.eq(taken & (oldest.slot == number))

    def _charge(self, m: Module, slots: list[JobSlot], sequencer: Sequencer) -> None:
        """The sequencer's cause, or what keeps it without a phase."""
        with m.If(sequencer.cause != Cause.IDLE):
            m.d.comb += self.cause.eq(sequencer.cause)
        with m.Elif(self.idle):
            m.d.comb += self.cause.eq(Cause.IDLE)
        if self._decodes:
            with m.Elif(self._front.making.any()):
                m.d.comb += self.cause.eq(Cause.HASH)
        with m.Elif(Cat(slot.waits_vectors for slot in slots).any()):
            m.d.comb += self.cause.eq(Cause.VECTORS)
        with m.Elif(Cat(slot.waits_input for slot in slots).any()):
            m.d.comb += self.cause.eq(Cause.INPUT)
        with m.Else():
            m.d.comb += self.cause.eq(Cause.DEPENDENCY)
