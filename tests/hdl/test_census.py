"""Counts of flip-flops, multipliers and memories against modules small enough to count by hand."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.back import rtlil  # type: ignore[attr-defined]  # the stubs leave it out
from amaranth.hdl import Const, Elaboratable, Module, Signal, Value
from amaranth.lib import memory

from hdl.array.pe import ProcessingElement
from hdl.census import Memory, Multiplier, count_rtlil
from hdl.config import PRESETS
from hdl.queue import Queue


class _Child(Elaboratable):
    def __init__(self) -> None:
        self.a, self.b = Signal(9), Signal(5)
        self.o = Signal(14)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.sync += self.o.eq(self.a * self.b)
        return m


class _Parent(Elaboratable):
    def __init__(self) -> None:
        self.i, self.o = Signal(14), Signal(14)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        words: Any = memory.Memory(shape=7, depth=12, init=[])
        m.submodules.words = words
        write, read = words.write_port(), words.read_port(domain="sync")
        m.d.comb += [write.addr.eq(self.i), write.data.eq(self.i), write.en.eq(1)]
        m.d.comb += read.addr.eq(self.i)
        total: Value = Const(0, 14)
        for index in range(3):
            child = _Child()
            m.submodules[f"child_{index}"] = child
            m.d.comb += [child.a.eq(self.i), child.b.eq(self.i)]
            total = total ^ child.o
        m.d.sync += self.o.eq(total ^ read.data)
        return m


@pytest.fixture(autouse=True)
def collisions() -> None:
    """Not here: memories are counted as they are."""


def test_small_module() -> None:
    parent = _Parent()
    text = rtlil.convert(parent, name="top", ports=[parent.i, parent.o], emit_src=False)
    counts = count_rtlil(text, "top")["top"]
    assert counts.flip_flops == 3 * 14 + 14
    assert counts.multipliers == {Multiplier(9, 5): 3}
    assert counts.memories == {Memory(7, 12, 1, True): 1}
    assert counts.memory_bits == 84


def test_queue_in_registers_is_no_block_ram() -> None:
    queue = Queue(shape=6, depth=2)
    text = rtlil.convert(queue, name="top", emit_src=False)
    (kind,) = count_rtlil(text, "top")["top"].memories
    assert (kind.width, kind.depth, kind.clocked) == (6, 2, False)


@pytest.mark.parametrize("gated", [False, True])
def test_pe(gated: bool) -> None:
    """A PE's flip-flops are those that its budget speaks of, and one multiplier."""
    pe = ProcessingElement(sum_width=20, gated=gated)
    counts = count_rtlil(rtlil.convert(pe, name="pe", emit_src=False), "pe")["pe"]
    # Activation, swap, weight, shadow, product, sum.
    assert counts.flip_flops == 8 + 1 + 8 + 8 + 16 + 20
    assert counts.multipliers == {Multiplier(8, 8): 1}


def test_every_pe_keeps_to_64_flip_flops() -> None:
    """Before any synthesis, on every preset: the widest sums are those of the largest engine."""
    for config in PRESETS.values():
        pe = ProcessingElement(sum_width=config.partial_sum_width)
        counts = count_rtlil(rtlil.convert(pe, name="pe", emit_src=False), "pe")["pe"]
        assert counts.flip_flops <= 64, config.name


def test_unknown_top() -> None:
    with pytest.raises(ValueError, match="no module 'other'"):
        count_rtlil("module \\top\nend\n", "other")
