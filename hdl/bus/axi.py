"""AXI4 and AXI4-Lite signatures with the standard signal names, and names for top-level ports."""

from __future__ import annotations

from enum import IntEnum

from amaranth.lib.wiring import In, Member, Out, Signature

from ..config import Config

__all__ = [
    "BURST_INCR",
    "PAGE_BYTES",
    "Response",
    "axi4_read_signature",
    "axi4_signature",
    "axi4_write_signature",
    "axi_lite_signature",
    "port_name",
]

BURST_INCR = 1
"""AxBURST of an incrementing burst, the only kind the device uses."""
PAGE_BYTES = 4096
"""No burst crosses a boundary of this size; pages are spread over the AXI channels."""


class Response(IntEnum):
    """AXI response codes."""

    OKAY = 0
    EXOKAY = 1
    SLVERR = 2
    DECERR = 3


def _address_members(prefix: str, config: Config) -> dict[str, Member]:
    """Members of an AW or AR channel, manager's side."""
    return {
        f"{prefix}id": Out(config.id_bits),
        f"{prefix}addr": Out(config.address_bits),
        f"{prefix}len": Out(8),
        f"{prefix}size": Out(3),
        f"{prefix}burst": Out(2),
        f"{prefix}lock": Out(1),
        f"{prefix}cache": Out(4),
        f"{prefix}prot": Out(3),
        f"{prefix}qos": Out(4),
        f"{prefix}valid": Out(1),
        f"{prefix}ready": In(1),
    }


def _read_members(config: Config) -> dict[str, Member]:
    return _address_members("ar", config) | {
        "rid": In(config.id_bits),
        "rdata": In(config.axi_data_bits),
        "rresp": In(2),
        "rlast": In(1),
        "rvalid": In(1),
        "rready": Out(1),
    }


def _write_members(config: Config) -> dict[str, Member]:
    return _address_members("aw", config) | {
        "wdata": Out(config.axi_data_bits),
        "wstrb": Out(config.axi_bytes),
        "wlast": Out(1),
        "wvalid": Out(1),
        "wready": In(1),
        "bid": In(config.id_bits),
        "bresp": In(2),
        "bvalid": In(1),
        "bready": Out(1),
    }


def axi4_read_signature(config: Config) -> Signature:
    """AR and R channels, manager's side."""
    return Signature(_read_members(config))


def axi4_write_signature(config: Config) -> Signature:
    """AW, W and B channels, manager's side."""
    return Signature(_write_members(config))


def axi4_signature(config: Config) -> Signature:
    """All five channels, manager's side: what one ``m_axi`` port of the device is."""
    return Signature(_write_members(config) | _read_members(config))


def axi_lite_signature(*, address_bits: int) -> Signature:
    """AXI4-Lite with 32 data bits, manager's side (a subordinate's port is ``In`` of this)."""
    return Signature(
        {
            "awaddr": Out(address_bits),
            "awprot": Out(3),
            "awvalid": Out(1),
            "awready": In(1),
            "wdata": Out(32),
            "wstrb": Out(4),
            "wvalid": Out(1),
            "wready": In(1),
            "bresp": In(2),
            "bvalid": In(1),
            "bready": Out(1),
            "araddr": Out(address_bits),
            "arprot": Out(3),
            "arvalid": Out(1),
            "arready": In(1),
            "rdata": In(32),
            "rresp": In(2),
            "rvalid": In(1),
            "rready": Out(1),
        }
    )


def port_name(path: tuple[str | int, ...], *, channels: int) -> str:
    """Name of a flattened member at the top level, as tools infer buses from it.

    ``("s_axil", "awaddr")`` is ``s_axil_awaddr``; ``("m_axi", 0, "araddr")`` is ``m_axi_araddr``
    on a device with one channel and ``m_axi0_araddr`` on one with several.
    """
    name = str(path[0])
    for part in path[1:]:
        if isinstance(part, int):
            name += str(part) if channels > 1 else ""
        else:
            name += f"_{part}"
    return name
