"""One engine: job slots, phases in order, vector slots, scores, and every cycle's cause."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from hdl.array.timing import WRITE_STAGE, turnaround
from hdl.array.timing import latency as write_back_latency
from hdl.config import Config
from hdl.embedding.record_layouts import chunk_bytes
from hdl.engine.bank_writer import writer_stages
from hdl.engine.cause import Cause
from hdl.engine.engine import PHASES_WAITING
from hdl.engine.job_slot import JobSlot
from hdl.engine.phase_issuer import PhaseIssuer
from hdl.engine.stage_table import StageTable
from hdl.program import Destination
from hdl.queue import Queue

from .array import ArraySchedule, Phase, TileRun
from .causes import cause_spans
from .decoding import DecodingModel
from .events import Clock, Poll
from .hash_reads import HashReads
from .interaction import BankWindows, InteractionJob, InteractionModel, item_chunks
from .plan import DecoderPlan, EnginePlan, PhasePlan, ProgramPlan
from .units import LoaderJob
from .vectors import VectorSlots

__all__ = ["EngineModel", "PhaseRecord"]


@dataclass(frozen=True, kw_only=True)
class PhaseRecord:
    """A phase that was run, for reports and checks."""

    stage: int
    top: bool
    decoder: bool = False
    slot: int
    rows: int
    taken: int
    first_row: int
    last_row: int
    done: int
    layer_rows: tuple[tuple[int, int], ...]
    output_tiles: tuple[int, ...]


class _Slot:
    """A job slot; ``state`` as in ``JobSlot``, in effect from ``since`` on."""

    def __init__(self) -> None:
        self.state = "FREE"
        self.free_from = 0
        self.job: LoaderJob | None = None
        self.staged = False
        self.configured = False
        self.counted = 0
        self.ids = 0  # rows whose ids are stored
        self.ids_at = 0  # cycle in which the count shows it
        self.wish: DecoderPlan | None = None
        self.wish_rows = 0
        self.making = False
        # The job whose top phase was queued last.
        self.tail = False
        self.tail_ended = 0
        self.tail_scored = 0
        self.tail_cleared = 0
        self.waits_tail = False  # all rows are there and nothing but the tail is missing

    @property
    def before(self) -> bool:
        """Not past the interaction's start."""
        return self.state not in ("FREE", "VECTORS", "TOP")


