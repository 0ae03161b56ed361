"""AXI4 subordinate in front of a board's memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import BURST_INCR, Response, axi4_signature
from ..config import Config
from ..queue import Queue
from ..skid import StreamRegister
from .word_port import WORD_BYTES, word_port_signature

__all__ = ["AxiMemory"]


class AxiMemory(wiring.Component):
    """Bursts of one AXI4 port to words of a memory, in order of their addresses' arrival.

    Whole-width INCR bursts, one request a cycle; the next burst's requests follow while answers of
    the last one still come. Read and write bursts take turns. B is sent when the memory has taken
    all words: no later read sees older contents. A burst that leaves the memory is answered with
    DECERR, one that is no whole-width INCR burst with SLVERR, beat by beat; it changes nothing.

    Parameters
    ----------
    config
        Device: ids, address, 64 bits of data.
    log2_bytes
        Size of the memory, from address 0.
    reads
        Beats in flight: the memory's latency and a few.

    Members
    -------
    axi
        The subordinate's side.
    memory
        Port of the memory.
    """

    axi: Any
    memory: Any

    def __init__(self, *, config: Config, log2_bytes: int, reads: int) -> None:
        if config.axi_bytes != WORD_BYTES:
            raise ValueError(f"AXI must be {8 * WORD_BYTES} bits wide, not {config.axi_data_bits}")
        if not 12 <= log2_bytes <= config.address_bits:
            raise ValueError(f"log2_bytes must be in 12..{config.address_bits}, not {log2_bytes!r}")
        self._config = config
        self._log2_bytes = log2_bytes
        self._reads = reads
        super().__init__(
            {
                "axi": In(axi4_signature(config)),
                "memory": Out(word_port_signature(log2_bytes - 3)),
            }
        )

    def _burst_layout(self) -> data.StructLayout:
        return data.StructLayout(
            {
                "id": unsigned(self._config.id_bits),
                "word": unsigned(self._log2_bytes - 3),
                "beats": unsigned(8),
                "response": unsigned(2),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Two entries each: the address channels are registers and lose no cycle.
        m.submodules.read_bursts = read = StreamRegister(shape=self._burst_layout())
        m.submodules.write_bursts = write = StreamRegister(shape=self._burst_layout())
        self._address(m, "ar", read)
        self._address(m, "aw", write)
        beat = data.StructLayout(
            {"id": unsigned(self._config.id_bits), "last": unsigned(1), "response": unsigned(2)}
        )
        m.submodules.beats = beats = Queue(shape=beat, depth=self._reads)
        answer = data.StructLayout({"id": unsigned(self._config.id_bits), "response": unsigned(2)})
        m.submodules.written = written = StreamRegister(shape=answer)
        self._requests(m, read, write, beats, written)
        self._answers(m, beats, written)
        return m

    def _address(self, m: Module, channel: str, bursts: StreamRegister) -> None:
        """Take a burst and decide what it will be answered with."""
        axi, payload = self.axi, bursts.i.payload

        def pin(name: str) -> Any:
            return getattr(axi, channel + name)

        address = pin("addr")
        word = address[3 : self._log2_bytes]
        # Bursts end in their page, so their first byte decides whether they are in the memory.
        outside = address[self._log2_bytes :].any() if len(address) > self._log2_bytes else 0
        whole = (pin("burst") == BURST_INCR) & (pin("size") == WORD_BYTES.bit_length() - 1)
        m.d.comb += [
            bursts.i.valid.eq(pin("valid")),
            pin("ready").eq(bursts.i.ready),
            payload.id.eq(pin("id")),
            payload.word.eq(word),
            payload.beats.eq(pin("len")),
            payload.response.eq(
                Mux(outside, Response.DECERR, Mux(whole, Response.OKAY, Response.SLVERR))
            ),
        ]

    def _requests(
        self,
        m: Module,
        read: StreamRegister,
        write: StreamRegister,
        beats: Queue,
        written: StreamRegister,
    ) -> None:
        """One burst at a time, kept in registers that go with its beats."""
        axi, request = self.axi, self.memory.request
        word = Signal(self._log2_bytes - 3)  # of this beat
        left = Signal(8)  # beats after this one
        last = Signal()  # there are none
        ident = Signal(self._config.id_bits)
        response = Signal(2)
        refused = Signal()
        wrote = Signal()  # the burst before was a write
        moves = Signal()

        def begin(bursts: StreamRegister) -> None:
            burst = bursts.o.payload
            m.d.comb += bursts.o.ready.eq(1)
            m.d.sync += [
                word.eq(burst.word),
                left.eq(burst.beats),
                last.eq(burst.beats == 0),
                ident.eq(burst.id),
                response.eq(burst.response),
                refused.eq(burst.response != Response.OKAY),
            ]

        with m.If(moves):
            m.d.sync += [word.eq(word + 1), left.eq(left - 1), last.eq(left == 1)]
        m.d.comb += [
            request.payload.address.eq(word),
            request.payload.data.eq(axi.wdata),
            request.payload.strobe.eq(axi.wstrb),
            beats.i.payload.id.eq(ident),
            beats.i.payload.response.eq(response),
            beats.i.payload.last.eq(last),
            written.i.payload.id.eq(ident),
            written.i.payload.response.eq(response),
        ]
        with m.FSM(name="state"):
            with m.State("CHOOSE"):
                with m.If(read.o.valid & (wrote | ~write.o.valid)):
                    begin(read)
                    m.next = "READ"
                with m.Elif(write.o.valid):
                    begin(write)
                    m.next = "WRITE"
            with m.State("READ"):
                m.d.comb += [
                    moves.eq(beats.i.ready & (refused | request.ready)),
                    request.valid.eq(beats.i.ready & ~refused),
                    beats.i.valid.eq(refused | request.ready),
                ]
                with m.If(moves & last):
                    m.d.sync += wrote.eq(0)
                    m.next = "CHOOSE"
            with m.State("WRITE"):
                # Room for the answer is there before the last beat is taken.
                m.d.comb += [
                    moves.eq(axi.wvalid & written.i.ready & (refused | request.ready)),
                    request.valid.eq(axi.wvalid & written.i.ready & ~refused),
                    request.payload.write.eq(1),
                    axi.wready.eq(written.i.ready & (refused | request.ready)),
                    written.i.valid.eq(moves & last),
                ]
                with m.If(moves & last):
                    m.d.sync += wrote.eq(1)
                    m.next = "CHOOSE"

    def _answers(self, m: Module, beats: Queue, written: StreamRegister) -> None:
        axi, words = self.axi, self.memory.data
        refused = beats.o.payload.response != Response.OKAY
        m.d.comb += [
            axi.rvalid.eq(beats.o.valid & (refused | words.valid)),
            axi.rid.eq(beats.o.payload.id),
            axi.rdata.eq(Mux(refused, 0, words.payload)),
            axi.rresp.eq(beats.o.payload.response),
            axi.rlast.eq(beats.o.payload.last),
            beats.o.ready.eq(axi.rready & (refused | words.valid)),
            words.ready.eq(beats.o.valid & axi.rready & ~refused),
            axi.bvalid.eq(written.o.valid),
            axi.bid.eq(written.o.payload.id),
            axi.bresp.eq(written.o.payload.response),
            written.o.ready.eq(axi.bready),
        ]
