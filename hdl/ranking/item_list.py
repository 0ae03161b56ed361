"""The list of items that a stage works on: survivors of the stage before."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .layouts import ranked_item_layout, survivor_layout

__all__ = ["ItemList"]


class ItemList(wiring.Component):
    """Two banks of item indices: the stage in work reads one, its survivors fill the other.

    Turns a survivor's position into an item index (``first``: the position itself, else the entry
    of the list at that position), then appends it to the other bank or, in the ``final`` stage,
    hands it over at ``o``. Positions come in ascending order and the list is ascending, so the
    next list is ascending too. The banks change roles with ``done``.

    Flow control: survivors that go into the list are taken one a cycle, latency 2 cycles; towards
    ``o`` the stream rules hold, latency 2 cycles. A loader's lookup takes one clock. Mapping and
    the first loader share a read port: survivors only come when all scores of the stage are in, and
    then the loaders have nothing left to load; while ``i`` is valid their answer is undefined.

    Parameters
    ----------
    config
        Device sizes: ``max_items``.

    Members
    -------
    first, final
        The stage in work is the query's first, last one. Stable from its start to its end.
    i
        Stream of ``survivor_layout``.
    o
        Stream of ``ranked_item_layout``, ``final`` stages only.
    list_address, list_data
        Item index at a position of the stage in work, one clock later; arrays, one a record loader.
    done
        One pulse: the survivor marked ``last`` was written to the list (not in ``final`` stages).
    """

    first: Signal
    final: Signal
    i: stream.Interface
    o: stream.Interface
    list_address: Any
    list_data: Any
    done: Signal

    LATENCY = 2
    """Cycles from a survivor to ``o``, or to ``done``."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "first": In(1),
                "final": In(1),
                "i": In(stream.Signature(survivor_layout(config))),
                "o": Out(stream.Signature(ranked_item_layout(config))),
                "list_address": In(config.candidate_bits).array(config.record_loaders),
                "list_data": Out(config.item_bits).array(config.record_loaders),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        item_bits = self._config.item_bits
        loaders = self._config.record_loaders
        # Read in this cycle, a port a loader; the items read in the cycle before.
        positions = [Signal(item_bits, name=f"position_{n}") for n in range(loaders)]
        looked_up = [Signal(item_bits, name=f"looked_up_{n}") for n in range(loaders)]
        advance = Signal()
        append = Signal()
        item: Any = Signal(ranked_item_layout(self._config))
        self._banks(m, positions, advance, looked_up, append, item.item)

        reading = Signal()
        score = Signal(16)
        last = Signal()
        mapped = Signal()
        m.d.comb += [
            advance.eq(~mapped | ~self.final | self.o.ready),
            self.i.ready.eq(advance),
            append.eq(mapped & ~self.final),
            self.done.eq(append & item.last),
            self.o.valid.eq(mapped & self.final),
            self.o.payload.eq(item),
        ]
        for n, (position, found) in enumerate(zip(positions, looked_up, strict=True)):
            asked = Signal(item_bits, name=f"asked_{n}")
            m.d.comb += [
                position.eq(self.list_address[n]),
                self.list_data[n].eq(Mux(self.first, asked, found)),
            ]
            with m.If(advance):
                m.d.sync += asked.eq(position)
        with m.If(self.i.valid):
            m.d.comb += positions[0].eq(self.i.payload.position)
        with m.If(advance):
            m.d.sync += [
                reading.eq(self.i.valid),
                score.eq(self.i.payload.score),
                last.eq(self.i.payload.last),
                mapped.eq(reading),
                item.item.eq(self.list_data[0]),
                item.score.eq(score),
                item.last.eq(last),
            ]
        return m

    def _banks(
        self,
        m: Module,
        positions: list[Signal],
        enable: Signal,
        looked_up: list[Signal],
        append: Signal,
        item: Signal,
    ) -> None:
        """Both memories: one is read at ``positions``, ``append`` adds to the other."""
        item_bits = self._config.item_bits
        reads_second = Signal()  # which bank is read; the first stage reads neither
        length = Signal(item_bits)  # wraps to 0 when the bank is full, which is also its end
        for index in range(2):
            bank: memory.Memory = memory.Memory(
                shape=item_bits, depth=self._config.max_items, init=[]
            )
            m.submodules[f"bank_{index}"] = bank
            for position, found in zip(positions, looked_up, strict=True):
                read = bank.read_port(domain="sync")
                m.d.comb += [read.addr.eq(position), read.en.eq(enable)]
                with m.If(reads_second == index):
                    m.d.comb += found.eq(read.data)
            write = bank.write_port()
            m.d.comb += [
                write.addr.eq(length),
                write.data.eq(item),
                write.en.eq(append & (reads_second != index)),
            ]
        with m.If(append):
            m.d.sync += length.eq(length + 1)
        with m.If(self.done):
            m.d.sync += [length.eq(0), reads_second.eq(~reads_second)]
