"""Clock gates: units with nothing to do stand still, without a change of what they compute.

An array of engines is cut for the work at hand, and what the cut leaves unused, or what waits for
its next job, need not toggle. A gated unit is in a clock domain of its own, whose clock is the
surrounding domain's while ``enable`` is 1. Gating is invisible by construction: the unit's user
keeps ``enable`` at 1 whenever an edge could change anything that is looked at later.

The Verilog module ``clock_gate`` is a wire unless RPACCEL_CLOCK_GATES is defined: FPGAs have one
clock, an ASIC flow replaces the module by its library's cell. Simulation defines it, which also
makes it several times faster: what has no clock edge costs nothing there.
"""

from __future__ import annotations

from typing import Any

from amaranth.hdl import (
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Instance,
    Module,
    ResetSignal,
    Signal,
    Value,
)
from amaranth.lib import wiring

from .share import ModuleLibrary, share

__all__ = ["CLOCK_GATE", "GATES_DEFINE", "share_gated"]

CLOCK_GATE = """\
// Clock gate. `enable` counts from the falling edge before the clock edge that it lets through.
module clock_gate(input clk, input enable, output gated);
`ifdef RPACCEL_CLOCK_GATES
  reg open = 1'b1;
  always @(negedge clk) open <= enable;
  assign gated = clk & open;
`else
  assign gated = clk;
`endif
endmodule
"""
"""Verilog of the cell, part of every generated device."""
GATES_DEFINE = "RPACCEL_CLOCK_GATES"
"""What simulation defines."""


def share_gated(
    m: Module,
    platform: object,
    component: wiring.Component,
    module: str,
    *,
    name: str,
    enable: Value,
) -> None:
    """Submodule ``name``: ``component`` as ``share`` makes it, its clock gated with ``enable``.

    The unit's reset is a register of its own behind the gate, which a reset opens: it comes and
    goes one cycle after that of the surrounding domain. Amaranth's own simulator, and conversions
    without clock gates, run the component on the surrounding domain's clock and reset.

    Parameters
    ----------
    m, platform
        Of the unit around the component.
    component, module
        See ``share``.
    name
        Of the submodule; its clock domain and gate are named after it.
    enable
        0 only in cycles whose edge changes nothing that is looked at later. It may depend on
        anything settled in the cycle.
    """
    unit = share(platform, component, module)
    if not isinstance(platform, ModuleLibrary) or not platform.clock_gates:
        m.submodules[name] = unit
        return
    domain: Any = ClockDomain(f"clock_{name}", local=True)
    start: Any = ClockDomain(f"start_{name}", local=True, reset_less=True)
    m.domains += [domain, start]
    reset = Signal(name=f"reset_{name}", init=1)
    m.d[start.name] += reset.eq(ResetSignal("sync"))
    m.submodules[f"gate_{name}"] = Instance(
        "clock_gate",
        i_clk=ClockSignal("sync"),
        i_enable=enable | ResetSignal("sync") | reset,
        o_gated=domain.clk,
    )
    m.d.comb += [start.clk.eq(domain.clk), domain.rst.eq(reset)]
    m.submodules[name] = DomainRenamer(domain.name)(unit)
