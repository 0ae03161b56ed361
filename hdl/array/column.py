"""Column below an engine: accumulate over K tiles, requantise, activate."""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..program import PARAMETER, Function
from .layouts import parameter_write_layout, table_write_layout
from .requantiser import Requantiser

__all__ = ["Column"]


class Column(wiring.Component):
    """Accumulator memory, parameter memory, requantiser and activation of one array column.

    A datapath in lock step: the strip gives every input in its own stage, named in ``timing`` and
    below in brackets. Per row: ``sum = (first ? 0 : accumulator[row]) + partial_sum``; the sum is
    written back, or taken by the requantiser, whose result leaves in RESULT_STAGE. Sums are exact:
    ``accumulator_width`` holds ``max_inputs`` products.

    A row comes back after ``config.tile_interval`` cycles at the earliest, more than the three
    from read to write, so the memory needs no bypass. Parameters and tables may be written at any
    time; a value read in the cycle in which it is written still reads as it was.

    A table takes the low byte of the clamped value (index ``value + 128``); it is meant for int8.

    Parameters
    ----------
    config
        Sizes: ``partial_sum_width``, ``accumulator_width``, ``rows``, ``parameter_tiles``,
        ``activation_tables``.

    Members
    -------
    read_row
        [READ_STAGE] Row to be read.
    first
        [FIRST_STAGE] First K tile: start from zero.
    partial_sum
        [SUM_STAGE] From the array.
    write_row, write
        [ACCUMULATE_STAGE] Row to be written, and whether.
    parameter
        [PARAMETER_STAGE] Output tile in the parameter memory.
    wide
        [ACCUMULATE_STAGE] Clamp to int16.
    function, table
        [FUNCTION_STAGE] Activation.
    result
        [RESULT_STAGE] int8 values, or int16 where ``wide``.
    parameter_write, table_write
        From LOAD.
    """

    read_row: Signal
    first: Signal
    partial_sum: Signal
    write_row: Signal
    write: Signal
    parameter: Signal
    wide: Signal
    function: Signal
    table: Signal
    result: Signal
    parameter_write: data.View
    table_write: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "read_row": In(config.row_bits),
                "first": In(1),
                "partial_sum": In(signed(config.partial_sum_width)),
                "write_row": In(config.row_bits),
                "write": In(1),
                "parameter": In(config.parameter_address_bits),
                "wide": In(1),
                "function": In(2),
                "table": In(2),
                "result": Out(signed(16)),
                "parameter_write": In(parameter_write_layout(config)),
                "table_write": In(table_write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        total = self._accumulator(m)
        depth = self._config.parameter_tiles
        parameters: memory.Memory = memory.Memory(shape=PARAMETER, depth=depth, init=[])
        m.submodules.parameters = parameters
        read, write = parameters.read_port(domain="sync"), parameters.write_port()
        parameter = Signal(PARAMETER, reset_less=True)
        m.d.sync += parameter.eq(read.data)
        m.submodules.requantiser = requantiser = Requantiser(width=len(total))
        m.d.comb += [
            read.addr.eq(self.parameter),
            write.en.eq(self.parameter_write.valid),
            write.addr.eq(self.parameter_write.address),
            write.data.eq(self.parameter_write.data),
            requantiser.value.eq(total),
            requantiser.parameter.eq(parameter),
            requantiser.wide.eq(self.wide),
        ]
        self._activation(m, requantiser.result)
        return m

    def _accumulator(self, m: Module) -> Signal:
        """The sum over the K tiles so far; valid in ACCUMULATE_STAGE."""
        width = self._config.accumulator_width
        sums: memory.Memory = memory.Memory(shape=signed(width), depth=self._config.rows, init=[])
        m.submodules.accumulators = sums
        read, write = sums.read_port(domain="sync"), sums.write_port()
        held = Signal(signed(width), reset_less=True)
        total = Signal(signed(width), reset_less=True)
        m.d.sync += [
            held.eq(Mux(self.first, 0, read.data)),
            total.eq(held + self.partial_sum),
        ]
        m.d.comb += [
            read.addr.eq(self.read_row),
            write.en.eq(self.write),
            write.addr.eq(self.write_row),
            write.data.eq(total),
        ]
        return total

    def _activation(self, m: Module, value: Signal) -> None:
        """None, ReLU or table; ``value`` is valid in FUNCTION_STAGE."""
        tables: memory.Memory = memory.Memory(
            shape=data.ArrayLayout(signed(8), 8), depth=32 * self._config.activation_tables, init=[]
        )
        m.submodules.tables = tables
        read, write = tables.read_port(domain="sync"), tables.write_port()
        index = Signal(8)
        from_table = Signal()
        # The choice is ready when the table's word comes: of its eight bytes one of a pair, and a
        # pair or none. Without a table the value counts, with one it is zero.
        odd = Signal(reset_less=True)
        pairs = Signal(4, reset_less=True)
        direct = Signal(signed(16), reset_less=True)
        m.d.sync += [
            odd.eq(index[0]),
            pairs.eq(Mux(from_table, 1 << index[1:3], 0)),
            direct.eq(Mux(from_table | ((self.function == Function.RELU) & (value < 0)), 0, value)),
        ]
        m.d.comb += from_table.eq(self.function == Function.TABLE)
        m.d.comb += [
            index.eq(value[:8] ^ 0x80),  # value + 128
            read.addr.eq(Cat(index[3:], self.table)),
            write.en.eq(self.table_write.valid),
            write.addr.eq(self.table_write.address),
            write.data.eq(self.table_write.data),
        ]
        chosen = Signal(signed(8))
        bytes_ = Value.cast(read.data)
        m.d.comb += chosen.eq(
            reduce(
                or_,
                (
                    bytes_.word_select(Cat(odd, Const(k, 2)), 8) & pairs[k].replicate(8)
                    for k in range(4)
                ),
            )
        )
        m.d.sync += self.result.eq(chosen | direct)
