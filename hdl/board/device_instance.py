"""The generated device as a black box: boards are built around its Verilog."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import ClockSignal, Instance, Module, ResetSignal, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import Flow, In, Member, Out

from ..bus.axi import axi4_signature, axi_lite_signature, port_name
from ..config import Config
from ..control.registers import ADDRESS_BITS

__all__ = ["DeviceInstance", "device_members"]


def device_members(config: Config) -> dict[str, Member]:
    """Ports of the generated device, clock and reset apart: ``Accelerator``'s."""
    return {
        "s_axil": In(axi_lite_signature(address_bits=ADDRESS_BITS)),
        "m_axi": Out(axi4_signature(config)).array(config.axi_channels),
        "irq": Out(1),
    }


class DeviceInstance(wiring.Component):
    """An instance of the module that ``hdl.emit`` writes, with ``Accelerator``'s members.

    Parameters
    ----------
    config
        Device sizes.
    module
        Name of its Verilog module.

    Members
    -------
    s_axil, m_axi, irq
        As ``Accelerator``.
    """

    s_axil: Any
    m_axi: Any
    irq: Signal

    def __init__(self, *, config: Config, module: str) -> None:
        self._module = module
        self._channels = config.axi_channels
        super().__init__(device_members(config))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ports: dict[str, Any] = {"i_aclk": ClockSignal(), "i_aresetn": ~ResetSignal()}
        for path, member, value in self.signature.flatten(self):
            direction = "i" if member.flow is Flow.In else "o"
            name = port_name(path, channels=self._channels)
            ports[f"{direction}_{name}"] = Value.cast(value)
        m.submodules.device = Instance(self._module, **ports)
        return m
