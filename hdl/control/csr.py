"""The registers behind AXI4-Lite, built from the register table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Member, Out

from ..bus.axi import Response, axi_lite_signature
from .register import Register
from .registers import ADDRESS_BITS

__all__ = ["RegisterFile"]


@dataclass(frozen=True)
class _Write:
    """A write: for each writable word whether it is written, data, bit mask."""

    write: Mapping[int, Value]
    value: Value
    mask: Value


class RegisterFile(wiring.Component):
    """AXI4-Lite subordinate with one member a register of ``table``.

    Write: AW and W may come in any order, any time apart; both are held, then the write takes one
    cycle and B follows. Byte strobes count. Read: the answer is valid 2 cycles after AR; one read
    every 3 cycles. Addresses are decoded into a register for each word. Unknown addresses and
    writes to constants and read-only registers get SLVERR and change nothing. The two low address
    bits are ignored.

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
        channel = self._write_channel(m)
        for register in self._table:
            if register.access in ("rw", "w1c"):
                for index in range(register.count):
                    self._element(m, register, index, channel)
        self._read_channel(m)
        return m

    def _write_channel(self, m: Module) -> _Write:
        """Holds AW and W; what is written in the cycle of the write."""
        bus = self.bus
        value = Signal(32)
        strobe = Signal(4)
        have_address = Signal()
        have_data = Signal()
        write = Signal()
        writable = Signal()
        chosen = {
            word: Signal(name=f"write_{word}")
            for register in self._table
            if register.access in ("rw", "w1c")
            for word in _words(register)
        }
        m.d.comb += [
            bus.awready.eq(~have_address),
            bus.wready.eq(~have_data),
            write.eq(have_address & have_data & (~bus.bvalid | bus.bready)),
        ]
        with m.If(bus.bready):
            m.d.sync += bus.bvalid.eq(0)
        with m.If(bus.awvalid & bus.awready):
            hits = {word: bus.awaddr[2:] == word for word in chosen}
            m.d.sync += [have_address.eq(1), writable.eq(Cat(hits.values()).any())]
            m.d.sync += [chosen[word].eq(hit) for word, hit in hits.items()]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [have_data.eq(1), value.eq(bus.wdata), strobe.eq(bus.wstrb)]
        with m.If(write):
            m.d.sync += [
                have_address.eq(0),
                have_data.eq(0),
                bus.bvalid.eq(1),
                bus.bresp.eq(Mux(writable, Response.OKAY, Response.SLVERR)),
            ]
        mask = Cat(bit.replicate(8) for bit in strobe)
        return _Write({word: write & here for word, here in chosen.items()}, value, mask)

    def _element(self, m: Module, register: Register, index: int, channel: _Write) -> None:
        """Storage of one register."""
        value, mask = channel.value, channel.mask
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
            with m.If(channel.write[first + word]):
                if register.access == "w1c":
                    kept = storage[bits] & ~(value & mask)
                    m.d.sync += storage[bits].eq((kept | raised[bits]) & implemented)
                else:
                    kept = storage[bits] & ~mask & ~Const(pulses >> (32 * word) & 0xFFFFFFFF, 32)
                    m.d.sync += storage[bits].eq((kept | (value & mask)) & implemented)
        if register.cleared:
            with m.If(self.clear):
                m.d.sync += storage.eq(register.reset)

    def _read_channel(self, m: Module) -> None:
        bus = self.bus
        busy = Signal()  # a read is under way
        reading = Signal()  # its address was taken in the cycle before
        high = Signal(32)  # high word of the 64-bit read-only register whose low word was read
        m.d.comb += bus.arready.eq(~busy)
        m.d.sync += reading.eq(bus.arvalid & bus.arready)
        with m.If(bus.rvalid & bus.rready):
            m.d.sync += [bus.rvalid.eq(0), busy.eq(0)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += busy.eq(1)
        shown: list[tuple[Signal, Value]] = []  # selected word: what is read
        kept: list[tuple[Signal, Value]] = []  # selected low word: the high one beside it
        for register in self._table:
            for number, word in enumerate(_words(register)):
                chosen = Signal(name=f"read_{word}")
                with m.If(bus.arvalid & bus.arready):
                    m.d.sync += chosen.eq(bus.araddr[2:] == word)
                index, half = divmod(number, register.words)
                bits = slice(32 * half, 32 * half + 32)
                if register.access == "constant":
                    constant = Const(register.reset >> bits.start & 0xFFFFFFFF, 32)
                    shown.append((chosen, constant))
                elif register.access == "ro" and register.words == 2 and half:
                    shown.append((chosen, high))
                else:
                    value = self.port(register, index)
                    shown.append((chosen, value[bits]))
                    if register.access == "ro" and register.words == 2:
                        kept.append((chosen, value[32:]))
        with m.If(reading):
            known = Cat(chosen for chosen, _ in shown).any()
            m.d.sync += [
                bus.rvalid.eq(1),
                bus.rdata.eq(_selected(shown)),
                bus.rresp.eq(Mux(known, Response.OKAY, Response.SLVERR)),
            ]
            if kept:
                with m.If(Cat(chosen for chosen, _ in kept).any()):
                    m.d.sync += high.eq(_selected(kept))


def _words(register: Register) -> range:
    """Numbers of the register's words in the address space."""
    first = register.offset // 4
    return range(first, first + register.words * register.count)


def _selected(words: Sequence[tuple[Signal, Value]]) -> Value:
    """The word whose signal is up, or 0; bit by bit, so that zeros of constants cost nothing."""
    bits = []
    for bit in range(32):
        here = []
        for chosen, value in words:
            if not isinstance(value, Const):
                here.append(chosen & value[bit])
            elif value.value >> bit & 1:
                here.append(chosen)
        bits.append(Cat(here).any())
    return Cat(bits)
