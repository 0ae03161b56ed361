"""What memories read in the cycle of a write to the same place: left open, nobody uses it.

The block RAMs of most FPGAs do not promise the old value there. A memory that must return it gets a
second set of registers for its write port, a comparator of addresses and a multiplexer behind its
slow output. This is a rule of the design: no unit uses what such a read returns. Units are tested
with inverted data there (``tests/hdl/conftest.py``), a whole device is simulated with unknown data
(``tests/device/test_collisions.py``).
"""

from __future__ import annotations

import re

__all__ = ["with_open_collisions"]

_READ_PORT = re.compile(r"^  cell \$memrd_v2 .*?^  end$", re.MULTILINE | re.DOTALL)
_MASK = re.compile(r"(\\COLLISION_X_MASK (\d+)')0+$", re.MULTILINE)


def with_open_collisions(rtlil: str) -> str:
    """RTLIL in which clocked read ports return anything in the cycle of a write to their place.

    Ports that return the new value then (transparent ones) stay, so do those that read at once.
    """

    def opened(port: re.Match[str]) -> str:
        text = port.group(0)
        transparent = re.search(r"\\TRANSPARENCY_MASK \d+'0*1", text)
        if "\\CLK_ENABLE 1" not in text or transparent:
            return text
        return _MASK.sub(lambda mask: mask.group(1) + "1" * int(mask.group(2)), text)

    return _READ_PORT.sub(opened, rtlil)
