"""Walks through the interaction of one item after the other, one step a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..program import DOT_SHIFT_WORDS, InteractionMode
from .vector_buffer import COPY_BYTES

__all__ = ["StepGenerator", "item_layout", "step_layout"]


def item_layout(config: Config) -> data.StructLayout:
    """An item whose dense vector is in its vector slot."""
    return data.StructLayout(
        {
            "slot": unsigned(1),
            "row": unsigned(config.row_bits),
            "last_row": unsigned(1),  # last item of its job
            "address": unsigned(13),  # first byte of the item's vector slot
            "mode": unsigned(1),
            "log2_width": unsigned(3),
            "log2_outputs": unsigned(3),
            "vectors": unsigned(7),
            "shift_base": range(DOT_SHIFT_WORDS),
        }
    )


def step_layout(config: Config) -> data.StructLayout:
    """One cycle of the interaction's datapath."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "copy": unsigned(1),  # the bytes at address_b are the outputs
            "first": unsigned(1),  # first cycle of a dot product
            "final": unsigned(1),  # last cycle of the step: a chunk follows
            "address_a": unsigned(13),  # of vector i
            "address_b": unsigned(13),  # of vector j0
            "log2_width": unsigned(3),
            "shift_address": range(DOT_SHIFT_WORDS),
            "slot": unsigned(1),
            "row": unsigned(config.row_bits),
            "k": unsigned(13),
            "count": unsigned(5),
            "last": unsigned(1),  # last chunk of the row
            "last_row": unsigned(1),
        }
    )


