"""Sub-array: S x S processing elements in lock step, the smallest unit of fission."""

from __future__ import annotations

from amaranth.hdl import Module, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

from ..config import Config
from ..share import share
from .pe import ProcessingElement
from .pe_pair import ProcessingElementPair

__all__ = ["SubArray"]


class SubArray(wiring.Component):
    """Square of PEs; all edges are plain registered signals that move every cycle.

    Row i's activation must be one cycle behind row i - 1's, column j's sums one cycle behind
    column j - 1's. Then ``sums_out[j]`` is ``sums[j]`` plus the column's products, S cycles
    after ``sums[j]``; ``activations_out[i]`` is ``activations[i]`` S cycles later.

    Parameters
    ----------
    config
        Sizes: ``sub_array``, ``partial_sum_width``.
    gated
        There may be a cut above: ``sums`` count only while ``take_sums`` is set.

    Members
    -------
    activations, swaps
        West edge, one lane a row; the swap bit travels with the activation.
    activations_out, swaps_out
        East edge.
    sums, sums_out
        North and south edge, one a column.
    take_sums
        With ``gated``: no cut above. Not registered; changes only while nothing moves.
    shadow_select
        One-hot: the row whose shadow weights take ``shadow_row`` in this cycle.
    shadow_row
        S weights, column 0 first.
    """

    activations: data.View
    swaps: Signal
    sums: data.View
    take_sums: Signal
    shadow_select: Signal
    shadow_row: data.View
    activations_out: data.View
    swaps_out: Signal
    sums_out: data.View

    def __init__(self, *, config: Config, gated: bool = False) -> None:
        self._config = config
        self._gated = gated
        size = config.sub_array
        lanes = data.ArrayLayout(signed(8), size)
        sums = data.ArrayLayout(signed(config.partial_sum_width), size)
        members: dict[str, Member] = {
            "activations": In(lanes),
            "swaps": In(size),
            "sums": In(sums),
            "shadow_select": In(size),
            "shadow_row": In(lanes),
            "activations_out": Out(lanes),
            "swaps_out": Out(size),
            "sums_out": Out(sums),
        }
        if gated:
            members["take_sums"] = In(1)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self._config.sub_array
        sums: list[Value] = [self.sums[j] for j in range(size)]
        step = self._config.macs_per_dsp
        for i in range(size):
            activation: Value = self.activations[i]
            swap: Value = self.swaps[i]
            for j in range(0, size, step):
                gated = self._gated and i == 0
                width = self._config.partial_sum_width
                if step == 2:
                    pair = self._pair(m, platform, i, j, activation, swap, sums)
                    activation, swap = pair.activation_out, pair.swap_out
                    continue
                pe = ProcessingElement(sum_width=width, gated=gated)
                name = "gated_pe" if gated else "pe"
                m.submodules[f"pe_{i}_{j}"] = share(platform, pe, name)
                if gated:
                    m.d.comb += pe.take_sum.eq(self.take_sums)
                m.d.comb += [
                    pe.activation.eq(activation),
                    pe.swap.eq(swap),
                    pe.sum.eq(sums[j]),
                    pe.shadow_write.eq(self.shadow_select[i]),
                    pe.shadow_weight.eq(self.shadow_row[j]),
                ]
                activation, swap, sums[j] = pe.activation_out, pe.swap_out, pe.sum_out
            m.d.comb += [self.activations_out[i].eq(activation), self.swaps_out[i].eq(swap)]
        m.d.comb += [self.sums_out[j].eq(sums[j]) for j in range(size)]
        return m

    def _pair(
        self,
        m: Module,
        platform: object,
        row: int,
        column: int,
        activation: Value,
        swap: Value,
        sums: list[Value],
    ) -> ProcessingElementPair:
        """Elements (row, column) and (row, column + 1); ``sums`` become theirs."""
        gated = self._gated and row == 0
        pair = ProcessingElementPair(sum_width=self._config.partial_sum_width, gated=gated)
        name = "gated_pe_pair" if gated else "pe_pair"
        m.submodules[f"pair_{row}_{column}"] = share(platform, pair, name)
        if gated:
            m.d.comb += pair.take_sums.eq(self.take_sums)
        m.d.comb += [
            pair.activation.eq(activation),
            pair.swap.eq(swap),
            pair.shadow_write.eq(self.shadow_select[row]),
        ]
        for n in range(2):
            m.d.comb += [
                pair.sums[n].eq(sums[column + n]),
                pair.shadow_weights[n].eq(self.shadow_row[column + n]),
            ]
            sums[column + n] = pair.sums_out[n]
        return pair
