"""The host's half of the frames on the line, see ``hdl/board/framing.py``."""

from __future__ import annotations

import zlib

from hdl.board.framing import CHECK_BYTES, ESCAPE, FLAG

__all__ = ["FrameReader", "frame"]

_FLAG = bytes([FLAG])
_LONGEST = 1 << 13
"""Bytes without a flag that are no frame any more."""


def _escaped(byte: int) -> bytes:
    return bytes([ESCAPE, byte ^ 0x20])


def frame(contents: bytes) -> bytes:
    """``contents`` as they go over the line."""
    whole = contents + zlib.crc32(contents).to_bytes(CHECK_BYTES, "little")
    # The escape first: those of the flag must not be escaped again.
    for byte in (ESCAPE, FLAG):
        whole = whole.replace(bytes([byte]), _escaped(byte))
    return _FLAG + whole + _FLAG


class FrameReader:
    """Finds whole frames in what comes over the line; what is garbled is counted and left out."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self.bad = 0
        """Frames with a wrong CRC or none."""

    def feed(self, data: bytes) -> list[bytes]:
        """Contents of the frames that ``data`` completes."""
        *parts, rest = data.split(_FLAG)
        found = []
        for part in parts:
            self._pending += part
            if self._pending:
                contents = self._check(bytes(self._pending))
                if contents is None:
                    self.bad += 1
                else:
                    found.append(contents)
                self._pending.clear()
        self._pending += rest
        if len(self._pending) > _LONGEST:
            self.bad += 1
            self._pending.clear()
        return found

    def _check(self, part: bytes) -> bytes | None:
        if part[-1] == ESCAPE:
            return None
        out = bytearray()
        escaped = False
        for byte in part:
            if byte == ESCAPE:
                escaped = True
                continue
            out.append(byte ^ 0x20 if escaped else byte)
            escaped = False
        if len(out) <= CHECK_BYTES:
            return None
        contents = bytes(out[:-CHECK_BYTES])
        good = zlib.crc32(contents) == int.from_bytes(out[-CHECK_BYTES:], "little")
        return contents if good else None
