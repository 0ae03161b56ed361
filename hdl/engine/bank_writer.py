"""Writes chunks of tensor rows into an engine's activation banks."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import bank_write_layout, chunk_layout
from ..skid import ReadyRegister
from .interaction_steps import ROW_LANES

__all__ = ["BankWriter", "row_done_layout", "writer_capacity", "writer_stages"]


def writer_stages(values: int) -> int:
    """Registers between a chunk of an engine with chunks of up to so many values and its write:
    taken, located, piece, write; long chunks are turned in two cycles."""
    return 5 if values > ROW_LANES else 4


def writer_capacity(values: int) -> int:
    """Chunks inside while the bank refuses writes: one waits behind the first stage, one write
    behind the last one."""
    return writer_stages(values) + 1 + ReadyRegister.CAPACITY


def row_done_layout() -> data.StructLayout:
    """Pulse: the last chunk of a row of ``slot`` has been written."""
    return data.StructLayout({"valid": unsigned(1), "slot": unsigned(1)})


class BankWriter(wiring.Component):
    """Turns chunks from two sources into bank writes: interaction results and dense inputs.

    A chunk of the interaction has as many values as its unit has outputs, a dense one 16 at most.
    Value k of row m goes to lane k % E, address base + (k // E) * pitch + m, slot as the top bit,
    E = S << level. A chunk that runs over a page's end is still one write (``wrapped`` lanes);
    one longer than E is split into pieces of E values. Address bits above the lane's half are
    dropped: bases are checked when the program is made.

    Flow control: one piece a cycle, ``writer_stages`` cycles from chunk to write. When both sources
    have a chunk they take turns. base and pitch are sampled when the chunk is taken. A chunk waits
    as long as the bank refuses writes.

    Parameters
    ----------
    config
        Device configuration.
    row, column
        Sub-array of the engine's anchor: fixes the largest E.

    Members
    -------
    level
        Partition level of the engine; changed only while nothing is in here.
    i_chunk, chunk_base, chunk_pitch
        Interaction results, bank address of their page 0, bytes between pages.
    i_dense, dense_base, dense_pitch
        Dense inputs, likewise.
    bank_write
        Stream of writes.
    chunk_row, dense_row
        Pulses the cycle after the bank accepted the last piece of a chunk with ``last``.
    """

    level: Signal
    i_chunk: stream.Interface
    chunk_base: Signal
    chunk_pitch: Signal
    i_dense: stream.Interface
    dense_base: Signal
    dense_pitch: Signal
    bank_write: stream.Interface
    dense_row: Any
    chunk_row: Any

    def __init__(self, *, config: Config, row: int, column: int) -> None:
        for name, value in (("row", row), ("column", column)):
            if not 0 <= value < config.grid:
                raise ValueError(f"{name} must be in 0..{config.grid - 1}, not {value!r}")
        self._config = config
        self._edge = config.largest_edge_at(row, column)
        self._largest_level = config.largest_level_at(row, column)
        self._values = config.interaction_outputs_at(row, column)
        super().__init__(
            {
                "level": In(2),
                "i_chunk": In(stream.Signature(chunk_layout(config, self._values))),
                "chunk_base": In(16),
                "chunk_pitch": In(9),
                "i_dense": In(stream.Signature(chunk_layout(config))),
                "dense_base": In(16),
                "dense_pitch": In(9),
                "bank_write": Out(stream.Signature(bank_write_layout(config, self._edge))),
                "dense_row": Out(row_done_layout()),
                "chunk_row": Out(row_done_layout()),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        located_ready = Signal()
        taken, taken_valid, is_dense = self._take(m, located_ready)
        pieces_ready = Signal()
        located, located_valid = self._locate(m, taken, taken_valid, is_dense, pieces_ready)
        m.d.comb += located_ready.eq(~located_valid | pieces_ready)
        self._write_pieces(m, located, located_valid, pieces_ready)
        return m

    def _take(self, m: Module, ready: Value) -> tuple[Any, Signal, Signal]:
        """Stage 1: take a chunk of one source, with its base and pitch."""
        chunk = chunk_layout(self._config, self._values)
        taken: Any = Signal(
            data.StructLayout({"chunk": chunk, "base": unsigned(16), "pitch": unsigned(9)}),
            reset_less=True,
        )
        taken_valid = Signal()
        is_dense = Signal()
        # A second place, so that whether the bank refuses writes reaches the sources a cycle late:
        # their ``ready`` is a register.
        spare: Any = Signal.like(taken)  # not reset, like all data here
        spare_valid = Signal()
        spare_dense = Signal()
        chosen: Any = Signal.like(taken)
        offered = Signal()
        choose_dense = Signal()
        last_dense = Signal()  # source of the chunk before: the other one goes first
        m.d.comb += [
            offered.eq(self.i_dense.valid | self.i_chunk.valid),
            choose_dense.eq(self.i_dense.valid & (~self.i_chunk.valid | ~last_dense)),
            # Each source's turn follows from the other one's ``valid`` alone: what makes a valid
            # does not come back as its own ready.
            self.i_dense.ready.eq(~spare_valid & (~self.i_chunk.valid | ~last_dense)),
            self.i_chunk.ready.eq(~spare_valid & (~self.i_dense.valid | last_dense)),
            chosen.chunk.eq(self.i_chunk.payload),
            chosen.base.eq(self.chunk_base),
            chosen.pitch.eq(self.chunk_pitch),
        ]
        with m.If(choose_dense):
            # Dense chunks may be shorter.
            dense = self.i_dense.payload
            m.d.comb += [
                *(chosen.chunk[name].eq(dense[name]) for name, _ in dense.shape()),
                chosen.base.eq(self.dense_base),
                chosen.pitch.eq(self.dense_pitch),
            ]
        with m.If(~spare_valid):
            m.d.sync += [spare.eq(chosen), spare_dense.eq(choose_dense)]
            with m.If(offered):
                m.d.sync += last_dense.eq(choose_dense)
        with m.If(~taken_valid | ready):
            m.d.sync += [
                taken_valid.eq(spare_valid | offered),
                taken.eq(Mux(spare_valid, spare, chosen)),
                is_dense.eq(Mux(spare_valid, spare_dense, choose_dense)),
            ]
        m.d.sync += spare_valid.eq((spare_valid | offered) & taken_valid & ~ready)
        return taken, taken_valid, is_dense

    def _located_layout(self) -> data.StructLayout:
        byte_bits = self._config.activation_address_bits - 1
        return data.StructLayout(
            {
                "start": unsigned(exact_log2(self._edge)),  # lane of the first value
                "page_offset": unsigned(byte_bits),
                "address": unsigned(byte_bits),  # of page 0
                "wrapped_address": unsigned(byte_bits),  # of page 1
                "pitch": unsigned(9),
                "count": unsigned(self._values.bit_length()),
                "slot": unsigned(1),
                "last": unsigned(1),
                "is_dense": unsigned(1),
                "data": data.ArrayLayout(8, self._values),
            }
        )

    def _locate(
        self, m: Module, taken: Any, taken_valid: Value, is_dense: Value, ready: Value
    ) -> tuple[Any, Signal]:
        """Stage 2: page and lane of the first value; the product has a register of its own."""
        located: Any = Signal(self._located_layout(), reset_less=True)
        located_valid = Signal()
        chunk = taken.chunk
        page = (chunk.k >> exact_log2(self._config.sub_array)) >> self.level
        with m.If(~located_valid | ready):
            m.d.sync += [
                located_valid.eq(taken_valid),
                located.start.eq(chunk.k & self._lane_mask(m, "locate")),
                located.page_offset.eq(page * taken.pitch),
                located.address.eq(taken.base + chunk.row),
                located.wrapped_address.eq(taken.base + chunk.row + taken.pitch),
                located.pitch.eq(taken.pitch),
                located.count.eq(chunk.count),
                located.slot.eq(chunk.slot),
                located.last.eq(chunk.last),
                located.is_dense.eq(is_dense),
                located.data.as_value().eq(chunk.data.as_value()),
            ]
        return located, located_valid

    def _lane_mask(self, m: Module, name: str) -> Signal:
        """E - 1."""
        mask = Signal(exact_log2(self._edge), name=f"{name}_mask")
        sub_array = self._config.sub_array
        m.d.comb += mask.eq((sub_array << self.level) - 1)
        return mask

    def _write_pieces(
        self, m: Module, located: Any, located_valid: Value, pieces_ready: Signal
    ) -> None:
        """Stage 3: pieces of up to E values. Later pieces start in the same lane, a page on."""
        piece: Any = Signal(self._located_layout(), reset_less=True)
        piece_valid = Signal()
        write_ready = Signal()
        # Of the piece, known a cycle ahead: the bank waits for no comparison.
        final = Signal()
        edge = Signal(range(2 * self._edge))
        bits = exact_log2(self._values)
        m.d.comb += [
            edge.eq(self._config.sub_array << self.level),
            pieces_ready.eq(~piece_valid | (write_ready & final)),
        ]
        with m.If(pieces_ready):
            m.d.sync += [
                piece_valid.eq(located_valid),
                piece.eq(located),
                final.eq(located.count <= edge),
                piece.address.eq(located.address + located.page_offset),
                piece.wrapped_address.eq(located.wrapped_address + located.page_offset),
            ]
        with m.Elif(write_ready):
            m.d.sync += [
                # Only an E below the length of a chunk gets here.
                piece.count.eq(piece.count - edge),
                final.eq(piece.count <= edge << 1),
                piece.address.eq(piece.wrapped_address),
                piece.wrapped_address.eq(piece.wrapped_address + piece.pitch),
                piece.data.as_value().eq(self._following(piece.data.as_value(), edge[:bits])),
            ]
        if writer_stages(self._values) == 4:
            self._write(m, piece, piece_valid, final, edge, write_ready)
            return
        # Long chunks: turned by the lower half of the places, then by the rest.
        turned: Any = Signal(self._located_layout())
        turned_valid = Signal()
        turned_final = Signal()
        turned_ready = Signal()
        half = bits // 2
        data_in = [piece.data.as_value().word_select(n, 8) for n in range(self._values)]
        m.d.comb += write_ready.eq(~turned_valid | turned_ready)
        with m.If(write_ready):
            m.d.sync += [
                turned_valid.eq(piece_valid),
                turned_final.eq(final),
                turned.eq(piece),
                turned.data.as_value().eq(Cat(self._turn(data_in, piece.start, range(half)))),
            ]
        self._write(m, turned, turned_valid, turned_final, edge, turned_ready)

    def _following(self, values: Value, edge: Value) -> Value:
        """Values of the next piece: E further on."""
        if writer_stages(self._values) == 4:
            return values >> (edge << 3)
        following: Value = values  # an E of a chunk's length has no second piece
        for level in range(self._largest_level + 1):
            length = 8 * (self._config.sub_array << level)
            following = Mux(self.level == level, values[length:], following)
        return following

    def _turn(self, values: list[Value], start: Value, bits: range) -> list[Value]:
        """Values moved up by these bits of ``start``, round the end of the first E lanes."""
        for bit in bits:
            if bit >= len(start):
                break
            by = 1 << bit
            moved = []
            for lane in range(len(values)):
                source = values[(lane - by) % len(values)]
                for level in range(self._largest_level + 1):
                    edge = self._config.sub_array << level
                    if lane < by < edge < len(values):
                        source = Mux(self.level == level, values[lane - by + edge], source)
                moved.append(source)
            values = [Mux(start[bit], new, old) for new, old in zip(moved, values, strict=True)]
        return values

    def _write(
        self,
        m: Module,
        piece: Any,
        piece_valid: Value,
        final: Value,
        edge: Value,
        write_ready: Signal,
    ) -> None:
        """Stage 4: rotate the values to their lanes, tell of finished rows."""
        bank = bank_write_layout(self._config, self._edge)
        shape = data.StructLayout({"write": bank, "row_end": 1, "slot": 1, "is_dense": 1})
        # Whether the bank refuses writes reaches the stages a cycle late.
        m.submodules.writes = writes = ReadyRegister(shape=shape)
        offered: Any = Signal(shape, reset_less=True)
        offered_valid = Signal()
        write = offered.write
        end = Signal(range(2 * self._edge))  # one past the last lane, before wrapping
        over = Signal(range(self._edge + 1))  # lanes beyond the page's end
        bits = exact_log2(self._values)
        rotation_mask = self._lane_mask(m, "rotate")[:bits]
        m.d.comb += [
            end.eq(piece.start + Mux(final, piece.count, edge)),
            over.eq(Mux(end > edge, end - edge, 0)),
            writes.i.valid.eq(offered_valid),
            writes.i.payload.eq(offered),
            write_ready.eq(~offered_valid | writes.i.ready),
        ]
        with m.If(write_ready):
            m.d.sync += [
                offered_valid.eq(piece_valid),
                write.address.eq(Cat(piece.address, piece.slot)),
                write.wrapped_address.eq(Cat(piece.wrapped_address, piece.slot)),
                offered.row_end.eq(final & piece.last),
                offered.slot.eq(piece.slot),
                offered.is_dense.eq(piece.is_dense),
            ]
            for lane in range(self._edge):
                wrapped = lane < over
                straight = (piece.start < lane + 1) & (lane < end)
                m.d.sync += [
                    # Lanes from E up belong to other engines.
                    write.enable[lane].eq((lane < edge) & (straight | wrapped)),
                    write.wrapped[lane].eq(wrapped),
                ]
            turned: list[Value] = []
            if writer_stages(self._values) > 4:
                turned = [piece.data.as_value().word_select(n, 8) for n in range(self._values)]
                turned = self._turn(turned, piece.start, range(bits // 2, bits))
            for lane in range(min(self._values, self._edge)):
                rotated = Signal(8, name=f"rotated_{lane}")
                if turned:
                    m.d.comb += rotated.eq(turned[lane])
                else:
                    m.d.comb += rotated.eq(piece.data[(lane - piece.start)[:bits] & rotation_mask])
                # Chunks are 16, 32 or 128 long: lanes that far apart carry the same value.
                for copy in range(lane, self._edge, self._values):
                    m.d.sync += write.data[copy].eq(rotated)
        out = writes.o.payload
        m.d.comb += [
            self.bank_write.valid.eq(writes.o.valid),
            self.bank_write.payload.eq(out.write),
            writes.o.ready.eq(self.bank_write.ready),
        ]
        done = writes.o.valid & writes.o.ready & out.row_end
        m.d.sync += [
            self.dense_row.valid.eq(done & out.is_dense),
            self.dense_row.slot.eq(out.slot),
            self.chunk_row.valid.eq(done & ~out.is_dense),
            self.chunk_row.slot.eq(out.slot),
        ]
