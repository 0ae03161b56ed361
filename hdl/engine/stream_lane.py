"""Bookkeeping of one engine's weight stream: what to fetch next, where the beats go."""

from __future__ import annotations

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
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),
            "useful": unsigned((STREAM_CHUNK_BYTES // config.axi_bytes).bit_length()),
            "query": unsigned(QUERY_BITS),
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

    One chunk every second cycle at most; ``write_address``, ``target`` and ``tile_last`` belong to
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
    o
        Chunks to be fetched.
    beat
        The next beat of the stream (no padding) is written.
    write_address
        Weight bank address of that beat.
    target
        Sub-array whose bank it goes to, counted from the anchor.
    tile_last
        It is the last one of its tile.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal
    consumed: Signal
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
                "o": Out(stream.Signature(stream_chunk_layout(config))),
                "beat": In(1),
                "write_address": Out(config.weight_address_bits),
                "target": Out(max(1, exact_log2(config.sub_arrays))),
                "tile_last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = self._config.weight_address_bits
        accepted = Signal()
        base = Signal(width)
        mask = Signal(width)
        m.d.comb += accepted.eq(self.i.valid & self.i.ready)
        with m.If(accepted):
            log2_words = self.i.payload.ring_log2_words
            m.d.sync += [
                base.eq(self.i.payload.ring_base),
                mask.eq(Cat(bit < log2_words for bit in range(width))),
            ]
        self._ask(m, accepted)
        self._place(m, base, mask)
        return m

    def _by_level(self, m: Module, name: str, values: list[int]) -> Signal:
        """``values[level]``; levels that this anchor cannot have are never selected."""
        selected = Signal(max(1, max(values).bit_length()), name=name)
        with m.Switch(self.level):
            for level, value in enumerate(values):
                with m.Case(level):
                    m.d.comb += selected.eq(value)
        return selected

    def _ask(self, m: Module, accepted: Value) -> None:
        """Request side: chunks as long as there is room in the ring."""
        config = self._config
        chunk_beats = STREAM_CHUNK_BYTES // config.axi_bytes
        levels = range(self._largest + 1)
        tile = [config.slice_words << (2 * level) for level in levels]
        tile_beats = self._by_level(m, "tile_beats", tile)
        slack_beats = self._by_level(m, "slack_beats", [(2 << v) * tile[v] for v in levels])

        left = Signal(24 + exact_log2(max(tile)))  # beats of the stream not yet asked for
        address = Signal(config.address_bits - exact_log2(STREAM_CHUNK_BYTES))
        beat_bits = exact_log2(config.weight_words) + 2 * self._largest
        ring = Signal(beat_bits + 1)  # beats of the ring
        room = Signal(signed(beat_bits + 3))  # kept below 0 by a ring that is too small
        held = Signal(beat_bits + 1)  # beats asked for whose tile was not consumed
        useful = Signal(range(chunk_beats + 1))
        offer = Signal()
        query = Signal(QUERY_BITS)
        chunk = self.o.payload
        m.d.comb += [
            self.i.ready.eq(left == 0),
            useful.eq(Mux(left < chunk_beats, left, chunk_beats)),
            room.eq(ring - slack_beats - held - chunk_beats),
            offer.eq((left != 0) & (room >= 0) & ~self.o.valid),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(offer):
            m.d.sync += [
                self.o.valid.eq(1),
                chunk.address.eq(address << exact_log2(STREAM_CHUNK_BYTES)),
                chunk.useful.eq(useful),
                chunk.query.eq(query),
                address.eq(address + 1),
                left.eq(left - useful),
            ]
        m.d.sync += held.eq(held + Mux(offer, useful, 0) - Mux(self.consumed, tile_beats, 0))
        with m.If(accepted):
            asked = self.i.payload
            words = exact_log2(config.weight_words)
            one_hot = Cat(asked.ring_log2_words == bit for bit in range(words + 1))
            m.d.sync += address.eq(asked.address[exact_log2(STREAM_CHUNK_BYTES) :])
            m.d.sync += query.eq(asked.query)
            with m.Switch(self.level):
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
        m.d.comb += [
            self.write_address.eq(base + ((position + word) & mask)),
            self.target.eq(row * config.grid + column),
            self.tile_last.eq(word_last & (row == edge) & (column == edge)),
        ]
        with m.If(self.beat):
            m.d.sync += word.eq(Mux(word_last, 0, word + 1))
            with m.If(word_last):
                m.d.sync += column.eq(column + 1)
                with m.If(column == edge):
                    m.d.sync += [column.eq(0), row.eq(Mux(row == edge, 0, row + 1))]
            with m.If(self.tile_last):
                m.d.sync += position.eq(position + config.slice_words)
