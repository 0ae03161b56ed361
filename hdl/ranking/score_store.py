"""Scores of a stage by position, with a pass over them in order of position."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config

__all__ = ["ScoreStore"]


class ScoreStore(wiring.Component):
    """Memory of one key per position, written in any order, read in passes from position 0 up.

    A pass hands out one key a cycle in which ``advance`` is high; the first one 3 such cycles
    after the cycle of ``start`` (address, memory output, register). While ``advance`` is low,
    everything holds.

    Parameters
    ----------
    config
        Device sizes: ``max_items``.

    Members
    -------
    write, write_position, write_key
        Store a key. Not during a pass.
    n
        Length of a pass, 1 .. max_items; stable during it.
    start, stop
        Begin a pass; drop the rest of it. ``start`` only while ``busy`` is low.
    advance
        The key that is handed out is taken, or there is none.
    busy
        A pass has keys left to hand out.
    valid, position, key
        The key handed out.
    """

    write: Signal
    write_position: Signal
    write_key: Signal
    n: Signal
    start: Signal
    stop: Signal
    advance: Signal
    busy: Signal
    valid: Signal
    position: Signal
    key: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "write": In(1),
                "write_position": In(config.item_bits),
                "write_key": In(16),
                "n": In(config.item_bits + 1),
                "start": In(1),
                "stop": In(1),
                "advance": In(1),
                "busy": Out(1),
                "valid": Out(1),
                "position": Out(config.item_bits),
                "key": Out(16),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        keys: memory.Memory = memory.Memory(shape=16, depth=self._config.max_items, init=[])
        m.submodules.keys = keys
        write = keys.write_port()
        read = keys.read_port(domain="sync")
        address = Signal(self._config.item_bits)
        left = Signal(self._config.item_bits + 1)  # addresses still to be read
        read_valid = Signal()
        read_position = Signal(self._config.item_bits)
        m.d.comb += [
            write.en.eq(self.write),
            write.addr.eq(self.write_position),
            write.data.eq(self.write_key),
            read.addr.eq(address),
            read.en.eq(self.advance),
            self.busy.eq((left != 0) | read_valid | self.valid),
        ]
        with m.If(self.start):
            m.d.sync += [address.eq(0), left.eq(self.n)]
        with m.Elif(self.stop):
            m.d.sync += [left.eq(0), read_valid.eq(0), self.valid.eq(0)]
        with m.Elif(self.advance):
            m.d.sync += [
                read_valid.eq(left != 0),
                read_position.eq(address),
                self.valid.eq(read_valid),
                self.position.eq(read_position),
                self.key.eq(read.data),
            ]
            with m.If(left != 0):
                m.d.sync += [address.eq(address + 1), left.eq(left - 1)]
        return m
