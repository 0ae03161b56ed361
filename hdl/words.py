"""Words of the program format as integers and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.lib import data

__all__ = ["pack", "pack_bytes", "unpack"]


def pack(layout: data.Layout, values: Mapping[str, Any]) -> int:
    """Bits of a word of ``layout``; fields left out are zero."""
    fields: dict[int | str, Any] = {name: value for name, value in values.items()}
    word: Any = layout.const(fields)
    return int(word.as_bits())


def pack_bytes(layout: data.Layout, values: Mapping[str, Any]) -> bytes:
    """The same as device memory holds it: whole 64-bit words, little endian."""
    bits = pack(layout, values)
    return bits.to_bytes(8 * -(-layout.as_shape().width // 64), "little")


def unpack(layout: data.Layout, word: int | bytes) -> Any:
    """A constant with the fields of ``layout``, from bits or from bytes of device memory."""
    bits = word if isinstance(word, int) else int.from_bytes(word, "little")
    return layout.from_bits(bits)
