"""The host's side of the bench for cocotb: registers, memory, interrupt, time."""

from __future__ import annotations

from typing import Any

from cocotb.triggers import RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

from .bench import CLOCK_PERIOD_NS

__all__ = ["BusError", "Host"]


class BusError(RuntimeError):
    """A register access was answered with an error."""


class Host:
    """What a driver on the host can do, on the module ``bench``.

    Parameters
    ----------
    bench
        Handle of the bench.
    """

    def __init__(self, bench: Any) -> None:
        self._bench = bench
        self._request = 0
        self._word_bytes = len(bench.host_write_data) // 8
        self._done = ValueChange(bench.host_done)
        self._interrupt = RisingEdge(bench.host_irq)

    @property
    def cycle(self) -> int:
        """The cycle now, as the bench's own counter counts; the same on every simulator."""
        return int(get_sim_time("ns") + CLOCK_PERIOD_NS / 2) // CLOCK_PERIOD_NS

    async def cycles(self, count: int) -> None:
        """Sleep."""
        await Timer(count * CLOCK_PERIOD_NS, "ns")

    async def reset(self, count: int = 8) -> None:
        """Reset device, memory queues and checks; the memory keeps its contents.

        What comes next may begin in the first cycle after it.
        """
        self._bench.host_reset.value = 1
        await self.cycles(count)
        self._bench.host_reset.value = 0

    async def _access(self, address: int, is_write: int, data: int, strobe: int) -> None:
        bench = self._bench
        bench.host_is_write.value = is_write
        bench.host_address.value = address
        bench.host_data.value = data
        bench.host_strobe.value = strobe
        self._request ^= 1
        bench.host_request.value = self._request
        await self._done
        # The other results change in the same moment: let them settle before they are read.
        await Timer(1, "step")
        response = bench.host_response.value.to_unsigned()
        if response != 0:
            what = "write" if is_write else "read"
            raise BusError(f"register {what} at {address:#x} answered with response {response}")

    async def write(self, address: int, data: int, strobe: int = 0xF) -> int:
        """Write a register; returns the cycle of the data handshake.

        Raises
        ------
        BusError
            The response is not OKAY.
        """
        await self._access(address, 1, data, strobe)
        return int(self._bench.host_accepted.value.to_unsigned())

    async def read(self, address: int) -> int:
        """Read a register.

        Raises
        ------
        BusError
            The response is not OKAY.
        """
        await self._access(address, 0, 0, 0)
        return int(self._bench.host_result.value.to_unsigned())

    @property
    def interrupt(self) -> bool:
        """Level of the interrupt pin."""
        return bool(self._bench.host_irq.value)

    async def wait_interrupt(self) -> int:
        """Sleep until the interrupt is high; returns the cycle."""
        if not self.interrupt:
            await self._interrupt
        return self.cycle

    # -- memory, outside AXI -----------------------------------------------------------------------
    async def _read_word(self, index: int) -> bytes:
        self._bench.host_index.value = index
        await Timer(1, "step")
        return bytes(self._bench.host_read_data.value.to_bytes(byteorder="big"))

    async def memory_read(self, address: int, count: int) -> bytes:
        """Bytes of the device memory; for a few words, see ``memory_dump`` for more."""
        size = self._word_bytes
        first, last = address // size, (address + count + size - 1) // size
        words = [await self._read_word(index) for index in range(first, last)]
        # A word's bytes come highest first.
        data = b"".join(word[::-1] for word in words)
        return data[address - first * size :][:count]

    async def memory_write(self, address: int, data: bytes) -> None:
        """Write bytes into the device memory; for a few words."""
        bench, size = self._bench, self._word_bytes
        while data:
            index, offset = divmod(address, size)
            word = bytearray((await self._read_word(index))[::-1])
            part = data[: size - offset]
            word[offset : offset + len(part)] = part
            bench.host_write_data.value = int.from_bytes(word, "little")
            bench.host_write.value = 1
            await Timer(1, "step")
            bench.host_write.value = 0
            await Timer(1, "step")
            address += len(part)
            data = data[len(part) :]

    async def memory_dump(self, address: int, count: int) -> None:
        """Append words to the dump file.

        Raises
        ------
        ValueError
            Address or count is not a multiple of the memory word.
        """
        size = self._word_bytes
        if address % size or count % size:
            raise ValueError(f"dump of {count} bytes at {address:#x} is not in words of {size}")
        self._bench.host_index.value = address // size
        self._bench.host_count.value = count // size
        self._bench.host_dump.value = 1
        await Timer(1, "step")
        self._bench.host_dump.value = 0
        await Timer(1, "step")

    @property
    def outstanding(self) -> int:
        """AXI requests without their last response, all ports."""
        return int(self._bench.host_outstanding.value.to_unsigned())

    async def watch_rules(self) -> None:
        """Sleep until an AXI rule is broken.

        Raises
        ------
        BusError
            When that happens; the simulation's log says which rule.
        """
        if not self._bench.host_failed.value:
            await RisingEdge(self._bench.host_failed)
        raise BusError("an AXI rule was broken")
