"""Sorts the survivors of the last stage: short lists as they come, merge sort for long ones."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from .insertion_cells import InsertionCells
from .layouts import ranked_item_layout

__all__ = ["Sorter"]


class Sorter(wiring.Component):
    """Sorts a list: score descending, item ascending among equal scores.

    A list that is ``short`` goes through ``cells`` that keep it in order while it comes; its n-th
    element (from 0) is on offer at ``o`` ``SHORT_LATENCY`` + n cycles after the one in which
    ``last`` is taken, as long as ``o`` does not stall.

    Other lists: takes elements up to and with ``last``, merges runs of 1, 2, 4 .. elements from one
    memory into the other and back, and sends the last merge straight to ``o``.

    Latency for c elements: ``passes = max(1, ceil(log2 c))``; the pass that merges runs of w takes
    ``2 * c + 4 * ceil(c / (2 * w))`` cycles when ``o`` never stalls. Counted from the cycle in
    which ``last`` is taken at ``i``, the last element is taken at ``o`` after the sum of these.
    Inputs are taken one a cycle and refused while merging; ``o`` may stall for ever, and
    is valid every second cycle at best then.

    Parameters
    ----------
    config
        Device sizes: width of an item index.
    depth
        Most elements of a list, a power of two from 2 to ``max_items``; longer lists are the
        sender's fault and lose elements. Default ``max_items``.
    cells
        Most elements of a short list; 0: there are none.

    Members
    -------
    short
        The list that comes in is short; holds still from its first to its last element.
    i, o
        Streams of ``ranked_item_layout``; ``last`` closes a list at both ends.
    """

    SHORT_LATENCY = 3

    short: Signal
    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, config: Config, depth: int | None = None, cells: int = 0) -> None:
        depth = config.max_items if depth is None else depth
        if not 2 <= depth <= config.max_items or depth & (depth - 1):
            raise ValueError(
                f"depth must be a power of two in 2..{config.max_items}, not {depth!r}"
            )
        self._depth, self._cells = depth, cells
        self._layout = ranked_item_layout(config)
        self._item_bits = config.item_bits
        super().__init__(
            {
                "short": In(1),
                "i": In(stream.Signature(self._layout)),
                "o": Out(stream.Signature(self._layout)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = self._depth.bit_length()  # counts 0 .. depth
        count = Signal(bits)
        width = Signal(bits)  # length of the runs that this pass merges
        end = Signal(bits)  # of the pair of runs before
        out_index = Signal(bits)  # where the next element goes
        index = [Signal(bits, name=f"index_{side}") for side in range(2)]  # next to be read
        stop = [Signal(bits, name=f"stop_{side}") for side in range(2)]  # end of the run
        head = [Signal(self._key_width, name=f"head_{side}") for side in range(2)]
        full = [Signal(name=f"full_{side}") for side in range(2)]  # the head holds an element
        final = Signal()  # the last pass: two runs at most, merged into the output
        # Known before they are asked for, so that the states wait for no comparison.
        last_pair = Signal()  # of runs in this pass
        rest = [Signal(name=f"rest_{side}") for side in range(2)]  # the run has elements to read
        other = Signal(self._key_width)  # the head that is not refilled
        other_full = Signal()
        empty = Signal()  # both runs, once the element that goes out is through
        pass_ends = Signal()  # they are the last two of this pass, too
        refilling = Signal()  # the state as a register of its own
        to_second = Signal()  # this pass reads the memory's first half and writes the second
        address = Signal(bits)
        filling = Signal(init=1)  # elements are taken: the state as a register of its own
        write = Signal()
        write_key = Signal(self._key_width)
        cells = None
        short: Value = Const(0)
        if self._cells:
            m.submodules.cells = cells = InsertionCells(cells=self._cells, width=self._key_width)
            short = self.short
            m.d.sync += [
                cells.insert.eq(self.i.valid & self.i.ready & short),
                cells.key.eq(self._key(self.i.payload.item, self.i.payload.score)),
            ]
        read_key = self._memory(m, address, write, to_second, out_index, write_key)

        winner = Signal()  # side whose head goes out
        best = Signal(self._key_width)
        picked = Signal()  # side whose head is refilled
        m.d.comb += [best.eq(Mux(winner, head[1], head[0])), write_key.eq(best)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += self.i.ready.eq(filling)
        with m.FSM():
            with m.State("FILL"):
                m.d.comb += [
                    write.eq(self.i.valid & ~short),
                    write_key.eq(self._key(self.i.payload.item, self.i.payload.score)),
                ]
                m.d.sync += [width.eq(1), end.eq(0), count.eq(out_index + 1)]
                m.d.sync += final.eq(out_index < 2)  # of count, which it is with the last element
                if cells is not None:
                    with m.If(self.short & self.i.valid & self.i.payload.last):
                        m.d.sync += filling.eq(0)
                        m.next = "SETTLE"
                with m.If(write):
                    m.d.sync += out_index.eq(out_index + 1)
                    with m.If(self.i.payload.last):
                        m.d.sync += [out_index.eq(0), to_second.eq(1), filling.eq(0)]
                        m.next = "PAIR"
            if cells is not None:
                self._drain(m, cells, filling)
            with m.State("PAIR"):
                middle = _least(end + width, count)
                m.d.sync += [index[0].eq(end), index[1].eq(middle), stop[0].eq(middle)]
                m.d.sync += stop[1].eq(_least(end + (width << 1), count))
                m.d.sync += last_pair.eq(end + (width << 1) >= count)
                m.next = "READ LEFT"
            with m.State("READ LEFT"):  # never empty
                m.d.comb += address.eq(index[0])
                m.d.sync += index[0].eq(index[0] + 1)
                m.next = "READ RIGHT"
            with m.State("READ RIGHT"):
                m.d.comb += address.eq(index[1])
                m.d.sync += [head[0].eq(read_key), full[0].eq(1), index[1].eq(index[1] + 1)]
                m.d.sync += other.eq(read_key)
                m.next = "HEADS"
            with m.State("HEADS"):
                right = stop[0] != stop[1]
                m.d.sync += [
                    head[1].eq(read_key),
                    full[1].eq(right),
                    winner.eq(right & (read_key > other)),
                ]
                m.next = "PICK"
            with m.State("PICK"):
                m.d.comb += address.eq(Mux(winner, index[1], index[0]))
                runs_out = Mux(
                    winner,
                    (index[1] == stop[1]) & ~full[0],
                    (index[0] == stop[0]) & ~full[1],
                )
                m.d.sync += picked.eq(winner)
                m.d.sync += [more.eq(index[side] != stop[side]) for side, more in enumerate(rest)]
                m.d.sync += [
                    other.eq(Mux(winner, head[0], head[1])),
                    other_full.eq(Mux(winner, full[0], full[1])),
                    empty.eq(runs_out),
                    pass_ends.eq(runs_out & last_pair),
                ]
                with m.If(~final | ~self.o.valid | self.o.ready):
                    m.d.comb += write.eq(~final)
                    m.d.sync += out_index.eq(out_index + 1)
                    with m.If(final):
                        self._send(m, best, out_index + 1 == count)
                    m.d.sync += refilling.eq(1)
                    m.next = "REFILL"
            with m.State("REFILL"):
                self._refill(m, picked, read_key, index, rest, head, full)
                # No two keys are equal: each has its item's index.
                refilled = Mux(picked, rest[1], rest[0])
                goes_out = refilled & (~other_full | (read_key > other))
                m.d.sync += [winner.eq(Mux(picked, goes_out, ~goes_out)), refilling.eq(0)]
                m.next = "PICK"
                with m.If(empty):
                    m.next = "PAIR"
                    with m.If(pass_ends & final):
                        m.next = "FILL"
        with m.If(refilling & empty):
            m.d.sync += end.eq(stop[1])
        with m.If(refilling & pass_ends):
            m.d.sync += [
                end.eq(0),
                out_index.eq(0),
                width.eq(width << 1),
                final.eq((width << 2) >= count),
                to_second.eq(~to_second & ~final),
            ]
            with m.If(final):
                m.d.sync += filling.eq(1)
        return m

    def _drain(self, m: Module, cells: InsertionCells, filling: Signal) -> None:
        """States of a short list behind its last element."""
        with m.State("SETTLE"):  # the last one is put in
            m.next = "DRAIN"
        with m.State("DRAIN"):
            with m.If(~self.o.valid | self.o.ready):
                m.d.comb += cells.shift.eq(1)
                self._send(m, cells.head, ~cells.more)
                with m.If(~cells.more):
                    m.d.sync += filling.eq(1)
                    m.next = "FILL"

    @property
    def _key_width(self) -> int:
        return self._item_bits + 16

    def _key(self, item: Value, score: Value) -> Value:
        """A larger key is a better element: biased score above, inverted item index below."""
        return Cat(~item, score ^ 0x8000)

    def _send(self, m: Module, key: Signal, last: Value) -> None:
        m.d.sync += [
            self.o.valid.eq(1),
            self.o.payload.item.eq(~key[: self._item_bits]),
            self.o.payload.score.eq(key[self._item_bits :] ^ 0x8000),
            self.o.payload.last.eq(last),
        ]

    def _refill(
        self,
        m: Module,
        picked: Signal,
        read_key: Signal,
        index: list[Signal],
        rest: list[Signal],
        head: list[Signal],
        full: list[Signal],
    ) -> None:
        """Put the element that was read into the head just used."""
        for side in range(2):
            with m.If(picked == side):
                m.d.sync += [
                    head[side].eq(read_key),
                    full[side].eq(rest[side]),
                    index[side].eq(index[side] + 1),
                ]

    def _memory(
        self,
        m: Module,
        address: Signal,
        write: Signal,
        to_second: Signal,
        write_index: Signal,
        write_key: Signal,
    ) -> Signal:
        """Two halves, one read and the other written; returns the data read a cycle ago.

        One memory: what is read is compared at once, without a choice in between. Addresses lose
        the top bit of a count: index = depth is never used, only reached.
        """
        keys: memory.Memory = memory.Memory(shape=self._key_width, depth=2 * self._depth, init=[])
        m.submodules.memory = keys
        read_port = keys.read_port(domain="sync")
        write_port = keys.write_port()
        bits = exact_log2(self._depth)
        m.d.comb += [
            read_port.addr.eq(Cat(address[:bits], ~to_second)),
            write_port.addr.eq(Cat(write_index[:bits], to_second)),
            write_port.data.eq(write_key),
            write_port.en.eq(write),
        ]
        return read_port.data


def _least(value: Value, limit: Value) -> Value:
    return Mux(value < limit, value, limit)
