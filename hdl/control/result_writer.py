"""Results of queries on their way to device memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_data_layout
from ..config import Config
from ..interfaces import QUERY_BITS, result_layout
from ..queue import Queue
from ..skid import StreamRegister
from .write_share import result_request_layout

__all__ = ["BURST_BYTES", "RESULT_BYTES", "ResultWriter"]

BURST_BYTES = 64
RESULT_BYTES = 8


class ResultWriter(wiring.Component):
    """Packs results of 8 bytes into beats and beats into bursts of up to 64 bytes.

    The first result of a query opens a list at ``address`` (64-byte aligned); ``last`` ends it: the
    rest is written (unused bytes with strobes off), and the next result may be of another query,
    while writes of the one before are not answered. One result a cycle, two cycles more for every
    beat and every burst. A burst is asked for when all its beats are held, so the memory never
    waits for a result.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i
        Results; those of a query one after the other.
    address
        Where the results of ``query`` go, in the cycle after its first one is taken.
    request, data
        Bursts for a write port, ``result_request_layout``.
    busy, query
        A list is open: some result of ``query`` was taken, and not all bursts are asked for.
    asked
        Pulse: a burst of ``query`` is asked for; the write port sees it from the next cycle on.
    """

    i: stream.Interface
    address: Signal
    request: stream.Interface
    data: Any
    busy: Signal
    query: Signal
    asked: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(result_layout(config))),
                "address": In(config.address_bits),
                "request": Out(stream.Signature(result_request_layout(config))),
                "data": Out(stream.Signature(write_data_layout(config))),
                "busy": Out(1),
                "query": Out(QUERY_BITS),
                "asked": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        size = config.axi_bytes
        per_beat = size // RESULT_BYTES
        per_burst = BURST_BYTES // size
        # Room for a whole burst while the one before is being written.
        m.submodules.beats = beats = Queue(shape=write_data_layout(config), depth=2 * per_burst)
        # One burst may wait beside the one that its beats are still joining.
        m.submodules.bursts = bursts = StreamRegister(shape=result_request_layout(config))
        wiring.connect(m, beats.o, wiring.flipped(self.data))
        wiring.connect(m, bursts.o, wiring.flipped(self.request))

        address = Signal(config.address_bits)
        held = Signal(range(per_beat + 1))  # results in the beat
        held_beats = Signal(range(per_burst + 1))  # beats in the burst
        ending = Signal()  # the last result is there
        open_ = Signal(init=1)  # TAKE, and there is room for a result
        beat: Any = Signal(write_data_layout(config))
        m.d.comb += [
            beats.i.payload.eq(beat),
            bursts.i.payload.burst.address.eq(address),
            bursts.i.payload.burst.beats.eq((held_beats - 1)[: (per_burst - 1).bit_length()]),
            bursts.i.payload.query.eq(self.query),
            self.asked.eq(bursts.i.valid & bursts.i.ready),
            self.i.ready.eq(open_),
        ]
        with m.If(~self.busy):  # nobody looks at it before the first result is taken
            m.d.sync += self.query.eq(self.i.payload.query)
        began = Signal()
        m.d.sync += began.eq(open_ & self.i.valid & ~self.busy)
        with m.If(began):  # long before the first burst
            m.d.sync += address.eq(self.address)
        with m.If(open_ & self.i.valid):
            self._store(m, beat, held)
        with m.FSM(name="state"):
            with m.State("TAKE"):
                with m.If(held_beats == per_burst):
                    m.next = "BURST"
                with m.Elif((held == per_beat) | (ending & (held != 0))):
                    m.next = "BEAT"
                with m.Elif(ending):
                    m.next = "LAST"
                with m.Elif(self.i.valid):
                    last = self.i.payload.last
                    full = held == per_beat - 1
                    m.d.sync += [self.busy.eq(1), ending.eq(last), open_.eq(~full & ~last)]
            with m.State("BEAT"):
                m.d.comb += beats.i.valid.eq(1)
                with m.If(beats.i.ready):
                    m.d.sync += [held.eq(0), beat.strobe.eq(0), held_beats.eq(held_beats + 1)]
                    m.d.sync += open_.eq((held_beats != per_burst - 1) & ~ending)
                    m.next = "TAKE"
            with m.State("BURST"):
                m.d.comb += bursts.i.valid.eq(1)
                with m.If(bursts.i.ready):
                    m.d.sync += [address.eq(address + BURST_BYTES), held_beats.eq(0)]
                    m.d.sync += open_.eq(~ending)
                    m.next = "TAKE"
            with m.State("LAST"):
                m.d.comb += bursts.i.valid.eq(held_beats != 0)
                with m.If(bursts.i.ready | (held_beats == 0)):
                    m.d.sync += [held_beats.eq(0), ending.eq(0), self.busy.eq(0), open_.eq(1)]
                    m.next = "TAKE"
        return m

    def _store(self, m: Module, beat: Any, held: Signal) -> None:
        """Puts the result into its place of the beat."""
        result = self.i.payload
        for place in range(self._config.axi_bytes // RESULT_BYTES):
            with m.If(held == place):
                bits = 64 * place
                m.d.sync += [
                    beat.data[bits : bits + 32].eq(result.item),
                    beat.data[bits + 32 : bits + 64].eq(result.score),
                    beat.strobe[8 * place : 8 * place + 8].eq(0xFF),
                ]
        m.d.sync += held.eq(held + 1)
