"""Histogram of 256 bins that finds the bin of a given rank."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Histogram"]

BINS = 256


class Histogram(wiring.Component):
    """Counts values in 256 bins, then finds the bin that holds the rank-th largest of them.

    Counting takes one value a cycle in any order of bins. It is a read, a register behind the
    memory's output and a write; a value whose bin is still on its way takes the newer count from
    the pipeline instead of the memory.

    A search scans the bins from the largest down and clears each one behind it, so that the next
    histogram starts from zero. It takes ``SEARCH_CYCLES`` after the cycle of ``find``, up to
    and with the cycle of ``done`` (one fewer when no value came in the cycle before). The same scan
    runs once after reset (a reset leaves the memory as it was); ``ready`` is low meanwhile.

    Parameters
    ----------
    count_width
        Bits of a count. The caller sees to it that no bin overflows.

    Members
    -------
    add, bin
        Count one value. Only while ``ready``.
    find, rank
        Start a search for the ``rank``-th largest value, 1 <= rank <= number of values counted.
        Only while ``ready``, not together with ``add``. ``rank`` is taken with ``find``.
    ready
        Neither searching nor clearing.
    done
        One pulse: ``threshold`` and ``remaining`` hold the result until the next search.
    threshold
        Bin of the rank-th largest value.
    remaining
        Rank of that value inside its bin, from 1.
    """

    SEARCH_CYCLES = BINS + 5

    add: Signal
    bin: Signal
    find: Signal
    rank: Signal
    ready: Signal
    done: Signal
    threshold: Signal
    remaining: Signal

    def __init__(self, *, count_width: int) -> None:
        if count_width < 1:
            raise ValueError(f"count_width must be at least 1, not {count_width!r}")
        self._count_width = count_width
        super().__init__(
            {
                "add": In(1),
                "bin": In(8),
                "find": In(1),
                "rank": In(count_width),
                "ready": Out(1),
                "done": Out(1),
                "threshold": Out(8),
                "remaining": Out(count_width),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        counts: memory.Memory = memory.Memory(shape=self._count_width, depth=BINS, init=[])
        m.submodules.counts = counts
        read = counts.read_port(domain="sync")
        write = counts.write_port()

        address = Signal(8, init=BINS - 1)
        scanning = Signal()
        settled = Signal()
        scanned = Signal()
        with m.FSM():
            with m.State("SCAN"):  # also the state after reset: clears, finds nothing
                m.d.comb += scanning.eq(1)
                m.d.sync += address.eq(address - 1)  # ends where it began
                with m.If(address == 0):
                    m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(scanned):
                    m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += self.ready.eq(1)
                with m.If(self.find):
                    m.next = "SETTLE"
            with m.State("SETTLE"):
                with m.If(settled):
                    m.next = "SCAN"

        counting, count_bin, count = self._count(m, read, settled)
        clear, clear_bin = self._search(m, read, scanning, address, scanned)
        m.d.comb += read.addr.eq(self.bin)
        with m.If(scanning):
            m.d.comb += read.addr.eq(address)
        m.d.comb += [write.en.eq(counting), write.addr.eq(count_bin), write.data.eq(count)]
        with m.If(clear):
            m.d.comb += [write.en.eq(1), write.addr.eq(clear_bin), write.data.eq(0)]
        return m

    def _count(
        self, m: Module, read: memory.ReadPort, settled: Signal
    ) -> tuple[Signal, Signal, Signal]:
        """Read-modify-write pipeline; returns write enable, bin and count."""
        valid = [Signal(name=f"valid_{stage}") for stage in range(1, 4)]
        bins = [Signal(8, name=f"bin_{stage}") for stage in range(1, 4)]
        held = Signal(self._count_width)  # stage 2: count before this value
        count = Signal(self._count_width)  # stage 2: count with it, written in this cycle
        written = Signal(self._count_width)  # stage 3: what was written a cycle ago
        m.d.sync += [
            valid[0].eq(self.add),
            valid[1].eq(valid[0]),
            valid[2].eq(valid[1]),
            bins[0].eq(self.bin),
            bins[1].eq(bins[0]),
            bins[2].eq(bins[1]),
            written.eq(count),
            held.eq(read.data),
        ]
        # A read issued in the cycle of a write, or before it, returned the old count.
        with m.If(valid[1] & (bins[1] == bins[0])):
            m.d.sync += held.eq(count)
        with m.Elif(valid[2] & (bins[2] == bins[0])):
            m.d.sync += held.eq(written)
        m.d.comb += [count.eq(held + 1), settled.eq(~valid[0] & ~valid[1])]
        return valid[1], bins[1], count

    def _search(
        self, m: Module, read: memory.ReadPort, scanning: Signal, address: Signal, scanned: Signal
    ) -> tuple[Signal, Signal]:
        """Subtract counts from the rank until it is used up; returns clear enable and bin."""
        valid = [Signal(name=f"scan_valid_{stage}") for stage in range(1, 3)]
        bins = [Signal(8, name=f"scan_bin_{stage}") for stage in range(1, 3)]
        count = Signal(self._count_width)
        searching = Signal()
        m.d.sync += [
            valid[0].eq(scanning),
            valid[1].eq(valid[0]),
            bins[0].eq(address),
            bins[1].eq(bins[0]),
            count.eq(read.data),
            self.done.eq(scanned),
        ]
        m.d.comb += scanned.eq(valid[1] & (bins[1] == 0))
        with m.If(self.find):
            m.d.sync += [self.remaining.eq(self.rank), searching.eq(1)]
        with m.Elif(valid[1] & searching):
            with m.If(count >= self.remaining):
                m.d.sync += [self.threshold.eq(bins[1]), searching.eq(0)]
            with m.Else():
                m.d.sync += self.remaining.eq(self.remaining - count)
        return valid[0], bins[0]
