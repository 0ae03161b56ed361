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
        merge = _Merge(self._depth, self._key_width)
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
        read_key = self._memory(m, merge, write, write_key)
        best = Signal(self._key_width)
        m.d.comb += [best.eq(Mux(merge.winner, merge.head[1], merge.head[0])), write_key.eq(best)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        m.d.comb += self.i.ready.eq(merge.filling)
        with m.FSM():
            with m.State("FILL"):
                m.d.comb += [
                    write.eq(self.i.valid & ~short),
                    write_key.eq(self._key(self.i.payload.item, self.i.payload.score)),
                ]
                self._fill(m, merge, write, cells is not None)
            if cells is not None:
                self._drain(m, cells, merge.filling)
            self._begin_pair(m, merge, read_key)
            with m.State("PICK"):
                self._pick(m, merge)
                with m.If(~merge.final | ~self.o.valid | self.o.ready):
                    m.d.comb += write.eq(~merge.final)
                    m.d.sync += merge.out_index.eq(merge.out_index + 1)
                    with m.If(merge.final):
                        self._send(m, best, merge.out_index + 1 == merge.count)
                    m.d.sync += merge.refilling.eq(1)
                    m.next = "REFILL"
            with m.State("REFILL"):
                self._refill(m, merge, read_key)
        self._end_pair(m, merge)
        return m

    def _fill(self, m: Module, merge: _Merge, write: Signal, has_cells: bool) -> None:
        """Elements are taken, into the cells or into the memory."""
        m.d.sync += [merge.width.eq(1), merge.end.eq(0), merge.count.eq(merge.out_index + 1)]
        # Of count, which it is with the last element.
        m.d.sync += merge.final.eq(merge.out_index < 2)
        if has_cells:
            with m.If(self.short & self.i.valid & self.i.payload.last):
                m.d.sync += merge.filling.eq(0)
                m.next = "SETTLE"
        with m.If(write):
            m.d.sync += merge.out_index.eq(merge.out_index + 1)
            with m.If(self.i.payload.last):
                m.d.sync += [merge.out_index.eq(0), merge.to_second.eq(1), merge.filling.eq(0)]
                m.next = "PAIR"

    def _begin_pair(self, m: Module, merge: _Merge, read_key: Signal) -> None:
        """States that find the next two runs and read their first elements."""
        end, width, count = merge.end, merge.width, merge.count
        index, stop, head, full = merge.index, merge.stop, merge.head, merge.full
        with m.State("PAIR"):
            middle = _least(end + width, count)
            m.d.sync += [index[0].eq(end), index[1].eq(middle), stop[0].eq(middle)]
            m.d.sync += stop[1].eq(_least(end + (width << 1), count))
            m.d.sync += merge.last_pair.eq(end + (width << 1) >= count)
            m.next = "READ LEFT"
        with m.State("READ LEFT"):  # never empty
            m.d.comb += merge.address.eq(index[0])
            m.d.sync += index[0].eq(index[0] + 1)
            m.next = "READ RIGHT"
        with m.State("READ RIGHT"):
            m.d.comb += merge.address.eq(index[1])
            m.d.sync += [head[0].eq(read_key), full[0].eq(1), index[1].eq(index[1] + 1)]
            m.d.sync += merge.other.eq(read_key)
            m.next = "HEADS"
        with m.State("HEADS"):
            right = stop[0] != stop[1]
            m.d.sync += [
                head[1].eq(read_key),
                full[1].eq(right),
                merge.winner.eq(right & (read_key > merge.other)),
            ]
            m.next = "PICK"

    def _pick(self, m: Module, merge: _Merge) -> None:
        """Read the next element of the run whose head goes out; find out what is left."""
        winner, index, stop = merge.winner, merge.index, merge.stop
        head, full = merge.head, merge.full
        m.d.comb += merge.address.eq(Mux(winner, index[1], index[0]))
        runs_out = Mux(
            winner,
            (index[1] == stop[1]) & ~full[0],
            (index[0] == stop[0]) & ~full[1],
        )
        m.d.sync += merge.picked.eq(winner)
        m.d.sync += [more.eq(index[side] != stop[side]) for side, more in enumerate(merge.rest)]
        m.d.sync += [
            merge.other.eq(Mux(winner, head[0], head[1])),
            merge.other_full.eq(Mux(winner, full[0], full[1])),
            merge.empty.eq(runs_out),
            merge.pass_ends.eq(runs_out & merge.last_pair),
        ]

    def _refill(self, m: Module, merge: _Merge, read_key: Signal) -> None:
        """Put the element that was read into the head just used; the larger head is the next."""
        picked, rest = merge.picked, merge.rest
        for side in range(2):
            with m.If(picked == side):
                m.d.sync += [
                    merge.head[side].eq(read_key),
                    merge.full[side].eq(rest[side]),
                    merge.index[side].eq(merge.index[side] + 1),
                ]
        # No two keys are equal: each has its item's index.
        refilled = Mux(picked, rest[1], rest[0])
        goes_out = refilled & (~merge.other_full | (read_key > merge.other))
        m.d.sync += [merge.winner.eq(Mux(picked, goes_out, ~goes_out)), merge.refilling.eq(0)]
        m.next = "PICK"
        with m.If(merge.empty):
            m.next = "PAIR"
            with m.If(merge.pass_ends & merge.final):
                m.next = "FILL"

    def _end_pair(self, m: Module, merge: _Merge) -> None:
        """What the end of a pair of runs, and of a pass, changes beside the state."""
        with m.If(merge.refilling & merge.empty):
            m.d.sync += merge.end.eq(merge.stop[1])
        with m.If(merge.refilling & merge.pass_ends):
            m.d.sync += [
                merge.end.eq(0),
                merge.out_index.eq(0),
                merge.width.eq(merge.width << 1),
                merge.final.eq((merge.width << 2) >= merge.count),
                merge.to_second.eq(~merge.to_second & ~merge.final),
            ]
            with m.If(merge.final):
                m.d.sync += merge.filling.eq(1)

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

    def _memory(self, m: Module, merge: _Merge, write: Signal, write_key: Signal) -> Signal:
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
            read_port.addr.eq(Cat(merge.address[:bits], ~merge.to_second)),
            write_port.addr.eq(Cat(merge.out_index[:bits], merge.to_second)),
            write_port.data.eq(write_key),
            write_port.en.eq(write),
        ]
        return read_port.data


