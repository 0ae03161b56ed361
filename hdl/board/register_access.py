"""Single register accesses as AXI4-Lite manager."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.axi import axi_lite_signature

__all__ = ["RegisterAccess", "register_answer_layout", "register_request_layout"]


def register_request_layout(address_bits: int) -> data.StructLayout:
    """A word to write or read."""
    return data.StructLayout(
        {"address": unsigned(address_bits), "write": unsigned(1), "data": unsigned(32)}
    )


def register_answer_layout() -> data.StructLayout:
    """``error``: the response was none of OKAY and EXOKAY."""
    return data.StructLayout({"data": unsigned(32), "error": unsigned(1)})


class RegisterAccess(wiring.Component):
    """One access at a time; the next is taken when the answer has been.

    Parameters
    ----------
    address_bits
        Of the registers.

    Members
    -------
    i, o
        Accesses and their answers.
    axil
        The manager's side.
    """

    i: stream.Interface
    o: stream.Interface
    axil: Any

    def __init__(self, *, address_bits: int) -> None:
        super().__init__(
            {
                "i": In(stream.Signature(register_request_layout(address_bits))),
                "o": Out(stream.Signature(register_answer_layout())),
                "axil": Out(axi_lite_signature(address_bits=address_bits)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axil, access = self.axil, self.i.payload
        busy = Signal()
        m.d.comb += [
            self.i.ready.eq(~busy),
            axil.wstrb.eq(0xF),
            axil.bready.eq(busy & ~self.o.valid),
            axil.rready.eq(busy & ~self.o.valid),
        ]
        with m.If(self.i.valid & ~busy):
            m.d.sync += [
                busy.eq(1),
                axil.awaddr.eq(access.address),
                axil.araddr.eq(access.address),
                axil.wdata.eq(access.data),
                axil.awvalid.eq(access.write),
                axil.wvalid.eq(access.write),
                axil.arvalid.eq(~access.write),
            ]
        for channel in ("aw", "w", "ar"):
            valid = getattr(axil, f"{channel}valid")
            with m.If(valid & getattr(axil, f"{channel}ready")):
                m.d.sync += valid.eq(0)
        answer = self.o.payload
        with m.If(axil.bvalid & axil.bready):
            m.d.sync += [self.o.valid.eq(1), answer.error.eq(axil.bresp[1])]
        with m.If(axil.rvalid & axil.rready):
            m.d.sync += [
                self.o.valid.eq(1),
                answer.error.eq(axil.rresp[1]),
                answer.data.eq(axil.rdata),
            ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [self.o.valid.eq(0), busy.eq(0)]
        return m
