"""Top-level ports of a device by their standard names: what packaging scripts need to know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth.hdl import Shape
from amaranth.lib.wiring import Member, Out, Signature

from .bus.axi import axi4_signature, axi_lite_signature, port_name
from .config import Config
from .control.registers import ADDRESS_BITS

__all__ = ["Bus", "TopPort", "device_ports"]


@dataclass(frozen=True)
class TopPort:
    """A port of the top module."""

    name: str
    width: int
    is_output: bool


@dataclass(frozen=True)
class Bus:
    """An AXI port."""

    name: str
    """Prefix of its ports, without the underscore."""
    is_lite: bool
    ports: tuple[tuple[str, TopPort], ...]
    """AXI signal in lower case, port."""


def _ports(path: tuple[str | int, ...], signature: Signature, channels: int, manager: bool) -> Bus:
    def members() -> Iterator[tuple[str, TopPort]]:
        for signal, member in signature.members.items():
            assert isinstance(member, Member)
            output = (member.flow == Out) == manager
            name = port_name((*path, signal), channels=channels)
            yield signal, TopPort(name, Shape.cast(member.shape).width, output)

    return Bus(port_name(path, channels=channels), not manager, tuple(members()))


def device_ports(config: Config) -> tuple[Bus, ...]:
    """AXI ports of a device: ``s_axil`` first, then the memory channels.

    Beside them it has ``aclk`` and ``aresetn`` in, ``irq`` out.
    """
    lite = axi_lite_signature(address_bits=ADDRESS_BITS)
    channels = config.axi_channels
    buses = [_ports(("s_axil",), lite, channels, manager=False)]
    for channel in range(channels):
        buses.append(_ports(("m_axi", channel), axi4_signature(config), channels, manager=True))
    return tuple(buses)
