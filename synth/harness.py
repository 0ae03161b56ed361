"""A shell around a unit: every port bit on a register, two pins for all of them.

A unit has more ports than a package has pins, and what happens between a port and a register inside
it must be timed too. Inputs come from a shift register, outputs are folded into a second one, so
all paths of the unit run from register to register and nothing is constant or unread.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["HARNESS", "UNIT", "Port", "harness_text", "ports_of"]

HARNESS = "harness"
"""Name of the shell's module."""
UNIT = "unit"
"""Name of the instance inside."""

_WIRE = re.compile(
    r"^  wire (?:width (\d+) )?(input|output) \d+ +(?:signed +)?\\(\S+)$", re.MULTILINE
)
_CLOCKS = ("clk", "aclk")


@dataclass(frozen=True)
class Port:
    """A port of the unit."""

    name: str
    width: int
    is_input: bool


def ports_of(rtlil: str, top: str) -> list[Port]:
    """Ports of the module ``top`` in an RTLIL text as Amaranth writes it.

    Raises
    ------
    ValueError
        There is no such module.
    """
    found = re.search(rf"^module \\{re.escape(top)}$(.*?)^end$", rtlil, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"no module {top!r}")
    return [
        Port(name, int(width or 1), direction == "input")
        for width, direction, name in _WIRE.findall(found[1])
    ]


def harness_text(ports: list[Port], top: str) -> str:
    """Verilog of the shell around the module ``top``; pins ``clk``, ``pin_in``, ``pin_out``."""
    inputs = [port for port in ports if port.is_input and port.name not in _CLOCKS]
    outputs = [port for port in ports if not port.is_input]
    connections = [f".{port.name}(clk)" for port in ports if port.name in _CLOCKS]
    low = 0
    for port in inputs:
        connections.append(f".\\{port.name} (scan[{low} +: {port.width}])")
        low += port.width
    bits_in = max(1, low)
    low = 0
    for port in outputs:
        connections.append(f".\\{port.name} (result[{low} +: {port.width}])")
        low += port.width
    bits_out = max(1, low)
    listed = ",\n        ".join(connections)
    return f"""\
module {HARNESS} (input clk, input pin_in, output pin_out);
    reg [{bits_in - 1}:0] scan;
    reg [{bits_out - 1}:0] fold;
    wire [{bits_out - 1}:0] result;
    assign pin_out = fold[{bits_out - 1}];
    always @(posedge clk) scan <= (scan << 1) | pin_in;
    always @(posedge clk) fold <= (fold << 1) ^ result;
    {top} {UNIT} (
        {listed}
    );
endmodule
"""
