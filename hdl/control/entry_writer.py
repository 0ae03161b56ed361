"""Writes one 64-byte ring entry."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_data_layout, write_request_layout
from ..config import Config
from ..program import COMPLETION, COMPLETION_BYTES

__all__ = ["EntryWriter"]


class EntryWriter(wiring.Component):
    """Turns a ``COMPLETION`` into one write burst, one beat a cycle, all strobes on.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i
        Entry and its address, 64-byte aligned; ready when nothing is being written, and valid only
        then.
    request, data
        Burst for a write port.
    """

    i: stream.Interface
    request: stream.Interface
    data: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        entry = data.StructLayout({"address": unsigned(config.address_bits), "entry": COMPLETION})
        super().__init__(
            {
                "i": In(stream.Signature(entry)),
                "request": Out(stream.Signature(write_request_layout(config))),
                "data": Out(stream.Signature(write_data_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        beats = COMPLETION_BYTES // config.axi_bytes
        entry = Signal(COMPLETION.size)
        now = Signal(config.axi_data_bits)  # this beat
        beat = Signal(range(max(2, beats)))  # the next one
        left = Signal(range(beats + 1))
        m.d.comb += [
            self.i.ready.eq((left == 0) & ~self.request.valid),
            self.data.valid.eq(left != 0),
            self.data.payload.data.eq(now),
            self.data.payload.strobe.eq(~0),
            self.request.payload.beats.eq(beats - 1),
        ]
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(self.data.valid & self.data.ready):
            m.d.sync += [beat.eq(beat + 1), left.eq(left - 1)]
            if beats > 1:
                m.d.sync += now.eq(entry.word_select(beat, config.axi_data_bits))
        with m.If(self.i.valid):
            m.d.sync += [
                self.request.valid.eq(1),
                self.request.payload.address.eq(self.i.payload.address),
                entry.eq(self.i.payload.entry),
                now.eq(self.i.payload.entry),  # truncation: the lowest beat
                beat.eq(1),
                left.eq(beats),
            ]
        return m
