"""Line memory of one gather lane: beats are written, words for the vector buffers read."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Value, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import LINE_BYTES, Config
from .lane_layouts import filled_layout, line_write_layout
from .line_geometry import LineGeometry

__all__ = ["LineRows"]


class LineRows(wiring.Component):
    """Data of all lines and one error bit a line. A read gives its data one cycle later.

    The memory is as wide as the larger of a beat and a lane's word; a read gives the whole word
    that holds the wanted bytes.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    write, filled
        Beats, and the end of a fetch with its error bit.
    address, enable
        Byte address (line number * 64 + byte); read in this cycle.
    data, error
        The word of the last read; the line's fetch ended with an error.
    """

    write: data.View
    filled: data.View
    address: Value
    enable: Value
    data: Value
    error: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "write": In(line_write_layout(config)),
                "filled": In(filled_layout(config)),
                "address": In(geometry.line_bits + LINE_BYTES.bit_length() - 1),
                "enable": In(1),
                "data": Out(8 * geometry.word_bytes),
                "error": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        geometry, beat_bytes = self._geometry, self._config.axi_bytes
        beats = geometry.word_bytes // beat_bytes  # in a word
        log2_word = geometry.word_bytes.bit_length() - 1
        rows: Any = memory.Memory(
            shape=data.ArrayLayout(unsigned(8 * beat_bytes), beats),
            depth=geometry.lines * geometry.words,
            init=[],
        )
        m.submodules.rows = rows
        errors: Any = memory.Memory(shape=unsigned(1), depth=geometry.lines, init=[])
        m.submodules.errors = errors

        new = self.write
        write = rows.write_port(granularity=1)
        beat_bits = (geometry.beats - 1).bit_length()
        beat_address = Cat(new.beat[:beat_bits], new.line)
        log2_beats = beats.bit_length() - 1
        failed = errors.write_port()
        m.d.comb += [
            write.addr.eq(beat_address >> log2_beats),
            write.data.as_value().eq(new.data.replicate(beats)),
            write.en.eq(Mux(new.valid, Const(1) << beat_address[:log2_beats], 0)),
            failed.addr.eq(self.filled.line),
            failed.data.eq(self.filled.error),
            failed.en.eq(self.filled.valid),
        ]
        # A line is read after its fetch has ended and before it is fetched anew: no read meets a
        # write of the same line.
        read = rows.read_port(domain="sync")
        error = errors.read_port(domain="sync")
        m.d.comb += [
            read.addr.eq(self.address >> log2_word),
            read.en.eq(self.enable),
            self.data.eq(read.data.as_value()),
            error.addr.eq(self.address >> (LINE_BYTES.bit_length() - 1)),
            error.en.eq(self.enable),
            self.error.eq(error.data),
        ]
        return m