class StepGenerator(wiring.Component):
    """Emits the steps of an item: plain copies first, then the dot steps in their fixed order.

    ``CAT`` copies all vectors, 16 bytes a step. ``DOT`` copies the dense vector so, then runs the
    steps of ``interaction_steps``; one of d > multipliers takes d / multipliers cycles.
    k, the shift address and the operand addresses only ever count up, so nothing is multiplied.

    Flow control: a step in every cycle in which ``enable`` is high; one cycle between items.
    An item is taken when it is offered and ``vectors_ready``.

    Parameters
    ----------
    config
        Device configuration.
    multipliers
        M, a power of two of at least 4.

    Members
    -------
    item
        Stream of items.
    vectors_ready
        All sparse vectors of the item have landed.
    enable
        A step may be emitted.
    step
        The step, registered; ``valid`` is high for one cycle a step.
    release
        With the item's last step: the vector slot is read for the last time in the next cycle.
    busy
        An item is being worked on.
    """

    item: stream.Interface
    vectors_ready: Signal
    enable: Signal
    step: Any
    release: Signal
    busy: Signal

    def __init__(self, *, config: Config, multipliers: int) -> None:
        if multipliers < 4 or multipliers & (multipliers - 1):
            raise ValueError(
                f"multipliers must be a power of two of at least 4, not {multipliers!r}"
            )
        self._config = config
        self._multipliers = multipliers
        super().__init__(
            {
                "item": In(stream.Signature(item_layout(config))),
                "vectors_ready": In(1),
                "enable": In(1),
                "step": Out(step_layout(config)),
                "release": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item: Any = Signal(item_layout(self._config))
        state: Any = Signal(
            data.StructLayout(
                {
                    "remaining": unsigned(14),  # bytes to copy
                    "copy_only": unsigned(1),
                    "width": unsigned(8),  # d
                    "outputs": unsigned(5),  # P
                    "block": unsigned(12),  # P * d: bytes between steps
                    "i": unsigned(7),
                    "j": unsigned(7),
                    "part": unsigned(7),  # byte inside the vectors: d > multipliers
                    "address_i": unsigned(13),
                    "address_j": unsigned(13),
                    "k": unsigned(13),
                    "shift_address": range(DOT_SHIFT_WORDS),
                }
            ),
            name="state",
        )
        m.d.sync += self.step.valid.eq(0)
        with m.FSM():
            with m.State("IDLE"):
                self._take_item(m, item, state)
            with m.State("COPY"):
                m.d.comb += self.busy.eq(1)
                with m.If(self.enable):
                    self._copy(m, item, state)
            with m.State("DOT"):
                m.d.comb += self.busy.eq(1)
                with m.If(self.enable):
                    self._dot(m, item, state)
        return m

    def _take_item(self, m: Module, item: Any, state: Any) -> None:
        new = self.item.payload
        cat = new.mode == InteractionMode.CAT.value
        m.d.comb += self.item.ready.eq(self.vectors_ready)
        with m.If(self.item.valid & self.vectors_ready):
            m.d.sync += [
                item.eq(new),
                state.remaining.eq(Mux(cat, new.vectors, 1) << new.log2_width),
                state.copy_only.eq(cat | (new.vectors == 1)),
                state.width.eq(1 << new.log2_width),
                state.outputs.eq(1 << new.log2_outputs),
                state.block.eq((1 << new.log2_outputs) << new.log2_width),
                state.i.eq(1),
                state.j.eq(0),
                state.part.eq(0),
                state.address_j.eq(new.address),
                state.k.eq(0),
                state.shift_address.eq(new.shift_base),
            ]
            m.next = "COPY"

    def _emit(self, m: Module, item: Any, state: Any) -> None:
        """What copies and dot steps have in common."""
        step = self.step
        m.d.sync += [
            step.valid.eq(1),
            step.address_a.eq(state.address_i + state.part),
            step.address_b.eq(state.address_j + state.part),
            step.log2_width.eq(item.log2_width),
            step.shift_address.eq(state.shift_address),
            step.slot.eq(item.slot),
            step.row.eq(item.row),
            step.k.eq(state.k),
            step.last_row.eq(item.last_row),
        ]

    def _copy(self, m: Module, item: Any, state: Any) -> None:
        step = self.step
        ends = state.remaining <= COPY_BYTES
        count = Signal(5, name="copy_count")
        m.d.comb += count.eq(Mux(ends, state.remaining, COPY_BYTES))
        self._emit(m, item, state)
        m.d.sync += [
            step.copy.eq(1),
            step.first.eq(1),
            step.final.eq(1),
            step.count.eq(count),
            step.last.eq(ends & state.copy_only),
            state.k.eq(state.k + count),
            state.address_j.eq(state.address_j + COPY_BYTES),
            state.remaining.eq(state.remaining - COPY_BYTES),
        ]
        with m.If(ends):
            m.d.sync += [
                state.address_i.eq(item.address + state.width),
                state.address_j.eq(item.address),
            ]
            with m.If(state.copy_only):
                m.d.comb += self.release.eq(1)
                m.next = "IDLE"
            with m.Else():
                m.next = "DOT"

    def _dot(self, m: Module, item: Any, state: Any) -> None:
        step = self.step
        left = Signal(7, name="dot_left")  # outputs of vector i still to come, at least 1
        count = Signal(5, name="dot_count")
        vector_end = Signal()
        item_end = Signal()
        final = Signal()
        m.d.comb += [
            left.eq(state.i - state.j),
            vector_end.eq(left <= state.outputs),
            count.eq(Mux(vector_end, left, state.outputs)),
            item_end.eq(vector_end & (state.i + 1 == item.vectors)),
            final.eq(state.part + self._multipliers >= state.width),
        ]
        self._emit(m, item, state)
        m.d.sync += [
            step.copy.eq(0),
            step.first.eq(state.part == 0),
            step.final.eq(final),
            step.count.eq(count),
            step.last.eq(item_end),
            state.part.eq(state.part + self._multipliers),
        ]
        with m.If(final):
            m.d.sync += [
                state.part.eq(0),
                state.k.eq(state.k + count),
                state.shift_address.eq(state.shift_address + 1),
                state.j.eq(state.j + state.outputs),
                state.address_j.eq(state.address_j + state.block),
            ]
            with m.If(vector_end):
                m.d.sync += [
                    state.i.eq(state.i + 1),
                    state.j.eq(0),
                    state.address_i.eq(state.address_i + state.width),
                    state.address_j.eq(item.address),
                ]
            with m.If(item_end):
                m.d.comb += self.release.eq(1)
                m.next = "IDLE"
