"""Merges the engines' score streams into one."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, ShapeLike, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import position_score_layout

__all__ = ["ScoreCollector", "StreamMerge"]


class StreamMerge(wiring.Component):
    """Merges a few streams into one, round robin, with a registered output.

    One element a cycle, latency 1 cycle. An input that waits is served after at most
    ``inputs - 1`` others. Order within an input is kept.

    Parameters
    ----------
    shape
        Payload shape of all streams.
    inputs
        Number of inputs, 1 to 8: the grant is one combinational step, so it stays narrow.

    Members
    -------
    i
        Array of input streams. ``ready`` depends on ``valid``: only the granted input is ready.
    o
        Merged stream.
    """

    i: Any  # array of streams
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike, inputs: int) -> None:
        if not 1 <= inputs <= 8:
            raise ValueError(f"inputs must be in 1..8, not {inputs!r}")
        self._inputs = inputs
        super().__init__(
            {
                "i": In(stream.Signature(shape)).array(inputs),
                "o": Out(stream.Signature(shape)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = self._inputs
        inputs = [self.i[index] for index in range(count)]
        number = range(max(2, count))  # Verilog has no signals without bits
        served = Signal(number)  # the input served last has the lowest priority
        grant = Signal(number)
        free = Signal()

        # For each value of `served`, the first waiting input behind it wins: lowest priority first,
        # so that later assignments override.
        with m.Switch(served):
            for last in range(count):
                with m.Case(last):
                    for distance in range(count, 0, -1):
                        index = (last + distance) % count
                        with m.If(inputs[index].valid):
                            m.d.comb += grant.eq(index)

        m.d.comb += free.eq(~self.o.valid | self.o.ready)
        for index, port in enumerate(inputs):
            m.d.comb += port.ready.eq(free & (grant == index) & port.valid)
        with m.If(free):
            m.d.sync += self.o.valid.eq(Cat(port.valid for port in inputs).any())
            with m.Switch(grant):
                for index, port in enumerate(inputs):
                    with m.Case(index):
                        m.d.sync += self.o.payload.eq(port.payload)
                        with m.If(port.valid):
                            m.d.sync += served.eq(index)
        return m


class ScoreCollector(wiring.Component):
    """Engines' score streams -> one (position, score) stream, one a cycle.

    A tree of 4-to-1 round robin merges, each registered, so that no path spans all inputs
    (``ready`` passes one gate a level). Latency: one cycle a level, ``log4(B*B)`` levels and at
    least 1. Every input is served, by the tree's symmetry each equally often under load.

    Parameters
    ----------
    config
        Device sizes: ``sub_arrays`` inputs, a power of four.

    Members
    -------
    i
        Array of ``sub_arrays`` input streams, ``position_score_layout``.
    o
        Merged stream, in order of arrival.
    """

    i: Any  # array of streams
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._shape: data.StructLayout = position_score_layout(config)
        super().__init__(
            {
                "i": In(stream.Signature(self._shape)).array(config.sub_arrays),
                "o": Out(stream.Signature(self._shape)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        streams = [wiring.flipped(self.i[index]) for index in range(self._config.sub_arrays)]
        level = 0
        while level == 0 or len(streams) > 1:
            groups = [streams[start : start + 4] for start in range(0, len(streams), 4)]
            streams = []
            for index, group in enumerate(groups):
                merge = StreamMerge(shape=self._shape, inputs=len(group))
                m.submodules[f"merge_{level}_{index}"] = merge
                for port, source in enumerate(group):
                    wiring.connect(m, source, merge.i[port])
                streams.append(merge.o)
            level += 1
        wiring.connect(m, streams[0], wiring.flipped(self.o))
        return m
