"""LOAD: copies words from device memory into on-chip memories."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..config import Config
from ..interfaces import config_write_layout, read_port_signature
from ..program import Target
from ..queue import Queue

__all__ = ["BURST_BYTES", "IN_FLIGHT", "TASKS", "ConfigLoader", "load_layout"]

BURST_BYTES = 256
"""Bursts end at multiples of this, so they never cross a 4 KB boundary."""
TASKS = 8
"""LOADs begun and not finished: as many as there are bursts on the way."""
IN_FLIGHT = 8
"""Bursts asked for ahead: 2 KB, more than 100 cycles of latency at 16 bytes a cycle."""
_WORD_BITS = 25
_END_BITS = _WORD_BITS + 8
"""Words and what lies in front of them in their first burst."""


def load_layout(config: Config) -> data.StructLayout:
    """A checked LOAD."""
    return data.StructLayout(
        {
            "address": unsigned(config.address_bits),  # aligned to 64 bytes
            "words": unsigned(_WORD_BITS),  # at least 1
            "target": unsigned(8),
            "unit": unsigned(8),
            "units": unsigned(config.sub_arrays),
            "start": unsigned(24),
        }
    )


class ConfigLoader(wiring.Component):
    """Reads packed words in bursts and hands them to the LOAD broadcast.

    ``Target.WEIGHTS``: a beat is a word, one a cycle. Other targets: a beat is D / 8 words of 8
    bytes, one word a cycle. The broadcast is registered. Words of a beat with an AXI error are not
    written; the load still runs to its end.

    The bursts of a LOAD are asked for while words of those before it still come: one cycle between
    the words of two LOADs when the memory keeps up.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i
        Load to do; taken when all bursts of the one before are asked for.
    memory
        Read port; tag 0.
    config_write
        LOAD broadcast.
    done
        Pulse: the last word of a load is on ``config_write``.
    error
        With ``done``: some beat had an error.
    busy
        A load is not done.
    """

    i: stream.Interface
    memory: Any
    config_write: Any
    done: Signal
    error: Signal
    busy: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(load_layout(config))),
                "memory": Out(read_port_signature(config)),
                "config_write": Out(config_write_layout(config)),
                "done": Out(1),
                "error": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.tasks = tasks = Queue(shape=load_layout(self._config), depth=TASKS)
        asked = self._requests(m, tasks)
        started = self._words(m, tasks)
        m.d.comb += [
            self.i.ready.eq(asked & tasks.i.ready),
            tasks.i.valid.eq(self.i.valid & asked),
            tasks.i.payload.eq(self.i.payload),
            self.busy.eq(started | (tasks.level != 0) | self.done),
        ]
        return m

    def _requests(self, m: Module, tasks: Queue) -> Value:
        """Bursts up to the next multiple of 256 bytes, few in flight; returns "all asked for"."""
        config = self._config
        task = self.i.payload
        size = config.axi_bytes
        per_beat = size // 8
        address = Signal(config.address_bits)
        beat_bits = exact_log2(BURST_BYTES // size)
        offset_bits = exact_log2(size)
        # Counted from the multiple of 256 bytes below the first beat: ``first`` beats of the first
        # burst are not asked for.
        first = Signal(beat_bits)
        final_beat = Signal(beat_bits)  # of the last burst
        left = Signal(_WORD_BITS + 1)  # bursts behind this one
        last = Signal()  # there are none
        more = Signal()  # there is something to ask for
        flying = Signal(range(IN_FLIGHT + 1))
        request = self.memory.request
        response = self.memory.response
        sent = request.valid & request.ready
        landed = response.valid & response.ready & response.payload.last
        page = address[offset_bits + beat_bits :]
        m.d.comb += [
            request.valid.eq(more & (flying != IN_FLIGHT)),
            request.payload.address.eq(address),
            request.payload.beats.eq(Mux(last, final_beat, ~Const(0, beat_bits)) - first),
        ]
        m.d.sync += flying.eq(flying + sent - landed)
        with m.If(self.i.valid & self.i.ready):
            offset = task.address[offset_bits : offset_bits + beat_bits]
            end: Value = (task.words + offset * per_beat - 1)[:_END_BITS] >> exact_log2(per_beat)
            if per_beat > 1:
                wide = task.target == Target.WEIGHTS
                end = Mux(wide, (task.words + offset - 1)[:_END_BITS], end)
            m.d.sync += [
                address.eq(task.address),
                first.eq(offset),
                final_beat.eq(end[:beat_bits]),
                left.eq(end[beat_bits:]),
                last.eq(end[beat_bits:] == 0),
                more.eq(task.words != 0),
            ]
        with m.Elif(sent):
            m.d.sync += [
                page.eq(page + 1),
                address[offset_bits : offset_bits + beat_bits].eq(0),
                first.eq(0),
                left.eq(left - 1),
                last.eq(left == 1),
                more.eq(~last),
            ]
        return ~more

    def _words(self, m: Module, tasks: Queue) -> Value:
        """Beats to words; returns "a load has words to come"."""
        config = self._config
        task = tasks.o.payload
        response = self.memory.response
        per_beat = config.axi_bytes // 8
        left = Signal(_WORD_BITS)  # words to write
        some = Signal()  # there are some
        final = Signal()  # there is one
        index = Signal(range(max(2, per_beat)))  # word of the beat
        whole = Signal()  # a beat is a word
        failed = Signal()
        write = self.config_write
        move = response.valid & some
        word = Mux(whole, response.payload.data, response.payload.data.word_select(index, 64))
        # Where a beat is one word, nobody waits for a part of it.
        through = whole | (index == per_beat - 1) | final if per_beat > 1 else Const(1)
        m.d.comb += response.ready.eq(some & through)
        m.d.sync += [
            write.valid.eq(move & ~response.payload.error),
            write.data.eq(word),
            self.done.eq(move & final),
            self.error.eq(failed | (move & response.payload.error)),
        ]
        m.d.comb += tasks.o.ready.eq(~some)
        with m.If(tasks.o.valid & tasks.o.ready):
            m.d.sync += [
                left.eq(task.words),
                some.eq(task.words != 0),
                final.eq(task.words == 1),
                index.eq(0),
                whole.eq(task.target == Target.WEIGHTS),
                failed.eq(0),
                write.target.eq(task.target),
                write.unit.eq(task.unit),
                write.units.eq(task.units),
                # One less: it steps with every word.
                write.address.eq(task.start - 1),
            ]
        with m.Elif(move):
            m.d.sync += [
                left.eq(left - 1),
                some.eq(~final),
                final.eq(left == 2),
                index.eq(Mux(response.ready, 0, index + 1)),
                failed.eq(failed | response.payload.error),
                write.address.eq(write.address + 1),
            ]
        return some
