"""Registers and gates with many loads, copied: place and route for ECP5 does not do that by itself.

A register's copies have the same inputs, clock and initial value, so each is always equal to it; a
copy stands near its own loads. Resets of whole clock domains gain most: one register with thousands
of loads is far from most of them, and its net crosses everything.

A gate that enables a hundred registers and is also on the way to further gates (a pipeline's
``ready``) makes these wait for a wide net: they get a copy of their own.

::

           +---+                      +---+
    d -----|D Q|---- 1000 loads  d -+-|D Q|---- loads a.b.*
           +---+                    | +---+
                                    | +---+
                                    +-|D Q|---- loads c.d.*
                                      +---+
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

__all__ = ["MAX_GATE_LOADS", "MAX_LOADS", "replicate_gates", "replicate_in_file",
           "replicate_registers"]  # fmt: skip

MAX_LOADS = 128
"""Loads of a register or copy. A net of so many spans about the area of a unit; with fewer the
copies' own inputs become nets with many loads."""

MAX_GATE_LOADS = 24
"""Gates with more loads are copied for those loads that are gates."""

_REGISTER = "TRELLIS_FF"
_HARD = {"LUT4": (), "PFUMX": ("ALUT", "BLUT"), "L6MUX21": ("D0", "D1")}
"""Gates, and their pins that one gate alone drives, in the same slice."""
_OUTPUT = "Z"
_CARRY = "CCU2C"

_Load = tuple[str, str, int]
"""Cell, port, bit."""


class _Netlist:
    """Cells with the loads of each net; copies and moves loads."""

    def __init__(self, cells: dict[str, Any]) -> None:
        self.cells = cells
        self.loads: dict[int, list[_Load]] = defaultdict(list)
        self.driver: dict[int, str] = {}
        for name in cells:
            self._add(name)
        self._highest = max(max(self.loads, default=1), max(self.driver, default=1))

    def _add(self, name: str) -> None:
        cell = self.cells[name]
        for port, bits in cell["connections"].items():
            for index, bit in enumerate(bits):
                if not isinstance(bit, int):
                    continue
                if cell["port_directions"][port] == "input":
                    self.loads[bit].append((name, port, index))
                else:
                    self.driver[bit] = name

    def copy(self, name: str, suffix: str, port: str) -> int:
        """A copy of cell ``name``, with the gates that only it may have; returns its new output."""
        cell = self.cells[name]
        self._highest += 1
        output = self._highest
        connections = {**cell["connections"], port: [output]}
        for pin in _HARD.get(cell["type"], ()):
            (bit,) = connections[pin]
            if isinstance(bit, int):
                connections[pin] = [self.copy(self.driver[bit], suffix, _OUTPUT)]
        self.cells[name + suffix] = {
            **cell,
            "parameters": dict(cell["parameters"]),
            "attributes": dict(cell["attributes"]),
            "connections": connections,
        }
        self._add(name + suffix)
        return output

    def share_out(self, name: str, port: str, loads: list[_Load], limit: int) -> int:
        """Give ``loads`` of the cell's output to copies, at most ``limit`` each; returns these."""
        (output,) = self.cells[name]["connections"][port]
        parts = -(-len(loads) // limit)
        for part in range(parts):
            first, end = part * len(loads) // parts, (part + 1) * len(loads) // parts
            self._move(loads[first:end], output, self.copy(name, f"_copy_{part + 1}", port))
        return parts

    def _move(self, loads: list[_Load], old: int, new: int) -> None:
        """Connect ``loads`` of net ``old`` to ``new``."""
        for name, port, index in loads:
            bits = list(self.cells[name]["connections"][port])
            bits[index] = new
            self.cells[name]["connections"][port] = bits
        moved = set(loads)
        self.loads[old] = [load for load in self.loads[old] if load not in moved]
        self.loads[new] += loads


def replicate_registers(module: dict[str, Any], *, limit: int = MAX_LOADS) -> int:
    """Give each register at most ``limit`` loads, in place.

    Loads are shared out in the order of their names, which have the hierarchy in front: copies
    belong to units. Ports of the module stay with the register itself.

    Parameters
    ----------
    module
        A flat module of Yosys's JSON netlist, mapped for ECP5.
    limit
        Loads of a register that is not a port's.

    Returns
    -------
    int
        Copies made.
    """
    netlist = _Netlist(module["cells"])
    copies = 0
    for name in [name for name, cell in netlist.cells.items() if cell["type"] == _REGISTER]:
        (output,) = netlist.cells[name]["connections"]["Q"]
        loads = sorted(netlist.loads[output])
        if len(loads) > limit:
            kept = len(loads) // -(-len(loads) // limit)
            copies += netlist.share_out(name, "Q", loads[kept:], limit)
    return copies


def replicate_gates(module: dict[str, Any], *, limit: int = MAX_GATE_LOADS) -> int:
    """Copy gates of more than ``limit`` loads for those loads that are gates too, in place.

    Gates nearest to registers' inputs go first, so that the copies count as loads of those before
    them. Each copy has at most ``limit`` loads; loads that are no gates stay.

    Parameters
    ----------
    module
        A flat module of Yosys's JSON netlist, mapped for ECP5.
    limit
        Loads of a gate that is not copied.

    Returns
    -------
    int
        Copies made.
    """
    netlist = _Netlist(module["cells"])
    copies = 0
    for name in _backwards(netlist):
        (output,) = netlist.cells[name]["connections"][_OUTPUT]
        loads = netlist.loads[output]
        if len(loads) <= limit:
            continue
        gates = sorted(load for load in loads if _is_gate(netlist.cells[load[0]]))
        if len(gates) == len(loads):
            gates = gates[limit:]  # the gate itself keeps some
        copies += netlist.share_out(name, _OUTPUT, gates, limit)
    return copies


def _is_gate(cell: dict[str, Any]) -> bool:
    return cell["type"] in _HARD or cell["type"] == _CARRY


def _backwards(netlist: _Netlist) -> list[str]:
    """Gates, each behind all gates that it is an input of; not those that a slice has for one
    other gate alone."""
    order: list[str] = []
    seen: set[str] = set()
    for start in netlist.cells:
        stack = [(start, False)]
        while stack:
            name, is_left = stack.pop()
            if is_left:
                order.append(name)
                continue
            if name in seen or not _is_gate(netlist.cells[name]):
                continue
            seen.add(name)
            stack.append((name, True))
            cell = netlist.cells[name]
            for port, bits in cell["connections"].items():
                if cell["port_directions"][port] == "output":
                    stack += [(load[0], False) for bit in bits for load in netlist.loads[bit]]
    return [name for name in order if netlist.cells[name]["type"] in _HARD]


def replicate_in_file(path: Path, top: str) -> int:
    """``replicate_gates``, then ``replicate_registers``, for module ``top`` of a JSON netlist.

    Returns
    -------
    int
        Copies made.
    """
    netlist = json.loads(path.read_text())
    module = netlist["modules"][top]
    copies = replicate_gates(module)
    copies += replicate_registers(module)
    path.write_text(json.dumps(netlist))
    return copies
