"""Results of a query on their way to device memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.write_master import write_data_layout, write_request_layout
from ..config import Config
from ..interfaces import result_layout
from ..queue import Queue

__all__ = ["BURST_BYTES", "RESULT_BYTES", "ResultWriter"]

BURST_BYTES = 64
RESULT_BYTES = 8


class ResultWriter(wiring.Component):
    """Packs results of 8 bytes into beats and beats into bursts of up to 64 bytes.

    ``start`` opens a list at ``address`` (64-byte aligned). How many results it has is told later:
    with ``end``, a level, ``count`` is the number of results; once so many have come, the rest is
    written (unused bytes with strobes off) and ``done`` stays up until the next ``start``. ``last``
    of a result is not looked at. One result a cycle, one cycle more for every beat. A burst is
    asked for when all its beats are held, so the memory never waits for a result.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    start, address
        Opens a list.
    i
        Results.
    end, count
        Number of results, when known.
    request, data
        Bursts for a write port.
    done
        All is handed over; its answers may be outstanding.
    """

    start: Signal
    address: Signal
    i: stream.Interface
    end: Signal
    count: Signal
    request: stream.Interface
    data: Any
    done: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "address": In(config.address_bits),
                "i": In(stream.Signature(result_layout(config))),
                "end": In(1),
                "count": In(32),
                "request": Out(stream.Signature(write_request_layout(config))),
                "data": Out(stream.Signature(write_data_layout(config))),
                "done": Out(1),
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
        m.submodules.bursts = bursts = Queue(shape=write_request_layout(config), depth=2)
        wiring.connect(m, beats.o, wiring.flipped(self.data))
        wiring.connect(m, bursts.o, wiring.flipped(self.request))

        address = Signal(config.address_bits)
        held = Signal(range(per_beat + 1))  # results in the beat
        held_beats = Signal(range(per_burst + 1))  # beats in the burst
        received = Signal(32)
        beat: Any = Signal(write_data_layout(config))
        m.d.comb += [
            beats.i.payload.eq(beat),
            bursts.i.payload.address.eq(address),
            bursts.i.payload.beats.eq(held_beats - 1),
        ]
        with m.FSM(name="state"):
            with m.State("IDLE"):
                m.d.comb += self.done.eq((beats.level == 0) & (bursts.level == 0))
                with m.If(self.start):
                    m.d.sync += [address.eq(self.address), received.eq(0)]
                    m.next = "TAKE"
            with m.State("TAKE"):
                complete = self.end & (received == self.count)
                m.d.comb += self.i.ready.eq(
                    (held != per_beat) & (held_beats != per_burst) & ~complete
                )
                with m.If(held_beats == per_burst):
                    m.next = "BURST"
                with m.Elif((held == per_beat) | (complete & (held != 0))):
                    m.next = "BEAT"
                with m.Elif(complete):
                    m.next = "LAST"
                with m.Elif(self.i.valid):
                    self._store(m, beat, held)
                    m.d.sync += received.eq(received + 1)
            with m.State("BEAT"):
                m.d.comb += beats.i.valid.eq(1)
                with m.If(beats.i.ready):
                    m.d.sync += [held.eq(0), beat.strobe.eq(0), held_beats.eq(held_beats + 1)]
                    m.next = "TAKE"
            with m.State("BURST"):
                self._burst(m, bursts, address, held_beats, "TAKE")
            with m.State("LAST"):
                with m.If(held_beats == 0):
                    m.next = "IDLE"
                with m.Else():
                    self._burst(m, bursts, address, held_beats, "IDLE")
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

    def _burst(
        self, m: Module, bursts: Queue, address: Signal, held_beats: Signal, following: str
    ) -> None:
        """Asks for the burst whose beats are held."""
        m.d.comb += bursts.i.valid.eq(1)
        with m.If(bursts.i.ready):
            m.d.sync += [address.eq(address + BURST_BYTES), held_beats.eq(0)]
            m.next = following
