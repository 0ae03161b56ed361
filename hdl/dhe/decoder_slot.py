"""Decoder slot: takes one row block through its decoders, one feature after the other."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from .decoder_table import NUMBER_BITS

__all__ = ["DecoderSlot"]


class DecoderSlot(wiring.Component):
    """State of one slot: descriptor, list of rows, codes, phase, end; then the next decoder.

    A decoder without rows (all its vectors are held) is passed over. The phase is asked for when
    the codes of all rows are in the banks, and the codes of the next feature when the phase has
    ended: its first layer reads them until then.

    Parameters
    ----------
    config
        Device configuration.

    Members
    -------
    start, first, count
        Pulse: a row block and its decoders first .. first + count - 1, which may be none. Only
        while ``free``.
    pages
        Code pages of the descriptor in force.
    free
        Nothing to do.
    done
        Pulse: the vectors of all decoders are written.
    want_descriptor, number, descriptor_done
        The descriptor of decoder ``number`` is wanted until it is there.
    want_list, list_done, misses
        The rows to decode are wanted until their number is there.
    decode_rows
        That number.
    want_codes, codes_begun
        Codes are wanted until the generator took the job.
    page_row
        Pulse: a row of a code page is in the banks.
    making
        A decoder is on its way to its phase: descriptor, list or codes.
    want_phase, phase_pushed, phase_done
        The decoder's phase is wanted until handed over; then its end is waited for.
    """

    start: Signal
    first: Signal
    count: Signal
    pages: Signal
    free: Signal
    done: Signal
    want_descriptor: Signal
    number: Signal
    descriptor_done: Signal
    want_list: Signal
    list_done: Signal
    misses: Signal
    decode_rows: Signal
    want_codes: Signal
    codes_begun: Signal
    page_row: Signal
    making: Signal
    want_phase: Signal
    phase_pushed: Signal
    phase_done: Signal

    def __init__(self, *, config: Config) -> None:
        super().__init__(
            {
                "start": In(1),
                "first": In(NUMBER_BITS),
                "count": In(NUMBER_BITS),
                "pages": In(12),
                "free": Out(1),
                "done": Out(1),
                "want_descriptor": Out(1),
                "number": Out(NUMBER_BITS),
                "descriptor_done": In(1),
                "want_list": Out(1),
                "list_done": In(1),
                "misses": In(config.row_bits + 1),
                "decode_rows": Out(config.row_bits + 1),
                "want_codes": Out(1),
                "codes_begun": In(1),
                "page_row": In(1),
                "making": Out(1),
                "want_phase": Out(1),
                "phase_pushed": In(1),
                "phase_done": In(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        left = Signal(NUMBER_BITS)
        row = Signal.like(self.misses)  # of a code page
        page = Signal(12)
        last_row = row + 1 == self.decode_rows
        with m.FSM(name="state") as fsm:
            with m.State("FREE"):
                with m.If(self.start):
                    m.d.sync += [self.number.eq(self.first), left.eq(self.count)]
                    m.next = "NEXT"
            with m.State("NEXT"):
                m.d.sync += [row.eq(0), page.eq(0)]
                m.d.comb += self.done.eq(left == 0)
                m.next = "DESCRIPTOR"
                with m.If(left == 0):
                    m.next = "FREE"
            with m.State("DESCRIPTOR"):
                with m.If(self.descriptor_done):
                    m.next = "LIST"
            with m.State("LIST"):
                m.d.sync += self.decode_rows.eq(self.misses)
                with m.If(self.list_done & (self.misses == 0)):
                    self._advance(m, left)
                    m.next = "NEXT"
                with m.Elif(self.list_done):
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
                    self._advance(m, left)
                    m.next = "NEXT"
        m.d.comb += [
            self.free.eq(fsm.ongoing("FREE")),
            self.want_descriptor.eq(fsm.ongoing("DESCRIPTOR")),
            self.want_list.eq(fsm.ongoing("LIST")),
            self.want_codes.eq(fsm.ongoing("CODES")),
            self.making.eq(~(fsm.ongoing("FREE") | fsm.ongoing("PHASE") | fsm.ongoing("RUN"))),
            self.want_phase.eq(fsm.ongoing("PHASE")),
        ]
        return m

    def _advance(self, m: Module, left: Signal) -> None:
        """To the next decoder."""
        m.d.sync += [self.number.eq(self.number + 1), left.eq(left - 1)]
