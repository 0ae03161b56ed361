"""Weight bank of one sub-array, with the load machine that fills the shadow weights."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .layouts import weight_word_layout

__all__ = ["WeightBank"]


class WeightBank(wiring.Component):
    """Memory of ``weight_words`` words of D bytes and its local load machine.

    A ``load`` in cycle 0 is handed to the east neighbour in cycle S. From cycle S - 1 on one row
    a cycle is addressed, and row i's shadow weights are written in cycle S + 1 + i: that is the
    cycle in which the swap wave of a control word of cycle 0 takes the old ones in the row's last
    PE, and the one before a swap wave of cycle S takes the new ones in its first PE. So a tile
    follows the other every S cycles: one waits for the wave while the rows of the one before are
    read. Writes are never refused; a word written in the cycle in which it is addressed still reads
    as it was.

    At least ``config.tile_interval`` cycles lie between two loads (a sooner one takes the place of
    the one that waits, which is lost).

    Parameters
    ----------
    config
        Sizes: ``sub_array``, ``axi_data_bits``, ``weight_words``.

    Members
    -------
    write
        One word a cycle.
    load, load_address
        Start of a load and the first word of the slice; ``slice_words`` words follow each other,
        rows in ascending order, column 0 in the lowest byte.
    load_out, load_address_out
        The same for the east neighbour, S cycles later.
    shadow_select, shadow_row
        To the sub-array: one-hot row and its weights.
    """

    write: data.View
    load: Signal
    load_address: Signal
    load_out: Signal
    load_address_out: Signal
    shadow_select: Signal
    shadow_row: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        address = config.weight_address_bits
        super().__init__(
            {
                "write": In(weight_word_layout(config)),
                "load": In(1),
                "load_address": In(address),
                "load_out": Out(1),
                "load_address_out": Out(address),
                "shadow_select": Out(config.sub_array),
                "shadow_row": Out(data.ArrayLayout(signed(8), config.sub_array)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self._config.sub_array
        rows_per_word = self._config.axi_bytes // size
        words: memory.Memory = memory.Memory(
            shape=unsigned(self._config.axi_data_bits), depth=self._config.weight_words, init=[]
        )
        m.submodules.words = words
        write = words.write_port()
        read = words.read_port(domain="sync")
        m.d.comb += [
            write.en.eq(self.write.valid),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
        ]

        # The load that waits: its wave crosses the sub-array.
        waiting = Signal()
        waited = Signal(range(size))  # cycles since the load, less one
        waiting_base = Signal(self._config.weight_address_bits)
        with m.If(self.load):
            m.d.sync += [waiting.eq(1), waited.eq(0), waiting_base.eq(self.load_address)]
        with m.Elif(waiting):
            m.d.sync += [waited.eq(waited + 1), waiting.eq(waited != size - 1)]
        m.d.comb += [
            self.load_out.eq(waiting & (waited == size - 1)),
            self.load_address_out.eq(waiting_base),
        ]

        # The load that is read, a row a cycle.
        reading = Signal()
        row = Signal(range(size))
        # The word's address is a register of its own: nothing stands before the memory.
        address = Signal(self._config.weight_address_bits)
        part = row[: rows_per_word.bit_length() - 1]
        with m.If(waiting & (waited == size - 3)):
            m.d.sync += [reading.eq(1), row.eq(0), address.eq(waiting_base)]
        with m.Elif(reading):
            m.d.sync += [row.eq(row + 1), reading.eq(row != size - 1)]
            with m.If(part.all()):
                # A slice never runs over the end of the memory: the sum fits the address.
                m.d.sync += address.eq(address + 1)
        m.d.comb += read.addr.eq(address)

        part_read = Signal(len(part)) if len(part) else part
        select_read = Signal(size)
        m.d.sync += select_read.eq(Mux(reading, 1 << row, 0))
        if len(part):
            m.d.sync += part_read.eq(part)
        m.d.sync += [
            self.shadow_select.eq(select_read),
            self.shadow_row.as_value().eq(read.data.word_select(part_read, 8 * size)),
        ]
        return m
