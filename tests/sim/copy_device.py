"""A small device to prove the bench with: copies memory over AXI4, started through AXI4-Lite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

BURST = 16
ID, SOURCE, TARGET, BURSTS, START, STATUS, CLEAR, FAULT = range(0, 32, 4)
FAULTS = ("none", "unstable", "last", "page", "size")
"""Rules that it breaks on purpose, by the value of FAULT."""
IDENTITY = 0xC0B1
TRACE_WIDTH = 80


class CopyDevice(wiring.Component):
    """Copies BURSTS bursts of 16 beats from SOURCE to TARGET, one burst at a time.

    STATUS is 1 after success and 2 after an AXI error; the interrupt is up until CLEAR is written.

    Parameters
    ----------
    data_bits
        Width of the AXI4 port.
    """

    if TYPE_CHECKING:  # the ports, by name

        def __getattr__(self, name: str) -> Signal: ...

    def __init__(self, *, data_bits: int) -> None:
        self.data_bits = data_bits
        address = {"id": 4, "addr": 40, "len": 8, "size": 3, "burst": 2, "valid": 1}
        outputs = {f"m_axi_{c}{n}": w for c in ("ar", "aw") for n, w in address.items()}
        outputs |= {"m_axi_rready": 1, "m_axi_wvalid": 1, "m_axi_wdata": data_bits}
        outputs |= {"m_axi_wstrb": data_bits // 8, "m_axi_wlast": 1, "m_axi_bready": 1}
        outputs |= {"s_axil_awready": 1, "s_axil_wready": 1, "s_axil_bvalid": 1, "s_axil_bresp": 2}
        outputs |= {"s_axil_arready": 1, "s_axil_rvalid": 1, "s_axil_rdata": 32, "s_axil_rresp": 2}
        outputs |= {
            "m_axi_arcache": 4,
            "irq": 1,
            "trace_valid": 2,
            "trace_payload": 2 * TRACE_WIDTH,
        }
        inputs = {"m_axi_arready": 1, "m_axi_awready": 1, "m_axi_wready": 1}
        inputs |= {"m_axi_rvalid": 1, "m_axi_rid": 4, "m_axi_rdata": data_bits, "m_axi_rresp": 2}
        inputs |= {"m_axi_rlast": 1, "m_axi_bvalid": 1, "m_axi_bid": 4, "m_axi_bresp": 2}
        inputs |= {"s_axil_awaddr": 12, "s_axil_awvalid": 1, "s_axil_wdata": 32, "s_axil_wstrb": 4}
        inputs |= {"s_axil_wvalid": 1, "s_axil_bready": 1, "s_axil_araddr": 12}
        inputs |= {"s_axil_arvalid": 1, "s_axil_rready": 1, "s_axil_awprot": 3, "s_axil_arprot": 3}
        super().__init__(
            {name: Out(width) for name, width in outputs.items()}
            | {name: In(width) for name, width in inputs.items()}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        registers = {
            n: Signal(32, name=f"register_{n}") for n in (SOURCE, TARGET, BURSTS, STATUS, FAULT)
        }
        start = Signal()
        self._registers(m, registers, start)
        self._copy(m, registers, start)
        return m

    def _registers(self, m: Module, registers: dict[int, Signal], start: Signal) -> None:
        write = Signal()
        m.d.comb += [
            write.eq(self.s_axil_awvalid & self.s_axil_wvalid & ~self.s_axil_bvalid),
            self.s_axil_awready.eq(write),
            self.s_axil_wready.eq(write),
            self.s_axil_arready.eq(~self.s_axil_rvalid),
            start.eq(write & (self.s_axil_awaddr == START)),
        ]
        with m.If(self.s_axil_bready):
            m.d.sync += self.s_axil_bvalid.eq(0)
        with m.If(write):
            m.d.sync += [self.s_axil_bvalid.eq(1), self.s_axil_bresp.eq(0)]
            with m.Switch(self.s_axil_awaddr):
                for offset in (SOURCE, TARGET, BURSTS, FAULT):
                    with m.Case(offset):
                        m.d.sync += registers[offset].eq(self.s_axil_wdata)
                with m.Case(START):
                    pass
                with m.Case(CLEAR):
                    m.d.sync += self.irq.eq(0)
                with m.Default():
                    m.d.sync += self.s_axil_bresp.eq(2)
        with m.If(self.s_axil_rready):
            m.d.sync += self.s_axil_rvalid.eq(0)
        with m.If(self.s_axil_arvalid & self.s_axil_arready):
            m.d.sync += [self.s_axil_rvalid.eq(1), self.s_axil_rdata.eq(IDENTITY)]
            with m.Switch(self.s_axil_araddr):
                for offset, register in registers.items():
                    with m.Case(offset):
                        m.d.sync += self.s_axil_rdata.eq(register)

    def _copy(self, m: Module, registers: dict[int, Signal], start: Signal) -> None:
        buffer: memory.Memory = memory.Memory(shape=self.data_bits, depth=BURST, init=[])
        m.submodules.buffer = buffer
        fill, drain = buffer.write_port(), buffer.read_port()
        fault = {name: registers[FAULT] == n for n, name in enumerate(FAULTS)}
        done, beat, toggle = Signal(32), Signal(range(BURST)), Signal()
        read, write = Signal(40), Signal(40)
        size = (self.data_bits // 8).bit_length() - 1
        step = BURST * self.data_bits // 8
        m.d.sync += toggle.eq(~toggle)
        m.d.comb += [
            self.m_axi_araddr.eq(read + Mux(fault["unstable"] & toggle, 64, 0)),
            self.m_axi_awaddr.eq(write + Mux(fault["page"], 4096 - step // 2, 0)),
            self.m_axi_wlast.eq((beat == BURST - 1) & ~fault["last"]),
            self.m_axi_wdata.eq(drain.data),
            self.m_axi_wstrb.eq(-1),
            fill.addr.eq(beat),
            fill.data.eq(self.m_axi_rdata),
            fill.en.eq(self.m_axi_rvalid & self.m_axi_rready),
            drain.addr.eq(beat + (self.m_axi_wvalid & self.m_axi_wready)),
            self.trace_valid.eq(Cat(fill.en, self.m_axi_wvalid & self.m_axi_wready)),
            self.trace_payload[:TRACE_WIDTH].eq(self.m_axi_rdata),
            self.trace_payload[TRACE_WIDTH:].eq(self.m_axi_wdata),
        ]
        for channel in ("ar", "aw"):
            m.d.comb += [
                getattr(self, f"m_axi_{channel}len").eq(BURST - 1),
                getattr(self, f"m_axi_{channel}burst").eq(1),
                getattr(self, f"m_axi_{channel}size").eq(size + fault["size"]),
            ]
        error = Signal()
        with m.If(fill.en & (self.m_axi_rresp != 0)):
            m.d.sync += error.eq(1)
        with m.FSM():
            with m.State("idle"):
                m.d.sync += [beat.eq(0), done.eq(0), error.eq(0)]
                m.d.sync += [read.eq(registers[SOURCE]), write.eq(registers[TARGET])]
                with m.If(start):
                    m.next = "address"
            with m.State("address"):
                m.d.comb += self.m_axi_arvalid.eq(1)
                with m.If(self.m_axi_arready):
                    m.next = "read"
            with m.State("read"):
                m.d.comb += self.m_axi_rready.eq(1)
                with m.If(self.m_axi_rvalid):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(self.m_axi_rlast):
                        m.next = "write address"
            with m.State("write address"):
                m.d.comb += self.m_axi_awvalid.eq(1)
                with m.If(self.m_axi_awready):
                    m.next = "write"
            with m.State("write"):
                m.d.comb += self.m_axi_wvalid.eq(1)
                with m.If(self.m_axi_wready):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == BURST - 1):
                        m.next = "response"
            with m.State("response"):
                m.d.comb += self.m_axi_bready.eq(1)
                with m.If(self.m_axi_bvalid):
                    m.d.sync += done.eq(done + 1)
                    m.d.sync += [read.eq(read + step), write.eq(write + step)]
                    m.next = "address"
                    with m.If(done + 1 == registers[BURSTS]):
                        m.d.sync += [
                            registers[STATUS].eq(1 + (error | (self.m_axi_bresp != 0))),
                            self.irq.eq(1),
                        ]
                        m.next = "idle"
