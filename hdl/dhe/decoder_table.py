"""Decoder table: descriptors of an engine's decoders, written by LOAD, read into a slot."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .layouts import DECODER, DECODER_WORDS

__all__ = ["NUMBER_BITS", "DecoderTable", "table_write_layout"]

NUMBER_BITS = 8
"""Number of a decoder, all programs of an engine together."""


def table_write_layout() -> data.StructLayout:
    """A word of LOAD for this table; addresses beyond it are dropped."""
    return data.StructLayout({"valid": unsigned(1), "address": unsigned(24), "data": unsigned(64)})


class DecoderTable(wiring.Component):
    """Memory of descriptors and a register of one descriptor for each slot.

    One descriptor is read at a time, of two wishes that of slot 0 first; LATENCY cycles from a wish
    to ``done``. A wish is to be given up the cycle after ``done``.

    Parameters
    ----------
    decoders
        Descriptors held, at most 256.

    Members
    -------
    write
        Words of LOAD: address is number * DECODER_WORDS + word.
    want, number
        By slot: a wish for the descriptor ``number``.
    decoder
        Descriptor of each slot.
    done
        Pulse in the bit of the slot: its descriptor is in place.
    """

    LATENCY = DECODER_WORDS + 2

    write: data.View
    want: Signal
    number: Any
    decoder: data.View
    done: Signal

    def __init__(self, *, decoders: int) -> None:
        if not 1 <= decoders <= 1 << NUMBER_BITS:
            raise ValueError(f"decoders must be in 1..{1 << NUMBER_BITS}, not {decoders!r}")
        self._depth = decoders * DECODER_WORDS
        super().__init__(
            {
                "write": In(table_write_layout()),
                "want": In(2),
                "number": In(NUMBER_BITS).array(2),
                "decoder": Out(data.ArrayLayout(DECODER, 2)),
                "done": Out(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        table: Any = memory.Memory(shape=64, depth=self._depth, init=[])
        m.submodules.table = table
        read, write = table.read_port(domain="sync"), table.write_port()
        slot = Signal()
        address = Signal(range(self._depth))
        word = Signal(range(DECODER_WORDS))  # the one in the memory's output register
        m.d.comb += [
            read.addr.eq(address),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            write.en.eq(self.write.valid & (self.write.address < self._depth)),
        ]
        with m.FSM(name="state"):
            with m.State("IDLE"):
                wanted = Mux(self.want[0], self.number[0], self.number[1])
                m.d.sync += [
                    slot.eq(~self.want[0]),
                    address.eq(wanted << exact_log2(DECODER_WORDS)),
                    word.eq(0),
                ]
                with m.If(self.want.any()):
                    m.next = "READ"
            with m.State("READ"):
                m.d.sync += address.eq(address + 1)
                m.next = "COPY"
            with m.State("COPY"):
                m.d.sync += [address.eq(address + 1), word.eq(word + 1)]
                for number in range(2):
                    held = self.decoder[number].as_value()
                    with m.If(slot == number):
                        m.d.sync += held.word_select(word, 64).eq(read.data)
                with m.If(word == DECODER_WORDS - 1):
                    m.next = "DONE"
            with m.State("DONE"):
                m.d.comb += self.done.eq(1 << slot)
                m.next = "IDLE"
        return m
