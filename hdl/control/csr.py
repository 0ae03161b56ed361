"""The registers behind AXI4-Lite, built from the register table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..bus.axi import Response, axi_lite_signature
from .register import Register
from .registers import ADDRESS_BITS

__all__ = ["RegisterFile"]


class RegisterFile(wiring.Component):
    """AXI4-Lite subordinate with one member a register of ``table``.

    Write: AW and W may come in any order, any time apart; both are held, then the write takes one
    cycle and B follows. Byte strobes count. Read: the answer is valid in the cycle after AR; one
    read every 2 cycles. Unknown addresses and writes to constants and read-only registers get
    SLVERR and change nothing. The two low address bits are ignored.

    Members by access, ``name`` being the register's name in lower case (arrays of them for array
    registers); shapes are ``Register.layout``:

    * ``rw``: ``name`` out. ``pulse`` fields are up for one cycle after the write.
    * ``ro``: ``name`` in.
    * ``w1c``: ``name_set`` in sets bits, ``name`` out. Setting wins over clearing.
    * ``constant``: none.

    Parameters
    ----------
    table
        Registers.

    Members
    -------
    bus
        AXI4-Lite, subordinate's side.
    clear
        Registers with ``cleared`` go back to their reset value.
    """

    bus: Any
    clear: Signal

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """The other members follow from the table."""

    def __init__(self, *, table: Sequence[Register]) -> None:
        self._table = tuple(table)
        members: dict[str, Member] = {
            "bus": In(axi_lite_signature(address_bits=ADDRESS_BITS)),
            "clear": In(1),
        }
        for register in self._table:
            flow = {"rw": Out, "w1c": Out, "ro": In}.get(register.access)
            if flow is not None:
                member = flow(register.layout)
                members[register.member] = (
                    member.array(register.count) if register.array else member
                )
            if register.access == "w1c":
                members[f"{register.member}_set"] = In(register.layout)
        super().__init__(members)

    def port(self, register: Register, index: int = 0, suffix: str = "") -> Value:
        """Bits of the member of element ``index`` of ``register``."""
        member = getattr(self, register.member + suffix)
        view = member[index] if register.array else member
        return Value.cast(view)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address, value, mask, write = self._write_channel(m)
        writable = Signal()
        for register in self._table:
            for index in range(register.count):
                self._element(m, register, index, address, value, mask, write, writable)
        with m.If(write):
            m.d.sync += self.bus.bresp.eq(Mux(writable, Response.OKAY, Response.SLVERR))
        self._read_channel(m)
        return m

    def _write_channel(self, m: Module) -> tuple[Signal, Signal, Signal, Signal]:
        """Holds AW and W; returns word address, data, bit mask and the cycle of the write."""
        bus = self.bus
        address = Signal(ADDRESS_BITS - 2)
        value = Signal(32)
        mask = Signal(32)
        have_address = Signal()
        have_data = Signal()
        write = Signal()
        m.d.comb += [
            bus.awready.eq(~have_address),
            bus.wready.eq(~have_data),
            write.eq(have_address & have_data & (~bus.bvalid | bus.bready)),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [have_address.eq(1), address.eq(bus.awaddr[2:])]
        with m.If(bus.wvalid & bus.wready):
            strobes = Cat(strobe.replicate(8) for strobe in bus.wstrb)
            m.d.sync += [have_data.eq(1), value.eq(bus.wdata), mask.eq(strobes)]
        with m.If(write):
            m.d.sync += [have_address.eq(0), have_data.eq(0), bus.bvalid.eq(1)]
        return address, value, mask, write

    def _element(
        self,
        m: Module,
        register: Register,
        index: int,
        address: Signal,
        value: Signal,
        mask: Signal,
        write: Signal,
        writable: Signal,
    ) -> None:
        """Storage of one register."""
        if register.access not in ("rw", "w1c"):
            return
        storage = self.port(register, index)
        pulses = sum(((1 << f.width) - 1) << f.lsb for f in register.fields if f.pulse)
        used = sum(((1 << f.width) - 1) << f.lsb for f in register.fields)
        if register.access == "w1c":
            raised = self.port(register, index, "_set")
            m.d.sync += storage.eq(storage | (raised & used))
        elif pulses:
            m.d.sync += storage.eq(storage & ~Const(pulses, register.width))
        first = register.offset // 4 + index * register.words
        for word in range(register.words):
            bits = slice(32 * word, 32 * word + 32)
            implemented = Const(used >> (32 * word) & 0xFFFFFFFF, 32)
            with m.If(address == first + word):
                m.d.comb += writable.eq(1)
                with m.If(write):
                    if register.access == "w1c":
                        kept = storage[bits] & ~(value & mask)
                        m.d.sync += storage[bits].eq((kept | raised[bits]) & implemented)
                    else:
                        kept = (
                            storage[bits] & ~mask & ~Const(pulses >> (32 * word) & 0xFFFFFFFF, 32)
                        )
                        m.d.sync += storage[bits].eq((kept | (value & mask)) & implemented)
        if register.cleared:
            with m.If(self.clear):
                m.d.sync += storage.eq(register.reset)

    def _read_channel(self, m: Module) -> None:
        bus = self.bus
        address = bus.araddr[2:]
        high = Signal(32)  # high word of the 64-bit read-only register whose low word was read
        m.d.comb += bus.arready.eq(~bus.rvalid)
        with m.If(bus.rready):
            m.d.sync += bus.rvalid.eq(0)
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [bus.rvalid.eq(1), bus.rdata.eq(0), bus.rresp.eq(Response.SLVERR)]
            with m.Switch(address):
                for register in self._table:
                    for index in range(register.count):
                        self._read_element(m, register, index, high)

    def _read_element(self, m: Module, register: Register, index: int, high: Signal) -> None:
        bus = self.bus
        first = register.offset // 4 + index * register.words
        if register.access == "constant":
            value: Value = Const(register.reset, register.width)
        else:
            value = self.port(register, index)
        snapshot = register.access == "ro" and register.words == 2
        for word in range(register.words):
            with m.Case(first + word):
                m.d.sync += bus.rresp.eq(Response.OKAY)
                if snapshot and word == 1:
                    m.d.sync += bus.rdata.eq(high)
                else:
                    m.d.sync += bus.rdata.eq(value[32 * word : 32 * word + 32])
                if snapshot and word == 0:
                    m.d.sync += high.eq(value[32:])
