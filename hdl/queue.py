"""A typed first-in first-out queue between two streams."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue", "counted"]

_SMALL = 4
"""Elements of a queue in registers, at most."""


def counted(count: Value, up: Value, down: Value) -> Value:
    """``count`` + ``up`` - ``down``, both of one bit, modulo its width.

    For counts that hear late of what they count: which bits turn over, up or down, is known before,
    so that no carry comes behind it.
    """
    return Cat(
        count[0] ^ up ^ down,
        *(
            bit ^ ((up & ~down & count[:place].all()) | (down & ~up & ~count[:place].any()))
            for place, bit in enumerate(count[1:], 1)
        ),
    )


class Queue(wiring.Component):
    """Queue of ``depth`` elements of any shape.

    Latency 2 cycles from ``i`` to ``o`` when empty (block memory) or 1 (``depth`` of 4 and below),
    one element a cycle in and out. Stream rules hold at both ends. Valid and ready are registers.

    Parameters
    ----------
    shape
        Payload shape of both streams.
    depth
        Number of elements, at least 1. The caller states why it is enough.
    refuses
        False: nothing is ever offered while the queue is full.

    Members
    -------
    i, o
        Streams in and out.
    level
        Number of elements held.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    LATENCY = 1
    BUFFERED_LATENCY = 2
    """Cycles from ``i`` to ``o`` of an empty queue: in registers, in block memory."""

    def __init__(self, *, shape: ShapeLike, depth: int, refuses: bool = True) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth!r}")
        self._shape = shape
        self._depth = depth
        self._refuses = refuses
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    @property
    def depth(self) -> int:
        """Number of elements the queue holds."""
        return self._depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        buffered = self._depth > _SMALL
        # One element of a block memory's queue is on its output.
        places = self._depth - buffered
        storage: memory.Memory = memory.Memory(
            shape=Shape.cast(self._shape).width, depth=places, init=[]
        )
        m.submodules.storage = storage
        write = storage.write_port()
        read = storage.read_port(domain="sync" if buffered else "comb")
        stored = Signal(range(places + 1))
        # Kept beside the count: a comparison in front of every valid and ready takes too long.
        some, room = Signal(), Signal(init=1)
        push, pop = Signal(), Signal()
        m.d.comb += [
            self.i.ready.eq(room),
            push.eq(self.i.valid & room if self._refuses else self.i.valid),
            # Not ``push``, a gate: a free place may be written as often as it likes.
            write.en.eq(room),
            write.data.eq(self.i.payload),
            Value.cast(self.o.payload).eq(read.data),
        ]
        m.d.sync += [
            stored.eq(counted(stored, push, pop)),
            some.eq(push | (some & ~(pop & (stored == 1)))),
            room.eq(pop | (room & ~(push & (stored == places - 1)))),
        ]
        if buffered:
            m.d.comb += [
                pop.eq(some & (~self.o.valid | self.o.ready)),
                read.en.eq(pop),
                self.level.eq(stored + self.o.valid),
            ]
            m.d.sync += self.o.valid.eq(pop | (self.o.valid & ~self.o.ready))
        else:
            m.d.comb += [
                pop.eq(some & self.o.ready), self.o.valid.eq(some), self.level.eq(stored),
            ]  # fmt: skip
        for enable, port in ((push, write), (pop, read)):
            place = Signal.like(port.addr)
            m.d.comb += port.addr.eq(place)
            with m.If(enable):
                m.d.sync += place.eq(Mux(place == places - 1, 0, place + 1))
        return m