class _Merge:
    """Registers of a merge of two runs after the other, and the address that it reads.

    Much is known before it is asked for, so that the states wait for no comparison.
    """

    def __init__(self, depth: int, key_width: int) -> None:
        bits = depth.bit_length()  # counts 0 .. depth
        self.count = Signal(bits)
        self.width = Signal(bits)  # length of the runs that this pass merges
        self.end = Signal(bits)  # of the pair of runs before
        self.out_index = Signal(bits)  # where the next element goes
        self.index = [Signal(bits, name=f"index_{side}") for side in range(2)]  # next to be read
        self.stop = [Signal(bits, name=f"stop_{side}") for side in range(2)]  # end of the run
        self.head = [Signal(key_width, name=f"head_{side}") for side in range(2)]
        self.full = [Signal(name=f"full_{side}") for side in range(2)]  # the head holds an element
        self.final = Signal()  # the last pass: two runs at most, merged into the output
        self.last_pair = Signal()  # of runs in this pass
        # The run has elements to read.
        self.rest = [Signal(name=f"rest_{side}") for side in range(2)]
        self.winner = Signal()  # side whose head goes out
        self.picked = Signal()  # side whose head is refilled
        self.other = Signal(key_width)  # the head that is not refilled
        self.other_full = Signal()
        self.empty = Signal()  # both runs, once the element that goes out is through
        self.pass_ends = Signal()  # they are the last two of this pass, too
        self.refilling = Signal()  # the state as a register of its own
        self.to_second = Signal()  # this pass reads the memory's first half and writes the second
        self.address = Signal(bits)
        self.filling = Signal(init=1)  # elements are taken: the state as a register of its own


def _least(value: Value, limit: Value) -> Value:
    return Mux(value < limit, value, limit)
