"""Merges many streams into one: a tree of round robin merges."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, ShapeLike
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .score_collector import StreamMerge

__all__ = ["MergeTree"]

WIDTH = 4


class MergeTree(wiring.Component):
    """Round robin merges of four, each registered, so that no path spans all inputs.

    One element a cycle. Latency: one cycle a level, at least one level.

    Parameters
    ----------
    shape
        Payload shape of all streams.
    inputs
        Number of inputs.

    Members
    -------
    i
        Array of input streams.
    o
        Merged stream, in order of arrival.
    """

    i: Any  # array of streams
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike, inputs: int) -> None:
        if inputs < 1:
            raise ValueError(f"inputs must be at least 1, not {inputs!r}")
        self._shape = shape
        self._inputs = inputs
        super().__init__(
            {"i": In(stream.Signature(shape)).array(inputs), "o": Out(stream.Signature(shape))}
        )

    @staticmethod
    def latency(inputs: int) -> int:
        """Cycles from an input to the output."""
        levels = 1
        while inputs > WIDTH:
            inputs = -(-inputs // WIDTH)
            levels += 1
        return levels

    def elaborate(self, platform: object) -> Module:
        m = Module()
        streams = [wiring.flipped(self.i[index]) for index in range(self._inputs)]
        for level in range(self.latency(self._inputs)):
            groups = [streams[start : start + WIDTH] for start in range(0, len(streams), WIDTH)]
            streams = []
            for index, group in enumerate(groups):
                merge = StreamMerge(shape=self._shape, inputs=len(group))
                m.submodules[f"merge_{level}_{index}"] = merge
                for port, source in enumerate(group):
                    wiring.connect(m, source, merge.i[port])
                streams.append(merge.o)
        wiring.connect(m, streams[0], wiring.flipped(self.o))
        return m
