"""Layer table of an engine: turns a phase into its layers, one record each."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, phase_layout
from ..program import ALL_UNITS, LAYER, LAYER_WORDS, Target

__all__ = ["LayerTable", "layer_record_layout"]


def layer_record_layout(config: Config) -> data.StructLayout:
    """A layer with all that the row walker needs to know of its phase."""
    return data.StructLayout(
        {
            "layer": LAYER,
            "first": unsigned(1),  # first layer of the phase: its inputs are there already
            "last": unsigned(1),  # last layer of the phase
            "slot": unsigned(1),
            "last_row": unsigned(config.row_bits),  # rows - 1
            "row_pitch": unsigned(9),
            "top": unsigned(1),
            "tiles": unsigned(24),  # weight tiles of the phase
            # Of the layer, and of the rows, worked out beside its memory.
            "inputs_left": unsigned(11),  # input_tiles - 1
            "outputs_left": unsigned(11),  # output_tiles - 1
            "one_input": unsigned(1),
            "one_output": unsigned(1),
            "one_row": unsigned(1),
        }
    )


class LayerTable(wiring.Component):
    """Memory of layer descriptors, and the machine that reads a phase's layers from it.

    Takes a phase and hands over one record per layer, in order. The next record is ready 4 cycles
    after one was taken, the first one 4 cycles after its phase was; a layer keeps the array busy
    for ``config.tile_interval`` cycles at least, so layer changes cost nothing. A record stands at
    ``o`` a cycle before it is offered, for who has to compare something. A phase must have
    at least one layer; addresses wrap at ``config.max_layers``. Writing a layer of a phase that is
    being executed has no defined result.

    Parameters
    ----------
    config
        Sizes of the device.
    unit
        Sub-array number of the engine's anchor: the unit that ``Target.LAYERS`` words name.

    Members
    -------
    config_write
        Broadcast of LOAD.
    i
        Phases.
    o
        Layer records (`layer_record_layout`).
    """

    config_write: data.View
    i: stream.Interface
    o: stream.Interface

    READ_LATENCY = 4
    """A phase taken to its first record on offer."""
    NEXT_LATENCY = 4
    """A record taken to the next one on offer."""

    def __init__(self, *, config: Config, unit: int) -> None:
        if not 0 <= unit < config.sub_arrays:
            raise ValueError(f"unit must be in 0..{config.sub_arrays - 1}, not {unit!r}")
        self._config = config
        self._unit = unit
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "i": In(stream.Signature(phase_layout(config))),
                "o": Out(stream.Signature(layer_record_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        depth = self._config.max_layers
        table: Any = memory.Memory(shape=LAYER.size, depth=depth, init=[])
        m.submodules.table = table
        self._write(m, table)
        read = table.read_port(domain="sync")

        phase: Any = Signal(phase_layout(self._config))
        layer = Signal(range(depth))
        left = Signal(5)  # layers after this one
        first, last = Signal(), Signal()  # layer == phase.layer, left == 0
        record = self.o.payload
        m.d.comb += [
            read.addr.eq(layer),
            record.layer.as_value().eq(read.data),
            record.first.eq(first),
            record.last.eq(last),
            record.slot.eq(phase.slot),
            record.last_row.eq(phase.rows - 1),  # rows is 1 .. config.rows: the difference fits
            record.row_pitch.eq(phase.row_pitch),
            record.top.eq(phase.top),
            record.tiles.eq(phase.tiles),
        ]
        tiles = record.layer.input_tiles, record.layer.output_tiles
        m.d.sync += [
            record.inputs_left.eq(tiles[0] - 1),
            record.outputs_left.eq(tiles[1] - 1),
            record.one_input.eq(tiles[0] == 1),
            record.one_output.eq(tiles[1] == 1),
            record.one_row.eq(phase.rows == 1),
        ]
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += [self.i.ready.eq(1), read.en.eq(0)]
                m.d.sync += [
                    phase.eq(self.i.payload),
                    layer.eq(self.i.payload.layer),
                    left.eq(self.i.payload.layers - 1),
                    first.eq(1),
                    last.eq(self.i.payload.layers == 1),
                ]
                with m.If(self.i.valid):
                    m.next = "READ"
            with m.State("READ"):
                m.d.comb += read.en.eq(1)
                m.next = "COUNT"
            with m.State("COUNT"):  # the memory's output register holds the record
                m.d.comb += read.en.eq(0)
                m.next = "SHOW"
            with m.State("SHOW"):
                m.d.comb += read.en.eq(0)
                m.d.sync += self.o.valid.eq(1)
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += read.en.eq(0)
                with m.If(self.o.ready):
                    m.d.sync += [layer.eq(layer + 1), left.eq(left - 1)]
                    m.d.sync += [first.eq(0), last.eq(left == 1), self.o.valid.eq(0)]
                    with m.If(last):
                        m.next = "IDLE"
                    with m.Else():
                        m.next = "READ"
        return m

    def _write(self, m: Module, table: Any) -> None:
        """Words of ``Target.LAYERS`` for this unit; addresses beyond the table are dropped."""
        word = self.config_write
        write = table.write_port(granularity=64)
        index_bits = (LAYER_WORDS - 1).bit_length()
        hit = Signal()
        # Registers before the port: the word comes from far away, and nobody waits for it.
        enable = Signal(LAYER_WORDS)
        place = Signal.like(write.addr, reset_less=True)
        data_in = Signal(64, reset_less=True)
        m.d.comb += [
            hit.eq(
                word.valid
                & (word.target == Target.LAYERS)
                & ((word.unit == self._unit) | (word.unit == ALL_UNITS))
                & (word.address < self._config.max_layers * LAYER_WORDS)
            ),
            write.addr.eq(place),
            write.data.eq(data_in.replicate(LAYER_WORDS)),
            write.en.eq(enable),
        ]
        m.d.sync += [
            enable.eq(hit << word.address[:index_bits]),
            place.eq(word.address[index_bits:]),
            data_in.eq(word.data),
        ]
