"""Copies of registers with many loads: what is connected stays equal."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from synth.ecp5.replicate import replicate_gates, replicate_in_file, replicate_registers


def cell(kind: str, inputs: dict[str, list[Any]], outputs: dict[str, list[int]]) -> dict[str, Any]:
    return {
        "type": kind,
        "parameters": {"INIT": kind},
        "attributes": {},
        "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
        "connections": {**inputs, **outputs},
    }


def netlist(registers: int, luts: int, seed: int) -> dict[str, Any]:
    """Registers in a ring of LUTs; the first register feeds nearly everything."""
    rng = random.Random(seed)
    cells: dict[str, Any] = {}
    q = [10 + n for n in range(registers)]
    z = [10 + registers + n for n in range(luts)]
    for n in range(registers):
        cells[f"a.{n % 7}.register_{n}"] = cell(
            "TRELLIS_FF",
            {"CLK": [2], "DI": [rng.choice(z)], "LSR": [q[0] if n else "0"]},
            {"Q": [q[n]]},
        )
    for n in range(luts):
        pins = [q[0], rng.choice(q), rng.choice(z), "1"]
        rng.shuffle(pins)
        cells[f"b.{n % 5}.lut_{n}"] = cell(
            "LUT4", dict(zip("ABCD", ([p] for p in pins), strict=True)), {"Z": [z[n]]}
        )
    return {"cells": cells, "netnames": {}, "ports": {}}


def functions(module: dict[str, Any]) -> dict[tuple[str, str, int], Any]:
    """What drives each input: a register by its inputs' drivers is the same as its copies."""
    original = {}
    for name, each in module["cells"].items():
        for port, bits in each["connections"].items():
            if each["port_directions"][port] == "output":
                for bit in bits:
                    original[bit] = name.split("_copy_")[0]
    return {
        (name, port, index): original.get(bit, bit)
        for name, each in module["cells"].items()
        for port, bits in each["connections"].items()
        if each["port_directions"][port] == "input"
        for index, bit in enumerate(bits)
    }


@pytest.mark.parametrize("seed", range(5))
def test_every_input_sees_the_same_register_or_a_copy(seed: int) -> None:
    before = netlist(40, 300, seed)
    after = copy.deepcopy(before)
    copies = replicate_registers(after, limit=16)
    assert copies >= 300 // 16
    old, new = functions(before), functions(after)
    assert {key: new[key] for key in old} == old
    assert len(after["cells"]) == len(before["cells"]) + copies
    for name, each in after["cells"].items():
        if "_copy_" in name:
            source = after["cells"][name.split("_copy_")[0]]
            assert each["parameters"] == source["parameters"]
            for port, driven_by in (("CLK", 2), ("DI", None), ("LSR", None)):
                # A load of another register with copies may itself be given to one of them.
                key = (name, port, 0)
                assert new[key] == new[name.split("_copy_")[0], port, 0]
                assert driven_by is None or each["connections"][port] == [driven_by]


def test_no_register_keeps_more_loads_than_allowed() -> None:
    module = netlist(40, 300, 1)
    replicate_registers(module, limit=16)
    loads = Counter(
        bit
        for each in module["cells"].values()
        for port, bits in each["connections"].items()
        if each["port_directions"][port] == "input"
        for bit in bits
    )
    registers = [each for each in module["cells"].values() if each["type"] == "TRELLIS_FF"]
    outputs = [each["connections"]["Q"][0] for each in registers]
    assert len(set(outputs)) == len(outputs), "a net with two drivers"
    # Copies made later are loads of registers that were shared out before.
    assert max(loads[bit] for bit in outputs) <= 16 + 3


def test_copies_belong_to_units() -> None:
    module = netlist(2, 100, 1)
    replicate_registers(module, limit=25)
    owner = {}
    for name, each in module["cells"].items():
        if each["type"] == "TRELLIS_FF":
            owner[each["connections"]["Q"][0]] = name
    units: dict[str, set[str]] = {}
    for name, each in module["cells"].items():
        if each["type"] == "LUT4":
            for (bit,) in each["connections"].values():
                if owner.get(bit, "").startswith("a.0.register_0"):
                    units.setdefault(owner[bit], set()).add(name[:3])
    assert len(units) >= 5
    assert all(len(names) <= 2 for names in units.values())


def test_few_loads_stay(tmp_path: Path) -> None:
    module = netlist(10, 20, 3)
    text = json.dumps({"modules": {"top": module}})
    (tmp_path / "flat.json").write_text(text)
    assert replicate_in_file(tmp_path / "flat.json", "top") == 0
    assert json.loads((tmp_path / "flat.json").read_text()) == json.loads(text)


def gated(enabled: int, further: int) -> dict[str, Any]:
    """A multiplexer (two LUTs in its slice) enables registers and feeds further gates."""
    cells = {
        "u.low": cell("LUT4", {"A": [2], "B": [3], "C": ["0"], "D": ["0"]}, {"Z": [10]}),
        "u.high": cell("LUT4", {"A": [3], "B": [4], "C": ["0"], "D": ["0"]}, {"Z": [11]}),
        "u.mux": cell("PFUMX", {"ALUT": [10], "BLUT": [11], "C0": [5]}, {"Z": [12]}),
    }
    for n in range(enabled):
        cells[f"r.register_{n}"] = cell(
            "TRELLIS_FF", {"CLK": [1], "DI": [100 + n], "CE": [12]}, {"Q": [200 + n]}
        )
    for n in range(further):
        cells[f"g.gate_{n}"] = cell("LUT4", {"A": [12], "B": [200]}, {"Z": [300 + n]})
    return {"cells": cells, "netnames": {}, "ports": {}}


@pytest.mark.parametrize(("enabled", "further"), [(100, 7), (100, 60), (0, 60), (10, 10)])
def test_gates_get_copies_for_further_gates(enabled: int, further: int) -> None:
    before = gated(enabled, further)
    after = copy.deepcopy(before)
    copies = replicate_gates(after, limit=24)
    expected = -(-further // 24) if enabled else -(-(further - 24) // 24)
    assert copies == (expected if enabled + further > 24 else 0)
    old, new = functions(before), functions(after)
    assert {key: new[key] for key in old} == old
    drivers: Counter[int] = Counter()
    loads: dict[int, list[str]] = {}
    for name, each in after["cells"].items():
        for port, bits in each["connections"].items():
            if each["port_directions"][port] == "output":
                drivers.update(bits)
            else:
                for bit in bits:
                    loads.setdefault(bit, []).append(name)
    assert max(drivers.values()) == 1, "a net with two drivers"
    for name, each in after["cells"].items():
        if each["type"] == "PFUMX":
            # A slice's LUTs are its multiplexer's alone.
            for pin in ("ALUT", "BLUT"):
                assert loads[each["connections"][pin][0]] == [name]
            (output,) = each["connections"]["Z"]
            kinds = {after["cells"][load]["type"] for load in loads[output]}
            assert len(loads[output]) <= 24 or "LUT4" not in kinds
