"""Strip: the S columns below one sub-array, fed by one delay line of control words."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import score_layout
from ..program import Destination
from ..share import share
from .column import Column
from .layouts import strip_config_layout, strip_word_layout, trace_layout, write_back_layout
from .timing import (
    ACCUMULATE_STAGE,
    FIRST_STAGE,
    FUNCTION_STAGE,
    PAGE_STAGE,
    PARAMETER_STAGE,
    READ_STAGE,
    RESULT_STAGE,
)

__all__ = ["Strip"]


class Strip(wiring.Component):
    """S columns; the control word moves east one column a cycle, in step with the sums.

    Column j's stage k takes the word of k + j cycles ago, so all columns share one delay line of
    S + RESULT_STAGE words instead of a pipeline of control bits each.

    All outputs but ``word_out`` belong to RESULT_STAGE: ``write_back`` and ``score`` in the cycle
    of column 0, ``results[j]`` j cycles later, ``tile_done`` in the cycle of the last column;
    ``page_opens`` to column 0's PAGE_STAGE.
    No flow control.

    Parameters
    ----------
    config
        Sizes: ``sub_array`` and those of Column.

    Members
    -------
    word, word_out
        From the west (or from the engine's control chain) and, S cycles later, to the east.
    partial_sums
        From the sub-array above.
    write_back, results
        To an activation bank; ``results`` are the low bytes of the columns' values.
    score
        Column 0's values with destination SCORE.
    tile_done
        The last column's value of a row with ``tile_end`` leaves.
    page_opens
        Row 0 of an output tile is about to leave column 0.
    config_write
        PARAMETERS and ACTIVATION_TABLE words for this sub-array.
    traced
        Every column's values as they leave; left unconnected in synthesis.
    """

    word: data.View
    word_out: data.View
    partial_sums: data.View
    write_back: data.View
    results: data.View
    score: data.View
    tile_done: Signal
    page_opens: Signal
    config_write: data.View
    traced: data.View

    def __init__(self, *, config: Config) -> None:
        self._config = config
        size = config.sub_array
        super().__init__(
            {
                "word": In(strip_word_layout(config)),
                "word_out": Out(strip_word_layout(config)),
                "partial_sums": In(data.ArrayLayout(signed(config.partial_sum_width), size)),
                "write_back": Out(write_back_layout(config)),
                "results": Out(data.ArrayLayout(signed(8), size)),
                "score": Out(score_layout(config)),
                "tile_done": Out(1),
                "page_opens": Out(1),
                "config_write": In(strip_config_layout(config)),
                "traced": Out(data.ArrayLayout(trace_layout(config), size)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self._config.sub_array
        words = [self.word]
        for k in range(1, size + RESULT_STAGE):
            word: Any = Signal(self.word.shape(), name=f"word_{k}")
            m.d.sync += word.eq(words[-1])
            words.append(word)
        m.d.comb += self.word_out.eq(words[size])

        columns = [self._column(m, platform, j, words[j:]) for j in range(size)]
        first, last = words[RESULT_STAGE], words[size - 1 + RESULT_STAGE]
        opens = words[PAGE_STAGE]
        leaves = Signal()
        destination = Signal(2)
        # Known a cycle ahead: whether a bank is busy reaches its writer in the same cycle.
        bank, dense = Signal(), Signal()
        before = words[RESULT_STAGE - 1]
        m.d.comb += [
            leaves.eq(before.valid & before.last),
            destination.eq(before.destination),
        ]
        m.d.sync += [
            bank.eq(leaves & (destination == Destination.BANK)),
            dense.eq(leaves & (destination == Destination.DENSE)),
            self.score.valid.eq(leaves & (destination == Destination.SCORE)),
        ]
        m.d.comb += [
            self.write_back.bank.eq(bank),
            self.write_back.dense.eq(dense),
            self.write_back.address.eq(first.output_address),
            self.write_back.slot.eq(first.slot),
            self.score.row.eq(first.row),
            self.score.value.eq(columns[0].result),
            self.tile_done.eq(last.valid & last.last & last.tile_end),
            self.page_opens.eq(opens.valid & opens.last & (opens.row == 0)),
        ]
        return m

    def _column(self, m: Module, platform: object, index: int, stages: list[data.View]) -> Column:
        """Column ``index``; ``stages[k]`` is the word of its stage k."""
        column = Column(config=self._config)
        m.submodules[f"column_{index}"] = share(platform, column, "column")
        accumulate, result = stages[ACCUMULATE_STAGE], stages[RESULT_STAGE]
        write = self.config_write
        column_bits = self._config.sub_array.bit_length() - 1
        trace = self.traced[index]
        m.d.comb += [
            column.partial_sum.eq(self.partial_sums[index]),
            column.read_row.eq(stages[READ_STAGE].row),
            column.first.eq(stages[FIRST_STAGE].first),
            column.parameter.eq(stages[PARAMETER_STAGE].parameter),
            column.write_row.eq(accumulate.row),
            column.write.eq(accumulate.valid & ~accumulate.last),
            column.wide.eq(accumulate.destination == Destination.SCORE),
            column.function.eq(stages[FUNCTION_STAGE].function),
            column.table.eq(stages[FUNCTION_STAGE].table),
            # PARAMETERS: output tile above, column in the low bits of the address.
            column.parameter_write.valid.eq(
                write.parameters & (write.address[:column_bits] == index)
            ),
            column.parameter_write.address.eq(write.address[column_bits:]),
            column.parameter_write.data.as_value().eq(write.data),
            column.table_write.valid.eq(write.table),
            column.table_write.address.eq(write.address),
            column.table_write.data.as_value().eq(write.data),
            self.results[index].eq(column.result[:8]),
            trace.valid.eq(result.valid & result.last),
            trace.value.eq(column.result),
            trace.parameter.eq(result.parameter),
            trace.row.eq(result.row),
            trace.slot.eq(result.slot),
        ]
        return column
