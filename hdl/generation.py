"""Quick generation of small files: what Amaranth's converter does is cut down where it is large.

* Initial contents of memories are written bit by bit, which for megabytes of zeros takes minutes
  and megabytes of text. Generation leaves zeros out and puts loops in afterwards: without them
  event-driven simulation starts with unknown values.
* Every field of every structure gets a wire of its own for wave viewers, half of the text, and
  every signal a description of its fields.
* A search for combinational loops takes most of the time; linting does it better.
* Every vector of nets is checked, net by net, whenever one is made from another.
* An expression that several places use, or one place bit by bit, is copied for each of them.

These replace private functions of the pinned Amaranth; the tests of generation notice when one is
gone.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import Format, Value, _ir, _nir, _xfrm
from amaranth.lib import data

__all__ = ["quick_conversion", "with_zero_loops"]

_MEMORY = re.compile(
    r"^(?P<declaration>  reg (?:\[(?P<high>\d+):0\] )?(?P<name>\S+) ?\[(?P<depth>\d+):0\];)$",
    re.MULTILINE,
)


@contextmanager
def quick_conversion() -> Iterator[None]:
    """Conversions inside leave out what this file's description names."""
    replacements: list[tuple[Any, str, Any]] = [
        (_nir.Netlist, "check_comb_cycles", _no_loop_search),
        (_ir.NetlistEmitter, "emit_signal_fields", _whole_signals),
        (data.Layout, "format", _whole_value),
        (data.ArrayLayout, "format", _whole_value),
        (rtlil.ModuleEmitter, "emit_memory", _no_zeros(rtlil.ModuleEmitter.emit_memory)),
        (_nir.Value, "__new__", _unchecked_value),
        (_nir.Netlist, "resolve_value", _resolved_value),
        (_xfrm.DomainLowerer, "on_value", _once(_xfrm.DomainLowerer.on_value)),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, function in replacements:
        setattr(owner, name, function)
    # Netlists are millions of small objects that live on: looking for garbage among them as often
    # as usual costs a third of the time.
    thresholds = gc.get_threshold()
    gc.set_threshold(100_000, 20, 10)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        for owner, name, function in originals:
            setattr(owner, name, function)


def _no_loop_search(self: Any) -> None:
    """No search bit by bit, one module at a time, for combinational loops.

    Linting the whole device (``UNOPTFLAT``) finds loops across modules as well, and the tests do
    that for every preset.
    """


def _unchecked_value(cls: Any, nets: Any = ()) -> Any:
    """A vector of nets, or of one net."""
    return tuple.__new__(cls, (nets,) if isinstance(nets, _nir.Net) else nets)


def _resolved_value(self: Any, value: Any) -> Any:
    """The vector with the nets that its late ones are connected to."""
    connections = self.connections
    nets = []
    for net in value:
        while net < 0:  # late nets are numbered below zero
            net = connections[net]
        nets.append(net)
    return tuple.__new__(_nir.Value, nets)


def _once(on_value: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Lower each value of a module once, so that what was one expression stays one.

    Otherwise every slice of an expression gets a copy of it: a sum of the n bits of a
    concatenation has n copies of all n parts.
    """

    def once(self: Any, value: Any) -> Any:
        memory = self.__dict__.setdefault("lowered", {})
        # What clocks and resets mean depends on the domains, which each fragment has its own of.
        if memory.get("domains") is not self.domains:
            memory.clear()
            memory["domains"] = self.domains
        found = memory.get(id(value))
        if found is None:
            # With the value itself: its identity must not be given to another one.
            found = memory[id(value)] = on_value(self, value), value
        return found[0]

    return once


def _whole_signals(self: Any) -> None:
    """Values of the signals for the wires, without those of their fields."""
    for signal, fragment in self.design.signal_lca.items():
        value, signed = self.emit_rhs(self.fragment_module_idx[fragment], signal)
        field = _nir.SignalField(value, signed=signed)  # type: ignore[attr-defined]  # not in the stubs
        self.netlist.signal_fields[signal] = {(): field}


def _whole_value(self: Any, value: Any, format_spec: str) -> Format:
    """A structure as one number."""
    return Format("{}", Value.cast(value))


def _no_zeros(emit_memory: Callable[[Any, int, Any], None]) -> Callable[[Any, int, Any], None]:
    """Leave out initial contents that are all zero."""

    def emit(self: Any, index: int, cell: Any) -> None:
        if any(cell.init):
            emit_memory(self, index, cell)

    return emit


def with_zero_loops(text: str) -> str:
    """Give every memory of ``text`` without initial contents a loop that clears it.

    For simulation only: synthesis tools unroll such a loop, which takes minutes, and memories of
    FPGAs start with zeros anyway.
    """
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
            "`ifndef SYNTHESIS\n"
            f"  initial begin : {block}\n"
            f"    integer {index};\n"
            f"    for ({index} = 0; {index} <= {match['depth']}; {index} = {index} + 1)\n"
            f"      {name} [{index}] = 0;\n"
            "  end\n"
            "`endif"
        )

    modules = re.split(r"(?<=^endmodule$)", text, flags=re.MULTILINE)
    out = []
    for module in modules:
        text = module  # names are local to a module
        out.append(_MEMORY.sub(clear, module))
    return "".join(out)
