"""Row walker: sends the rows of every weight tile into the array, as soon as they may go."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..array.timing import latency, turnaround
from ..config import Config
from ..interfaces import control_word_layout
from ..program import Destination
from ..queue import Queue
from .cause import Cause
from .layer_table import layer_record_layout

__all__ = ["RowWalker", "phase_name_layout"]


def phase_name_layout() -> data.StructLayout:
    """Pulse that names a phase by its slot and MLP."""
    return data.StructLayout({"valid": unsigned(1), "slot": unsigned(1), "top": unsigned(1)})


_PAGE_BITS = 17
"""A base of 16 bits and its pages, with room to see that they go beyond the memory."""
_PARAMETER_BITS = 13


class RowWalker(wiring.Component):
    """Walks layer, output tile, input tile, row; one row a cycle while nothing is missing.

    Row 0 of a tile goes when its weights are active, when row 0 of the page of inputs it reads is
    written back, and ``config.tile_interval`` cycles after row 0 of the tile before (the
    accumulators' turn-around). The other rows follow without a gap; so did those of the page, hence
    each is written back in time. Weights become active by ``swap``: with the last row of the tile
    before if they are loaded by then, else in a cycle of its own.

    Output tiles are written back in order, so "page k can be read" is a matter of counting: of the
    output tiles that are still on their way, none but those after tile k of the producing layer.
    Later output tiles of a layer read the same pages and need no check.

    ``word``, ``swap`` and ``cause`` belong to the present cycle; latency 0 from ``i`` and
    ``loaded``. Addresses wrap inside their half of the memory; the slot is its top address bit.
    ``fault`` tells of an address that wraps, and of a phase whose layers have another number of
    tiles than the phase; what follows is worth nothing then, until a reset.

    Parameters
    ----------
    config
        Sizes of the device.

    Members
    -------
    i
        Layer records in the order of execution.
    loaded
        A tile waits in the shadow weights.
    starved
        The next tile is missing because its stream is behind.
    page_ready
        Pulse: one more output tile can be read from the cycle after on, row by row.
    tile_done
        Pulse: one output tile was written back.
    word
        Control word but for its load fields.
    swap
        Same as ``word.swap``.
    done
        Pulse: a phase ended (`phase_name_layout`).
    cause
        What this cycle is charged to.
    fault
        The layers do not fit the buffers, or contradict their phase.
    """

    i: stream.Interface
    loaded: Signal
    starved: Signal
    page_ready: Signal
    tile_done: Signal
    word: data.View
    swap: Signal
    done: data.View
    cause: data.View
    fault: Signal

    @property
    def pending(self) -> int:
        """Output tiles in the pipeline: at most (2 E + array and requantiser latency) /
        tile_interval, in engines of 128 PEs an edge. Fewer places would only stall."""
        most = (latency(self._config.edge) + turnaround(0)) // self._config.tile_interval + 1
        return 16 if most <= 16 else 32

    def __init__(self, *, config: Config) -> None:
        if config.dense_bytes > config.activation_bytes:
            raise ValueError(
                f"dense_bytes must be at most activation_bytes = {config.activation_bytes}, "
                f"not {config.dense_bytes}: they share the output address"
            )
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(layer_record_layout(config))),
                "loaded": In(1),
                "starved": In(1),
                "page_ready": In(1),
                "tile_done": In(1),
                "word": Out(control_word_layout(config)),
                "swap": Out(1),
                "done": Out(phase_name_layout()),
                "cause": Out(Cause),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        self._miscounted, self._strayed = Signal(), Signal()  # a cycle late
        m.submodules.pending = pending = Queue(
            shape=data.StructLayout({"phase_end": 1, "slot": 1, "top": 1}), depth=self.pending
        )
        advance = Signal()
        tile = self._tile(m, advance)
        row = Signal(config.row_bits)
        armed = Signal()  # the active weights are those of this tile
        timer = Signal(range(config.tile_interval))
        begun_tile = Signal()  # row != 0
        timer_ended = Signal(init=1)  # timer == 0
        last_row = tile.last_row
        begun = Signal(range(self.pending + 2))  # output tiles begun that cannot be read yet
        slack = Signal(signed(13))  # tile.inputs_left - begun
        within = Signal()  # slack >= 0, a register
        fits = Signal()  # the inputs are there and the outputs can be tracked
        go = Signal()
        m.d.comb += [
            fits.eq((tile.independent | within) & (pending.i.ready | ~tile.last_input)),
            go.eq(tile.held & (begun_tile | (armed & fits & timer_ended))),
            self.swap.eq(self.loaded & (~armed | (go & last_row))),
            advance.eq(go & last_row),
        ]
        with m.If(~timer_ended):
            m.d.sync += [timer.eq(timer - 1), timer_ended.eq(timer == 1)]
        with m.If(go):
            m.d.sync += begun_tile.eq(~last_row)
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))  # rows are below 2**row_bits
            with m.If(~last_row):
                m.d.sync += last_row.eq(row + 1 == tile.record.last_row)
            with m.If(~begun_tile):
                m.d.sync += [
                    timer.eq(config.tile_interval - 1),
                    timer_ended.eq(config.tile_interval == 1),
                ]
        begins = go & ~begun_tile & tile.last_input
        m.d.sync += begun.eq(begun + begins - self.page_ready)  # at most one more than pending
        # Once the record's first output tile is through, ``again`` stands for ``within``.
        with m.If(self.i.ready & self.i.valid):
            new = self.i.payload.layer.input_tiles - 1 - begun
            m.d.sync += [
                slack.eq(new + self.page_ready - begins),
                within.eq(_at_least(new, self.page_ready, begins, Const(0))),
            ]
        with m.Else():
            m.d.sync += [
                slack.eq(slack + self.page_ready - begins - advance),
                within.eq(_at_least(slack, self.page_ready, begins, advance)),
            ]
        with m.If(self.swap):
            m.d.sync += armed.eq(1)
        with m.Elif(go & last_row):
            m.d.sync += armed.eq(0)

        self._send(m, tile, row, go, last_row)
        self._count(m, tile, advance)
        self._track(m, tile, pending)
        with m.If(go):
            m.d.comb += self.cause.eq(Cause.BUSY)
        with m.Elif(~tile.held):
            m.d.comb += self.cause.eq(Cause.IDLE)
        with m.Elif(~armed & self.starved):
            m.d.comb += self.cause.eq(Cause.STREAM)
        with m.Elif(armed & ~fits):
            m.d.comb += self.cause.eq(Cause.DEPENDENCY)
        with m.Else():
            m.d.comb += self.cause.eq(Cause.WEIGHTS)
        return m

    def _tile(self, m: Module, advance: Signal) -> Any:
        """Registers of the present tile; its last row raises ``advance``. Takes the records."""
        config = self._config
        page = unsigned(_PAGE_BITS)
        tile: Any = Signal(
            data.StructLayout(
                {
                    "record": layer_record_layout(config),
                    "held": 1,
                    "inputs_left": 11,  # input tiles after this one
                    "outputs_left": 11,  # output tiles after this one
                    "input_page": page,
                    "output_page": page,
                    "parameter": _PARAMETER_BITS,
                    "first": 1,  # first input tile
                    "again": 1,  # not the layer's first output tile
                    "independent": 1,  # record.first | again: waits for no output tile
                    # Comparisons, known a cycle before they are used.
                    "last_row": 1,  # the row that comes is the tile's last one
                    "last_input": 1,  # inputs_left == 0
                    "last_output": 1,  # outputs_left == 0
                }
            )
        )
        record = tile.record
        layer_end = tile.last_input & tile.last_output
        m.d.comb += self.i.ready.eq(~tile.held | (advance & layer_end))
        with m.If(advance):
            m.d.sync += [
                tile.inputs_left.eq(tile.inputs_left - 1),
                tile.last_input.eq(tile.inputs_left == 1),
                tile.last_row.eq(record.last_row == 0),
                tile.input_page.eq(tile.input_page + record.row_pitch),
                tile.first.eq(0),
            ]
            with m.If(tile.last_input):
                m.d.sync += [
                    tile.inputs_left.eq(record.layer.input_tiles - 1),
                    tile.last_input.eq(record.layer.input_tiles == 1),
                    tile.input_page.eq(record.layer.input_base),
                    tile.first.eq(1),
                    tile.again.eq(1),
                    tile.independent.eq(1),
                    tile.outputs_left.eq(tile.outputs_left - 1),
                    tile.last_output.eq(tile.outputs_left == 1),
                    tile.output_page.eq(tile.output_page + record.row_pitch),
                    tile.parameter.eq(tile.parameter + 1),
                ]
        new = self.i.payload
        with m.If(self.i.ready):
            m.d.sync += tile.held.eq(self.i.valid)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += [
                record.eq(new),
                tile.inputs_left.eq(new.layer.input_tiles - 1),
                tile.outputs_left.eq(new.layer.output_tiles - 1),
                tile.last_row.eq(new.last_row == 0),
                tile.last_input.eq(new.layer.input_tiles == 1),
                tile.last_output.eq(new.layer.output_tiles == 1),
                tile.input_page.eq(new.layer.input_base),
                tile.output_page.eq(new.layer.output_base),
                tile.parameter.eq(new.layer.parameter_base),
                tile.first.eq(1),
                tile.again.eq(0),
                tile.independent.eq(new.first),
            ]
        return tile

    def _send(self, m: Module, tile: data.View, row: Signal, go: Signal, last_row: Signal) -> None:
        """Fields of the control word."""
        config = self._config
        word, record = self.word, tile.record
        page_bits = config.activation_address_bits - 1  # the slot bit is put in last
        dense_bits = config.dense_address_bits - 1
        read = Signal(_PAGE_BITS)
        write = Signal(_PAGE_BITS)
        dense = record.layer.destination == Destination.DENSE
        to_bank = record.layer.destination == Destination.BANK
        beyond = Signal()
        m.d.comb += [
            beyond.eq(
                read[page_bits:].any()
                | (to_bank & write[page_bits:].any())
                | (dense & write[dense_bits:].any())
                | tile.parameter[config.parameter_address_bits :].any()
            ),
            self.fault.eq(self._strayed | self._miscounted),
        ]
        m.d.sync += self._strayed.eq(go & beyond)
        m.d.comb += [
            read.eq(tile.input_page + row),
            write.eq(tile.output_page + row),
            word.valid.eq(go),
            word.row.eq(row),
            word.input_address.eq(Cat(read[:page_bits], record.slot)),
            word.swap.eq(self.swap),
            word.first.eq(tile.first),
            word.last.eq(tile.last_input),
            word.tile_end.eq(go & last_row & tile.last_input),
            word.parameter.eq(tile.parameter),
            word.output_address.eq(
                Mux(
                    dense,
                    Cat(write[:dense_bits], record.slot),
                    Cat(write[:page_bits], record.slot),
                )
            ),
            word.function.eq(record.layer.function),
            word.table.eq(record.layer.table),
            word.destination.eq(record.layer.destination),
            word.slot.eq(record.slot),
        ]

    def _count(self, m: Module, tile: data.View, advance: Signal) -> None:
        """Tiles of the phase, whose number the load walker goes by."""
        left = Signal(24)
        now = Signal(24)  # with the present one
        record = tile.record
        started = record.first & tile.first & ~tile.again
        end = record.last & tile.last_input & tile.last_output
        m.d.comb += [
            now.eq(Mux(started, record.tiles, left)),
        ]
        m.d.sync += self._miscounted.eq(advance & (end != (now == 1)))
        with m.If(advance):
            m.d.sync += left.eq(now - 1)

    def _track(self, m: Module, tile: data.View, pending: Queue) -> None:
        """Output tiles from their last row to their write-back."""
        ended, oldest = pending.i.payload, pending.o.payload
        m.d.comb += [
            pending.i.valid.eq(self.word.tile_end),
            ended.phase_end.eq(tile.record.last & tile.last_output),
            ended.slot.eq(tile.record.slot),
            ended.top.eq(tile.record.top),
            pending.o.ready.eq(self.tile_done),
            self.done.valid.eq(pending.o.valid & self.tile_done & oldest.phase_end),
            self.done.slot.eq(oldest.slot),
            self.done.top.eq(oldest.top),
        ]


def _at_least(slack: Value, more: Value, less: Value, lesser: Value) -> Value:
    """``slack + more - less - lesser >= 0``; all outcomes are compared before it is known which."""
    two = Mux(more, slack >= 1, slack >= 2)
    one = Mux(more, slack >= 0, slack >= 1)
    none = Mux(more, slack >= -1, slack >= 0)
    return Mux(less & lesser, two, Mux(less | lesser, one, none))
