"""Equal modules are written once: generation instantiates what simulation elaborates.

Amaranth writes one Verilog module per instance. A grid has hundreds of equal units, so a unit
passes its bigger children through ``share``: in simulation that is the child itself, in generation
(the platform is a ``ModuleLibrary``) an instance of a module that is elaborated once.
"""

from __future__ import annotations

import re
from typing import Any

from amaranth.back import rtlil  # type: ignore[attr-defined]  # not in the stubs
from amaranth.hdl import ClockSignal, Instance, ResetSignal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow

__all__ = ["ModuleLibrary", "share"]

_PORT = re.compile(r"^  wire .*\b(?:input|output) \d+ +(?:signed +)?\\(\S+)$", re.MULTILINE)


class ModuleLibrary:
    """Modules by name; passed as the platform of a conversion.

    Parameters
    ----------
    clock_gates
        Units get the clock gates they ask for, see ``clock_gate``; else all have the one clock.
    """

    def __init__(self, *, clock_gates: bool = False) -> None:
        self.clock_gates = clock_gates
        self._texts: dict[str, str] = {}
        self._ports: dict[str, frozenset[str]] = {}

    def add(self, component: wiring.Component, name: str) -> frozenset[str]:
        """Convert ``component`` as module ``name`` unless that was done; returns its ports."""
        if name not in self._ports:
            # Taken before the children are converted: a unit that contains itself would be a bug.
            text = rtlil.convert(component, name=name, platform=self, emit_src=False)
            self._texts[name] = text.replace("attribute \\top 1\n", "")
            start = text.index(f"module \\{name}\n")
            end = text.index("\nend\n", start)
            self._ports[name] = frozenset(_PORT.findall(text[start:end]))
        return self._ports[name]

    @property
    def text(self) -> str:
        """RTLIL of all modules."""
        return "\n".join(self._texts.values())


def share(platform: object, component: wiring.Component, name: str) -> wiring.Component | Instance:
    """``component`` itself, or in generation an instance of the module ``name``.

    Two components of the same name must be equal: same class, same parameters.
    """
    if not isinstance(platform, ModuleLibrary):
        return component
    known = platform.add(component, name)
    ports: dict[str, Any] = {}
    for path, member, value in component.signature.flatten(component):
        port = "__".join(str(part) for part in path)
        if port in known:
            ports[f"{'i' if member.flow is Flow.In else 'o'}_{port}"] = Value.cast(value)
    if "clk" in known:
        ports["i_clk"] = ClockSignal()
    if "rst" in known:
        ports["i_rst"] = ResetSignal()
    return Instance(name, **ports)
