"""Cells of a netlist as resources of its family: LUTs, flip-flops, DSPs, block RAMs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["RESOURCES", "UnitArea", "area_by_unit", "children_of", "resources"]

RESOURCES = ("luts", "ffs", "dsps", "brams")

_WEIGHTS: dict[str, dict[str, tuple[tuple[str, float], ...]]] = {
    # A carry cell is two LUTs; sixteen words of four bits are four LUTs and a write slice of two.
    "ecp5": {
        "luts": (("LUT4", 1), ("CCU2C", 2), ("TRELLIS_DPR16X4", 6)),
        "ffs": (("TRELLIS_FF", 1),),
        "dsps": (("MULT18X18D", 1), ("MULT9X9D", 0.5), ("ALU54B", 2)),
        "brams": (("DP16KD|PDPW16KD", 1),),
    },
    "ice40": {
        "luts": (("SB_LUT4", 1),),
        "ffs": (("SB_DFF.*", 1),),
        "dsps": (("SB_MAC16", 1),),
        "brams": (("SB_RAM40_4K.*", 1),),
    },
    "xc7": {
        "luts": (
            ("LUT[1-6]|INV|SRL16E|SRLC32E", 1), ("RAM(32|64)X1D.*", 2), ("RAM(32|64)M", 4),
            ("RAM128X1D", 4), ("RAM256X1S", 4), ("RAM(32M16|64M8)", 8), ("RAM(32|64)X1S", 1),
        ),
        "ffs": (("FD[RSCP]E(_1)?|LD[CP]E", 1),),
        "dsps": (("DSP48E[12]", 1),),
        "brams": (("RAMB36E[12]", 1), ("RAMB18E[12]", 0.5)),
    },
    # An adaptive module holds two small functions; a DSP block two 18x18 or three 9x9 products.
    "cyclonev": {
        "luts": (("MISTRAL_ALUT6", 1), ("MISTRAL_ALUT([2-5]|_ARITH)|MISTRAL_NOT", 0.5),
                 ("MISTRAL_MLAB", 0.5)),
        "ffs": (("MISTRAL_FF", 1),),
        "dsps": (("MISTRAL_MUL27X27", 1), ("MISTRAL_MUL18X18", 0.5), ("MISTRAL_MUL9X9", 1 / 3)),
        "brams": (("MISTRAL_M10K", 1),),
    },
}  # fmt: skip
_WEIGHTS["xcup"] = _WEIGHTS["xc7"]


@dataclass(frozen=True)
class UnitArea:
    """An instance with all that is below it."""

    path: str
    """Instance names from the top, joined by dots; empty: the top."""
    module: str
    cells: Counter[str]


def resources(cells: Mapping[str, int], family: str) -> dict[str, int]:
    """Resources that ``cells`` take in ``family``, rounded up."""
    result = {}
    for resource, weights in _WEIGHTS[family].items():
        total = 0.0
        for pattern, weight in weights:
            total += weight * sum(n for kind, n in cells.items() if re.fullmatch(pattern, kind))
        result[resource] = -(-round(total * 6) // 6)
    return result


def area_by_unit(
    modules: Mapping[str, Any], children: Children, top: str, *, depth: int
) -> list[UnitArea]:
    """Cells of every instance down to ``depth`` levels below ``top``, parents before children.

    Parameters
    ----------
    modules
        Of a JSON netlist whose shared modules are still there. What was flattened into them is
        told by the names of the cells: ``requantiser.product_..``.
    children
        Instances of every module as described, see ``children_of``.
    """
    inside: dict[str, dict[str, tuple[str, Counter[str]]]] = {}

    def expand(name: str) -> dict[str, tuple[str, Counter[str]]]:
        """Paths below a netlist module, with module names and their own cells."""
        if name not in inside:
            units = {"": (name, Counter[str]())}
            units |= {path: (kind, Counter()) for path, kind in _flattened(name, children, modules)}
            for cell, body in modules[name]["cells"].items():
                if body["type"] in children and body["type"] in modules:
                    for path, entry in expand(body["type"]).items():
                        units[f"{cell}.{path}" if path else cell] = entry
                elif not body["type"].startswith("$"):  # notes of Yosys, no cells
                    units[_owner(cell, units)][1][body["type"]] += 1
            inside[name] = units
        return inside[name]

    units = expand(top)
    totals: dict[str, Counter[str]] = {path: Counter() for path in units}
    for path, (_, own) in units.items():
        while True:
            if path in totals:
                totals[path].update(own)
            if not path:
                break
            path = path.rpartition(".")[0]
    rows = [UnitArea(path, units[path][0], cells) for path, cells in totals.items()]
    return sorted(
        (row for row in rows if row.path.count(".") < depth), key=lambda row: row.path.split(".")
    )


Children = Mapping[str, Mapping[str, str]]
"""Module to instance to module."""

_MODULE = re.compile(r"^module \\(\S+)$(.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell \\(\S+) \\(\S+)$", re.MULTILINE)


def children_of(rtlil: str) -> dict[str, dict[str, str]]:
    """Instances of every module in an RTLIL text."""
    return {
        name: {instance: kind for kind, instance in _CELL.findall(body)}
        for name, body in _MODULE.findall(rtlil)
    }


def _flattened(
    name: str, children: Children, modules: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str]]:
    """Instances below ``name`` that are no longer modules: path and module."""
    for instance, kind in children.get(name, {}).items():
        if kind in children and kind not in modules:
            yield prefix + instance, kind
            yield from _flattened(kind, children, modules, f"{prefix}{instance}.")


def _owner(cell: str, units: Mapping[str, Any]) -> str:
    """The deepest of ``units`` that ``cell`` is named after."""
    path = cell.rpartition(".")[0]
    while path and path not in units:
        path = path.rpartition(".")[0]
    return path
