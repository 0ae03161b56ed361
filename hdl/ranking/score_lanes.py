"""From the engines' score streams to the banks of the candidate memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Array, Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import position_score_layout
from ..queue import Queue
from .arrival_count import ArrivalCount
from .candidate_memory import bank_of
from .funnel_layouts import arrival_layout, score_write_layout
from .merge_tree import MergeTree

__all__ = ["ScoreLanes", "lane_of"]


def lane_of(config: Config, unit: int) -> int:
    """Lane of the engine anchored at sub-array ``unit``.

    Neighbours share a lane (Z order), so that the engines of a partition of larger engines have a
    lane each.
    """
    row, column = divmod(unit, config.grid)
    order = 0
    for bit in range(config.grid.bit_length()):
        order |= (column >> bit & 1) << 2 * bit | (row >> bit & 1) << 2 * bit + 1
    return order * min(config.filter_lanes, config.sub_arrays) // config.sub_arrays


class ScoreLanes(wiring.Component):
    """``filter_lanes`` lanes, each with a queue of ``rows`` scores, into twice as many banks.

    A lane takes a score a cycle from its engines and hands one a cycle to the bank of its
    position. Lanes that want the same bank are served one after the other, starting with lane
    ``b mod lanes`` at bank b; as engines send consecutive positions (or every B-th), which lie in
    different banks, they fall into step after a few cycles.

    Latency of an empty lane: ``LATENCY`` cycles and one a level of merging from the engine's
    stream to the write.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i
        Array of ``sub_arrays`` streams of ``position_score_layout``.
    bases
        Where each context's region begins; stable while the context is open.
    write
        To the banks, never refused.
    o
        Stream of ``arrival_layout``: what was written, or is in the next cycle.
    """

    LATENCY = 4

    i: Any
    bases: Any
    write: Any
    o: stream.Interface

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._lanes = min(config.filter_lanes, config.sub_arrays)
        scores = stream.Signature(position_score_layout(config))
        super().__init__(
            {
                "i": In(scores).array(config.sub_arrays),
                "bases": In(
                    data.ArrayLayout(unsigned(config.candidate_bits), config.filter_contexts)
                ),
                "write": Out(data.ArrayLayout(score_write_layout(config), config.candidate_banks)),
                "o": Out(stream.Signature(arrival_layout(config))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.arrivals = arrivals = MergeTree(
            shape=arrival_layout(config), inputs=self._lanes
        )
        wiring.connect(m, arrivals.o, wiring.flipped(self.o))
        lanes = []
        for lane in range(self._lanes):
            queue = self._queue(m, lane)
            head, ready = self._head(m, lane, queue)
            m.submodules[f"count_{lane}"] = count = ArrivalCount(config=config)
            wiring.connect(m, count.o, arrivals.i[lane])
            m.d.comb += [count.score.eq(head.score), count.take.eq(ready)]
            lanes.append((head, count.allowed, ready))
        self._write(m, lanes)
        return m

    def _queue(self, m: Module, lane: int) -> stream.Interface:
        """Scores of a lane's engines in one queue."""
        config = self._config
        shape = position_score_layout(config)
        units = [u for u in range(config.sub_arrays) if lane_of(config, u) == lane]
        m.submodules[f"merge_{lane}"] = merge = MergeTree(shape=shape, inputs=len(units))
        # A row block: an engine's slot is free as soon as its scores are handed over.
        m.submodules[f"queue_{lane}"] = queue = Queue(shape=shape, depth=config.rows)
        for port, unit in enumerate(units):
            wiring.connect(m, wiring.flipped(self.i[unit]), merge.i[port])
        wiring.connect(m, merge.o, queue.i)
        return queue.o

    def _head(self, m: Module, lane: int, source: stream.Interface) -> tuple[Any, Signal]:
        """Register behind the queue: the score and where it goes."""
        config = self._config
        layout = data.StructLayout(
            {
                "valid": 1,
                "address": config.candidate_bits,
                "score": position_score_layout(config),
            }
        )
        head: Any = Signal(layout, name=f"head_{lane}")
        ready = Signal(name=f"ready_{lane}")
        base = Array(self.bases[c] for c in range(config.filter_contexts))[source.payload.context]
        m.d.comb += source.ready.eq(~head.valid | ready)
        with m.If(source.ready):
            m.d.sync += [
                head.valid.eq(source.valid),
                head.address.eq(base + source.payload.position),
                head.score.eq(source.payload),
            ]
        return head, ready

    def _write(self, m: Module, lanes: list[tuple[Any, Signal, Signal]]) -> None:
        """Each bank takes one of the heads that want it."""
        config = self._config
        shift = config.candidate_banks.bit_length() - 1
        wants = []
        for lane, (head, allowed, _) in enumerate(lanes):
            bank = Signal(shift, name=f"bank_{lane}")
            m.d.comb += bank.eq(bank_of(config, head.address))
            wants.append(
                [head.valid & allowed & (bank == b) for b in range(config.candidate_banks)]
            )
        granted: list[list[Signal]] = [[] for _ in lanes]
        for number in range(config.candidate_banks):
            write = self.write[number]
            m.d.sync += write.valid.eq(0)
            order = [(number + step) % len(lanes) for step in range(len(lanes))]
            grants = {lane: Signal(name=f"grant_{number}_{lane}") for lane in order}
            taken = Signal(name=f"taken_{number}")
            m.d.comb += taken.eq(Cat(wants[lane][number] for lane in order).any())
            for place, lane in enumerate(order):
                before = Cat(wants[other][number] for other in order[:place])
                free = ~before.any() if place else 1
                m.d.comb += grants[lane].eq(wants[lane][number] & free)
                granted[lane].append(grants[lane])
                with m.If(grants[lane]):
                    m.d.sync += [
                        write.word.eq(lanes[lane][0].address[shift:]),
                        write.score.eq(lanes[lane][0].score.score),
                    ]
            m.d.sync += write.valid.eq(taken)
        for (_, _, ready), grants_of in zip(lanes, granted, strict=True):
            m.d.comb += ready.eq(Cat(grants_of).any())
