"""Settings of device memory, and when its banks and the tier behind it can answer."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from hdl.bus.axi import PAGE_BYTES

__all__ = ["Banks", "Dram", "Ssd"]

CREDIT = 256
"""Credit of a beat, see ``Dram.bandwidth``."""


@dataclass(frozen=True, kw_only=True)
class Ssd:
    """A third tier behind device memory, in the timing model only.

    A read of a line fetches the whole page that holds it; reads wait for each other at the drive's
    bandwidth, latencies overlap.
    """

    ranges: tuple[tuple[int, int], ...]
    """Addresses [low, high) that lie there, ascending."""
    latency: int = 20_000
    """Cycles from the request to the data: 80 us at 250 MHz."""
    page_bytes: int = PAGE_BYTES
    bytes_per_cycle: float = 12.0
    """3 GB/s at 250 MHz."""

    def holds(self, address: int) -> bool:
        """The address lies on the drive."""
        place = bisect_right(self.ranges, (address, 1 << 64)) - 1
        return place >= 0 and address < self.ranges[place][1]


@dataclass(frozen=True, kw_only=True)
class Dram:
    """Settings of the simulated memory; defaults as in ``sim/verilog/dram.v``."""

    latency: int = 100
    """Cycles from the address handshake to the first beat of an open row."""
    row_cycles: int = 12
    """Further cycles, and the bank's occupation, when the row is not open."""
    banks: int = 16
    bandwidth: int = CREDIT
    """Data beats that a channel moves in 256 cycles."""
    refresh_interval: int = 1950
    """Cycles between two refreshes of a channel (7.8 us at 250 MHz), channels in turns."""
    refresh_cycles: int = 88
    """Cycles of one (350 ns), the last of the interval, in which no burst is begun; it closes all
    rows. 0: none."""
    refresh_phase: int = 0
    """Cycles from the end of a refresh of channel 0 to the model's first cycle."""
    window: int = 8
    """Oldest bursts among which the next one is chosen."""
    shared_bus: bool = True
    """Writes take their beats from the same bandwidth as reads."""
    ssd: Ssd | None = None

    @property
    def beat_interval(self) -> int:
        """Cycles from a beat to the next one."""
        return -(-CREDIT // self.bandwidth)


class Banks:
    """Open rows of one channel.

    Parameters
    ----------
    dram
        Settings.
    channel, channels
        Number of the channel, of how many: their refreshes are spread over the interval.
    """

    def __init__(self, dram: Dram, channel: int = 0, channels: int = 1) -> None:
        self._dram = dram
        self._offset = dram.refresh_phase + channel * dram.refresh_interval // channels
        self._free = [0] * dram.banks
        self._epoch = [self._offset // dram.refresh_interval] * dram.banks
        self.rows = [-1] * dram.banks

    def ready(self, arrival: int, address: int) -> int:
        """Earliest cycle in which a burst, its address taken in ``arrival``, gets the data bus."""
        dram = self._dram
        row = address // PAGE_BYTES
        bank = (row ^ row >> 4 ^ row >> 8) % dram.banks
        start = max(self._free[bank], arrival)
        if dram.refresh_cycles:
            epoch, since = divmod(start + self._offset, dram.refresh_interval)
            if since + dram.refresh_cycles >= dram.refresh_interval:
                start += dram.refresh_interval - since
                epoch += 1
            if epoch != self._epoch[bank]:
                self._epoch[bank] = epoch
                self.rows[bank] = -1
        if self.rows[bank] != row:
            start += dram.row_cycles
            self._free[bank] = start
            self.rows[bank] = row
        return start + dram.latency - 1
