"""Registers with many loads, copied: place and route for ECP5 does not do that by itself.

A register's copies have the same inputs, clock and initial value, so each is always equal to it; a
copy stands near its own loads. Resets of whole clock domains gain most: one register with thousands
of loads is far from most of them, and its net crosses everything.

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

__all__ = ["MAX_LOADS", "replicate_in_file", "replicate_registers"]

MAX_LOADS = 128
"""Loads of a register or copy. A net of so many spans about the area of a unit; with fewer the
copies' own inputs become nets with many loads."""

_REGISTER = "TRELLIS_FF"


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
    cells: dict[str, Any] = module["cells"]
    loads: dict[int | str, list[tuple[str, str, int]]] = defaultdict(list)
    highest = max(
        bit
        for cell in cells.values()
        for bits in cell["connections"].values()
        for bit in bits
        if isinstance(bit, int)
    )
    for name, cell in cells.items():
        for port, bits in cell["connections"].items():
            if cell["port_directions"][port] == "input":
                for index, bit in enumerate(bits):
                    loads[bit].append((name, port, index))
    copies = 0
    for name in [name for name, cell in cells.items() if cell["type"] == _REGISTER]:
        register = cells[name]
        (output,) = register["connections"]["Q"]
        mine = sorted(loads[output])
        if len(mine) <= limit:
            continue
        parts = -(-len(mine) // limit)
        for part in range(1, parts):
            highest += 1
            copies += 1
            cells[f"{name}_copy_{part}"] = {
                **register,
                "parameters": dict(register["parameters"]),
                "attributes": dict(register["attributes"]),
                "connections": {**register["connections"], "Q": [highest]},
            }
            first, end = part * len(mine) // parts, (part + 1) * len(mine) // parts
            for load, port, index in mine[first:end]:
                bits = list(cells[load]["connections"][port])
                bits[index] = highest
                cells[load]["connections"][port] = bits
    return copies


def replicate_in_file(path: Path, top: str) -> int:
    """``replicate_registers`` for module ``top`` of a JSON netlist; returns the copies made."""
    netlist = json.loads(path.read_text())
    copies = replicate_registers(netlist["modules"][top])
    path.write_text(json.dumps(netlist))
    return copies
