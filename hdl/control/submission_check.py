"""Checks a submission entry before anything is done with it."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from ..program import (
    ALL_UNITS,
    MANY_UNITS,
    PIPELINE,
    PIPELINE_WORDS,
    SUBMISSION,
    Opcode,
    Status,
    Target,
)
from .targets import SUB_ARRAY_TARGETS, target_units, target_words

__all__ = ["RESULT_BYTES", "SubmissionCheck"]

RESULT_BYTES = 8
"""Bytes of one result in device memory."""
_ALIGNMENT_BITS = 6
"""Addresses in entries are 64-byte aligned."""


class SubmissionCheck(wiring.Component):
    """Finds the status of an entry: OK, or the first of these that holds.

    * BAD_OPCODE: opcode unknown.
    * BAD_PARTITION (QUERY): ``partition_bad`` is up.
    * BAD_PIPELINE (QUERY): id at or above ``max_pipelines``, or nothing loaded there.
      BAD_TARGET (LOAD): target or unit unknown; MANY_UNITS without units, with one that is no
      sub-array, or for a target whose units are no sub-arrays.
    * BAD_SIZE: QUERY with n = 0 or n above ``max_items``, or a stage whose k is 0 or above its n.
      LOAD of no words, or of words that do not fit behind ``start``.
    * BAD_ADDRESS: an address above 40 bits, not 64-byte aligned (item records:
      ``config.record_alignment``), or with any byte of its range outside
      ``window_base .. window_limit - 1``. Ranges: n * pitch bytes of item records;
      8 bytes for each k of the last stage (each n without the on-chip filter); the words of a LOAD.

    Stages and pitch of the pipelines are learnt from the LOAD broadcast. The entry must stand still
    from ``start`` to ``done``; latency 4 cycles.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    entry
        ``SUBMISSION`` entry.
    window_base, window_limit
        First byte of the window, first byte behind it.
    config_write
        LOAD broadcast.
    partition_bad
        The partition that the host asked for last is none.
    start, done
        Pulses.
    status
        ``Status``, valid with ``done``.
    """

    entry: Any
    window_base: Signal
    window_limit: Signal
    config_write: Any
    partition_bad: Signal
    start: Signal
    done: Signal
    status: Signal

    LATENCY = 4
    """Cycles from ``start`` to ``done``."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "entry": In(SUBMISSION),
                "window_base": In(config.address_bits),
                "window_limit": In(config.address_bits),
                "config_write": In(config_write_layout(config)),
                "partition_bad": In(1),
                "start": In(1),
                "done": Out(1),
                "status": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        entry = self.entry
        pipeline_bad, query_bad, record_bytes, result_bytes = self._query(m)
        target_bad, load_bad, load_bytes = self._load(m)
        is_query = Signal()
        is_load = Signal()
        length = Signal(self._config.address_bits)
        misplaced = Signal()
        record_bits = self._config.record_alignment.bit_length() - 1
        # The checks are a pipeline that follows the entry, which stands from ``start`` on: what its
        # pipeline and its target are, lengths, ends of ranges, status; `steps` go with it.
        m.d.sync += [
            is_query.eq(entry.opcode == Opcode.QUERY),
            is_load.eq(entry.opcode == Opcode.LOAD),
            length.eq(Mux(is_query, record_bytes, load_bytes)),
            misplaced.eq(is_query & (entry.address[:record_bits] != 0)),
        ]
        source_bad = self._outside(m, "source", entry.address, length) | misplaced
        result_bad = self._outside(m, "result", entry.result, result_bytes)
        steps = Signal(self.LATENCY - 1)
        m.d.sync += Cat(steps, self.done).eq(Cat(self.start, steps))
        known = Signal(8)  # status but for addresses
        m.d.sync += known.eq(Status.OK)
        with m.If((entry.opcode != Opcode.NOP) & ~is_query & ~is_load):
            m.d.sync += known.eq(Status.BAD_OPCODE)
        with m.Elif(is_query & self.partition_bad):
            m.d.sync += known.eq(Status.BAD_PARTITION)
        with m.Elif(is_query & pipeline_bad):
            m.d.sync += known.eq(Status.BAD_PIPELINE)
        with m.Elif(is_load & target_bad):
            m.d.sync += known.eq(Status.BAD_TARGET)
        with m.Elif((is_query & query_bad) | (is_load & load_bad)):
            m.d.sync += known.eq(Status.BAD_SIZE)
        m.d.sync += self.status.eq(known)
        with m.If(known == Status.OK):
            with m.If(((is_query | is_load) & source_bad) | (is_query & result_bad)):
                m.d.sync += self.status.eq(Status.BAD_ADDRESS)
        return m

    def _query(self, m: Module) -> tuple[Signal, Signal, Value, Signal]:
        """BAD_PIPELINE, BAD_SIZE, bytes of the records (a step earlier), bytes of the results."""
        config = self._config
        entry = self.entry
        known = data.StructLayout({"stages": unsigned(3), "pitch": unsigned(16)})
        table: Any = Signal(data.ArrayLayout(known, config.max_pipelines))
        write = self.config_write
        ours = Signal()  # the target of a LOAD stands before its words come
        m.d.sync += ours.eq(write.target == Target.PIPELINES)
        head: Any = data.View(PIPELINE, Cat(write.data[:64], Value.cast(0).replicate(128)))
        for p in range(config.max_pipelines):
            with m.If(write.valid & ours & (write.address == p * PIPELINE_WORDS)):
                m.d.sync += [table[p].stages.eq(head.stages), table[p].pitch.eq(head.pitch)]

        chosen: Any = Signal(known)
        in_range = Signal()
        m.d.sync += [
            in_range.eq(entry.pipeline < config.max_pipelines),
            chosen.eq(table[entry.pipeline[: (config.max_pipelines - 1).bit_length()]]),
        ]
        pipeline_bad = Signal()
        size_bad = Signal()
        result_bytes = Signal(config.address_bits)
        bad_items = Signal()
        no_keep, above = Signal(config.max_stages), Signal(config.max_stages)
        m.d.sync += bad_items.eq((entry.items == 0) | (entry.items > config.max_items))
        problems: list[Value] = [bad_items]
        items = entry.items
        results: Value = entry.items
        for s in range(config.max_stages):
            used = chosen.stages > s
            keep = entry.keep[s]
            m.d.sync += [no_keep[s].eq(keep == 0), above[s].eq(keep > items)]
            problems.append(used & (no_keep[s] | above[s]))
            if config.features.on_chip_filter:
                results = Mux(used, keep, results)
            items = keep
        count_bits = config.item_bits + 1  # longer values are BAD_SIZE whatever the product
        m.d.sync += [
            pipeline_bad.eq(~in_range | (chosen.stages == 0)),
            size_bad.eq(Cat(problems) != 0),
            result_bytes.eq(results[:count_bits] * RESULT_BYTES),
        ]
        return pipeline_bad, size_bad, entry.items[:count_bits] * chosen.pitch, result_bytes

    def _load(self, m: Module) -> tuple[Signal, Signal, Signal]:
        """BAD_TARGET, BAD_SIZE, bytes of the source (a step earlier)."""
        config = self._config
        entry = self.entry
        units = Signal(range(max(config.sub_arrays, config.gather_lanes) + 1))
        words = Signal(25)
        wide = Signal()
        many = Signal()  # the units are sub-arrays
        with m.Switch(entry.target):
            for target in Target:
                with m.Case(target.value):
                    m.d.sync += [
                        units.eq(target_units(config, target)),
                        many.eq(target in SUB_ARRAY_TARGETS),
                        words.eq(target_words(config, target)),
                        wide.eq(target == Target.WEIGHTS),
                    ]
            with m.Default():
                m.d.sync += units.eq(0)
        target_bad = Signal()
        size_bad = Signal()
        load_bytes = Signal(config.address_bits)
        beyond = entry.units >> config.sub_arrays  # at most 64
        some, to_many, to_all, no_words = Signal(), Signal(), Signal(), Signal()
        end = Signal(33)
        m.d.sync += [
            some.eq(entry.units.any() & ~beyond.any()),
            to_many.eq(entry.unit == MANY_UNITS),
            to_all.eq(entry.unit == ALL_UNITS),
            no_words.eq(entry.items == 0),
            end.eq(entry.items + entry.start),
        ]
        unit_bad = Mux(to_many, ~(many & some), (entry.unit >= units) & ~to_all)
        count = entry.items[: len(words)]
        m.d.comb += load_bytes.eq(Mux(wide, count * config.axi_bytes, count * 8))
        m.d.sync += [
            target_bad.eq((units == 0) | unit_bad),
            size_bad.eq(no_words | (end > words)),
        ]
        return target_bad, size_bad, load_bytes

    def _outside(self, m: Module, name: str, address: Value, length: Value) -> Value:
        """Is any of ``length`` bytes from ``address`` on not to be touched? A step later."""
        bits = self._config.address_bits
        end = Signal(bits + 1, name=f"{name}_end")
        bad = Signal(name=f"{name}_bad")  # its first byte already
        m.d.sync += [
            end.eq(address[:bits] + length),
            bad.eq(
                (address[:_ALIGNMENT_BITS] != 0)
                | (address[bits:] != 0)
                | (address[:bits] < self.window_base)
            ),
        ]
        return bad | (end > self.window_limit)
