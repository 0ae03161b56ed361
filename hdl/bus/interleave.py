"""Which AXI channel an address belongs to."""

from __future__ import annotations

from functools import reduce
from operator import xor

from amaranth.hdl import Cat, Value

from ..config import Config
from .axi import PAGE_BYTES

__all__ = ["channel_number", "channel_of"]

_PAGE_BIT = PAGE_BYTES.bit_length() - 1


def _weight(bit: int) -> int:
    """Channel of the page that has only this bit set: 1, 2, 3, 1, 2, 3, .."""
    return 1 + bit % 3


def channel_number(config: Config, address: int) -> int:
    """AXI channel of a byte address: XOR of ``_weight`` over the set bits of its page number.

    Pages a power of two apart lie on different channels (of four), so that readers that work side
    by side on row blocks of one size do not meet on one channel. Memories choose banks by folding
    the page number to a power of two of bits; the period of three has nothing in common with that,
    so the pages of a channel use all of its banks.
    """
    page, channel = address // PAGE_BYTES, 0
    for bit in range(page.bit_length()):
        if page >> bit & 1:
            channel ^= _weight(bit)
    return channel & (config.axi_channels - 1)


def channel_of(config: Config, address: Value) -> Value:
    """The same for an address in the device; 0 bits wide with one channel."""
    page = address[_PAGE_BIT:]
    return Cat(
        reduce(xor, (page[bit] for bit in range(len(page)) if _weight(bit) >> number & 1))
        for number in range(config.axi_channels.bit_length() - 1)
    )
