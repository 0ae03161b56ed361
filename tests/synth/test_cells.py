"""Cells by unit, resources by family, harness, and what is refused before synthesis."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hdl.census import Census, Memory, Multiplier
from synth.cells import area_by_unit, children_of, resources
from synth.devices import DEVICES, device
from synth.early import early_excess
from synth.errors import SynthesisError
from synth.flow import excess
from synth.harness import harness_text, ports_of

RTLIL = """\
module \\top
  wire width 8 input 1 \\data
  wire input 2 \\clk
  wire width 3 output 3 \\result
  wire width 3 \\inside
  cell \\top.left \\left
  end
  cell \\shared \\right
  end
end
module \\top.left
  cell \\shared \\first
  end
  cell $and $1
  end
end
module \\shared
end
"""


def _module(*cells: tuple[str, str]) -> dict[str, Any]:
    return {"cells": {name: {"type": kind} for name, kind in cells}}


def test_flattened_units_are_told_by_names() -> None:
    modules = {
        "top": _module(
            ("x_LUT4", "LUT4"), ("left.y_LUT4", "LUT4"), ("left.z.deep", "TRELLIS_FF"),
            ("left.first", "shared"), ("right", "shared"),
        ),
        "shared": _module(("s", "LUT4"), ("t", "CCU2C")),
        "LUT4": _module(("model", "$lut")),
    }  # fmt: skip
    areas = {a.path: a for a in area_by_unit(modules, children_of(RTLIL), "top", depth=2)}
    assert list(areas) == ["", "left", "left.first", "right"]
    assert areas["left"].cells == Counter(LUT4=2, TRELLIS_FF=1, CCU2C=1)
    assert areas["left"].module == "top.left"
    assert areas["right"].cells == Counter(LUT4=1, CCU2C=1)
    assert areas[""].cells == Counter(LUT4=4, CCU2C=2, TRELLIS_FF=1)
    assert resources(areas[""].cells, "ecp5") == {"luts": 8, "ffs": 1, "dsps": 0, "brams": 0}
    shallow = area_by_unit(modules, children_of(RTLIL), "top", depth=1)
    assert [area.path for area in shallow] == ["", "left", "right"]


def test_resources_of_other_families() -> None:
    cells = {"LUT6": 3, "RAM32M": 2, "FDRE": 5, "RAMB18E1": 3, "DSP48E1": 2, "MUXF7": 9}
    assert resources(cells, "xc7") == {"luts": 11, "ffs": 5, "dsps": 2, "brams": 2}
    cells = {"MISTRAL_ALUT6": 1, "MISTRAL_ALUT3": 3, "MISTRAL_MUL9X9": 4, "MISTRAL_FF": 2}
    assert resources(cells, "cyclonev") == {"luts": 3, "ffs": 2, "dsps": 2, "brams": 0}
    cells = {"SB_LUT4": 7, "SB_DFFESR": 2, "SB_RAM40_4K": 1}
    assert resources(cells, "ice40") == {"luts": 7, "ffs": 2, "dsps": 0, "brams": 1}


def test_excess_names_resource_and_amount() -> None:
    part = device("lfe5u-25f")
    totals = {"luts": 24_288, "ffs": 1, "dsps": 30, "brams": 0}
    assert excess(totals, part) == ("dsps: 30 of 28, 2 too many",)


def test_early_refusal_is_a_lower_bound() -> None:
    part = device("lfe5u-25f")
    fits = Census(multipliers={Multiplier(18, 18): 28, Multiplier(30, 4): 9})
    assert early_excess(fits, part) == ()
    fits.multipliers[Multiplier(32, 8)] = 1
    assert early_excess(fits, part) == ("dsps: 30 of 28, 2 too many",)
    large = Census(memories={Memory(64, 1 << 15, 1, True): 1})
    assert early_excess(large, part)[0].startswith("memory bits: 2097152 of")


def test_unknown_device_lists_the_known() -> None:
    with pytest.raises(SynthesisError, match="unknown device 'xc9'.*lfe5um5g-85f.*up5k"):
        device("xc9")
    assert device("LFE5U-45F") is DEVICES["lfe5u-45f"]


def test_harness_connects_every_port() -> None:
    ports = ports_of(RTLIL, "top")
    assert [(port.name, port.width, port.is_input) for port in ports] == [
        ("data", 8, True), ("clk", 1, True), ("result", 3, False),
    ]  # fmt: skip
    text = harness_text(ports, "top")
    assert ".\\data (scan[0 +: 8])" in text
    assert ".clk(clk)" in text
    assert ".\\result (result[0 +: 3])" in text
    with pytest.raises(ValueError, match="no module 'other'"):
        ports_of(RTLIL, "other")
