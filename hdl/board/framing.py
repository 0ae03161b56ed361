"""Frames on a byte line, as HDLC in asynchronous mode has them (RFC 1662): flags, escapes, CRC."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC32_ISO_HDLC
from amaranth.lib.wiring import In, Out

__all__ = [
    "CHECK_BYTES",
    "ESCAPE",
    "FLAG",
    "Deframer",
    "Framer",
    "frame_byte_layout",
    "mark_layout",
]

FLAG = 0x7E
"""Begins and ends a frame; appears nowhere else."""
ESCAPE = 0x7D
"""The next byte is meant with bit 5 inverted."""
_INVERT = 0x20
CHECK_BYTES = 4
"""CRC-32 (ISO-HDLC: as Ethernet, zlib), lowest byte first, behind the contents."""


def frame_byte_layout() -> data.StructLayout:
    """A byte of a frame's contents."""
    return data.StructLayout({"data": unsigned(8), "last": unsigned(1)})


def mark_layout() -> data.StructLayout:
    """A byte as received, or with ``end`` the verdict on the frame that ends here."""
    return data.StructLayout({"data": unsigned(8), "end": unsigned(1), "good": unsigned(1)})


class Deframer(wiring.Component):
    """Takes flags and escapes out and checks the CRC.

    Per frame: its bytes, CRC included, then one element with ``end``. ``good``: the CRC is right
    and the frame was not broken off by an escape in front of the flag. Empty frames (flag after
    flag) give nothing. One byte a cycle, no latency (combinational from ``i`` to ``o``).

    Members
    -------
    i
        Bytes of the line.
    o
        ``mark_layout``.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__({"i": In(stream.Signature(8)), "o": Out(stream.Signature(mark_layout()))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        i, o = self.i, self.o
        escaped, inside = Signal(), Signal()
        flag, escape = i.payload == FLAG, i.payload == ESCAPE
        moves = i.valid & i.ready
        m.d.comb += [
            o.payload.data.eq(Mux(escaped, i.payload ^ _INVERT, i.payload)),
            o.payload.end.eq(flag),
            o.payload.good.eq(crc.match_detected & ~escaped),
            o.valid.eq(i.valid & Mux(flag, inside, ~escape)),
            i.ready.eq(o.ready),
            crc.data.eq(o.payload.data),
            crc.valid.eq(moves & ~flag & ~escape),
            crc.start.eq(moves & flag),
        ]
        with m.If(moves):
            m.d.sync += [escaped.eq(~flag & escape), inside.eq(~flag & (inside | ~escape))]
        return m


class Framer(wiring.Component):
    """Puts flags, escapes and the CRC around contents; a flag in front of and behind each frame.

    At most one byte of the line a cycle; contents of n bytes become n + 6 bytes and an escape for
    each byte that looks like a flag or an escape.

    Members
    -------
    i
        ``frame_byte_layout``; contents are at least one byte.
    o
        Bytes of the line.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(self) -> None:
        super().__init__(
            {"i": In(stream.Signature(frame_byte_layout())), "o": Out(stream.Signature(8))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC32_ISO_HDLC(data_width=8).create()
        i, o = self.i, self.o
        escaped = Signal()  # the escape has gone out
        check = Signal(8 * CHECK_BYTES)
        left = Signal(range(CHECK_BYTES + 1))
        m.d.comb += crc.data.eq(i.payload.data)
        with m.FSM(name="state"):
            with m.State("OPEN"):
                m.d.comb += [o.valid.eq(i.valid), o.payload.eq(FLAG), crc.start.eq(1)]
                with m.If(i.valid & o.ready):
                    m.next = "BYTES"
            with m.State("BYTES"):
                done = self._escaped(m, i.payload.data, i.valid, escaped)
                m.d.comb += [i.ready.eq(done), crc.valid.eq(done)]
                with m.If(done & i.payload.last):
                    m.next = "CRC"
            with m.State("CRC"):
                m.d.sync += [check.eq(crc.crc), left.eq(CHECK_BYTES)]
                m.next = "CHECK"
            with m.State("CHECK"):
                with m.If(self._escaped(m, check[:8], Value.cast(1), escaped)):
                    m.d.sync += [check.eq(check >> 8), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "CLOSE"
            with m.State("CLOSE"):
                m.d.comb += [o.valid.eq(1), o.payload.eq(FLAG)]
                with m.If(o.ready):
                    m.next = "OPEN"
        return m

    def _escaped(self, m: Module, byte: Value, valid: Value, escaped: Signal) -> Value:
        """Send ``byte``, behind an escape where it needs one; returns "it went out now"."""
        needs = ((byte == FLAG) | (byte == ESCAPE)) & ~escaped
        m.d.comb += [
            self.o.valid.eq(valid),
            self.o.payload.eq(Mux(needs, ESCAPE, Mux(escaped, byte ^ _INVERT, byte))),
        ]
        with m.If(valid & self.o.ready):
            m.d.sync += escaped.eq(needs)
        return valid & self.o.ready & ~needs
