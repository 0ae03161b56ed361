"""Ids of a beat to the gather lanes, all lanes at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import lane_id_layout
from .record_layouts import record_layout, step_words

__all__ = ["IdSpreader"]


class IdSpreader(wiring.Component):
    """Hands the id words of record parts to the lanes that their places name.

    The first id word of a part is number 1 (vector 0 is the dense one), word number w goes to lane
    w mod G as its word k = w // G. Records lie so that a word's address says the same (see
    ``config.record_alignment``), so each lane is fed from one place in a beat. A step hands over
    ``words`` = min(D / 4, G) words; ids that their lanes take leave at once, the step ends when all
    have left. Where D / 4 > G a beat takes several steps.

    Combinational from the inputs to the outputs; one step a cycle while no lane refuses.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i_record, i_beat
        A record part in its id pass, and its oldest beat; ``valid`` is common to both.
    begin, next_start, begin_behind
        From the next cycle on a part is there, or none is; the part's ``start``; the words behind
        its last id in its first step, one bit each.
    next_behind
        The same of the step after this one, of the same part.
    valid
        Both inputs are there.
    last
        The step is the part's last one.
    step_done, beat_done
        The step, the beat leaves with this cycle.
    o
        Array of G streams.
    """

    i_record: Any
    i_beat: Value
    begin: Signal
    next_start: Signal
    begin_behind: Signal
    next_behind: Signal
    valid: Signal
    last: Signal
    step_done: Signal
    beat_done: Signal
    o: Any

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._words = step_words(config)
        super().__init__(
            {
                "i_record": In(record_layout(config)),
                "i_beat": In(config.axi_data_bits),
                "begin": In(1),
                "next_start": In((config.axi_bytes - 1).bit_length()),
                "begin_behind": In(self._words),
                "next_behind": In(self._words),
                "valid": In(1),
                "last": In(1),
                "step_done": Out(1),
                "beat_done": Out(1),
                "o": Out(stream.Signature(lane_id_layout(config))).array(config.gather_lanes),
            }
        )

    @property
    def words(self) -> int:
        """Ids of a step."""
        return self._words

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, words = self._config, self._words
        lanes = config.gather_lanes
        steps = config.axi_bytes // 4 // words  # of a beat
        groups = lanes // words  # of lanes, fed by steps in turn
        record = self.i_record
        word = Signal(range(config.axi_bytes // 4))  # of the beat, first of the step
        # The first id is number 1; numbers of a step start at a multiple of its words, or at 1
        # when a step is one word.
        origin = 1 if words == 1 else 0
        number = Signal(8, init=origin)  # of the step's first word: 0 names the dense vector
        bits = words.bit_length() - 1
        group = Signal(range(max(2, groups)))
        m.d.comb += group.eq(number[bits:] if groups > 1 else 0)

        step_data = Signal(32 * words)
        step = word[words.bit_length() - 1 :]
        m.d.comb += step_data.eq(
            self.i_beat if steps == 1 else self.i_beat.word_select(step, 32 * words)
        )
        left = Signal(words)  # taken in this cycle or before
        # Nor do words before the first id and behind the last one leave any more.
        taken = Signal(words)
        lead = self.next_start[2 : 2 + bits]
        for j in range(words):
            readies = []
            data = step_data[32 * j : 32 * (j + 1)]
            for g in range(groups):
                port = self.o[g * words + j]
                out = port.payload
                chosen = group == g
                m.d.comb += [
                    port.valid.eq(self.valid & ~taken[j] & chosen),
                    out.unit.eq(record.unit),
                    out.index.eq(record.index),
                    out.base.eq(record.base),
                    out.program.eq(record.program),
                    out.k.eq((number + j) >> (lanes.bit_length() - 1)),
                    out.id.eq(data),
                    out.query.eq(record.query),
                    out.prefetch.eq(record.prefetch),
                ]
                readies.append(chosen & port.ready)
            m.d.comb += left[j].eq(taken[j] | Cat(readies).any())
        m.d.comb += [
            self.step_done.eq(self.valid & left.all()),
            self.beat_done.eq(self.step_done & (self.last | (word == (steps - 1) * words))),
        ]
        with m.If(self.step_done):
            m.d.sync += [
                taken.eq(self.next_behind),
                word.eq(word + words),
                number.eq(Mux(self.last, origin, number + words)),
            ]
        with m.Elif(self.valid):
            m.d.sync += taken.eq(left)
        with m.If(self.begin):
            before: list[Value] = [j < lead for j in range(words - 1)]
            m.d.sync += [
                taken.eq(Cat(*before) | self.begin_behind),
                word.eq((self.next_start[2:] >> bits) << bits),
            ]
        return m
