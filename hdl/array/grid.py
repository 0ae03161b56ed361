"""Grid: the whole array with its banks and strips, cut into engines by ``levels``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Member, Out

from ..clock_gate import share_gated
from ..config import Config
from ..interfaces import (
    bank_write_signature,
    config_write_layout,
    control_word_layout,
    load_reaches,
    score_layout,
)
from ..program import Target
from . import timing
from .activation_bank import ActivationBank
from .layouts import (
    grid_weight_write_layout,
    strip_config_layout,
    strip_word_layout,
    trace_layout,
)
from .strip import Strip
from .sub_array import SubArray
from .weight_bank import WeightBank

__all__ = ["Grid"]


class Grid(wiring.Component):
    """B x B sub-arrays, each with weight bank, activation bank and strip, and every cut mux.

    The engine of level l anchored at (r0, c0) runs on ``control_{u}`` of its anchor; controls of
    other positions are ignored. The grid keeps all words of an engine in step (see ``timing``);
    its user may rely on, with E the engine's edge in PEs and the control word in cycle 0:

    * write-back of lane n in cycle ``E + n + WRITE_STAGE``, ``score_{u}`` in ``E + WRITE_STAGE``,
      ``tile_done_{u}`` and the last lane's write in ``latency(level)``;
    * a control word ``turnaround(level)`` cycles or more after a row's last one reads its outputs,
      ``page_ready_{u}`` pulses two cycles before that for row 0;
    * a load may share the control word of the swap before it; between two loads, and from a load
      to its swap, lie at least ``config.tile_interval`` cycles; a row index comes back to the
      accumulators after as many.

    ``levels`` change only while the engines they touch are idle. Weights may be written at any
    time and are in the bank two cycles later, like parameters and tables.

    Without ``features.fission`` there is one engine, the whole grid: ``levels`` is not looked at,
    no cut mux exists, and only the left column has activation banks, only the bottom row strips.

    Parameters
    ----------
    config
        All array sizes.
    trace
        Bring the trace out, for simulation.

    Members
    -------
    levels
        Level of the engine that each sub-array belongs to.
    active
        Engines (by anchor) that have anything under way; the clocks of the others' units stop.
    control_{u}
        Control word of the engine anchored at u.
    bank_write_{u}
        Stream of writes into that engine's activation banks, lanes as in ``bank_write_layout``;
        refused in cycles in which write-back uses one of the enabled lanes. Always refused where
        no engine is anchored. As many lanes as the largest engine there has.
    dense_address_{u}, dense_data_{u}
        Read port of that engine's dense-vector memories, all lanes at one address, data
        DENSE_LATENCY later; lanes above E hold other engines' bytes.
    score_{u}
        Values of rows with destination SCORE, in row order, never held up.
    page_ready_{u}
        Pulse: row 0 of an output tile can be read by a control word two cycles later, and each
        following row in turn a cycle later.
    tile_done_{u}
        Pulse in the cycle in which the last column's value of a row with ``tile_end`` is written.
        The next cycle's reads see it.
    weight_write
        Weights from the streamer: a word for every bank in ``mask``; never refused.
    config_write
        LOAD of WEIGHTS, PARAMETERS and ACTIVATION_TABLE; a WEIGHTS word never comes in a cycle
        with ``weight_write``.
    trace
        With ``trace``: ``u * S + column``, every value that leaves a column.
    """

    levels: data.View
    active: Signal
    weight_write: data.View
    config_write: data.View
    trace: data.View

    def __init__(self, *, config: Config, trace: bool = False) -> None:
        self._config = config
        self._trace = trace
        self._levels = range(config.levels) if config.features.fission else (config.levels - 1,)
        units = config.sub_arrays
        members: dict[str, Member] = {
            "levels": In(data.ArrayLayout(unsigned(config.level_bits), units)),
            "active": In(units),
            "weight_write": In(grid_weight_write_layout(config)),
            "config_write": In(config_write_layout(config)),
        }
        if trace:
            layout = data.ArrayLayout(trace_layout(config), units * config.sub_array)
            members["trace"] = Out(layout)
        for u in config.anchors:
            lanes = config.largest_edge_at(*divmod(u, config.grid))
            members |= {
                f"control_{u}": In(control_word_layout(config)),
                f"bank_write_{u}": In(bank_write_signature(config, lanes)),
                f"dense_address_{u}": In(config.dense_address_bits),
                f"dense_data_{u}": Out(data.ArrayLayout(signed(8), lanes)),
                f"score_{u}": Out(score_layout(config)),
                f"page_ready_{u}": Out(1),
                f"tile_done_{u}": Out(1),
            }
        super().__init__(members)

    @property
    def bank_units(self) -> list[int]:
        """Sub-arrays with an activation bank: where an engine's left edge can be."""
        return [u for u in range(self._config.sub_arrays) if self._left(u) is not False]

    @property
    def strip_units(self) -> list[int]:
        """Sub-arrays with a strip: where an engine's bottom row can be."""
        return [u for u in range(self._config.sub_arrays) if self._bottom(u) is not False]

    def latency(self, level: int) -> int:
        """Cycles from a control word to ``tile_done`` and the last column's write-back."""
        return timing.latency(self._config.sub_array << level)

    def turnaround(self, level: int) -> int:
        """Least cycles from a row's last control word to one that reads its outputs."""
        return timing.turnaround(self._config.sub_array << level)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        size = self._config.grid
        units = range(self._config.sub_arrays)
        # One level: no cut, and nothing comes from above the top row.
        self._gated = len(self._levels) > 1
        self._arrays = {u: SubArray(config=self._config, gated=self._gated) for u in units}
        self._weights = {u: WeightBank(config=self._config) for u in units}
        self._banks = {
            u: ActivationBank(
                config=self._config,
                dense_bytes=self._config.dense_bytes_at(u % self._config.grid),
            )
            for u in self.bank_units
        }
        self._strips = {u: Strip(config=self._config) for u in self.strip_units}
        for u in units:
            name = f"{u // size}_{u % size}"
            active = self._active(m, u)
            array, weights = self._arrays[u], self._weights[u]
            share_gated(m, platform, array, "sub_array", name=f"array_{name}", enable=active)
            loads = active | weights.write.valid
            share_gated(m, platform, weights, "weight_bank", name=f"weights_{name}", enable=loads)
            self._connect_array(m, u)
            if u in self._config.anchors:
                self._connect_anchor(m, u)
            if u in self._banks:
                bank, used = self._banks[u], active & self._left(u)
                decoded = self._config.dense_bytes_at(u % size) != self._config.dense_bytes
                kind = "activation_bank_decoded" if decoded else "activation_bank"
                share_gated(m, platform, bank, kind, name=f"bank_{name}", enable=used)
                self._connect_bank(m, u)
            if u in self._strips:
                strip, used = self._strips[u], active & self._bottom(u)
                used |= strip.config_write.parameters | strip.config_write.table
                share_gated(m, platform, strip, "strip", name=f"strip_{name}", enable=used)
                self._connect_strip(m, u)
        self._connect_writes(m)
        return m

    # -- cuts ----------------------------------------------------------------------------------
    def _is(self, u: int, condition: Callable[[int, int, int], bool]) -> Value | bool:
        """Whether ``condition(row, column, e)`` holds at u: a constant where no level matters."""
        row, column = divmod(u, self._config.grid)
        levels = [level for level in self._levels if condition(row, column, 1 << level)]
        if len(levels) in (0, len(self._levels)):
            return bool(levels)
        return Cat(self.levels[u] == level for level in levels).any()

    def _left(self, u: int) -> Value | bool:
        return self._is(u, lambda row, column, edge: column % edge == 0)

    def _top(self, u: int) -> Value | bool:
        return self._is(u, lambda row, column, edge: row % edge == 0)

    def _bottom(self, u: int) -> Value | bool:
        return self._is(u, lambda row, column, edge: row % edge == edge - 1)

    def _cases(self, m: Module, u: int) -> Iterator[int]:
        """Open the case of every level of u in turn and give its edge in sub-arrays."""
        if len(self._levels) == 1:
            yield 1 << self._levels[0]
            return
        with m.Switch(self.levels[u]):
            for level in self._levels:
                with m.Case(level):
                    yield 1 << level

    def _active(self, m: Module, u: int) -> Signal:
        """Whether the engine that u belongs to is active."""
        row, column = divmod(u, self._config.grid)
        active = Signal(name=f"active_{u}")
        for edge in self._cases(m, u):
            anchor = (row - row % edge) * self._config.grid + column - column % edge
            m.d.comb += active.eq(self.active[anchor])
        return active

    # -- connections ---------------------------------------------------------------------------
    def _connect_array(self, m: Module, u: int) -> None:
        """West, north and shadow inputs of a sub-array, and the load chain of its weight bank."""
        left, top = self._left(u), self._top(u)
        array, weights, arrays, banks = self._arrays[u], self._weights[u], self._arrays, self._banks
        west, north = u - 1, u - self._config.grid  # used only where a level has such a neighbour
        m.d.comb += [
            _cut(
                array.activations,
                left,
                lambda: banks[u].activations,
                lambda: arrays[west].activations_out,
            ),
            _cut(array.swaps, left, lambda: banks[u].swaps, lambda: arrays[west].swaps_out),
            _cut(
                weights.load,
                left,
                lambda: banks[u].control.load,
                lambda: self._weights[west].load_out,
            ),
            _cut(
                weights.load_address,
                left,
                lambda: banks[u].control.load_address,
                lambda: self._weights[west].load_address_out,
            ),
            array.shadow_select.eq(weights.shadow_select),
            array.shadow_row.eq(weights.shadow_row),
        ]
        if top is not True:
            m.d.comb += array.sums.eq(arrays[north].sums_out)
        if self._gated:
            m.d.comb += array.take_sums.eq(not top if isinstance(top, bool) else ~top)

    def _connect_bank(self, m: Module, u: int) -> None:
        """Control chain, write-back, bank writes and dense address of an activation bank."""
        size, lanes = self._config.grid, self._config.sub_array
        row, column = divmod(u, size)
        bank, left = self._banks[u], self._left(u)
        control: Any = Signal(bank.control.shape(), name=f"control_in_{u}")
        m.d.comb += [
            _cut(
                control,
                self._top(u),
                lambda: getattr(self, f"control_{u}"),
                lambda: self._banks[u - size].control_out,
            ),
            bank.control.eq(control),
        ]
        if left is not True:  # nothing enters the chain of a bank inside an engine
            for field in ("valid", "swap", "load"):
                m.d.comb += bank.control[field].eq(control[field] & left)
        for edge in self._cases(m, u):
            if column % edge:
                continue
            offset = row % edge
            strip = self._strips[(row - offset + edge - 1) * size + column + offset]
            anchor = u - offset * size
            port = getattr(self, f"bank_write_{anchor}")
            accepted = port.valid & port.ready
            share = slice(offset * lanes, (offset + 1) * lanes)
            m.d.comb += [
                bank.write_back.eq(strip.write_back),
                bank.results.eq(strip.results),
                bank.write.enable.eq(port.payload.enable[share] & accepted.replicate(lanes)),
                bank.write.wrapped.eq(port.payload.wrapped[share]),
                bank.write.address.eq(port.payload.address),
                bank.write.wrapped_address.eq(port.payload.wrapped_address),
                _bytes(bank.write.data).eq(
                    _bytes(port.payload.data).word_select(offset, 8 * lanes)
                ),
                bank.dense_address.eq(getattr(self, f"dense_address_{anchor}")),
            ]

    def _connect_strip(self, m: Module, u: int) -> None:
        """Word, sums and trace of a strip."""
        lanes = self._config.sub_array
        strip, left, bottom = self._strips[u], self._left(u), self._bottom(u)
        entry: Any = Signal(strip_word_layout(self._config), name=f"strip_word_{u}")
        if left is not False:
            control = self._banks[u].control_out
            m.d.comb += [entry[field].eq(control[field]) for field, _ in entry.shape()]
            m.d.comb += entry.valid.eq(control.valid & bottom)
        m.d.comb += [
            _cut(strip.word, left, lambda: entry, lambda: self._strips[u - 1].word_out),
            strip.partial_sums.eq(self._arrays[u].sums_out),
        ]
        if self._trace:
            m.d.comb += [self.trace[u * lanes + j].eq(strip.traced[j]) for j in range(lanes)]

    def _connect_anchor(self, m: Module, u: int) -> None:
        """What the engine anchored at u gets back: ready, dense bytes, scores, tile ends."""
        size = self._config.grid
        row, column = divmod(u, size)
        port = getattr(self, f"bank_write_{u}")
        score, tile_done = getattr(self, f"score_{u}"), getattr(self, f"tile_done_{u}")
        page_ready = getattr(self, f"page_ready_{u}")
        m.d.sync += [score.valid.eq(0), tile_done.eq(0), page_ready.eq(0)]
        for edge in self._cases(m, u):
            if row % edge or column % edge:
                continue
            busy = Cat(self._banks[u + j * size].busy for j in range(edge))
            m.d.comb += port.ready.eq(~(port.payload.enable & busy).any())
            bottom = u + (edge - 1) * size
            m.d.sync += [
                score.eq(self._strips[bottom].score),
                page_ready.eq(self._strips[bottom].page_opens),
                tile_done.eq(self._strips[bottom + edge - 1].tile_done),
            ]
        left_column = range(1 << self._config.largest_level_at(row, column))
        m.d.comb += _bytes(getattr(self, f"dense_data_{u}")).eq(
            Cat(_bytes(self._banks[u + j * size].dense_data) for j in left_column)
        )

    def _connect_writes(self, m: Module) -> None:
        """Weights and configuration words: registered once, then broadcast."""
        units = self._config.sub_arrays
        source, streamed = self.config_write, self.weight_write
        hit = Signal(units)
        is_weights = Signal()
        m.d.comb += [
            hit.eq(Cat(load_reaches(source, u) for u in range(units))),
            is_weights.eq(source.valid & (source.target == Target.WEIGHTS)),
        ]
        weight: Any = Signal(grid_weight_write_layout(self._config))
        word: Any = Signal(strip_config_layout(self._config))
        selected = Signal(units)
        m.d.sync += [
            weight.valid.eq(streamed.valid | is_weights),
            weight.mask.eq(Mux(streamed.valid, streamed.mask, hit)),
            weight.data.eq(Mux(streamed.valid, streamed.data, source.data)),
            selected.eq(hit),
            word.parameters.eq(source.valid & (source.target == Target.PARAMETERS)),
            word.table.eq(source.valid & (source.target == Target.ACTIVATION_TABLE)),
            word.address.eq(source.address),
            word.data.eq(source.data),
        ]
        for u, bank in self._weights.items():
            m.d.sync += weight.addresses[u].eq(
                Mux(streamed.valid, streamed.addresses[u], source.address)
            )
            m.d.comb += [
                bank.write.valid.eq(weight.valid & weight.mask[u]),
                bank.write.address.eq(weight.addresses[u]),
                bank.write.data.eq(weight.data),
            ]
        for u, strip in self._strips.items():
            m.d.comb += [
                strip.config_write.eq(word),
                strip.config_write.parameters.eq(word.parameters & selected[u]),
                strip.config_write.table.eq(word.table & selected[u]),
            ]


def _bytes(lanes: Any) -> Value:
    """Lanes as one vector: one assignment instead of one a lane."""
    return Value.cast(lanes)


def _cut(
    target: object, select: Value | bool, then: Callable[[], object], other: Callable[[], object]
) -> Any:
    """``target = select ? then : other``, without a mux where ``select`` is a constant."""
    if isinstance(select, bool):
        source = Value.cast(then() if select else other())
    else:
        source = Mux(select, Value.cast(then()), Value.cast(other()))
    return Value.cast(target).eq(source)
