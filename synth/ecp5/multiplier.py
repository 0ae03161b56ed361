"""``RegisteredMultiplier`` in ECP5: a MULT18X18D with its own output register.

Yosys maps multiplications to MULT18X18D but leaves registers outside: the product then crosses the
chip's slowest arc (2.5 ns) and a routing track before it is held.
"""

from __future__ import annotations

import re

__all__ = ["multiplier_map"]

_NAME = re.compile(
    r"^module \\(registered_multiplier_([su])(\d+)_([su])(\d+)(_ce)?)$", re.MULTILINE
)
_WIDTH = 18


def multiplier_map(rtlil: str) -> str:
    """Techmap file for the registered multipliers of a design as text; empty if there are none.

    Operands wider than the block's stay with Yosys, which takes them apart.
    """
    modules = []
    for name, sign_a, width_a, sign_b, width_b, enabled in _NAME.findall(rtlil):
        widths = int(width_a) + (sign_a == "u"), int(width_b) + (sign_b == "u")
        # An unsigned operand of 18 bits would do as well; none is that wide.
        if max(widths) <= _WIDTH:
            modules.append(
                _module(name, (sign_a, int(width_a)), (sign_b, int(width_b)), bool(enabled))
            )
    return "\n".join(modules)


def _module(name: str, a: tuple[str, int], b: tuple[str, int], enabled: bool) -> str:
    (sign_a, width_a), (sign_b, width_b) = a, b
    width = width_a + width_b
    low = 2 * _WIDTH - width - (sign_a == "u") - (sign_b == "u")
    pins = [f".A{n}(a[{n}]), .B{n}(b[{n}]), .C{n}(1'b0)" for n in range(_WIDTH)]
    pins += [f".P{n}(p[{n}])" for n in range(2 * _WIDTH)]
    listed = ",\n        ".join(pins)
    return f"""\
(* techmap_celltype = "{name}" *)
module {name}_map (clk, rst, {"enable, " if enabled else ""}a, b, product);
    input clk, rst;
    {"input enable;" if enabled else ""}
    input [{width_a - 1}:0] a;
    input [{width_b - 1}:0] b;
    output [{width - 1}:0] product;
    wire [17:0] a_wide = {_aligned("a", sign_a, width_a)};
    wire [17:0] b_wide = {_aligned("b", sign_b, width_b)};
    wire [35:0] p;
    assign product = p[{low + width - 1}:{low}];
    MULT18X18D #(
        .REG_OUTPUT_CLK("CLK0"), .REG_OUTPUT_CE("CE0"), .REG_OUTPUT_RST("RST0")
    ) multiplier (
        .CLK0(clk), .CE0({"enable" if enabled else "1'b1"}), .RST0(1'b0),
        .SIGNEDA(1'b1), .SIGNEDB(1'b1), .SOURCEA(1'b0), .SOURCEB(1'b0),
        {listed.replace("(a[", "(a_wide[").replace("(b[", "(b_wide[")}
    );
endmodule
"""


def _aligned(name: str, sign: str, width: int) -> str:
    """The operand in the highest bits: zeros below are the block's own, copies of a sign above
    would each be a wire to it."""
    zeros = _WIDTH - width - (sign == "u")
    parts = ["1'b0"] * (sign == "u") + [name] + [f"{zeros}'b0"] * (zeros > 0)
    return f"{{{', '.join(parts)}}}"
