"""Slow paths of an ECP5 netlist before placement, by typical delays: seconds instead of hours.

Place and route of the whole device takes long; this says where it will be slow. Cells have the
delays of speed grade 8, a connection costs more the more cells it feeds. Against routed units the
estimate is within about a fifth; it ranks, it does not sign off.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .timing_paths import signal_name

__all__ = ["EstimatedPath", "estimated_paths"]

_LUT = 0.24
_WIDE_MUX = 0.2
_CARRY_IN, _CARRY_BIT, _CARRY_OUT = 0.45, 0.04, 0.25
_PRODUCT = 2.5
_CLOCK_TO_OUTPUT = {"TRELLIS_FF": 0.3, "DP16KD": 1.9, "MULT18X18D": 0.9}
_SETUP = {"MULT18X18D": 2.0}
_CLOCKS = ("CLK", "CLK0", "CLKA", "CLKB", "WCK")


@dataclass(frozen=True)
class EstimatedPath:
    """The slowest of all paths between two registers (all bits of each together)."""

    start: str
    end: str
    delay_ns: float
    cells: int
    """Cells between the registers."""
    fan_out: int
    """Of the widest connection on the way."""


class _Netlist:
    def __init__(self, cells: Mapping[str, Any]) -> None:
        self.cells = cells
        self.driver: dict[int, tuple[str, str]] = {}
        self.fan_out: Counter[int] = Counter()
        for name, cell in cells.items():
            for port, bits in cell["connections"].items():
                wires = [bit for bit in bits if isinstance(bit, int)]
                if cell["port_directions"][port] == "output":
                    self.driver |= {bit: (name, port) for bit in wires}
                else:
                    self.fan_out.update(wires)
        self.arrival: dict[int, float] = {}
        self.before: dict[int, int | None] = {}

    def connection(self, bit: int) -> float:
        """Typical routing of a net, ns."""
        return 0.55 + 0.18 * math.log2(1 + self.fan_out[bit])

    def arcs(self, bit: int) -> list[tuple[int, float]] | None:
        """Nets that the cell driving ``bit`` makes it from, with delays; None: a register."""
        name, port = self.driver[bit]
        cell = self.cells[name]
        found = _arcs(cell, port)
        if found is None:
            return None
        result = []
        for pin, delay, is_routed in found:
            for source in cell["connections"].get(pin, ()):
                if isinstance(source, int) and source in self.driver:
                    wire = self.connection(source) if is_routed else 0.0
                    result.append((source, delay + wire))
        return result

    def settle(self, goal: int) -> float:
        """Arrival at ``goal``, with all that it depends on."""
        stack = [goal]
        while stack:
            bit = stack[-1]
            if bit in self.arrival or bit not in self.driver:
                self.arrival.setdefault(bit, 0.0)
                self.before.setdefault(bit, None)
                stack.pop()
                continue
            arcs = self.arcs(bit)
            if arcs is None:
                kind = self.cells[self.driver[bit][0]]["type"]
                self.arrival[bit], self.before[bit] = _CLOCK_TO_OUTPUT.get(kind, 0.3), None
                continue
            missing = [source for source, _ in arcs if source not in self.arrival]
            if missing:
                if len(stack) > len(self.driver):
                    raise ValueError("combinational loop")
                stack.extend(missing)
                continue
            best = max(((self.arrival[s] + d, s) for s, d in arcs), default=(0.0, None))
            self.arrival[bit], self.before[bit] = best
        return self.arrival[goal]

    def way(self, bit: int) -> list[int]:
        """Nets from ``bit`` back to a register."""
        nets = [bit]
        while (source := self.before.get(nets[-1])) is not None:
            nets.append(source)
        return nets


def _arcs(cell: Mapping[str, Any], port: str) -> list[tuple[str, float, bool]] | None:
    """Input pins of an output: delay, and whether the connection is routed."""
    kind = cell["type"]
    if kind == "LUT4":
        return [(pin, _LUT, True) for pin in "ABCD"]
    if kind == "PFUMX":
        return [("ALUT", _WIDE_MUX, False), ("BLUT", _WIDE_MUX, False), ("C0", _WIDE_MUX, True)]
    if kind == "L6MUX21":
        return [("D0", _WIDE_MUX, False), ("D1", _WIDE_MUX, False), ("SD", _WIDE_MUX, True)]
    if kind == "CCU2C":
        low = [(f"{pin}0", _LUT if port == "S0" else _CARRY_IN, True) for pin in "ABCD"]
        high = [(f"{pin}1", _LUT if port == "S1" else _CARRY_IN, True) for pin in "ABCD"]
        carry = ("CIN", _CARRY_BIT if port == "COUT" else _CARRY_OUT, False)
        return [carry, *low, *(high if port != "S0" else [])]
    if kind == "TRELLIS_DPR16X4":
        return [("RAD", _LUT, True)]
    if kind == "MULT18X18D" and cell["parameters"].get("REG_OUTPUT_CLK", "NONE") == "NONE":
        return [(pin, _PRODUCT, True) for pin in cell["connections"] if re.match(r"[AB]\d", pin)]
    return None


def _ends(netlist: _Netlist) -> Iterator[tuple[float, str, int]]:
    """Input pins of registers: delay, cell, net."""
    for name, cell in netlist.cells.items():
        kind = cell["type"]
        outputs = [p for p, way in cell["port_directions"].items() if way == "output"]
        reads_at_once = kind == "TRELLIS_DPR16X4"
        if not reads_at_once and (not outputs or _arcs(cell, outputs[0]) is not None):
            continue
        for port, bits in cell["connections"].items():
            is_input = cell["port_directions"][port] == "input"
            if is_input and port not in _CLOCKS and not (reads_at_once and port == "RAD"):
                for bit in bits:
                    if isinstance(bit, int):
                        at = netlist.settle(bit) + netlist.connection(bit) + _SETUP.get(kind, 0.1)
                        yield at, name, bit


def estimated_paths(cells: Mapping[str, Any], count: int) -> list[EstimatedPath]:
    """The slowest paths, one for each pair of registers.

    Parameters
    ----------
    cells
        Of a flat JSON netlist.

    Raises
    ------
    ValueError
        The netlist has a combinational loop.
    """
    netlist = _Netlist(cells)
    found: dict[tuple[str, str], EstimatedPath] = {}
    for at, name, bit in sorted(_ends(netlist), reverse=True):
        way = netlist.way(bit)
        first = netlist.driver.get(way[-1])
        pair = (_vector(first[0] if first else "port"), _vector(name))
        if pair not in found:
            widest = max(netlist.fan_out[net] for net in way)
            found[pair] = EstimatedPath(*pair, at, len(way) - 1, widest)
            if len(found) == count:
                break
    return list(found.values())


def _vector(cell: str) -> str:
    """Signal without kind of cell, bit and number of a copy."""
    return re.sub(r"(_\d+|\$\d+|\.\d+\.\d+(_DO[AB]\d+)?|_DO[AB]\d+)+$", "", signal_name(cell))
