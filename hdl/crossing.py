"""A device whose bus has a clock of its own: the module around it, and its timing constraints."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockDomain, ClockSignal, Elaboratable, Module, Signal, Value
from amaranth.hdl._ir import PortDirection
from amaranth.lib import wiring
from amaranth.lib.cdc import FFSynchronizer, ResetSynchronizer
from amaranth.lib.wiring import In

from .board.device_instance import DeviceInstance, device_members
from .bus.axi import axi4_signature, axi_lite_signature, port_name
from .bus.clock_crossing import AxiCrossing
from .config import Config
from .control.registers import ADDRESS_BITS

__all__ = ["CrossedDevice", "constraints", "crossing_ports"]


class CrossedDevice(wiring.Component):
    """The generated device with its AXI ports and interrupt on domain ``bus``.

    Members and their meaning are ``Accelerator``'s. The device itself works on ``sync``.

    Parameters
    ----------
    config
        Device sizes.
    module
        Name of its Verilog module.
    """

    s_axil: Any
    m_axi: Any
    irq: Signal

    def __init__(self, *, config: Config, module: str) -> None:
        self._config, self._module = config, module
        super().__init__(device_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.device = device = DeviceInstance(config=config, module=self._module)
        lite = axi_lite_signature(address_bits=ADDRESS_BITS)
        m.submodules.registers = registers = AxiCrossing(
            signature=lite, manager="bus", subordinate="sync"
        )
        wiring.connect(m, wiring.flipped(self.s_axil), registers.i)
        wiring.connect(m, registers.o, device.s_axil)
        for channel in range(config.axi_channels):
            memory = AxiCrossing(
                signature=axi4_signature(config), manager="sync", subordinate="bus"
            )
            m.submodules[f"memory_{channel}"] = memory
            wiring.connect(m, device.m_axi[channel], memory.i)
            wiring.connect(m, memory.o, wiring.flipped(self.m_axi[channel]))
        m.submodules.irq = FFSynchronizer(device.irq, self.irq, o_domain="bus")
        return m


class CrossingTop(Elaboratable):
    """Two clocks and two resets, active low; either reset holds both sides.

    Resets may come at any time; they end two cycles of each clock after the last of the two did.
    """

    def __init__(self, *, config: Config, module: str) -> None:
        self.device = CrossedDevice(config=config, module=module)
        self.aclk, self.aresetn = Signal(), Signal()
        self.bus_aclk, self.bus_aresetn = Signal(), Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = ClockDomain()
        m.domains.bus = ClockDomain()
        reset = Signal()
        m.d.comb += [
            ClockSignal("sync").eq(self.aclk),
            ClockSignal("bus").eq(self.bus_aclk),
            reset.eq(~(self.aresetn & self.bus_aresetn)),
        ]
        m.submodules.core_reset = ResetSynchronizer(reset, domain="sync")
        m.submodules.bus_reset = ResetSynchronizer(reset, domain="bus")
        m.submodules.crossed = self.device
        return m


def crossing_ports(top: CrossingTop, config: Config) -> dict[str, tuple[Value, PortDirection]]:
    """Top-level ports by their standard names."""
    inputs = ("aclk", "aresetn", "bus_aclk", "bus_aresetn")
    ports: dict[str, tuple[Value, PortDirection]] = {
        name: (getattr(top, name), PortDirection.Input) for name in inputs
    }
    for path, member, value in top.device.signature.flatten(top.device):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        name = port_name(path, channels=config.axi_channels)
        ports[name] = (Value.cast(value), direction)
    return ports


def constraints(config: Config, *, bus_mhz: float) -> dict[str, str]:
    """Texts by suffix: ``sdc`` (Quartus and others), ``xdc`` (Vivado), ``lpf`` (Diamond, nextpnr).

    A crossing is right when a Gray pointer settles within one period of the faster clock, so that
    no two of its bits are seen changing at once; data words stood for two cycles when they are
    read.
    """
    core, bus = 1e3 / config.clock_mhz, 1e3 / bus_mhz
    least = min(core, bus)
    clocks = f"""\
create_clock -name aclk -period {core:.3f} [get_ports aclk]
create_clock -name bus_aclk -period {bus:.3f} [get_ports bus_aclk]
"""
    pairs = (("aclk", "bus_aclk"), ("bus_aclk", "aclk"))
    head = "# Crossings between aclk and bus_aclk of rpaccel_crossing. Generated.\n"
    about = (
        "# Leave the clocks out where the design has them; then put their names below.\n"
        f"# {least:.3f} ns: a period of the faster clock.\n"
    )
    sdc = "".join(
        f"set_max_delay -from [get_clocks {a}] -to [get_clocks {b}] {least:.3f}\n"
        f"set_min_delay -from [get_clocks {a}] -to [get_clocks {b}] 0\n"
        for a, b in pairs
    )
    xdc = "".join(
        f"set_max_delay -datapath_only -from [get_clocks {a}] -to [get_clocks {b}] {least:.3f}\n"
        for a, b in pairs
    )
    resets = "set_false_path -from [get_ports {aresetn bus_aresetn}]\n"
    lpf = (
        f'FREQUENCY PORT "aclk" {config.clock_mhz:g} MHZ;\n'
        f'FREQUENCY PORT "bus_aclk" {bus_mhz:g} MHZ;\n'
        "# nextpnr reads these and leaves paths between clocks free; Diamond also takes:\n"
        + "".join(
            f'MAXDELAY FROM CLKNET "{a}" TO CLKNET "{b}" {least:.3f} NS DATAPATH_ONLY;\n'
            for a, b in pairs
        )
    )
    return {
        "sdc": head + about + clocks + sdc + resets,
        "xdc": head + about + clocks + xdc + resets,
        "lpf": head + about + lpf,
    }
