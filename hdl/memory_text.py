"""Quicker generation: zeroed memories as loops in Verilog, and one search less.

Amaranth writes the initial contents of every memory bit by bit, which for megabytes of zeros takes
minutes and megabytes of text. Generation leaves zeros out and puts the loops in afterwards. They are
needed: without them event-driven simulation starts with unknown values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import _nir

__all__ = ["no_loop_search", "no_zero_contents", "with_zero_loops"]

_MEMORY = re.compile(
    r"^(?P<declaration>  reg (?:\[(?P<high>\d+):0\] )?(?P<name>\S+) ?\[(?P<depth>\d+):0\];)$",
    re.MULTILINE,
)


@contextmanager
def no_loop_search() -> Iterator[None]:
    """Conversions inside skip Amaranth's bit-by-bit search for combinational loops.

    It takes most of a conversion's time and sees one module at a time only. Linting the whole
    device (``UNOPTFLAT``) finds loops across modules as well, and the tests do that.
    """
    netlist: Any = _nir.Netlist
    original = netlist.check_comb_cycles
    netlist.check_comb_cycles = lambda self: None
    try:
        yield
    finally:
        netlist.check_comb_cycles = original


@contextmanager
def no_zero_contents() -> Iterator[None]:
    """Conversions inside leave out the initial contents of memories that are all zero."""
    emitter: Any = rtlil.ModuleEmitter
    original = emitter.emit_memory

    def emit_memory(self: Any, index: int, cell: Any) -> None:
        if any(cell.init):
            original(self, index, cell)

    emitter.emit_memory = emit_memory
    try:
        yield
    finally:
        emitter.emit_memory = original


def with_zero_loops(text: str) -> str:
    """Give every memory of ``text`` without initial contents a loop that clears it."""
    count = 0

    def clear(match: re.Match[str]) -> str:
        nonlocal count
        name = match["name"]
        # A memory with contents of its own is set word by word in an initial block.
        if re.search(rf"^    {re.escape(name)} ?\[\d+\] = ", text[match.end() :], re.MULTILINE):
            return match[0]
        count += 1
        index, block = f"zero_index_{count}", f"zero_{count}"
        return (
            f"{match['declaration']}\n"
            f"  initial begin : {block}\n"
            f"    integer {index};\n"
            f"    for ({index} = 0; {index} <= {match['depth']}; {index} = {index} + 1)\n"
            f"      {name} [{index}] = 0;\n"
            f"  end"
        )

    modules = re.split(r"(?<=^endmodule$)", text, flags=re.MULTILINE)
    out = []
    for module in modules:
        text = module  # names are local to a module
        out.append(_MEMORY.sub(clear, module))
    return "".join(out)
