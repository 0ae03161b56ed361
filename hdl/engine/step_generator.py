"""Walks through the interaction of one item after the other, one step a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..program import InteractionMode
from .interaction_steps import ROW_LANES, most_rows, product_lanes
from .step_layouts import Phase, item_layout, state_layout, step_layout
from .vector_bank import COPY_BYTES

__all__ = ["StepGenerator"]


class StepGenerator(wiring.Component):
    """Emits the steps of an item: products, plain copies, then dot steps, in their fixed order.

    ``CAT`` copies all vectors, 16 bytes a step. ``DOT`` copies the dense vector so, then runs the
    steps of ``interaction_steps``; one of d > multipliers takes d / multipliers cycles. A wide unit
    takes as many vectors i in a step as ``step_rows`` says. With
    ``products`` their steps come first, as ``product_steps`` lists them, from vector 1 on; ``CAT``
    then copies the vectors behind them, of the last two ``tail`` units of 16 bytes each.
    Vector v is in bank v mod G, so going on to the next vector is going on to the next bank, and
    from the last one back to the first, d bytes further. k, the shift address, banks and addresses
    only ever count up: nothing is multiplied.

    Flow control: a step in every cycle in which ``enable`` is high. An item is taken when it is
    offered and complete, in the cycle of the last step of the item before or later: items follow
    each other without a gap. Its first step comes in the cycle after, registered another one later.
    What follows from an item is worked out before it is taken: the payload of ``item`` stands from
    the cycle before its ``valid`` on.

    Parameters
    ----------
    config
        Device configuration.
    multipliers
        M, a power of two of at least 4.
    outputs
        Most outputs of a step.

    Members
    -------
    item
        Stream of items.
    ready, next_ready
        All sparse vectors of the oldest item that is not released have landed; of the one after it.
    enable
        A step may be emitted.
    emits_chunk
        A step is emitted that a chunk will follow: ``step.chunk`` of the next cycle.
    step
        The step, registered; ``valid`` is high for one cycle a step.
    release
        With the item's last step: the vector slot is read for the last time in the next cycle.
    busy
        An item is being worked on.
    """

    item: stream.Interface
    ready: Signal
    next_ready: Signal
    enable: Signal
    emits_chunk: Signal
    step: Any
    release: Signal
    busy: Signal

    def __init__(self, *, config: Config, multipliers: int, outputs: int = 16) -> None:
        if multipliers < 4 or multipliers & (multipliers - 1):
            raise ValueError(
                f"multipliers must be a power of two of at least 4, not {multipliers!r}"
            )
        self._config = config
        self._multipliers = multipliers
        self._rows = most_rows(outputs)
        self._product_lanes = product_lanes(multipliers, outputs)
        self._log2_banks = exact_log2(config.gather_lanes)
        super().__init__(
            {
                "item": In(stream.Signature(item_layout(config))),
                "ready": In(1),
                "next_ready": In(1),
                "enable": In(1),
                "emits_chunk": Out(1),
                "step": Out(step_layout(config, outputs)),
                "release": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item: Any = Signal(item_layout(self._config))
        state: Any = Signal(state_layout(self._config, several=self._rows > 1), name="state")
        m.d.comb += [
            self.busy.eq(state.busy),
            self.release.eq(self.enable & state.last_step),
            self.emits_chunk.eq(self.enable & self._makes_chunk(state)),
        ]
        m.d.sync += [self.step.valid.eq(0), self.step.chunk.eq(0)]
        with m.If(self.enable):
            with m.If(state.phase == Phase.COPY):
                self._copy(m, item, state)
            with m.If(state.phase == Phase.DOT):
                self._dot_phase(m, item, state)
            with m.If(state.phase == Phase.PRODUCT):
                self._product(m, item, state)
        self._take_item(m, item, state)
        return m

    def _makes_chunk(self, state: Any) -> Value:
        """Whether the step that comes is a dot product's first part or middle, or more."""
        dot = state.phase == Phase.DOT
        parts = dot & ~state.final
        if self._rows > 1:
            parts &= state.log2_rows == 0
        return self.busy & ~parts

    def _take_item(self, m: Module, item: Any, state: Any) -> None:
        """Start the next item, over what the last step of the one before leaves behind."""
        new = self.item.payload
        # The item's start, a cycle ahead: all that is taken is one choice away from registers.
        start: Any = Signal.like(state, name="start")
        cat = new.mode == InteractionMode.CAT.value
        products = new.products != 0
        width: Value = Signal(8)
        copies = Signal(3)  # log2 of the vectors of a copy
        vector_1 = self._following(0, new.address, width, 1)
        vector_2 = self._following(0, new.address, width, 2)
        m.d.comb += [
            width.eq(1 << new.log2_width),
            copies.eq(Mux(width < COPY_BYTES, exact_log2(COPY_BYTES) - new.log2_width, 0)),
            self.item.ready.eq(Mux(self.busy, self.release & self.next_ready, self.ready)),
        ]
        several: list[Any] = []
        joined: Value = Const(0, 1)
        if self._rows > 1:
            log2_rows = self._log2_rows(new)
            joined = log2_rows.any()
            several = [
                start.log2_rows.eq(log2_rows),
                start.left.eq(new.vectors),
                start.rows_end.eq(new.vectors <= (1 << log2_rows)),
            ]
        with m.If(self.release):
            m.d.sync += [state.phase.eq(Phase.IDLE), state.busy.eq(0), state.last_step.eq(0)]
        copied = Mux(cat, new.vectors, 1) << new.log2_width
        vectors: Value = Const(0, 5)  # that a copy has at most
        for number in range(exact_log2(COPY_BYTES) + 1):
            vectors = Mux(new.log2_width == number, COPY_BYTES >> number, vectors)
        short = Mux(cat, new.vectors <= vectors, vectors != 0)  # copied <= COPY_BYTES
        copy_ends = Mux(products, new.copied <= 1, short)
        copy_only = cat | (new.vectors == 1)
        remaining = Mux(products, new.copied << exact_log2(COPY_BYTES), copied)
        tail = new.tail << exact_log2(COPY_BYTES)  # bytes; of NeuMF
        lanes = self._product_lanes
        m.d.sync += [
            start.busy.eq(1),
            start.phase.eq(Mux(products, Phase.PRODUCT, Phase.COPY)),
            start.remaining.eq(remaining),
            start.copy_ends.eq(copy_ends),
            start.copied_vector.eq(
                (width <= COPY_BYTES) | (products & (new.copied <= 2 * new.tail) & (new.tail <= 1))
            ),
            start.pair_bytes.eq(2 * tail + COPY_BYTES),
            start.copy_only.eq(copy_only),
            start.last_step.eq(~products & copy_ends & copy_only),
            start.width.eq(width),
            start.outputs.eq(1 << new.log2_outputs),
            start.product_count.eq(Mux(width < lanes, width, lanes)),
            start.product_single.eq(width <= lanes),
            start.product_end.eq(width <= lanes),
            start.last_pair.eq(new.products == 1),
            *several,
            # Steps of several vectors begin with vector 0, which has no outputs.
            start.i.eq(Mux(joined, 0, 1)),
            start.j.eq(0),
            start.next_j.eq(1 << new.log2_outputs),
            start.next_end.eq(2 << new.log2_outputs),
            start.last_but_one.eq(new.vectors - 2),
            start.last_i.eq(new.vectors == 2),
            start.single.eq(width <= self._multipliers),
            start.final.eq(width <= self._multipliers),
            start.vector_end.eq(1),
            start.part.eq(0),
            start.bank_i.eq(Mux(joined, 0, vector_1[0])),
            start.address_i.eq(Mux(joined, new.address, vector_1[1])),
            start.bank_j.eq(Mux(products, vector_2[0], 0)),
            start.address_j.eq(Mux(products, vector_2[1], new.address)),
            start.k.eq(Mux(products, new.product_base, 0)),
            start.shift_address.eq(new.shift_base),
            *self._move(start.copy_move, copies, width),
            *self._move(start.dot_move, new.log2_outputs, width),
        ]
        with m.If(self.item.valid & self.item.ready):
            m.d.sync += [item.eq(new), state.eq(start)]

    def _log2_rows(self, new: Any) -> Value:
        """Of ``step_rows``, for items that are no products."""
        fits = (new.vectors <= ROW_LANES) & (new.log2_outputs == exact_log2(ROW_LANES))
        fits &= new.products == 0
        widths = [max(1, min(self._rows, self._multipliers // (ROW_LANES << n))) for n in range(8)]
        rows: Value = Const(0, 2)
        for log2_width, count in enumerate(widths):
            rows = Mux(new.log2_width == log2_width, exact_log2(count), rows)
        return Mux(fits, rows, 0)[:2]

    def _following(
        self, bank: Any, address: Value, width: Value, vectors: int
    ) -> tuple[Value, Value]:
        """Bank and address of the vector that comes one or two after another."""
        banks = 1 << self._log2_banks
        if vectors >= banks:
            return Const(bank) if isinstance(bank, int) else bank, address + (
                width << exact_log2(vectors // banks)
            )
        if isinstance(bank, int):
            return Const(bank + vectors), address
        total = bank + vectors
        return total[: self._log2_banks], address + Mux(total[self._log2_banks], width, 0)

    def _move(self, move: Any, log2_vectors: Value, width: Value) -> list[Any]:
        """Assignments of the way past ``1 << log2_vectors`` vectors."""
        top = self._log2_banks
        most = exact_log2(self._config.row_outputs) - top  # vectors of a step
        rounds = [(width << n) for n in range(max(0, most) + 1)]  # more vectors than banks
        length: Value = rounds[0]
        for number, value in enumerate(rounds):
            length = Mux(log2_vectors == top + number, value, length) if number else length
        return [
            move.log2_group.eq(Mux(log2_vectors > top, top, log2_vectors)),
            move.banks.eq(Mux(log2_vectors > top, 1 << top, 1 << log2_vectors)),
            move.bytes.eq(length),
        ]

    def _emit(self, m: Module, item: Any, state: Any, move: Any) -> None:
        """What copies and dot steps have in common."""
        step = self.step
        m.d.sync += [
            step.valid.eq(1),
            step.address_a.eq(state.address_i + state.part),
            step.bank_a.eq(state.bank_i),
            step.address_b.eq(state.address_j + state.part),
            step.bank_b.eq(state.bank_j),
            step.log2_group.eq(move.log2_group),
            step.log2_width.eq(item.log2_width),
            step.shift_address.eq(state.shift_address),
            step.slot.eq(item.slot),
            step.row.eq(item.row),
            step.k.eq(state.k),
            step.last_row.eq(item.last_row),
        ]
        if self._rows > 1:
            m.d.sync += [step.log2_rows.eq(0), step.i.eq(state.i)]

    def _next_vectors(self, m: Module, state: Any, move: Any) -> None:
        """On to the next block of vectors j."""
        bank = state.bank_j + move.banks
        m.d.sync += state.bank_j.eq(bank)
        with m.If(bank[self._log2_banks]):
            m.d.sync += state.address_j.eq(state.address_j + move.bytes)

    def _first_vectors(self, m: Module, item: Any, state: Any) -> None:
        """Back to vector 0, on to the next vector i."""
        m.d.sync += [
            state.bank_j.eq(0),
            state.address_j.eq(item.address),
        ]
        bank = state.bank_i + 1
        m.d.sync += state.bank_i.eq(bank)
        with m.If(bank[self._log2_banks]):
            m.d.sync += state.address_i.eq(state.address_i + state.width)

    def _in_one_step(self, count: Any, *, load_a: int, last: Any) -> list[Any]:
        """All chunks of what the step makes: ``count`` outputs, perhaps the item's ``last``."""
        step = self.step
        return [
            step.load_a.eq(load_a),
            step.first.eq(1),
            step.final.eq(1),
            step.chunk.eq(1),
            step.count.eq(count),
            step.last.eq(last),
        ]

    def _product(self, m: Module, item: Any, state: Any) -> None:
        """Products of vectors i and j, then of the pair behind them, then the copies."""
        step, lanes = self.step, self._product_lanes
        following_i = self._following(state.bank_i, state.address_i, state.width, 2)
        following_j = self._following(state.bank_j, state.address_j, state.width, 2)
        count = state.product_count
        vector_end = state.product_end
        self._emit(m, item, state, state.dot_move)
        m.d.sync += [
            step.copy.eq(0),
            step.product.eq(1),
            step.log2_group.eq(0),
            *self._in_one_step(count, load_a=1, last=0),
            state.k.eq(state.k + count),
            state.shift_address.eq(state.shift_address + 1),
            state.part.eq(Mux(vector_end, 0, state.part + lanes)),
            state.product_end.eq(
                Mux(vector_end, state.product_single, state.part + 2 * lanes >= state.width)
            ),
        ]
        with m.If(vector_end):
            m.d.sync += [
                state.i.eq(state.i + 1),
                state.bank_i.eq(following_i[0]),
                state.address_i.eq(following_i[1]),
                state.bank_j.eq(following_j[0]),
                state.address_j.eq(following_j[1]),
            ]
            m.d.sync += state.last_pair.eq(state.i + 1 == item.products)
            with m.If(state.last_pair):
                m.d.sync += [
                    state.phase.eq(Phase.COPY),
                    state.last_step.eq(state.copy_ends & state.copy_only),
                    state.k.eq(0),
                    # The vector behind the last pair.
                    state.bank_j.eq(following_i[0]),
                    state.address_j.eq(following_i[1]),
                ]

    def _copy(self, m: Module, item: Any, state: Any) -> None:
        step = self.step
        # Values, no signals: these would wait for ``enable``.
        ends = state.copy_ends
        next_ends = state.remaining <= 2 * COPY_BYTES
        first_dot = state.single & state.last_i & state.vector_end
        if self._rows > 1:
            first_dot = Mux(state.log2_rows == 0, first_dot, state.rows_end)
        vector_end = state.copied_vector
        # Of the next copy: of the same vector, or of the one behind it; NeuMF has tails.
        tail = item.tail << exact_log2(COPY_BYTES)
        last_pair = state.remaining <= state.pair_bytes
        part = state.part + 2 * COPY_BYTES
        same_ends = (part >= state.width) | (last_pair & (part >= tail))
        next_ends_vector = (state.width <= COPY_BYTES) | (last_pair & (item.tail <= 1))
        count = Mux(ends, state.remaining[:5], COPY_BYTES)
        self._emit(m, item, state, state.copy_move)
        m.d.sync += [
            step.copy.eq(1),
            step.product.eq(0),
            *self._in_one_step(count, load_a=0, last=ends & state.copy_only),
            state.k.eq(state.k + count),
            state.part.eq(Mux(vector_end, 0, state.part + COPY_BYTES)),
            state.remaining.eq(state.remaining - COPY_BYTES),
            state.copy_ends.eq(next_ends),
            state.copied_vector.eq(Mux(vector_end, next_ends_vector, same_ends)),
            state.last_step.eq(next_ends & state.copy_only),
        ]
        with m.If(vector_end):
            self._next_vectors(m, state, state.copy_move)
        with m.If(ends):
            m.d.sync += [
                state.phase.eq(Phase.DOT),
                state.bank_j.eq(0),
                state.address_j.eq(item.address),
                state.last_step.eq(first_dot),
            ]

    def _dot_phase(self, m: Module, item: Any, state: Any) -> None:
        """A step of one vector i, or of several."""
        if self._rows == 1:
            self._dot(m, item, state)
            return
        with m.If(state.log2_rows == 0):
            self._dot(m, item, state)
        with m.Else():
            self._dots(m, item, state)

    def _dots(self, m: Module, item: Any, state: Any) -> None:
        """Vectors i, i + 1, .. with all before them; on to the next ones."""
        step, i = self.step, state.i
        rows = Signal(range(self._rows + 1))
        m.d.comb += rows.eq(1 << state.log2_rows)
        item_end = state.rows_end
        # Outputs of 1, 2, .. vectors: i each, and 1, 2, .. more.
        counts = [n * i + n * (n - 1) // 2 for n in range(1, self._rows + 1)]
        count: Value = counts[0]
        for number, value in enumerate(counts[1:], 2):
            count = Mux(Mux(item_end, state.left, rows) == number, value, count)
        count = count[: len(step.count)]
        bank = state.bank_i + rows
        next_end = state.left <= rows << 1
        self._emit(m, item, state, state.dot_move)
        m.d.sync += [
            step.copy.eq(0),
            step.product.eq(0),
            *self._in_one_step(count, load_a=1, last=item_end),
            step.log2_rows.eq(state.log2_rows),
            state.k.eq(state.k + count),
            state.shift_address.eq(state.shift_address + 1),
            state.i.eq(i + rows),
            state.left.eq(state.left - rows),
            state.rows_end.eq(next_end),
            state.last_step.eq(next_end),
            state.bank_i.eq(bank),
        ]
        with m.If(bank[self._log2_banks]):
            m.d.sync += state.address_i.eq(state.address_i + state.width)

    def _dot(self, m: Module, item: Any, state: Any) -> None:
        step = self.step
        left = (state.i - state.j)[:7]  # outputs of vector i still to come, at least 1
        vector_end = state.vector_end  # left <= outputs
        count = Mux(vector_end, left, state.outputs)[: len(step.count)]
        item_end = vector_end & state.last_i
        final = state.final
        next_final = state.part + 2 * self._multipliers >= state.width
        same_i_ends = state.i <= state.next_end
        next_last_i = state.i == state.last_but_one
        next_i_ends = state.i < state.outputs
        self._emit(m, item, state, state.dot_move)
        m.d.sync += [
            step.copy.eq(0),
            step.product.eq(0),
            step.load_a.eq((state.j == 0) | (state.width > self._multipliers)),
            step.first.eq(state.part == 0),
            step.final.eq(final),
            step.chunk.eq(final),
            step.count.eq(count),
            step.last.eq(item_end),
            state.part.eq(state.part + self._multipliers),
            state.final.eq(next_final),
            state.last_step.eq(next_final & item_end),
        ]
        with m.If(final):
            m.d.sync += [
                state.part.eq(0),
                state.final.eq(state.single),
                state.vector_end.eq(same_i_ends),
                state.last_step.eq(state.single & same_i_ends & state.last_i),
                state.k.eq(state.k + count),
                state.shift_address.eq(state.shift_address + 1),
                state.j.eq(state.next_j),
                state.next_j.eq(state.next_end),
                state.next_end.eq(state.next_end + state.outputs),
            ]
            self._next_vectors(m, state, state.dot_move)
            with m.If(vector_end):
                m.d.sync += [
                    state.i.eq(state.i + 1),
                    state.last_i.eq(next_last_i),
                    state.last_step.eq(state.single & next_i_ends & next_last_i),
                    state.j.eq(0),
                    state.next_j.eq(state.outputs),
                    state.next_end.eq(state.outputs << 1),
                    state.vector_end.eq(next_i_ends),
                ]
                self._first_vectors(m, item, state)
