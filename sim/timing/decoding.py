"""Decoders of an engine: hash constants, codes and the order of features, for both slots.

Follows ``hdl/dhe``'s front, miss list, hash fetch, code generator and decoder slots, an event a
group of hashes. Codes wait in a queue for writes of the array and of the interaction to the same
banks: those of a group are taken in the cycles that are left behind those of the group before.
As many ids are on their way as codes find room in that queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hdl.config import Config
from hdl.dhe.code_generator import QUEUE_DEPTH
from hdl.dhe.decoder_table import DecoderTable
from hdl.dhe.hash_fetch import CHUNKS
from hdl.dhe.hash_lane import HashLane
from hdl.dhe.layouts import HASH_BYTES, HASH_CHUNK_BYTES
from hdl.dhe.miss_list import MissList
from hdl.queue import Queue

from .events import Clock, Poll
from .hash_reads import HashReads
from .plan import DecoderPlan

__all__ = ["DecodingModel"]

_LANDING = HashLane.LATENCY + 1 + Queue.BUFFERED_LATENCY
"""Ids sent into the lanes to their codes at the bank writer."""
_LIST = 1 + MissList.LATENCY
"""A wish for a list that is picked, without the rows, to its end."""


@dataclass(eq=False)
class _Slot:
    decoders: tuple[DecoderPlan, ...] = ()
    rows: int = 0
    held: list[list[bool]] = field(default_factory=list)
    next: int = 0
    wants_list: bool = False
    wants_codes: bool = False

    @property
    def decoder(self) -> DecoderPlan:
        return self.decoders[self.next]

    @property
    def misses(self) -> int:
        """Rows that the decoder in force runs over."""
        return self.rows - sum(row[self.decoder.vector] for row in self.held)


@dataclass(eq=False)
class _Chunk:
    """A chunk of constants that was asked for."""

    words: int
    """Of groups that are used."""
    first: int | None = None
    """Cycle of its first beat."""


class DecodingModel:
    """What stands between the ids of a row block and the wishes for its decoders' phases.

    Parameters
    ----------
    lanes
        Hash lanes.
    writer_stages
        Of the engine's bank writer.
    on_wish
        (cycle, slot, decoder, rows): its phase is wanted from this cycle on.
    on_making
        (cycle, slot, making): codes are being made from this cycle on, or no longer.
    on_decoded
        (cycle, slot): pulse, all decoders have run.
    taken
        (slot, first, last): cycles in which codes of the slot wait for other writes to the banks.
    """

    def __init__(
        self,
        clock: Clock,
        config: Config,
        reads: HashReads,
        *,
        lanes: int,
        writer_stages: int,
        on_wish: Callable[[int, int, DecoderPlan, int], None],
        on_making: Callable[[int, int, bool], None],
        on_decoded: Callable[[int, int], None],
        taken: Callable[[int, int, int], int],
    ) -> None:
        self._clock, self._reads, self._lanes = clock, reads, lanes
        self._writer_stages = writer_stages
        self._holds = config.held_bytes > 0
        self.held = (0, 0)
        """Ids looked up among finished vectors: hits and misses."""
        self._list = Poll(clock, self._try_list)
        self._list_free = 0
        self._on_wish, self._on_making, self._on_decoded = on_wish, on_making, on_decoded
        self._taken = taken
        self._codes: deque[int] = deque()  # first code of each group at the bank writer
        self._taken_codes: list[int] = []  # the last one of each group of the job
        self._last_code = -1  # of all
        self._settle = Poll(clock, self._try_settle)
        self._slots = [_Slot(), _Slot()]
        self._table_free = 0
        # Codes FSM: which slot gets the generator.
        self._pick = Poll(clock, self._try_pick)
        self._picking = True
        self._pick_from = 0
        self._turn = 0
        # Fetch. A unit is the register of one word or one beat, whichever is larger.
        self._unit_words = max(1, config.axi_bytes // (HASH_BYTES * lanes))
        self._unit_beats = max(1, HASH_BYTES * lanes // config.axi_bytes)
        self._chunk_words = HASH_CHUNK_BYTES // (HASH_BYTES * lanes)
        self._ask = Poll(clock, self._try_ask)
        self._address = self._left = 0  # of the job that is asked for
        self._fetch_free = 0
        self._fetch_waits: tuple[int, int] | None = None  # cycle, slot: a job not yet taken
        self._chunks: deque[_Chunk] = deque()
        self._places = deque([0] * CHUNKS)  # cycles from which a chunk may be asked for
        self._beat_at = -1  # cycle of the last beat that left the queue
        self._unit_from = 0  # first cycle in which the register takes a beat
        self._shown_until = 0  # first cycle in which the second register takes a unit
        self._word = 0  # of the oldest chunk
        # Generator.
        self._generator_free = 0
        self._generator_waits: tuple[int, int] | None = None
        self._job: int | None = None  # slot
        self._sending = False  # ids of the job are still to be sent
        self._group = 0
        self._send_from = 0

    # -- slots ---------------------------------------------------------------------------------
    def start(
        self,
        cycle: int,
        slot: int,
        rows: int,
        decoders: tuple[DecoderPlan, ...],
        held: list[list[bool]],
    ) -> None:
        """Pulse: the slot's decoders may run; ``held`` by row and decoder."""
        self._slots[slot] = _Slot(decoders, rows, held if self._holds else [])
        self._on_making(cycle + 1, slot, True)
        self._clock.at(cycle + 1, self._next, slot)

    def _next(self, cycle: int, number: int) -> None:
        """Decoder slot in NEXT."""
        slot = self._slots[number]
        if slot.next == len(slot.decoders):
            self._on_making(cycle + 1, number, False)
            self._on_decoded(cycle, number)
            return
        begin = max(cycle + 1, self._table_free)
        done = begin + DecoderTable.LATENCY
        self._table_free = done + 1
        if self._holds:
            self._clock.at(done + 1, self._want_list, number)
            return
        # Behind the descriptor a cycle for the list of all rows.
        self._clock.at(done + 2, self._want_codes, number)

    def _want_list(self, cycle: int, number: int) -> None:
        self._slots[number].wants_list = True
        self._list.at(max(cycle, self._list_free))

    def _try_list(self, cycle: int) -> None:
        """List turns in PICK: ids of one slot's feature are looked up, slot 0's first."""
        if cycle < self._list_free:
            self._list.at(self._list_free)
            return
        number = next((n for n, slot in enumerate(self._slots) if slot.wants_list), None)
        if number is None:
            return
        slot = self._slots[number]
        slot.wants_list = False
        done = cycle + _LIST + slot.rows
        self._list_free = done + 2
        self._list.at(self._list_free)
        hits, misses = self.held
        self.held = (hits + slot.rows - slot.misses, misses + slot.misses)
        if slot.misses:
            self._clock.at(done + 1, self._want_codes, number)
        else:
            self._clock.at(done, self._passed, number)

    def _passed(self, cycle: int, number: int) -> None:
        """Pulse: all vectors of the decoder in force are held."""
        self._slots[number].next += 1
        self._clock.at(cycle + 1, self._next, number)

    def _want_codes(self, cycle: int, number: int) -> None:
        self._slots[number].wants_codes = True
        self._pick.at(max(cycle, self._pick_from))

    def phase_done(self, cycle: int, number: int) -> None:
        """Pulse of the sequencer."""
        self._slots[number].next += 1
        self._on_making(cycle + 1, number, True)
        self._clock.at(cycle + 1, self._next, number)

    # -- turns ---------------------------------------------------------------------------------
    def _try_pick(self, cycle: int) -> None:
        if not self._picking or cycle < self._pick_from:
            return
        other = self._turn ^ 1
        if self._slots[other].wants_codes:
            self._turn = other
        elif not self._slots[self._turn].wants_codes:
            return
        self._picking = False
        self._fetch_waits = (cycle + 1, self._turn)
        self._take_fetch()

    def _take_fetch(self) -> None:
        """The fetch takes a job when all of the one before is asked for."""
        if self._fetch_waits is None or self._left:
            return
        cycle, number = self._fetch_waits
        self._fetch_waits = None
        at = max(cycle, self._fetch_free)
        decoder = self._slots[number].decoder
        self._address, self._left = decoder.hashes, decoder.groups
        self._ask.at(at + 1)
        self._generator_waits = (at + 1, number)
        self._take_job()

    def _take_job(self) -> None:
        if self._generator_waits is None or self._job is not None:
            return
        cycle, number = self._generator_waits
        self._generator_waits = None
        at = max(cycle, self._generator_free)
        self._slots[number].wants_codes = False
        self._job, self._sending = number, True
        self._group, self._send_from = 0, at + 1
        self._taken_codes = []
        self._picking, self._pick_from = True, at + 1
        self._pick.at(at + 1)
        self._work()

    # -- constants -----------------------------------------------------------------------------
    def _try_ask(self, cycle: int) -> None:
        if not self._left or not self._places:
            return
        if cycle < self._places[0]:
            self._ask.at(self._places[0])
            return
        self._places.popleft()
        chunk = _Chunk(min(self._left, self._chunk_words))
        self._chunks.append(chunk)

        def landed(first: int) -> None:
            chunk.first = first
            self._work()

        self._reads.read(cycle, self._address, landed)
        self._address += HASH_CHUNK_BYTES
        self._left -= chunk.words
        if self._left:
            self._ask.at(cycle + 1)
        else:
            self._fetch_free = cycle + 1
            self._take_fetch()

    def _fill(self, chunk: _Chunk, unit: int) -> int:
        """Cycle from which the second register shows a unit."""
        assert chunk.first is not None
        at = self._unit_from
        for n in range(self._unit_beats):
            came = chunk.first + unit * self._unit_beats + n + Queue.BUFFERED_LATENCY
            at = max(at, came, self._beat_at + 1)
            self._beat_at = at
        moved = max(at + 1, self._shown_until)
        self._unit_from = moved + 1
        return moved + 1

    # -- codes ---------------------------------------------------------------------------------
    def _work(self) -> None:
        """Groups of the job, as far as their constants have come."""
        waiting = len(self._codes)
        while self._sending and self._chunks and self._chunks[0].first is not None:
            assert self._job is not None
            chunk, slot = self._chunks[0], self._slots[self._job]
            if not self._has_room(slot.misses):
                break
            place = self._word % self._unit_words
            if not place:
                self._full = self._fill(chunk, self._word // self._unit_words)
            first = max(self._send_from, self._full)
            self._codes.append(first + _LANDING)
            last = first + slot.misses - 1
            self._send_from = last + 1
            self._word += 1
            self._group += 1
            if place == self._unit_words - 1:
                self._shown_until = last
            elif self._word == chunk.words:
                self._shown_until = last + 1
            if self._word == chunk.words:
                self._drop(chunk)
            self._sending = self._group < slot.decoder.groups
        if waiting < len(self._codes):
            assert self._job is not None
            first = max(self._codes[0], self._last_code + 1)
            self._settle.at(max(first + self._slots[self._job].misses, self._clock.now + 1))

    def _has_room(self, rows: int) -> bool:
        """Whether it is known when the group's first code has room; then that counts."""
        before = self._group * rows - QUEUE_DEPTH
        if before < 0:
            return True
        group, place = divmod(before, rows)
        if group >= len(self._taken_codes):
            return False
        taken = self._taken_codes[group] - (rows - 1 - place)
        self._send_from = max(self._send_from, taken + 1)
        return True

    def _drop(self, chunk: _Chunk) -> None:
        """The chunk is used up: what is behind its last word passes through the register."""
        units = self._chunk_words // self._unit_words
        for unit in range(-(-chunk.words // self._unit_words), units):
            self._shown_until = self._fill(chunk, unit)
        self._word = 0
        self._chunks.popleft()
        self._places.append(self._shown_until + 1)
        self._ask.at(self._shown_until + 1)

    def _try_settle(self, cycle: int) -> None:
        """Codes that the bank writer has taken by now; the job ends with the last one."""
        number = self._job
        if number is None:
            return
        rows = self._slots[number].misses
        while self._codes:
            first = max(self._codes[0], self._last_code + 1)
            waited, end = -1, first + rows - 1
            while end < cycle and (waits := self._taken(number, first, end)) > waited:
                waited, end = waits, first + rows - 1 + waits
            if end >= cycle:  # not all that is written until then is known
                self._settle.at(end + 1)
                break
            self._codes.popleft()
            self._taken_codes.append(end)
            self._last_code = end
        self._work()
        if self._sending or self._codes:
            return
        self._job = None
        self._generator_free = self._last_code + 1
        # Taken by the bank writer, written, the pulse of its row.
        wish = self._last_code + self._writer_stages + 2
        self._clock.at(max(wish, cycle), self._landed, number)
        self._take_job()

    def _landed(self, cycle: int, number: int) -> None:
        self._on_making(cycle, number, False)
        slot = self._slots[number]
        self._on_wish(cycle, number, slot.decoder, slot.misses)
