"""Holds one received frame until it is known to be good and has been worked off."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .framing import CHECK_BYTES, frame_byte_layout, mark_layout

__all__ = ["FrameStore"]


class FrameStore(wiring.Component):
    """Nothing of a frame comes out before its CRC is known to be right.

    ``i`` is always ready. A frame that is bad, longer than ``size`` or begins before the last one
    is worked off vanishes; the sender finds out by the missing answer. Contents come out without
    the CRC, a byte every 2 cycles at most, from 2 cycles after the end of the frame.

    Parameters
    ----------
    size
        Bytes of a frame's contents at most; one block memory.

    Members
    -------
    i
        From ``Deframer``.
    o
        Contents.
    length
        Bytes of the contents, while they come out.
    dropped
        Pulse: a frame vanished.
    """

    i: stream.Interface
    o: stream.Interface
    length: Signal
    dropped: Signal

    def __init__(self, *, size: int) -> None:
        if size < 1:
            raise ValueError(f"size must be at least 1, not {size!r}")
        self._size = size
        super().__init__(
            {
                "i": In(stream.Signature(mark_layout())),
                "o": Out(stream.Signature(frame_byte_layout())),
                "length": Out(range(size + 1)),
                "dropped": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # Room for the check bytes: the frame's end is known only behind them.
        limit = self._size + CHECK_BYTES
        store: Any = memory.Memory(shape=unsigned(8), depth=limit, init=[])
        m.submodules.bytes = store
        write, read = store.write_port(), store.read_port()
        count = Signal(range(limit + 2))
        blind = Signal()  # of the frame that comes, something is lost
        busy = Signal()
        at = Signal(range(self._size + 1))
        i, o = self.i, self.o
        m.d.comb += [
            i.ready.eq(1),
            write.addr.eq(count),
            write.data.eq(i.payload.data),
            write.en.eq(i.valid & ~i.payload.end & ~busy & (count < limit)),
            read.addr.eq(at),
            read.en.eq(1),
        ]
        good = i.payload.good & ~blind & ~busy & (count > CHECK_BYTES) & (count <= limit)
        with m.If(i.valid):
            with m.If(i.payload.end):
                m.d.sync += [count.eq(0), blind.eq(0)]
                m.d.comb += self.dropped.eq(~good)
                with m.If(good):
                    m.d.sync += [busy.eq(1), self.length.eq(count - CHECK_BYTES), at.eq(0)]
            with m.Elif(busy):
                m.d.sync += blind.eq(1)
            with m.Elif(count <= limit):
                m.d.sync += count.eq(count + 1)
        # A byte is read, then offered: there is time enough between two bytes of the line.
        fetched = Signal()
        m.d.comb += [
            o.valid.eq(busy & fetched),
            o.payload.data.eq(read.data),
            o.payload.last.eq(at + 1 == self.length),
        ]
        m.d.sync += fetched.eq(busy & ~(o.valid & o.ready))
        with m.If(o.valid & o.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(o.payload.last):
                m.d.sync += busy.eq(0)
        return m