class EngineModel:
    """The engine anchored at one sub-array.

    Parameters
    ----------
    plan
        Its size and programs.
    on_free
        A job can be taken from this cycle on.
    on_room
        A vector slot can be allocated from this cycle on.
    on_staged
        Dense chunks of a slot are taken from this cycle on.
    on_scores
        (engine, job, first cycle): the scores of a row block come into the queue from there on, one
        a cycle; returns the cycle in which the last one was handed over.
    ask_stream
        (cycle, phase plan, granted): the issuer asks the weight streamer.
    on_consumed
        Cycle of each load of a streamed tile.
    hash_reads, first_id
        Where the engine has hash lanes: reads of their constants, and byte of the first id behind
        the dense values of a record.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        plan: EnginePlan,
        *,
        on_free: Callable[[int], None],
        on_room: Callable[[int], None],
        on_staged: Callable[[int], None],
        on_scores: Callable[[LoaderJob, int, Callable[[int], None]], None],
        ask_stream: Callable[[int, PhasePlan, Callable[[int], None]], None] | None = None,
        on_consumed: Callable[[int], None] | None = None,
        hash_reads: HashReads | None = None,
        first_id: int = 0,
    ) -> None:
        self._clock, self._config, self.plan = clock, config, plan
        self._on_free, self._on_room, self._on_staged = on_free, on_room, on_staged
        self._on_scores, self._ask_stream = on_scores, ask_stream
        self.edge = config.sub_array << plan.level
        multipliers = config.interaction_multipliers_at(plan.row, plan.column)
        outputs = config.interaction_outputs_at(plan.row, plan.column)
        self._chunks = {n: item_chunks(p, multipliers, outputs) for n, p in plan.programs.items()}
        # Write-backs that keep other writes of a slot off the banks.
        memories = [BankWindows(clock, self.edge) for _ in range(config.activation_memories)]
        self._windows = (memories[0], memories[-1])
        self.array = ArraySchedule(
            config=config,
            write_back=write_back_latency(self.edge),
            turnaround=turnaround(self.edge),
            on_tile=self._tile,
            on_taken=self._phase_taken,
            on_done=self._phase_done,
            on_load=on_consumed,
        )
        self._vectors = VectorSlots(config.gather_lanes)
        self._interaction = InteractionModel(
            clock,
            config,
            plan,
            self._windows,
            ready=self._vectors.ready,
            row_lands=self._vectors.row_lands,
            on_idle=self._poll_interact,
            on_release=self._release,
            on_row=self._chunk_row,
        )
        self._slots = (_Slot(), _Slot())
        self._accept = 0
        self._stage_free = 0
        # Allocation gate.
        self._gate = Poll(clock, self._gate_wait)
        self._gate_slot = 0
        self._gate_left = 0
        self._gate_open = False
        # Phase issuer.
        self._issue = Poll(clock, self._pick)
        self._issue_free = 0
        self._issuing = False
        self._pushing: Phase | None = None
        self._queued: deque[Phase] = deque()  # in the queue, as far as known
        self._pops: deque[int] = deque()  # cycles in which queued phases leave
        self._in_flight = 0
        self._ring_used = False
        self._ring_waits: tuple[int, str] | None = None
        self._interact = Poll(clock, self._start_interaction)
        self._first_id = 0
        self._decoding: DecodingModel | None = None
        if hash_reads is not None:
            self._first_id = first_id
            self._decoding = DecodingModel(
                clock,
                config,
                hash_reads,
                lanes=config.hash_lanes_at(plan.row, plan.column),
                writer_stages=writer_stages(outputs),
                on_wish=self._wish,
                on_making=self._making,
                on_decoded=self._decoded,
                taken=self._bank_writer_taken,
            )
            for window in memories:
                window.history = deque()
            self._interaction.accepted = deque()
        self._programs_of: dict[int, ProgramPlan] = plan.programs
        self._jobs_of: dict[int, tuple[LoaderJob, bool]] = {}
        self._streams: dict[int, int] = {}
        # Records.
        self.phases: list[PhaseRecord] = []
        self._states: list[tuple[int, Cause]] = [(0, Cause.IDLE)]

    @property
    def held(self) -> tuple[int, int]:
        """Ids looked up among finished vectors: hits and misses."""
        return (0, 0) if self._decoding is None else self._decoding.held

    # -- jobs ----------------------------------------------------------------------------------
    def free(self, cycle: int) -> bool:
        """A job can be taken in ``cycle``: this one or one since the last job was taken."""
        slot = self._slots[self._accept]
        return slot.state == "FREE" and slot.free_from <= cycle

    @property
    def next_slot(self) -> int:
        return self._accept

    def start(self, cycle: int, job: LoaderJob) -> None:
        """The job is taken in ``cycle``."""
        number = self._accept
        slot = self._slots[number]
        self._accept ^= 1
        slot.state, slot.job = "STAGE", job
        slot.staged = slot.configured = False
        slot.counted = slot.ids = 0
        self._note(cycle + 1)
        request = max(cycle + 1, self._stage_free)
        done = request + StageTable.LATENCY
        self._stage_free = done + 1
        self._clock.at(done + 1, self._staged, number)

    def _staged(self, cycle: int, number: int) -> None:
        slot = self._slots[number]
        slot.state, slot.staged = "DENSE", True
        self._gate.at(cycle)
        self._on_staged(cycle)
        if self._program(slot).products:  # there are no dense values to be waited for
            self._clock.at(cycle + 1, self._dense_complete, number)

    def dense_ready(self, cycle: int, slot: int, k: int) -> int | None:
        """See `EngineSide`."""
        if not self._slots[slot].staged:
            return None
        return cycle if self._is_id(k) else self._interaction.dense_ready(cycle)

    def _is_id(self, k: int) -> bool:
        """Bytes from k on of a record's dense part are ids, which the engine keeps."""
        return 0 < self._first_id <= k

    def dense_chunk(self, cycle: int, slot: int, k: int, count: int, last: bool) -> None:
        """See `EngineSide`."""
        if self._is_id(k):
            if last:
                self._clock.at(cycle + 1, self._ids_row, slot)
            return
        written = self._interaction.dense_chunk(cycle, slot, k, count)
        if last or k + chunk_bytes(self._config) == self._first_id:
            self._clock.at(max(written + 1, self._clock.now), self._dense_row, slot)

    def _dense_row(self, cycle: int, number: int) -> None:
        """Pulse: a row of dense inputs is in the banks."""
        slot = self._slots[number]
        assert slot.job is not None
        slot.counted += 1
        if slot.counted == slot.job.rows:
            self._clock.at(cycle + JobSlot.COUNT_LATENCY, self._dense_complete, number)

    def _dense_complete(self, cycle: int, number: int) -> None:
        slot = self._slots[number]
        slot.counted = 0
        if not self._program(slot).bottom.layers:
            slot.waits_tail = slot.tail  # whose tensors the interaction would write over
            if not slot.tail:
                self._after_bottom(max(cycle, slot.tail_cleared + 1), number)
            return
        slot.state = "BOTTOM"
        self._note(cycle)
        self._issue.at(max(cycle, self._issue_free))

    def _after_bottom(self, cycle: int, number: int) -> None:
        """From ``cycle`` on the bottom MLP is done: decoders, if any, then the interaction."""
        slot = self._slots[number]
        slot.state = "IDS" if self._program(slot).decoders else "INTERACTION"
        self._note(cycle)
        if slot.state == "IDS":
            self._clock.at(cycle, self._ids_complete, number)
        self._poll_interact(cycle)

    # -- decoders ------------------------------------------------------------------------------
    def _ids_row(self, cycle: int, number: int) -> None:
        """Pulse: the ids of a row are stored."""
        slot = self._slots[number]
        assert slot.job is not None
        slot.ids += 1
        if slot.ids == slot.job.rows:
            slot.ids_at = cycle + 1
            self._clock.at(cycle + 1, self._ids_complete, number)

    def _ids_complete(self, cycle: int, number: int) -> None:
        """Slot in IDS: the decoders begin when all ids are there."""
        slot = self._slots[number]
        assert slot.job is not None
        if slot.state != "IDS" or slot.ids != slot.job.rows or cycle < slot.ids_at:
            return
        assert self._decoding is not None
        slot.state = "DECODE"
        self._note(cycle + 1)
        decoders = self._program(slot).decoders
        self._decoding.start(cycle, number, slot.job.rows, decoders, slot.job.held)

    def _bank_writer_taken(self, slot: int, first: int, last: int) -> int:
        """Cycles in which codes of a slot have to wait in front of the banks."""
        written = self._windows[slot].taken(first, last)
        return written + self._interaction.taken(first, last)

    def _wish(self, cycle: int, number: int, decoder: DecoderPlan, rows: int) -> None:
        self._slots[number].wish = decoder
        self._slots[number].wish_rows = rows
        self._issue.at(max(cycle, self._issue_free))

    def _making(self, cycle: int, number: int, making: bool) -> None:
        self._clock.at(max(cycle, self._clock.now), self._set_making, number, making)

    def _set_making(self, cycle: int, number: int, making: bool) -> None:
        self._slots[number].making = making
        self._note(cycle)

    def _decoded(self, cycle: int, number: int) -> None:
        """Pulse: all decoders have run."""
        self._slots[number].state = "INTERACTION"
        self._note(cycle + 1)
        self._poll_interact(cycle + 1)

    def _program(self, slot: _Slot) -> ProgramPlan:
        assert slot.job is not None
        return self.plan.programs[slot.job.stage]

    # -- phases --------------------------------------------------------------------------------
    def _pick(self, cycle: int) -> None:
        """Issuer in PICK: bottom phases first, then decoders; of each the older job's."""
        if self._issuing or cycle < self._issue_free:
            return
        older = self._accept
        for state in ("BOTTOM", "DECODE", "TOP"):
            for number in (older, older ^ 1):
                slot = self._slots[number]
                if slot.state != state or (state == "TOP" and slot.tail):
                    continue
                if state == "DECODE" and slot.wish is None:
                    continue
                self._issuing = True
                self._clock.at(cycle + 1, self._check, number, state)
                return

    def _check(self, cycle: int, number: int, state: str) -> None:
        slot = self._slots[number]
        assert slot.job is not None
        program = self._program(slot)
        wanted: PhasePlan | None = program.top if state == "TOP" else program.bottom
        rows = slot.job.rows
        if state == "DECODE":
            wanted, rows = slot.wish, slot.wish_rows
        assert wanted is not None
        phase = Phase(
            layers=wanted.layers,
            rows=rows,
            streamed=wanted.streamed,
            slot=number,
            top=state == "TOP",
            decoder=state == "DECODE",
        )
        if wanted.streamed:
            assert self._ask_stream is not None
            if self._in_flight and not self._ring_used:
                self._ring_waits = (number, state)  # until no phase of another ring is in flight
                return
            self._ring_used = True

            def granted(at: int) -> None:
                self._clock.at(max(at + 1, self._clock.now), self._push, phase)

            self._ask_stream(cycle + 1, wanted, granted)
            return
        self._clock.at(cycle + PhaseIssuer.PUSH_LATENCY, self._push, phase)

    def _push(self, cycle: int, phase: Phase) -> None:
        """The phase is on offer to the queue."""
        pops = self._pops
        while pops and pops[0] < cycle:
            pops.popleft()
            self._queued.popleft()
        if len(self._queued) >= PHASES_WAITING:
            self._pushing = phase
            if pops:
                self._clock.at(pops[0] + 1, self._push, phase)
                self._pushing = None
            return
        self._queued.append(phase)
        self._in_flight += 1
        slot = self._slots[phase.slot]
        assert slot.job is not None
        self._jobs_of[id(phase)] = (slot.job, phase.top)
        if phase.top:
            slot.state, slot.staged = "FREE", False
            slot.free_from = cycle + 1
            slot.tail, slot.tail_ended, slot.tail_scored = True, 0, 0
            self._on_free(cycle + 1)
        elif phase.decoder:
            slot.wish = None
        else:
            slot.state = "BOTTOM_RUN"
        self._gate.at(cycle + 1)
        self._note(cycle + 1)
        self._issuing = False
        self._issue_free = cycle + 1
        self._issue.at(cycle + 1)
        self.array.offer(phase, cycle + Queue.LATENCY)

    def _phase_taken(self, phase: Phase) -> None:
        self._pops.append(phase.taken)
        if self._pushing is not None:
            waiting, self._pushing = self._pushing, None
            self._clock.at(max(self._pops[0] + 1, self._clock.now), self._push, waiting)

    def _tile(self, tile: TileRun) -> None:
        if tile.destination == Destination.BANK:
            self._windows[tile.slot].add(tile.start, tile.rows)

    def _phase_done(self, phase: Phase) -> None:
        """The end of the phase is known."""
        job, top = self._jobs_of.pop(id(phase))
        self.phases.append(
            PhaseRecord(
                stage=job.stage,
                top=top,
                decoder=phase.decoder,
                slot=phase.slot,
                rows=phase.rows,
                taken=phase.taken,
                first_row=phase.first_row,
                last_row=phase.last_row,
                done=phase.done,
                layer_rows=tuple(phase.layer_rows),
                output_tiles=tuple(phase.output_tiles),
            )
        )
        self._clock.at(phase.done, self._ended, phase)
        if top:
            # The score is registered once below the strip, as the bank's write port is.
            first = phase.last_row - phase.rows + 1 + ArraySchedule.CONTROL_LATENCY
            first += self.edge + WRITE_STAGE + Queue.BUFFERED_LATENCY
            self._clock.at(max(first, self._clock.now), self._scores, job, phase.slot)

    def _ended(self, cycle: int, phase: Phase) -> None:
        """Pulse of the sequencer: the phase's outputs are written back."""
        self._in_flight -= 1
        if not self._in_flight and self._ring_waits is not None:
            self._clock.at(cycle + 1, self._check, *self._ring_waits)
            self._ring_waits = None
        slot = self._slots[phase.slot]
        if phase.top:
            slot.tail_ended = cycle + 1
            self._tail_over(phase.slot)
        elif phase.decoder:
            assert self._decoding is not None
            self._decoding.phase_done(cycle, phase.slot)
        else:
            self._after_bottom(cycle + 1, phase.slot)

    # -- scores --------------------------------------------------------------------------------
    def _scores(self, cycle: int, job: LoaderJob, number: int) -> None:
        def taken(last: int) -> None:
            self._slots[number].tail_scored = last + 1
            self._tail_over(number)

        self._on_scores(job, cycle, taken)

    def _tail_over(self, number: int) -> None:
        slot = self._slots[number]
        if slot.tail_ended and slot.tail_scored:
            at = max(slot.tail_ended, slot.tail_scored) + 1
            self._clock.at(max(at, self._clock.now), self._tail_clear, number)

    def _tail_clear(self, cycle: int, number: int) -> None:
        slot = self._slots[number]
        slot.tail, slot.tail_cleared = False, cycle
        self._note(cycle)
        if slot.waits_tail:
            slot.waits_tail = False
            self._after_bottom(cycle + 1, number)
        self._issue.at(max(cycle, self._issue_free))

    # -- vector slots --------------------------------------------------------------------------
    def _gate_wait(self, cycle: int) -> None:
        """Gate in WAIT: the next job's sizes, then OPEN."""
        if self._gate_open:
            return
        slot = self._slots[self._gate_slot]
        if not slot.staged or slot.configured:
            return
        assert slot.job is not None
        program = self._program(slot)
        sizes = (program.slot_bytes, program.slots, program.features)
        at = cycle + 1
        if sizes != self._vectors.sizes:
            other = self._slots[self._gate_slot ^ 1]
            if other.configured and (other.before or other.state == "VECTORS"):
                return
            at += 1
            self._vectors.configure(sizes, decoded=bool(program.decoders))
        self._gate_open = True
        self._gate_left = slot.job.rows
        self._clock.at(at, self._opened, self._gate_slot)

    def _opened(self, cycle: int, number: int) -> None:
        self._slots[number].configured = True
        self._poll_interact(cycle)
        self._on_room(cycle)

    def can_allocate(self, cycle: int) -> bool:
        """A vector slot can be allocated in this cycle."""
        if not self._gate_open or not self._slots[self._gate_slot].configured:
            return False
        return self._vectors.room(cycle)

    @property
    def allocate_index(self) -> int:
        return self._vectors.tail

    def allocate(self, cycle: int) -> None:
        """The slot ``allocate_index`` is taken."""
        self._vectors.allocate()
        self._gate_left -= 1
        if not self._gate_left:
            self._gate_slot ^= 1
            self._gate_open = False
            self._gate.at(cycle + 1)

    def row_word(self, cycle: int, lane: int, item_last: bool) -> None:
        """See `EngineSide`."""
        self._vectors.row_word(cycle, lane)
        if item_last:
            self._clock.at(cycle + 1, self._lane_finished, lane)

    def _lane_finished(self, cycle: int, lane: int) -> None:
        if self._vectors.finished(lane):
            self._interaction.wake(cycle)

    def _release(self, cycle: int) -> None:
        self._vectors.release(cycle)
        self._on_room(cycle + 1)

    # -- interaction ---------------------------------------------------------------------------
    def _poll_interact(self, cycle: int) -> None:
        self._interact.at(cycle)

    def _start_interaction(self, cycle: int) -> None:
        """The oldest job that is not past the interaction, when the copier is idle."""
        if cycle < self._interaction.idle_from:
            self._interact.at(self._interaction.idle_from)
            return
        if self._interaction.busy:
            return
        older = self._accept
        number = older if self._slots[older].before else older ^ 1
        slot = self._slots[number]
        if slot.state != "INTERACTION" or not slot.configured:
            return
        assert slot.job is not None
        stage = slot.job.stage
        self._interaction.start(
            cycle,
            InteractionJob(
                slot=number,
                rows=slot.job.rows,
                program=self._programs_of[stage],
                chunks=self._chunks[stage],
            ),
        )
        slot.state = "VECTORS"
        slot.counted = 0
        self._note(cycle + 1)
        self._interact.at(cycle + 1)

    def _chunk_row(self, cycle: int, number: int) -> None:
        slot = self._slots[number]
        assert slot.job is not None
        slot.counted += 1
        if slot.counted == slot.job.rows:
            self._clock.at(cycle + JobSlot.COUNT_LATENCY, self._interacted, number)

    def _interacted(self, cycle: int, number: int) -> None:
        self._slots[number].state = "TOP"
        self._note(cycle)
        self._gate.at(cycle)
        self._issue.at(max(cycle, self._issue_free))

    # -- causes --------------------------------------------------------------------------------
    def _note(self, cycle: int) -> None:
        """What a cycle without a phase is charged to, from ``cycle`` on."""
        states = [slot.state for slot in self._slots]
        if all(s == "FREE" for s in states) and not any(slot.tail for slot in self._slots):
            cause = Cause.IDLE
        elif any(slot.making for slot in self._slots):
            cause = Cause.HASH
        elif any(s in ("INTERACTION", "VECTORS") for s in states):
            cause = Cause.VECTORS
        elif any(s in ("STAGE", "DENSE", "IDS") for s in states):
            cause = Cause.INPUT
        else:
            cause = Cause.DEPENDENCY
        self._states.append((cycle, cause))

    def timeline(self, end: int) -> list[tuple[int, int, Cause]]:
        """Cycles [first, last] by cause, in order, without a hole, up to ``end`` - 1."""
        shift = ArraySchedule.CONTROL_LATENCY
        spans = [(a + shift, b + shift, cause) for a, b, cause in self.array.spans]
        return cause_spans(spans, self._states, end)
