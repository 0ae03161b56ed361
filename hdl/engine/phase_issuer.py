"""Phase issuer: turns the job slots' wishes into phases for the sequencer, in a fixed order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..dhe.layouts import DECODER
from ..interfaces import QUERY_BITS, phase_layout, stream_state_layout
from ..program import STAGE
from .row_walker import phase_name_layout

__all__ = ["PhaseIssuer"]


class PhaseIssuer(wiring.Component):
    """Picks the next phase: bottom phases, then decoders, then top ones; of each the older job's.

    Bottom first, because its interaction then runs beside the top phase that follows. Top phases
    do not starve: a slot's next bottom phase comes after its top phase was queued.

    For a streamed phase it first asks the weight streamer for the stream, then hands over the
    phase: streams and phases have the same order, and weights run ahead while the phase waits in
    the queue. A stream in another ring than the last one's waits until no phase is in flight,
    because the two rings may overlap. Two cycles from a wish to the phase, three when streamed.

    Parameters
    ----------
    config
        Sizes of the device.
    decodes
        The engine has hash lanes.

    Members
    -------
    want_top, want_bottom
        Wishes, a bit per slot; stay until ``pushed``.
    want_decode, decoders, decode_rows
        With ``decodes``: likewise, each slot's decoder and its number of rows.
    older
        Slot of the older job when both slots are in use.
    stages, rows, queries
        Descriptor, number of rows and query of each slot's job.
    done
        A phase ended.
    pushed
        Pulse: this phase was handed over. A decoder's is named as a bottom phase: a slot has one
        wish at a time.
    o
        Phases.
    o_stream
        Weight streams.
    """

    want_top: Signal
    want_bottom: Signal
    want_decode: Signal
    decoders: data.View
    decode_rows: data.View
    older: Signal
    stages: data.View
    rows: data.View
    queries: data.View
    done: data.View
    pushed: data.View
    o: stream.Interface
    o_stream: stream.Interface

    PUSH_LATENCY = 1
    """Cycles from CHECK to the phase on offer, when its weights are resident."""

    def __init__(self, *, config: Config, decodes: bool = False) -> None:
        self._decodes = decodes
        rows = data.ArrayLayout(unsigned(config.row_bits + 1), 2)
        decoding = {
            "want_decode": In(2),
            "decoders": In(data.ArrayLayout(DECODER, 2)),
            "decode_rows": In(rows),
        }
        super().__init__(
            {
                "want_top": In(2),
                "want_bottom": In(2),
                "older": In(1),
                "stages": In(data.ArrayLayout(STAGE, 2)),
                "rows": In(rows),
                "queries": In(data.ArrayLayout(QUERY_BITS, 2)),
                "done": In(phase_name_layout()),
                "pushed": Out(phase_name_layout()),
                "o": Out(stream.Signature(phase_layout(config))),
                "o_stream": Out(stream.Signature(stream_state_layout(config))),
                **(decoding if decodes else {}),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        slot = Signal()
        top = Signal()
        decode = Signal() if self._decodes else Const(0)
        streamed = self._describe(m, slot, top, decode)
        ring_free = self._ring_free(m)
        wishes: Value = self.want_top
        wanted: Value = self.want_top | self.want_bottom
        is_top: Value = self.want_bottom == 0
        if self._decodes:
            wishes = Mux(self.want_decode != 0, self.want_decode, wishes)
            wanted |= self.want_decode
            is_top &= self.want_decode == 0
        wishes = Mux(self.want_bottom != 0, self.want_bottom, wishes)
        with m.FSM(name="state"):
            with m.State("PICK"):
                if self._decodes:
                    m.d.sync += decode.eq((self.want_bottom == 0) & (self.want_decode != 0))
                m.d.sync += [
                    top.eq(is_top),
                    slot.eq(Mux(wishes.bit_select(self.older, 1), self.older, ~self.older)),
                ]
                with m.If(wanted != 0):
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(~streamed):
                    m.next = "PUSH"
                with m.Elif(ring_free):
                    m.next = "STREAM"
            with m.State("STREAM"):
                m.d.comb += self.o_stream.valid.eq(1)
                with m.If(self.o_stream.ready):
                    m.next = "PUSH"
            with m.State("PUSH"):
                m.d.comb += [self.o.valid.eq(1), self.pushed.valid.eq(self.o.ready)]
                with m.If(self.o.ready):
                    m.next = "PICK"
        m.d.comb += [self.pushed.slot.eq(slot), self.pushed.top.eq(top)]
        return m

    def _describe(self, m: Module, slot: Signal, top: Signal, decode: Value) -> Signal:
        """Payloads from the picked slot's descriptor; returns whether the weights are streamed."""
        stage = self.stages[slot]
        phase, request = self.o.payload, self.o_stream.payload
        streamed = Signal()
        m.d.comb += [
            streamed.eq(Mux(top, stage.top_streamed, stage.bottom_streamed)),
            phase.layer.eq(Mux(top, stage.top_layer, stage.bottom_layer)),
            phase.layers.eq(Mux(top, stage.top_layers, stage.bottom_layers)),
            phase.tiles.eq(Mux(top, stage.top_tiles, stage.bottom_tiles)),
            phase.weights.eq(Mux(top, stage.top_weights, stage.bottom_weights)),
            phase.streamed.eq(streamed),
            phase.stream.eq(Mux(top, stage.top_stream, stage.bottom_stream)),
            phase.slot.eq(slot),
            phase.rows.eq(self.rows[slot]),
            phase.row_pitch.eq(stage.row_pitch),
            phase.top.eq(top),
            phase.ring_base.eq(stage.ring_base),
            phase.ring_log2_words.eq(stage.ring_log2_words),
            request.query.eq(self.queries[slot]),
            request.address.eq(phase.stream),
            request.tiles.eq(phase.tiles),
            request.ring_base.eq(stage.ring_base),
            request.ring_log2_words.eq(stage.ring_log2_words),
        ]
        if self._decodes:
            decoder = self.decoders[slot]
            with m.If(decode):
                m.d.comb += [
                    streamed.eq(decoder.streamed),
                    phase.rows.eq(self.decode_rows[slot]),
                    *(
                        getattr(phase, name).eq(getattr(decoder, name))
                        for name in ("layer", "layers", "tiles", "weights", "stream")
                    ),
                ]
        return streamed

    def _ring_free(self, m: Module) -> Signal:
        """The picked phase may use its ring now."""
        in_flight = Signal(range(5))  # a slot has a top phase and the next job's bottom phase
        ring: Any = Signal(data.StructLayout({"base": 16, "log2_words": 5}))
        phase = self.o.payload
        free = Signal()
        m.d.sync += in_flight.eq(in_flight + self.pushed.valid - self.done.valid)
        m.d.comb += free.eq(
            (in_flight == 0)
            | ((ring.base == phase.ring_base) & (ring.log2_words == phase.ring_log2_words))
        )
        with m.If(self.o_stream.valid):
            m.d.sync += [ring.base.eq(phase.ring_base), ring.log2_words.eq(phase.ring_log2_words)]
        return free
