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
_MARGIN = 4
"""Places of the queue of output tiles that stay empty: whether it has room is heard of late."""


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

    ``word``, ``swap`` and ``cause`` belong to the present cycle; latency 0 from ``loaded`` to
    ``swap``, 1 from ``i`` and ``loaded`` to a row: that a row goes is a register, worked out from
    what the other registers will be. The payload of ``i`` stands from the cycle before its
    ``valid`` on. Addresses wrap inside their half of the memory; the slot is its top address bit.
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
        tile_interval, in engines of 128 PEs an edge. Fewer places would only stall. The margin is
        never used."""
        most = (latency(self._config.edge) + turnaround(0)) // self._config.tile_interval + 1
        return 16 if most + _MARGIN <= 16 else 32

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
        advance = Signal()  # the tile's last row goes: a register
        tile = self._tile(m, advance)
        row = Signal(config.row_bits)
        armed = Signal()  # the active weights are those of this tile
        timer = Signal(range(config.tile_interval))
        begun_tile = Signal()  # row != 0
        timer_ended = Signal(init=1)  # timer == 0
        last_row, next_last_row = tile.last_row, Signal()
        begun = Signal(range(self.pending + 2))  # output tiles begun that cannot be read yet
        slack = _Slack("slack")  # tile.inputs_left - begun
        coming = _Slack("coming")  # of the record on offer: input_tiles - 1 - begun
        room = Signal(init=1)  # the outputs can be tracked
        fits = Signal()  # so they can, and the inputs are there
        go = Signal()  # a row goes: a register
        m.d.sync += room.eq(pending.level <= self.pending - _MARGIN)
        m.d.comb += [
            fits.eq((tile.independent | slack.within) & room),
            self.swap.eq(self.loaded & (~armed | advance)),
            next_last_row.eq(
                Mux(
                    go & ~last_row,
                    row + 1 == tile.record.last_row,
                    Mux(self.i.ready & self.i.valid, self.i.payload.one_row, tile.record.one_row),
                )
            ),
        ]
        m.d.sync += last_row.eq(next_last_row)
        with m.If(~timer_ended):
            m.d.sync += [timer.eq(timer - 1), timer_ended.eq(timer == 1)]
        with m.If(go):
            m.d.sync += begun_tile.eq(~last_row)
            m.d.sync += row.eq(Mux(last_row, 0, row + 1))  # rows are below 2**row_bits
            with m.If(~begun_tile):
                m.d.sync += [
                    timer.eq(config.tile_interval - 1),
                    timer_ended.eq(config.tile_interval == 1),
                ]
        begins = go & ~begun_tile & tile.last_input
        m.d.sync += begun.eq(begun + begins - self.page_ready)  # at most one more than pending
        # Once the record's first output tile is through, ``again`` stands for ``within``.
        m.d.sync += coming.count(self.i.payload.inputs_left, begun, self.page_ready, begins)
        with m.If(self.i.ready & self.i.valid):
            m.d.sync += slack.follow(coming.value, self.page_ready, begins, Const(0))
        with m.Else():
            m.d.sync += slack.follow(slack.value, self.page_ready, begins, advance)
        # After a row that is not the tile's last one the next one goes. After the last one, row 0
        # of the next tile may go; after a cycle without a row, that of this tile.
        ended = timer_ended | (timer == 1)
        again = Mux(begun_tile, ended, config.tile_interval == 1)
        first, offered = self.i.payload.first, self.i.valid
        next_tile = Mux(
            tile.layer_end,
            offered & (first | coming.reaches(self.page_ready, ~begun_tile)),
            tile.last_input | tile.independent | slack.reaches(self.page_ready, Const(1)),
        )
        this_tile = Mux(
            tile.held,
            tile.independent | slack.reaches(self.page_ready, Const(0)),
            offered & (first | coming.reaches(self.page_ready, Const(0))),
        )
        next_go = Signal()
        m.d.comb += next_go.eq(
            Mux(
                go,
                ~last_row | (self.loaded & again & next_tile & room),
                (armed | self.loaded) & ended & this_tile & room,
            )
        )
        m.d.sync += [go.eq(next_go), advance.eq(next_go & next_last_row)]
        with m.If(self.swap):
            m.d.sync += armed.eq(1)
        with m.Elif(advance):
            m.d.sync += armed.eq(0)

        self._send(m, tile, row, go, advance)
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
                    "layer_end": 1,  # last_input & last_output
                }
            )
        )
        record = tile.record
        m.d.comb += self.i.ready.eq(~tile.held | (advance & tile.layer_end))
        with m.If(advance):
            m.d.sync += [
                tile.inputs_left.eq(tile.inputs_left - 1),
                tile.last_input.eq(tile.inputs_left == 1),
                tile.layer_end.eq((tile.inputs_left == 1) & tile.last_output),
                tile.input_page.eq(tile.input_page + record.row_pitch),
                tile.first.eq(0),
            ]
            with m.If(tile.last_input):
                m.d.sync += [
                    tile.inputs_left.eq(record.inputs_left),
                    tile.last_input.eq(record.one_input),
                    tile.layer_end.eq(record.one_input & (tile.outputs_left == 1)),
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
                tile.inputs_left.eq(new.inputs_left),
                tile.outputs_left.eq(new.outputs_left),
                tile.last_input.eq(new.one_input),
                tile.last_output.eq(new.one_output),
                tile.layer_end.eq(new.one_input & new.one_output),
                tile.input_page.eq(new.layer.input_base),
                tile.output_page.eq(new.layer.output_base),
                tile.parameter.eq(new.layer.parameter_base),
                tile.first.eq(1),
                tile.again.eq(0),
                tile.independent.eq(new.first),
            ]
        return tile

    def _send(self, m: Module, tile: data.View, row: Signal, go: Signal, advance: Signal) -> None:
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
            word.tile_end.eq(advance & tile.last_input),
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


class _Slack:
    """A signed number with what is asked of it: whether it is at least 0, exactly 0, exactly -1."""

    def __init__(self, name: str) -> None:
        self.value = Signal(signed(13), name=name)
        self._zero = Signal(name=f"{name}_zero")
        self._minus = Signal(name=f"{name}_minus")

    @property
    def within(self) -> Value:
        """It is at least 0."""
        return ~self.value[-1]

    def reaches(self, more: Value, less: Value) -> Value:
        """``value + more - less >= 0``."""
        few, many = self.within | self._minus, self.within & ~self._zero
        return Mux(more == less, self.within, Mux(more, few, many))

    def count(self, total: Value, begun: Value, more: Value, less: Value) -> list[Any]:
        """Becomes ``total - (begun + less - more)``, likewise compared before that is known."""

        def chosen(outcomes: list[Value]) -> Value:
            """Of those with 1 less, none, 1 more."""
            down, none, up = outcomes
            return Mux(more == less, none, Mux(more, up, down))

        left = total - begun
        return [
            self.value.eq(chosen([left - 1, left, left + 1])),
            self._zero.eq(chosen([total == begun + n for n in (1, 0, -1)])),
            self._minus.eq(chosen([total == begun + n for n in (0, -1, -2)])),
        ]

    def follow(self, value: Value, more: Value, less: Value, lesser: Value) -> list[Any]:
        """Becomes ``value + more - less - lesser``; compared before it is known which."""

        def chosen(outcomes: list[Value]) -> Value:
            """Of those with 2, 1, 0 less and with 1 more."""
            two, one, none, up = outcomes
            return Mux(
                less & lesser,
                Mux(more, one, two),
                Mux(less | lesser, Mux(more, none, one), Mux(more, up, none)),
            )

        return [
            self.value.eq(chosen([value - 2, value - 1, value, value + 1])),
            self._zero.eq(chosen([value == n for n in (2, 1, 0, -1)])),
            self._minus.eq(chosen([value == n for n in (1, 0, -1, -2)])),
        ]
