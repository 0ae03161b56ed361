"""Data stage of a gather lane: reads rows in the order of their lookups, a word a cycle."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import LINE_BYTES, Config
from ..interfaces import QUERY_BITS, config_write_layout, query_event_layout
from .granules import GRANULE_BYTES, granule_enable, place_granules
from .lane_layouts import (
    POOL_FIELDS,
    Source,
    filled_layout,
    line_write_layout,
    piece_layout,
    queue_entry_layout,
)
from .line_geometry import LineGeometry
from .line_rows import LineRows
from .static_cache import CacheRows, check_lane

__all__ = ["RowReader"]


class RowReader(wiring.Component):
    """Reads an entry in ceil(bytes / lane_bytes) words, one a cycle, entries back to back.

    An entry waits until its line has come, and one that hands something over also while the sum of
    a bag before it is being handed over (``sum_done``): rows leave in order. Nothing behind ``i``
    can refuse a word. ``o`` comes two cycles after the read.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane, the ``unit`` of its LOADs.

    Members
    -------
    i
        Entries of the lookup queue.
    read_done
        The last word of an entry is read in this cycle.
    line, busy
        Line that the entry at ``i`` wants; it will still be on its way in the next cycle.
    write, filled
        For the line memory.
    config_write
        For the row data of the static cache.
    o
        Words.
    sum_done
        The last word of a bag's sum that was read has been handed over.
    bus_error
        A word is zero because its line could not be fetched.
    idle
        No word is on its way to ``o`` and no bag's sum is being handed over.
    """

    i: stream.Interface
    read_done: Value
    line: Value
    busy: Value
    write: data.View
    filled: data.View
    config_write: data.View
    o: data.View
    sum_done: Value
    bus_error: data.View
    idle: Value

    ENTRY_LATENCY = 1
    """Cycles from an entry at ``i`` to its first read, at the earliest."""
    LATENCY = 4
    """Cycles from the read of a word to the word on ``BagSum.row_write``."""

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "i": In(stream.Signature(queue_entry_layout(config))),
                "read_done": Out(1),
                "line": Out(geometry.line_bits),
                "busy": In(1),
                "write": In(line_write_layout(config)),
                "filled": In(filled_layout(config)),
                "config_write": In(config_write_layout(config)),
                "o": Out(piece_layout(config)),
                "sum_done": In(1),
                "bus_error": Out(query_event_layout()),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        log2_lane = self._config.lane_bytes.bit_length() - 1
        m.submodules.rows = rows = CacheRows(config=self._config, lane=self._lane)
        m.submodules.lines = lines = LineRows(config=self._config)
        m.d.comb += [
            rows.config_write.eq(self.config_write),
            lines.write.eq(self.write),
            lines.filled.eq(self.filled),
        ]

        # What an entry waits for is known when it comes and followed while it is here.
        new = self.i.payload
        entry: Any = Signal(queue_entry_layout(self._config), reset_less=True)
        present = Signal()
        word = Signal(3)
        last_word = Signal(3)
        last = Signal()
        address = Signal.like(entry.address)  # of the word
        line_waits = Signal()  # the line with the entry's number is being fetched
        from_line = Signal()
        gives = Signal()  # it hands something over
        sums = Signal()  # this is a bag's sum
        summing = Signal()  # a sum is being handed over
        still = Signal()  # in the next cycle
        able, able_last = Signal(), Signal()  # but for its line a word can be read, the last one
        line_here = Signal()
        go, done = Signal(), Signal()
        log2_line = LINE_BYTES.bit_length() - 1
        line_bits = len(self.line)
        filled = self.filled
        m.d.comb += [
            self.line.eq(new.address >> log2_line),
            line_here.eq(~(from_line & line_waits)),
            go.eq(able & line_here),
            done.eq(able_last & line_here),
            self.i.ready.eq(~present | done),
            self.read_done.eq(done),
            rows.address.eq(address >> log2_lane),
            rows.enable.eq(go),
            lines.address.eq(address),
            lines.enable.eq(go),
        ]
        next_last, next_able = Signal(), Signal()
        m.d.comb += [
            next_last.eq(Mux(go, word + 1 == last_word, last)),
            next_able.eq(present & ~(gives & still)),
            still.eq((summing & ~self.sum_done) | (go & sums)),
        ]
        m.d.sync += [
            last.eq(next_last),
            able.eq(next_able),
            able_last.eq(next_able & next_last),
            summing.eq(still),
        ]
        with m.If(go):
            m.d.sync += [word.eq(word + 1), address.eq(address + (1 << log2_lane))]
        with m.If(filled.valid & (filled.line == (entry.address >> log2_line)[:line_bits])):
            m.d.sync += line_waits.eq(0)
        new_able = self.i.valid & ~((~new.pooled | new.pool_last) & still)
        new_last = new.log2_bytes <= log2_lane
        with m.If(self.i.ready):
            m.d.sync += [
                present.eq(self.i.valid),
                entry.eq(new),
                word.eq(0),
                address.eq(new.address),
                last.eq(new_last),
                able.eq(new_able),
                able_last.eq(new_able & new_last),
                last_word.eq(((1 << new.log2_bytes) - 1) >> log2_lane),
                line_waits.eq(self.busy),
                from_line.eq(new.source == Source.LINE),
                gives.eq(~new.pooled | new.pool_last),
                sums.eq(new.pooled & new.pool_last),
            ]

        held = self._held(m, entry, address, word, last, go)
        self._place(m, held, rows.data, lines)
        m.d.comb += self.idle.eq(~present & ~held.valid & ~self.o.valid & ~summing)
        return m

    def _held(
        self, m: Module, entry: Any, address: Value, word: Value, last: Value, go: Value
    ) -> Any:
        """What the word that the memories give next cycle needs to be placed."""
        log2_lane = self._config.lane_bytes.bit_length() - 1
        granule_bits = log2_lane - 2
        word_granule_bits = (self._geometry.word_bytes // GRANULE_BYTES - 1).bit_length()
        pool = {name: piece_layout(self._config)[name].shape for name in POOL_FIELDS}
        held: Any = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "unit": unsigned(8),
                    "address": unsigned(13),
                    "place": word_granule_bits,  # in the word that was read
                    "target": granule_bits,
                    "log2_granules": unsigned(3),
                    "source": unsigned(2),
                    "word": unsigned(3),
                    "last": 1,
                    "item_last": 1,
                    "query": unsigned(QUERY_BITS),
                    **pool,
                }
            )
        )
        piece = Signal(3)
        half_words = LINE_BYTES >> log2_lane
        m.d.comb += piece.eq(Mux(entry.log2_bytes < log2_lane, entry.log2_bytes, log2_lane) - 2)
        # The last word of a row: of the second half, of a row that is not cut, never of the first.
        m.d.sync += [
            held.valid.eq(go),
            held.address.eq(((entry.target >> log2_lane) + word) << log2_lane),
            held.place.eq(address >> 2),
            held.target.eq(entry.target[2:log2_lane]),
            held.log2_granules.eq(piece),
            held.word.eq(word + Mux(entry.half, half_words, 0)),
            held.last.eq(last),
            held.item_last.eq(entry.item_last & last),
        ]
        for name in ("unit", "source", "query", *POOL_FIELDS):
            m.d.sync += held[name].eq(entry[name])
        return held

    def _place(self, m: Module, reading: Any, static_data: Value, lines: LineRows) -> None:
        """Put the granules that were read where they belong in the lane's word.

        Not in the cycle in which the memories give them: they take half of it.
        """
        held: Any = Signal.like(reading)
        static_word, line_data = Signal.like(static_data), Signal.like(lines.data)
        line_error = Signal()
        m.d.sync += [
            held.eq(reading),
            static_word.eq(static_data),
            line_data.eq(lines.data),
            line_error.eq(lines.error),
        ]
        granules = self._config.lane_bytes // GRANULE_BYTES
        granule_bits = (granules - 1).bit_length()
        static = place_granules(
            static_word,
            source=held.place[:granule_bits],
            log2_granules=held.log2_granules,
            granules=granules,
        )
        line = place_granules(
            line_data, source=held.place, log2_granules=held.log2_granules, granules=granules
        )
        failed = held.valid & (held.source == Source.LINE) & line_error
        out = self.o
        m.d.comb += [
            out.valid.eq(held.valid),
            out.enable.eq(
                granule_enable(
                    target=held.target, log2_granules=held.log2_granules, granules=granules
                )
            ),
            self.bus_error.valid.eq(failed),
            self.bus_error.query.eq(held.query),
        ]
        with m.If(held.source == Source.STATIC):
            m.d.comb += out.data.eq(static)
        with m.Elif((held.source == Source.LINE) & ~line_error):
            m.d.comb += out.data.eq(line)
        for name in ("unit", "address", "word", "last", "item_last", *POOL_FIELDS):
            m.d.comb += out[name].eq(held[name])
