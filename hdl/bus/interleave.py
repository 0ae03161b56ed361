"""Which AXI channel an address belongs to."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Value

from ..config import Config
from .axi import PAGE_BYTES

__all__ = ["channel_number", "channel_of"]

_PAGE_BIT = PAGE_BYTES.bit_length() - 1


def channel_number(config: Config, address: int) -> int:
    """AXI channel of a byte address: its page number, XOR-folded to the channel number's bits.

    Pages that follow each other lie on different channels, and so do pages that are a power of two
    apart: readers that work side by side on row blocks of one size do not meet on one channel.
    """
    bits = config.axi_channels.bit_length() - 1
    page, channel = address // PAGE_BYTES, 0
    while bits and page:
        channel ^= page & (config.axi_channels - 1)
        page >>= bits
    return channel


def channel_of(config: Config, address: Value) -> Value:
    """The same for an address in the device; 0 bits wide with one channel."""
    bits = config.axi_channels.bit_length() - 1
    if not bits:
        return address[:0]
    return reduce(xor, (address[at : at + bits] for at in range(_PAGE_BIT, len(address), bits)))
