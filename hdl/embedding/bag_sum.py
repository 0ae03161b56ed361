"""Sums of bags: rows of a multi-hot feature are added up and requantised on their way out."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..array.requantiser import Requantiser
from ..array.timing import REQUANTISE_LATENCY
from ..config import Config
from ..interfaces import row_write_layout
from .granules import GRANULE_BYTES
from .lane_layouts import piece_layout

__all__ = ["BagSum"]

_SUM_BITS = 16
"""Width of a sum: up to 256 rows a bag, more than a record has id words."""
_ROW_BYTES = 128


class BagSum(wiring.Component):
    """Passes rows on, two cycles later; rows of a bag are summed and leave with its last one.

    ``pool_first`` starts a sum, ``pool_last`` ends it: the sum is requantised, four values a cycle,
    and written granule by granule. While that goes on rows may be added to the next bag, but
    nothing else may be handed over; ``done`` tells when it is over.

    Timing: a word of n granules is done REQUANTISE_LATENCY + n + 1 cycles after it was handed in.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Words of rows.
    row_write
        Words for the vector buffers.
    done
        The last granule of a sum's word is on ``row_write`` in the next cycle.
    idle
        No word is held.
    """

    i: data.View
    row_write: data.View
    done: Signal
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(piece_layout(config)),
                "row_write": Out(row_write_layout(config)),
                "done": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        lanes = config.lane_bytes
        held: Any = Signal(piece_layout(config))
        m.d.sync += held.eq(self.i)

        # Sums so far, for each loader (ids of several come mixed) a word of each part of a row. The
        # next piece's is read while this one's is written: transparent.
        words = _ROW_BYTES // lanes
        word_bits = words.bit_length() - 1
        depth = words * config.record_loaders
        sums: Any = memory.Memory(
            shape=data.ArrayLayout(signed(_SUM_BITS), lanes), depth=depth, init=[]
        )
        m.submodules.sums = sums
        write = sums.write_port()
        read = sums.read_port(domain="sync", transparent_for=(write,))
        values = data.View(data.ArrayLayout(signed(8), lanes), held.data)
        m.d.comb += [
            read.addr.eq(Cat(self.i.word[:word_bits], self.i.loader)),
            write.addr.eq(Cat(held.word[:word_bits], held.loader)),
            write.en.eq(held.valid & held.pooled),
        ]
        for lane in range(lanes):
            m.d.comb += write.data[lane].eq(values[lane] + Mux(held.pool_first, 0, read.data[lane]))
        granule = self._hand_over(m, held, write.data)

        out = self.row_write
        plain = held.valid & ~held.pooled
        m.d.sync += [
            out.valid.eq(plain | granule.valid),
            out.unit.eq(Mux(granule.valid, granule.unit, held.unit)),
            out.address.eq(Mux(granule.valid, granule.address, held.address)),
            out.enable.eq(Mux(granule.valid, granule.enable, held.enable)),
            out.item_last.eq(Mux(granule.valid, granule.item_last, held.item_last)),
            out.data.eq(Mux(granule.valid, granule.data, held.data)),
        ]
        m.d.comb += self.idle.eq(~held.valid & ~granule.waiting & ~out.valid)
        return m

    def _hand_over(self, m: Module, held: Any, sums: Any) -> Any:
        """A finished word of sums through the requantisers; returns granules for ``row_write``."""
        config = self._config
        granules = config.lane_bytes // GRANULE_BYTES
        word: Any = Signal(
            data.StructLayout(
                {
                    "unit": unsigned(8),
                    "address": unsigned(13),
                    "enable": unsigned(granules),
                    "multiplier": unsigned(16),
                    "shift": unsigned(6),
                    "item_last": 1,
                    "sums": data.ArrayLayout(signed(_SUM_BITS), config.lane_bytes),
                }
            )
        )
        left = Signal(granules)  # granules that have not entered the requantisers
        with m.If(held.valid & held.pooled & held.pool_last):
            m.d.sync += [word.sums.eq(sums), left.eq(held.enable)]
            for name in ("unit", "address", "enable", "multiplier", "shift", "item_last"):
                m.d.sync += word[name].eq(held[name])
        with m.Else():
            m.d.sync += left.eq(left & (left - 1))

        lowest = Signal(granules)
        m.d.comb += lowest.eq(left & (~left + 1))
        quarter = Signal(data.ArrayLayout(signed(_SUM_BITS), GRANULE_BYTES))
        for number in range(granules):
            with m.If(lowest[number]):
                for k in range(GRANULE_BYTES):
                    m.d.comb += quarter[k].eq(word.sums[GRANULE_BYTES * number + k])
        results: list[Value] = []
        for k in range(GRANULE_BYTES):
            requantiser = Requantiser(width=_SUM_BITS)
            m.submodules[f"requantiser_{k}"] = requantiser
            m.d.comb += [
                requantiser.value.eq(quarter[k]),
                requantiser.parameter.multiplier.eq(word.multiplier),
                requantiser.parameter.shift.eq(word.shift),
            ]
            results.append(requantiser.result[:8])

        # What goes beside the requantisers: which granule, and whether it is the last one.
        beside: Any = Signal(
            data.ArrayLayout(
                data.StructLayout({"enable": unsigned(granules), "last": 1}), REQUANTISE_LATENCY
            )
        )
        m.d.sync += [
            beside[0].enable.eq(lowest),
            beside[0].last.eq((left & (left - 1)) == 0),
        ]
        for stage in range(1, REQUANTISE_LATENCY):
            m.d.sync += beside[stage].eq(beside[stage - 1])
        final = beside[REQUANTISE_LATENCY - 1]
        granule: Any = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "unit": unsigned(8),
                    "address": unsigned(13),
                    "enable": unsigned(granules),
                    "item_last": 1,
                    "data": unsigned(8 * config.lane_bytes),
                    "waiting": 1,
                }
            )
        )
        under_way = Cat(beside[stage].enable for stage in range(REQUANTISE_LATENCY)) != 0
        m.d.comb += [
            granule.valid.eq(final.enable != 0),
            granule.unit.eq(word.unit),
            granule.address.eq(word.address),
            granule.enable.eq(final.enable),
            granule.item_last.eq(word.item_last & final.last),
            granule.data.eq(Cat(results).replicate(granules)),
            granule.waiting.eq((left != 0) | under_way),
        ]
        before = beside[REQUANTISE_LATENCY - 2]
        m.d.sync += self.done.eq((before.enable != 0) & before.last)  # as final will say
        return granule
