"""Tags of finished DHE vectors: which ids need no hash and no decoder."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .decoder_table import table_write_layout
from .layouts import ID_BITS, RESULT_TAG

__all__ = ["ResultTags"]


class ResultTags(wiring.Component):
    """Set-associative tags, chosen by the host and written by LOAD; never replaced by themselves.

    ``set = (id ^ seed) mod 2**log2_sets``; a lookup hits where a valid tag of the set has its table
    and id. The vector then lies at ``place = set * ways + way``. The host keeps a (table, id) in
    one way at most. A lookup a cycle, LATENCY cycles, no flow control.

    Parameters
    ----------
    sets, ways
        Powers of two; up to 2**15 sets of 1, 2, 4 or 8 ways.

    Members
    -------
    write
        LOAD: address is set * ways + way, data a RESULT_TAG. Not while lookups are on their way.
    valid, table, seed, id
        A lookup.
    log2_sets
        Sets that are used: fewer where vectors are so long that fewer are held.
    done, hit, place
        Its outcome; ``place`` means something on a hit.
    """

    LATENCY = 3

    write: data.View
    valid: Signal
    table: Signal
    seed: Signal
    log2_sets: Signal
    id: Signal
    done: Signal
    hit: Signal
    place: Signal

    def __init__(self, *, sets: int, ways: int) -> None:
        if sets < 1 or sets & (sets - 1) or sets > 1 << 15:
            raise ValueError(f"sets must be a power of two, at most 32768, not {sets!r}")
        if ways not in (1, 2, 4, 8):
            raise ValueError(f"ways must be 1, 2, 4 or 8, not {ways!r}")
        self._sets, self._ways = sets, ways
        super().__init__(
            {
                "write": In(table_write_layout()),
                "valid": In(1),
                "table": In(9),
                "seed": In(15),
                "log2_sets": In(4),
                "id": In(ID_BITS),
                "done": Out(1),
                "hit": Out(1),
                "place": Out(max(1, exact_log2(sets * ways))),
            }
        )

    @property
    def place_bits(self) -> int:
        """Width of ``place``."""
        return max(1, exact_log2(self._sets * self._ways))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways, way_bits = self._ways, exact_log2(self._ways)
        set_bits = exact_log2(self._sets)
        tags: memory.Memory = memory.Memory(
            shape=data.ArrayLayout(RESULT_TAG, ways), depth=self._sets, init=[]
        )
        m.submodules.tags = tags
        write, read = tags.write_port(granularity=1), tags.read_port(domain="sync")
        address = self.write.address
        inside = address < self._sets * ways
        m.d.comb += [
            write.addr.eq(address >> way_bits),
            write.en.eq(Mux(self.write.valid & inside, 1 << address[:way_bits], 0)),
            *(write.data[way].as_value().eq(self.write.data) for way in range(ways)),
        ]
        wanted = data.StructLayout({"valid": 1, "table": 9, "id": ID_BITS})
        stages: list[Any] = [Signal(wanted, name=f"lookup_{n}") for n in range(2)]
        sets = [Signal(max(1, set_bits), name=f"set_{n}") for n in range(2)]
        mask = ((1 << self.log2_sets) - 1)[:set_bits]
        index = (self.id ^ self.seed)[:set_bits] & mask
        m.d.sync += [
            stages[0].valid.eq(self.valid),
            stages[0].table.eq(self.table),
            stages[0].id.eq(self.id),
            sets[0].eq(index),
            stages[1].eq(stages[0]),
            sets[1].eq(sets[0]),
        ]
        m.d.comb += read.addr.eq(sets[0])
        hits = Signal(ways)
        way = Signal(unsigned(max(1, way_bits)))
        for n in range(ways):
            tag = read.data[n]
            same = (tag.table == stages[1].table) & (tag.id == stages[1].id)
            m.d.comb += hits[n].eq(tag.valid & same)
            with m.If(hits[n]):
                m.d.comb += way.eq(n)
        place = Cat(way[:way_bits], sets[1][:set_bits]) if ways * self._sets > 1 else Const(0, 1)
        m.d.sync += [
            self.done.eq(stages[1].valid),
            self.hit.eq(hits.any()),
            self.place.eq(place),
        ]
        return m
