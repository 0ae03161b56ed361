"""Device memory in block RAM."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from ..queue import Queue
from .word_port import WORD_BYTES, word_port_signature

__all__ = ["BlockMemory"]

_LATENCY = 2
"""Cycles of a read: the memory's own register and one behind it."""
_ANSWERS = 4
"""Words that wait for their user: a read a cycle needs the latency and two of the queue."""


class BlockMemory(wiring.Component):
    """One word a cycle, read or write; a word is out 4 cycles after its request.

    A memory of its own for each byte of a word, as write strobes need it.

    Parameters
    ----------
    log2_bytes
        Size.

    Members
    -------
    port
        The memory's side.
    """

    port: Any

    def __init__(self, *, log2_bytes: int) -> None:
        if not 6 <= log2_bytes <= 24:
            raise ValueError(f"log2_bytes must be in 6..24, not {log2_bytes!r}")
        self._words = 1 << log2_bytes >> 3
        super().__init__({"port": In(word_port_signature(log2_bytes - 3))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request, payload = self.port.request, self.port.request.payload
        m.submodules.answers = answers = Queue(shape=8 * WORD_BYTES, depth=_ANSWERS)
        reads = Signal(_LATENCY)  # bit i: the word of a read is i + 1 cycles on its way
        flying = Signal(range(_ANSWERS + 1))  # reads whose word the user has not taken
        taken = answers.o.valid & answers.o.ready
        moves = request.valid & request.ready
        accepted = moves & ~payload.write
        m.d.comb += request.ready.eq(payload.write | (flying != _ANSWERS))
        m.d.sync += [
            reads.eq(Cat(accepted, reads[:-1])),
            flying.eq(flying + accepted - taken),
        ]
        words = []
        for byte in range(WORD_BYTES):
            store: Any = memory.Memory(shape=unsigned(8), depth=self._words, init=[])
            m.submodules[f"byte_{byte}"] = store
            write, read = store.write_port(), store.read_port()
            m.d.comb += [
                write.addr.eq(payload.address),
                write.data.eq(payload.data.word_select(byte, 8)),
                write.en.eq(moves & payload.write & payload.strobe[byte]),
                read.addr.eq(payload.address),
                read.en.eq(accepted),
            ]
            words.append(read.data)
        word = Signal(8 * WORD_BYTES)
        m.d.sync += word.eq(Mux(reads[0], Cat(*words), word))
        m.d.comb += [
            answers.i.payload.eq(word),
            answers.i.valid.eq(reads[-1]),
            self.port.data.payload.eq(answers.o.payload),
            self.port.data.valid.eq(answers.o.valid),
            answers.o.ready.eq(self.port.data.ready),
        ]
        return m
