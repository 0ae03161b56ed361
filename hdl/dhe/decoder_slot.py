"""Decoder slot: takes one row block through its decoders, one feature after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .decoder_table import NUMBER_BITS

__all__ = ["DecoderSlot"]


class DecoderSlot(wiring.Component):
    """State of one slot: descriptor, codes, phase, end; then the next decoder.

    The phase is asked for when the codes of all rows are in the banks, and the codes of the next
    feature when the phase has ended: its first layer reads them until then.

    Parameters
    ----------
    config
        Device configuration.

    Members
    -------
    start, first, count, rows
        Pulse: a row block of ``rows`` rows and its decoders first .. first + count - 1, which may
        be none. Only while ``free``.
    pages
        Code pages of the descriptor in force.
    free
        Nothing to do.
    done
        Pulse: the vectors of all decoders are written.
    want_descriptor, number, descriptor_done
        The descriptor of decoder ``number`` is wanted until it is there.
    want_codes, codes_begun
        Codes are wanted until the generator took the job.
    page_row
        Pulse: a row of a code page is in the banks.
    want_phase, phase_pushed, phase_done
        The decoder's phase is wanted until handed over; then its end is waited for.
    """

    start: Signal
    first: Signal
    count: Signal
    rows: Signal
    pages: Signal
    free: Signal
    done: Signal
    want_descriptor: Signal
    number: Signal
    descriptor_done: Signal
    want_codes: Signal
    codes_begun: Signal
    page_row: Signal
    want_phase: Signal
    phase_pushed: Signal
    phase_done: Signal

    def __init__(self, *, config: Config) -> None:
        super().__init__(
            {
                "start": In(1),
                "first": In(NUMBER_BITS),
                "count": In(NUMBER_BITS),
                "rows": In(config.row_bits + 1),
                "pages": In(12),
                "free": Out(1),
                "done": Out(1),
                "want_descriptor": Out(1),
                "number": Out(NUMBER_BITS),
                "descriptor_done": In(1),
                "want_codes": Out(1),
                "codes_begun": In(1),
                "page_row": In(1),
                "want_phase": Out(1),
                "phase_pushed": In(1),
                "phase_done": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        rows = Signal.like(self.rows)
        left = Signal(NUMBER_BITS)
        row = Signal.like(self.rows)
        page = Signal(12)
        last_row = row + 1 == rows
        with m.FSM(name="state") as fsm:
            with m.State("FREE"):
                with m.If(self.start):
                    m.d.sync += [self.number.eq(self.first), left.eq(self.count)]
                    m.d.sync += rows.eq(self.rows)
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += [row.eq(0), page.eq(0)]
                m.d.comb += self.done.eq(left == 0)
                m.next = "DESCRIPTOR"
                with m.If(left == 0):
                    m.next = "FREE"
            with m.State("DESCRIPTOR"):
                with m.If(self.descriptor_done):
                    m.next = "CODES"
            with m.State("CODES"):
                with m.If(self.codes_begun):
                    m.next = "LANDING"
            with m.State("LANDING"):
                with m.If(self.page_row):
                    m.d.sync += row.eq(Mux(last_row, 0, row + 1))
                    with m.If(last_row):
                        m.d.sync += page.eq(page + 1)
                        with m.If(page + 1 == self.pages):
                            m.next = "PHASE"
            with m.State("PHASE"):
                with m.If(self.phase_pushed):
                    m.next = "RUN"
            with m.State("RUN"):
                with m.If(self.phase_done):
                    m.d.sync += [self.number.eq(self.number + 1), left.eq(left - 1)]
                    m.next = "NEXT"
        m.d.comb += [
            self.free.eq(fsm.ongoing("FREE")),
            self.want_descriptor.eq(fsm.ongoing("DESCRIPTOR")),
            self.want_codes.eq(fsm.ongoing("CODES")),
            self.want_phase.eq(fsm.ongoing("PHASE")),
        ]
        return m
