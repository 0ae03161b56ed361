"""Load walker: brings the weight tiles of an engine's phases into the shadow weights, in order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import phase_layout

__all__ = ["LoadWalker"]

_RESIDENT_BITS = 17
"""A first word of 16 bits, with room to see that tiles go beyond the memory."""


class LoadWalker(wiring.Component):
    """Issues one ``load`` per weight tile as soon as the shadow weights are free.

    A tile may be loaded in the very cycle in which the tile before it is swapped in, and may be
    swapped in ``config.tile_interval`` cycles later (``loaded``). Resident tiles lie one after the
    other from ``weights`` on. Streamed tiles lie in the ring of the weight bank, one after the
    other over **all** streamed phases of the engine: tile t since reset is at
    ``ring_base + (t * slice_words) mod 2**ring_log2_words``; each waits until it has landed.

    All outputs but ``i.ready`` follow ``swap`` in the same cycle; ``loaded`` comes from registers.
    A phase of 0 tiles is dropped.

    Parameters
    ----------
    config
        Sizes of the device.

    Members
    -------
    i
        Phases, in the order of execution.
    landed
        Pulse: one more streamed tile lies in the ring.
    swap
        The loaded tile becomes the active one. Only while ``loaded``.
    load, load_address
        Start loading the tile at this address of the weight banks.
    loaded
        The shadow weights are complete by the time a swap sent now arrives.
    consumed
        Pulse: a streamed tile was issued for loading.
    starved
        The next tile has not landed yet.
    fault
        The tile issued for loading lies beyond the weight bank.
    """

    i: stream.Interface
    landed: Signal
    swap: Signal
    load: Signal
    load_address: Signal
    loaded: Signal
    consumed: Signal
    starved: Signal
    fault: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(phase_layout(config))),
                "landed": In(1),
                "swap": In(1),
                "load": Out(1),
                "load_address": Out(config.weight_address_bits),
                "loaded": Out(1),
                "consumed": Out(1),
                "starved": Out(1),
                "fault": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        held = Signal()
        tiles = Signal(24)  # still to be issued
        full = Signal()  # the shadow weights hold a tile that was not swapped in
        timer = Signal(range(config.tile_interval))
        address = self._address(m)
        some = self._available(m)

        m.d.comb += [
            self.i.ready.eq(~held),
            self.starved.eq(held & address.streamed & ~some & ~full),
            self.load.eq(held & (~address.streamed | some) & (~full | self.swap)),
            self.consumed.eq(self.load & address.streamed),
        ]
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        # ``loaded`` is full & (timer == 0), a register.
        m.d.sync += self.loaded.eq(full & (timer <= 1))
        with m.If(self.load):
            m.d.sync += [
                full.eq(1),
                self.loaded.eq(config.tile_interval == 1),
                timer.eq(config.tile_interval - 1),
                tiles.eq(tiles - 1),
                held.eq(tiles != 1),
            ]
        with m.Elif(self.swap):
            m.d.sync += [full.eq(0), self.loaded.eq(0)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [tiles.eq(self.i.payload.tiles), held.eq(self.i.payload.tiles != 0)]
        return m

    def _available(self, m: Module) -> Signal:
        """Whether streamed tiles have landed that were not issued, a register."""
        tiles = self._config.weight_words // self._config.slice_words
        available = Signal(range(tiles + 1))  # the ring is no larger than the bank
        some = Signal()
        with m.If(self.landed & ~self.consumed):
            m.d.sync += [available.eq(available + 1), some.eq(1)]
        with m.Elif(~self.landed & self.consumed):
            m.d.sync += [available.eq(available - 1), some.eq(available != 1)]
        return some

    def _address(self, m: Module) -> Any:
        """Address registers; drives ``load_address`` and returns the phase's registers."""
        width = self._config.weight_address_bits
        state: Any = Signal(
            data.StructLayout(
                {
                    "streamed": 1,
                    "resident": _RESIDENT_BITS,
                    "position": width,
                    "base": width,
                    "mask": width,
                }
            )
        )
        last = Signal(_RESIDENT_BITS)  # word of the tile
        m.d.comb += [
            last.eq(state.resident + (self._config.slice_words - 1)),
            self.fault.eq(self.load & ~state.streamed & last[width:].any()),
        ]
        m.d.comb += self.load_address.eq(
            Mux(state.streamed, state.base + (state.position & state.mask), state.resident[:width])
        )
        with m.If(self.load):
            with m.If(state.streamed):
                m.d.sync += state.position.eq(state.position + self._config.slice_words)
            with m.Else():
                m.d.sync += state.resident.eq(state.resident + self._config.slice_words)
        phase = self.i.payload
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                state.streamed.eq(phase.streamed),
                state.resident.eq(phase.weights),
                state.base.eq(phase.ring_base),
                state.mask.eq(Cat(bit < phase.ring_log2_words for bit in range(width))),
            ]
        return state
