"""Puts the outputs of several vectors i, which a wide unit makes in a step, next to each other."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .interaction_steps import ROW_LANES, most_rows
from .pipeline import carry

__all__ = ["RowJoin", "row_join_latency"]


def row_join_latency(outputs: int) -> int:
    """Cycles of the join at a unit of so many outputs: two for each halving of the rows."""
    return 2 * exact_log2(most_rows(outputs))


class RowJoin(wiring.Component):
    """Moves the outputs of row r down to behind those of the rows before it.

    Row r of a step are lanes 32 r .. 32 r + 31, of which the first ``i`` + r count: the vectors
    before vector ``i`` + r. Neighbouring rows are joined, then neighbouring pairs: each join shifts
    its upper half down by what its lower half is short of, in two cycles of half the shift's bits
    each. Values behind the last one that counts mean nothing.

    A step every cycle; ``row_join_latency`` cycles. Registers move only with a step.

    Parameters
    ----------
    outputs
        Lanes, 64 or 128.

    Members
    -------
    valid, joined, first
        Of the step; ``joined``: its rows are joined, ``first`` is its lowest i; else its lanes stay
        where they are.
    i, o
        Values.
    """

    valid: Signal
    joined: Signal
    first: Signal
    i: Any
    o: Any

    def __init__(self, *, outputs: int) -> None:
        if outputs not in (64, 128):
            raise ValueError(f"outputs must be 64 or 128, not {outputs!r}")
        self._outputs = outputs
        super().__init__(
            {
                "valid": In(1),
                "joined": In(1),
                "first": In(range(ROW_LANES)),
                "i": In(data.ArrayLayout(signed(8), outputs)),
                "o": Out(data.ArrayLayout(signed(8), outputs)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        lanes: list[Value] = [self.i.as_value().word_select(n, 8) for n in range(self._outputs)]
        groups = [lanes[n : n + ROW_LANES] for n in range(0, self._outputs, ROW_LANES)]
        valid: Value = self.valid
        control: Value = Cat(self.joined, self.first)
        rows = 1  # of a group
        while len(groups) > 1:
            shifts = [self._shift(control, rows, n) for n in range(0, len(groups), 2)]
            pairs = list(zip(groups[::2], groups[1::2], strict=True))
            groups = [
                self._join(m, valid, lower, upper, shift, f"join_{rows}_{n}")
                for n, ((lower, upper), shift) in enumerate(zip(pairs, shifts, strict=True))
            ]
            valid, control = carry(m, valid, control, 2, name=f"control_{rows}")
            rows *= 2
        m.d.comb += self.o.as_value().eq(Cat(groups[0]))
        return m

    def _shift(self, control: Value, rows: int, group: int) -> Value:
        """Places down for a group of ``rows`` rows: what the one below, ``group``, is short of."""
        size = rows * ROW_LANES
        joined, first = control[0], control[1:]
        # Outputs of rows group * rows to group * rows + rows - 1.
        constant = rows * rows * group + rows * (rows - 1) // 2
        short = size - constant - (first << exact_log2(rows))
        return Mux(joined, short, 0)[: exact_log2(size) + 1]

    def _join(
        self,
        m: Module,
        valid: Value,
        lower: list[Value],
        upper: list[Value],
        shift: Value,
        name: str,
    ) -> list[Value]:
        """One group behind the other's last output, in two cycles."""
        size = len(lower)
        half = (len(shift) + 1) // 2
        # The upper group's lanes on their way down; below them is nothing yet.
        moved = _down([lower[0]] * size + upper, shift[:half], 0)
        stays = Cat((shift + n) < size for n in range(size))  # lane n is an output of the lower one
        first = [Signal(8, name=f"{name}_moved_{n}") for n in range(2 * size)]
        kept = [Signal(8, name=f"{name}_lower_{n}") for n in range(size)]
        below = Signal(size, name=f"{name}_stays")
        rest = Signal(len(shift) - half, name=f"{name}_shift")
        with m.If(valid):
            m.d.sync += [
                *(new.eq(old) for new, old in zip(first, moved, strict=True)),
                *(new.eq(old) for new, old in zip(kept, lower, strict=True)),
                below.eq(stays),
                rest.eq(shift[half:]),
            ]
        after, _ = carry(m, valid, Const(0, 0), 1, name=name)
        moved = _down(list(first), rest, half)
        joined = [Signal(8, name=f"{name}_{n}") for n in range(2 * size)]
        with m.If(after):
            m.d.sync += [
                new.eq(Mux(below[n], kept[n], moved[n]) if n < size else moved[n])
                for n, new in enumerate(joined)
            ]
        return list(joined)


def _down(lanes: list[Value], shift: Value, lowest: int) -> list[Value]:
    """Lanes ``shift << lowest`` places down, a level of choices a bit; the last ones stay."""
    for bit in range(len(shift)):
        by = 1 << (lowest + bit)
        lanes = [
            Mux(shift[bit], lanes[n + by], lane) if n + by < len(lanes) else lane
            for n, lane in enumerate(lanes)
        ]
    return lanes
