"""The device memory image: an allocator over one flat byte range."""

from __future__ import annotations

from .errors import UserError

__all__ = ["MEMORY_LIMIT", "MemoryImage"]

MEMORY_LIMIT = 1 << 30
"""Largest simulated device memory, bytes."""


class MemoryImage:
    """Grows a device memory image; equal blobs are stored once.

    Parameters
    ----------
    limit
        Size of the device memory, bytes.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._end = 0
        self._parts: list[tuple[int, bytes]] = []
        self._known: dict[tuple[bytes, int], int] = {}

    @property
    def size(self) -> int:
        """Bytes in use."""
        return self._end

    def reserve(self, size: int, *, align: int = 64, what: str = "data") -> int:
        """Take ``size`` bytes (zero) aligned to ``align``; returns the address.

        Raises
        ------
        UserError
            The memory is full.
        """
        address = -(-self._end // align) * align
        if address + size > self._limit:
            raise UserError(
                f"{what}: {size} bytes do not fit the device memory of {self._limit} bytes, "
                f"{self._end} are in use"
            )
        self._end = address + size
        return address

    def put(self, blob: bytes, *, align: int = 64, what: str = "data") -> int:
        """Store ``blob``; returns its address, the same for an equal blob of the same alignment."""
        key = (blob, align)
        if key not in self._known:
            address = self.reserve(len(blob), align=align, what=what)
            self._parts.append((address, blob))
            self._known[key] = address
        return self._known[key]

    def write(self, address: int, blob: bytes) -> None:
        """Overwrite reserved space."""
        if address < 0 or address + len(blob) > self._end:
            raise ValueError(
                f"write of {len(blob)} bytes at {address:#x} is outside {self._end:#x}"
            )
        self._parts.append((address, blob))

    def to_bytes(self) -> bytes:
        """The whole image, from address 0."""
        out = bytearray(self._end)
        for address, blob in self._parts:
            out[address : address + len(blob)] = blob
        return bytes(out)
