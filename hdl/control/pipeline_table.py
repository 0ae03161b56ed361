"""Table of loaded pipelines."""

from __future__ import annotations

from amaranth.hdl import Const, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from ..program import PIPELINE, PIPELINE_WORDS, Target

__all__ = ["PipelineTable"]


class PipelineTable(wiring.Component):
    """Memory of PIPELINE entries, written by LOAD, read one entry at a time.

    ``done`` pulses ``PIPELINE_WORDS + 2`` cycles after ``read``; ``entry`` then holds until the
    next ``read``. Entries survive a reset, and are 0 (not loaded) after power-up.

    Parameters
    ----------
    config
        Device sizes: ``max_pipelines``.

    Members
    -------
    config_write
        Broadcast of LOAD; ``Target.PIPELINES`` is for this table. Addresses beyond it are dropped.
    read, index
        Read entry ``index``; not again before ``done``.
    done, entry
        The entry is complete.
    """

    config_write: data.View
    read: Signal
    index: Signal
    done: Signal
    entry: data.View

    def __init__(self, *, config: Config) -> None:
        self._words = config.max_pipelines * PIPELINE_WORDS
        super().__init__(
            {
                "config_write": In(config_write_layout(config)),
                "read": In(1),
                "index": In(range(config.max_pipelines)),
                "done": Out(1),
                "entry": Out(PIPELINE),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words: memory.Memory = memory.Memory(shape=64, depth=self._words, init=[])
        m.submodules.words = words
        write = words.write_port()
        read = words.read_port(domain="sync")
        request = self.config_write
        enable, to, content = Signal(), Signal.like(write.addr), Signal.like(write.data)
        m.d.sync += [  # words come from far
            to.eq(request.address),
            content.eq(request.data),
            enable.eq(
                request.valid
                & (request.target == Target.PIPELINES)
                & (request.address < self._words)
            ),
        ]
        m.d.comb += [write.addr.eq(to), write.data.eq(content), write.en.eq(enable)]
        # A one-hot walks along with the words: bit w is high while word w is at the output.
        arriving = Signal(PIPELINE_WORDS)
        address = Signal(range(self._words))
        m.d.comb += read.addr.eq(address)
        m.d.sync += [arriving.eq(arriving << 1), self.done.eq(arriving[-1])]
        with m.If(self.read):
            # Added, three times: a product would take a multiplier block.
            m.d.sync += address.eq(sum([self.index] * PIPELINE_WORDS, Const(0)))
        with m.Else():
            m.d.sync += address.eq(address + 1)
        asked = Signal()
        m.d.sync += asked.eq(self.read)
        with m.If(asked):
            m.d.sync += arriving.eq(1)
        for word in range(PIPELINE_WORDS):
            with m.If(arriving[word]):
                m.d.sync += self.entry.as_value()[64 * word : 64 * (word + 1)].eq(read.data)
        return m
