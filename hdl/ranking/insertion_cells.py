"""Cells that hold a short list in order while it comes in."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["InsertionCells"]


class InsertionCells(wiring.Component):
    """Insertion sort: a key a cycle in, then the largest one first, a key a cycle out.

    Every cell compares its key with the new one: those from the first smaller one on move down by
    one. Equal keys leave in the order in which they came. A key that is put in while all cells
    are in use pushes the smallest one out.

    ``insert`` and ``shift`` never come in the same cycle. One cycle from either to ``head``.

    Parameters
    ----------
    cells
        Most keys held, at least 2.
    width
        Bits of a key, unsigned.

    Members
    -------
    insert, key
        Put this key in.
    shift
        Drop the largest key.
    head
        The largest key.
    more
        There is another one behind it.
    """

    insert: Signal
    key: Signal
    shift: Signal
    head: Signal
    more: Signal

    def __init__(self, *, cells: int, width: int) -> None:
        if cells < 2:
            raise ValueError(f"cells must be at least 2, not {cells!r}")
        if width < 1:
            raise ValueError(f"width must be at least 1, not {width!r}")
        self._cells, self._width = cells, width
        super().__init__(
            {
                "insert": In(1),
                "key": In(width),
                "shift": In(1),
                "head": Out(width),
                "more": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        keys = [Signal(self._width, name=f"key_{n}") for n in range(self._cells)]
        full = Signal(self._cells)
        # The new key goes before this cell's: so it does for all behind.
        before = Signal(self._cells)
        m.d.comb += [
            self.head.eq(keys[0]),
            self.more.eq(full[1]),
            before.eq(Cat(~full[n] | (self.key > key) for n, key in enumerate(keys))),
        ]
        with m.If(self.insert):
            m.d.sync += full.eq(Cat(1, full))
            for n, key in enumerate(keys):
                above: Value = Mux(before[n - 1], keys[n - 1], self.key) if n else self.key
                with m.If(before[n]):
                    m.d.sync += key.eq(above)
        with m.Elif(self.shift):
            m.d.sync += full.eq(full >> 1)
            m.d.sync += [key.eq(lower) for key, lower in zip(keys, keys[1:], strict=False)]
        return m
