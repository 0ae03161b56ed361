"""Bookkeeping of one engine's weight stream: what to fetch next, where the beats go."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import QUERY_BITS, stream_state_layout
from ..program import STREAM_CHUNK_BYTES

__all__ = ["StreamLane", "stream_chunk_layout"]


def stream_chunk_layout(config: Config) -> data.StructLayout:
    """A chunk to be fetched, and how many of its beats are not padding."""
    chunks = config.address_bits - exact_log2(STREAM_CHUNK_BYTES)
    return data.StructLayout(
        {
            "stream": unsigned(chunks),  # first chunk of its stream
            "chunk": unsigned(chunks),  # its address, in chunks
            "useful": unsigned((STREAM_CHUNK_BYTES // config.axi_bytes).bit_length()),
        }
    )


class StreamLane(wiring.Component):
    """Cuts an engine's weight streams into chunks and tells the place of every beat.

    A chunk is offered when the ring has room for all of it: its last tile may be no more than
    (tiles of the ring - 2e) ahead of the tiles issued for loading, because the far corner of the
    engine still reads a tile's words some tile intervals after the load was issued. Tiles lie one
    after the other in the ring, over all streams since reset. A ring must hold at least 2e + 1
    tiles and a chunk; a request with another ring than the one before it may only come when every
    tile before it was consumed.

    One chunk every fourth cycle at most; ``write_address``, ``target`` and ``tile_last`` belong to
    the next beat and step with ``beat``.

    Parameters
    ----------
    config
        Sizes of the device.
    row, column
        Sub-array of the engine's anchor.

    Members
    -------
    i
        Streams in the order of execution; the next one is taken when all of this one is asked for.
    level
        Level of the engine; changes only between streams.
    consumed
        Pulse: a tile was issued for loading.
    active
        There is a next chunk: ``chunk``, of ``query``. It stays until ``take``; the next one shows
        two cycles later.
    room
        And the ring has room for it. Stays until ``take``.
    urgent
        Fewer than ``near_tiles`` tiles are asked for and not consumed. Stays until ``take``.
    take
        The chunk is fetched. Only while ``room``.
    beat
        The next beat of the stream (no padding) is written.
    write_address
        Weight bank address of that beat.
    target
        Sub-array whose bank it goes to, counted from the anchor.
    tile_last
        It is the last one of its tile.
    """

    NEAR_CYCLES = 256
    """A lane with tiles for as long as this can wait for others: twice the memory's latency."""

    ACCEPT_LATENCY = 3
    """Cycles from a stream at ``i`` to its first chunk: taken, decoded, shown."""
    REFUSED = 2
    """Cycles from the last chunk's ``take`` to the next stream's transfer, at the earliest."""
    CONSUMED_LATENCY = 3
    """Cycles from ``consumed`` to what follows from it: heard of, counted, shown."""

    i: stream.Interface
    level: Signal
    consumed: Signal
    active: Signal
    chunk: data.View
    query: Signal
    room: Signal
    urgent: Signal
    take: Signal
    beat: Signal
    write_address: Signal
    target: Signal
    tile_last: Signal

    def __init__(self, *, config: Config, row: int, column: int) -> None:
        for name, value in (("row", row), ("column", column)):
            if not 0 <= value < config.grid:
                raise ValueError(f"{name} must be in 0..{config.grid - 1}, not {value!r}")
        self._config = config
        self._largest = config.largest_level_at(row, column)
        super().__init__(
            {
                "i": In(stream.Signature(stream_state_layout(config))),
                "level": In(config.level_bits),
                "consumed": In(1),
                "active": Out(1),
                "chunk": Out(stream_chunk_layout(config)),
                "query": Out(QUERY_BITS),
                "room": Out(1),
                "urgent": Out(1),
                "take": In(1),
                "beat": In(1),
                "write_address": Out(config.weight_address_bits),
                "target": Out(max(1, exact_log2(config.sub_arrays))),
                "tile_last": Out(1),
            }
        )

    @staticmethod
    def near_tiles(config: Config) -> int:
        """Tiles that take about ``NEAR_CYCLES`` with row blocks of 2 S + 4 items, small ones."""
        return -(-StreamLane.NEAR_CYCLES // (2 * config.sub_array + 4))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._config.weight_address_bits
        base = Signal(width)
        mask = Signal(width)
        self._level = Signal.like(self.level)  # it changes between streams
        m.d.sync += self._level.eq(self.level)
        # A stream is decoded in the cycle after its transfer.
        asked: Any = Signal(stream_state_layout(self._config), reset_less=True)
        accepted = Signal()
        m.d.sync += accepted.eq(self.i.valid & self.i.ready)
        with m.If(self.i.ready):
            m.d.sync += asked.eq(self.i.payload)
        with m.If(accepted):
            m.d.sync += [
                base.eq(asked.ring_base),
                mask.eq(Cat(bit < asked.ring_log2_words for bit in range(width))),
            ]
        self._ask(m, accepted, asked)
        self._place(m, base, mask)
        return m

    def _by_level(self, m: Module, name: str, values: list[int]) -> Signal:
        """``values[level]``; levels that this anchor cannot have are never selected."""
        selected = Signal(max(1, max(values).bit_length()), name=name)
        with m.Switch(self._level):
            for level, value in enumerate(values):
                with m.Case(level):
                    m.d.comb += selected.eq(value)
        return selected

    def _ask(self, m: Module, accepted: Value, asked: Any) -> None:
        """Request side: chunks as long as there is room in the ring."""
        config = self._config
        chunk_beats = STREAM_CHUNK_BYTES // config.axi_bytes
        levels = range(self._largest + 1)
        tile = [config.slice_words << (2 * level) for level in levels]
        tile_beats = self._by_level(m, "tile_beats", tile)
        slack_beats = self._by_level(m, "slack_beats", [(2 << v) * tile[v] for v in levels])

        left = Signal(24 + exact_log2(max(tile)))  # beats of the stream not yet asked for
        beat_bits = exact_log2(config.weight_words) + 2 * self._largest
        ring = Signal(beat_bits + 1)  # beats of the ring
        room = Signal(signed(beat_bits + 3))  # kept below 0 by a ring that is too small
        held = Signal(beat_bits + 1)  # beats asked for whose tile was not consumed
        near_beats = self._by_level(m, "near_beats", [self.near_tiles(config) * v for v in tile])
        useful = self.chunk.useful
        consumed, free = Signal(), Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(free),
            room.eq(ring - slack_beats - held - chunk_beats),
        ]
        m.d.sync += [
            consumed.eq(self.consumed),
            free.eq((left == 0) & ~accepted & ~(self.i.valid & self.i.ready)),
            self.active.eq(left != 0),
            useful.eq(Mux(left < chunk_beats, left, chunk_beats)),
            self.room.eq((left != 0) & (room >= 0) & ~self.take),
            self.urgent.eq((held < near_beats) & ~self.take),
            # All are added up before it is known whether a chunk is taken, a tile consumed.
            held.eq(
                Mux(
                    consumed,
                    Mux(self.take, held + useful - tile_beats, held - tile_beats),
                    Mux(self.take, held + useful, held),
                )
            ),
        ]
        with m.If(self.take):
            m.d.sync += [self.chunk.chunk.eq(self.chunk.chunk + 1), left.eq(left - useful)]
        with m.If(accepted):
            first = asked.address[exact_log2(STREAM_CHUNK_BYTES) :]
            words = exact_log2(config.weight_words)
            one_hot = Cat(asked.ring_log2_words == bit for bit in range(words + 1))
            m.d.sync += [
                self.chunk.stream.eq(first),
                self.chunk.chunk.eq(first),
                self.query.eq(asked.query),
            ]
            with m.Switch(self._level):
                for level in levels:
                    with m.Case(level):
                        m.d.sync += [
                            left.eq(asked.tiles << exact_log2(tile[level])),
                            ring.eq(one_hot << (2 * level)),
                        ]

    def _place(self, m: Module, base: Value, mask: Value) -> None:
        """Write side: word, then sub-array row-major, then tile."""
        config = self._config
        # Never 0 bits wide: Verilog would make 2 bits of it.
        word = Signal(max(1, exact_log2(config.slice_words)))
        row = Signal(max(1, self._largest))
        column = Signal(max(1, self._largest))
        position = Signal(config.weight_address_bits)
        edge = self._by_level(m, "edge", [(1 << v) - 1 for v in range(self._largest + 1)])
        word_last = word == config.slice_words - 1
        row_end = word_last & (column == edge)
        next_word = Mux(word_last, 0, word + 1)
        next_column = Mux(row_end, 0, column + word_last)
        next_row = Mux(row_end, Mux(row == edge, 0, row + 1), row)
        m.d.comb += [
            self.write_address.eq(base + ((position + word) & mask)),
            self.target.eq(row * config.grid + column),
        ]

        def ends(word: Value, row: Value, column: Value) -> Value:
            return (word == config.slice_words - 1) & (row == edge) & (column == edge)

        # A register: a beat comes late in its cycle.
        m.d.sync += self.tile_last.eq(ends(word, row, column))
        with m.If(self.beat):
            m.d.sync += [
                word.eq(next_word),
                column.eq(next_column),
                row.eq(next_row),
                self.tile_last.eq(ends(next_word, next_row, next_column)),
            ]
            with m.If(self.tile_last):
                m.d.sync += position.eq(position + config.slice_words)
