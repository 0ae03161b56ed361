"""Whether a request can be done."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .protocol import MAX_PAYLOAD, REQUEST, REQUEST_BYTES, BoardStatus, Operation
from .word_port import WORD_BYTES

__all__ = ["RequestCheck"]


class RequestCheck(wiring.Component):
    """Status of a request before anything is done. Combinational.

    Parameters
    ----------
    address_bits
        Of the device's registers.
    log2_bytes
        Size of the memory.

    Members
    -------
    request, length
        The request's header; bytes of its frame, header included.
    status
        OK or what is wrong with it, the operation first, then the length, then the address.
    """

    request: Any
    length: Signal
    status: Signal

    def __init__(self, *, address_bits: int, log2_bytes: int) -> None:
        self._address_bits = address_bits
        self._log2_bytes = log2_bytes
        super().__init__({"request": In(REQUEST), "length": In(16), "status": Out(BoardStatus)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        request = self.request
        payload = Signal(16)
        bytes_end = Signal(33)
        bad_length, bad_address = Signal(), Signal()
        count = request.count
        fits = (count != 0) & (count <= MAX_PAYLOAD)
        m.d.comb += [
            payload.eq(self.length - REQUEST_BYTES),
            bytes_end.eq(request.address + count),
            self.status.eq(BoardStatus.OK),
        ]
        empty = payload == 0
        whole = (count[:2] == 0) & fits
        beyond = bytes_end > (1 << self._log2_bytes)
        off_registers = request.address[:2].any() | (bytes_end > (1 << self._address_bits))
        words_end = request.address + (count << 3)
        with m.Switch(request.operation):
            with m.Case(Operation.HELLO, Operation.RESET):
                m.d.comb += bad_length.eq(~empty | (count != 0))
                m.d.comb += bad_address.eq(request.address != 0)
            with m.Case(Operation.READ_REGISTER):
                m.d.comb += [
                    bad_length.eq(~whole | ~empty),
                    bad_address.eq(off_registers),
                ]
            with m.Case(Operation.WRITE_REGISTER):
                m.d.comb += [
                    bad_length.eq(~whole | (payload != count)),
                    bad_address.eq(off_registers),
                ]
            with m.Case(Operation.READ_MEMORY):
                m.d.comb += [bad_length.eq(~fits | ~empty), bad_address.eq(beyond)]
            with m.Case(Operation.WRITE_MEMORY):
                m.d.comb += [bad_length.eq(~fits | (payload != count)), bad_address.eq(beyond)]
            with m.Case(Operation.FILL_MEMORY):
                m.d.comb += [
                    bad_length.eq((count == 0) | ~empty),
                    bad_address.eq(
                        request.address[: WORD_BYTES.bit_length() - 1].any()
                        | (words_end > (1 << self._log2_bytes))
                    ),
                ]
            with m.Case(Operation.WAIT_INTERRUPT):
                m.d.comb += bad_length.eq((count == 0) | ~empty)
            with m.Default():
                m.d.comb += self.status.eq(BoardStatus.BAD_OPERATION)
        with m.If(bad_length):
            m.d.comb += self.status.eq(BoardStatus.BAD_LENGTH)
        with m.Elif(bad_address):
            m.d.comb += self.status.eq(BoardStatus.BAD_ADDRESS)
        return m
