"""Estimates before placement: levels add up, registers end paths, loops are told."""

from __future__ import annotations

from typing import Any

import pytest

from synth.estimated_paths import estimated_paths


def _cell(kind: str, output: str, bits: dict[str, int]) -> dict[str, Any]:
    directions = {pin: "output" if pin == output else "input" for pin in bits}
    return {
        "type": kind,
        "parameters": {},
        "port_directions": directions,
        "connections": {pin: [bit] for pin, bit in bits.items()},
    }


def _register(data: int, out: int) -> dict[str, Any]:
    return _cell("TRELLIS_FF", "Q", {"CLK": 1, "DI": data, "Q": out})


def test_chain_of_luts_is_the_slowest() -> None:
    cells = {
        "a_TRELLIS_FF_Q_3": _register(20, 10),
        "b_TRELLIS_FF_Q": _register(13, 20),
        "one": _cell("LUT4", "Z", {"A": 10, "Z": 11}),
        "two": _cell("LUT4", "Z", {"A": 11, "B": 20, "Z": 12}),
        "three": _cell("LUT4", "Z", {"C": 12, "Z": 13}),
    }
    first, second = estimated_paths(cells, 2)
    assert (first.start, first.end, first.cells) == ("a", "b", 3)
    assert (second.start, second.end, second.cells) == ("b", "a", 0)
    assert first.delay_ns > second.delay_ns + 3 * 0.24
    assert (first.fan_out, second.fan_out) == (1, 2)


def test_registered_products_end_a_path() -> None:
    product = _cell("MULT18X18D", "P0", {"CLK0": 1, "A0": 2, "P0": 3})
    product["parameters"] = {"REG_OUTPUT_CLK": "CLK0"}
    cells = {"p": product, "a": _register(3, 2)}
    assert {(p.start, p.end, p.cells) for p in estimated_paths(cells, 9)} == {
        ("p", "a", 0), ("a", "p", 0),
    }  # fmt: skip


def test_a_loop_is_told() -> None:
    cells = {
        "x": _cell("LUT4", "Z", {"A": 5, "Z": 6}),
        "y": _cell("LUT4", "Z", {"A": 6, "Z": 5}),
        "r": _register(6, 7),
    }
    with pytest.raises(ValueError, match="loop"):
        estimated_paths(cells, 1)
